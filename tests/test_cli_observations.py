"""`multitrack observations`: everything that the editor does has a command."""

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.failure import Exit
from backends.harness import curate
from store import observations
from store.commands import pending
from store.database import open_store
from store.domain.commands import ChangeObservations
from store.domain.events import CommandSettled
from store.domain.ids import SubagentId
from store.domain.observations import Claim, Document, Observation, Status, merge
from store.domain.states import RunState
from store.events import read
from store.lock import RunLock
from tests.harnessrig import rig
from tests.observation_documents import finding
from tests.shop import RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]


@pytest.fixture
def seen(here: Here) -> Here:
    """A run with three observations, and no engine."""
    by = [SubagentId(RUN, 1, lane) for lane in (1, 2)]
    found = [
        finding("lock", by[0]),
        finding("lock", by[1]),
        finding("retry", by[1], Claim.HALF),
        finding("sleep", by[0]),
    ]
    with open_store(here.home.store) as store:
        document = merge(Document(RUN, generation=1), found)
        store.write(lambda c: observations.save(c, document, author="observer", at=5.0))
    return here


def latest(here: Here) -> Document:
    with open_store(here.home.store) as store:
        document = observations.load(store, RUN)
    assert document is not None
    return document


def by_name(here: Here) -> dict[str, Observation]:
    """The first observations, by the words that they began with."""
    with open_store(here.home.store) as store:
        first = observations.load(store, RUN, 1)
    assert first is not None
    now = {o.id: o for o in latest(here).observations}
    return {o.text.split()[1]: now[o.id] for o in first.observations}


def do(here: Here, *arguments: str) -> str:
    code, out, err = here("observations", RUN, *arguments)
    assert (code, err) == (Exit.FINE, ""), (out, err)
    return out


def test_an_order_that_an_engine_answers_before_it_leaves_is_not_carried_out_again(
    seen: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = RunLock.acquire

    def acquire(lock: RunLock) -> bool:
        """The engine that had the lock until now has answered all that waited."""
        if not taken(lock):
            return False
        with open_store(seen.home.store) as store:
            for order in pending(store, RUN):
                assert isinstance(order.command, ChangeObservations)
                asyncio.run(curate(store, RUN, seen.home.folder(RUN), order.id, order.command))
        return True

    do(seen, "add", "First.")
    do(seen, "add", "Second.")
    monkeypatch.setattr(RunLock, "acquire", acquire)
    do(seen, "undo")
    there = {o.text for o in latest(seen).observations if o.status is Status.KEPT}
    assert (latest(seen).version, there) == (4, {"First."})


def test_a_list_says_what_each_is_and_what_it_takes(seen: Here) -> None:
    lines = do(seen, "list").splitlines()
    assert lines[0].split() == ["ID", "PRIORITY", "CLAIM", "STATUS", "SUPPORT", "SINCE", "TOKENS", "EFFECT", "TEXT"]
    assert "failed attempt" in lines[1] and "The lock was tried." in lines[1]
    (lock, _, _) = json.loads(do(seen, "list", "--json"))
    assert lock["id"] == by_name(seen)["lock"].id
    assert (lock["injectable"], lock["status"], len(lock["attempts"])) == (True, "proposed", 2)
    assert lock["tokens"] > 10
    assert (lock["told"], lock["since"], lock["effect"], lock["conflicts"]) == (True, "new", "–", 0)
    assert lock["evidence"][0]["quote"] == "lock broken"
    assert do(seen).startswith("# Observations")
    assert json.loads(do(seen, "--json"))["run"] == RUN


def test_a_list_can_be_filtered_as_the_screen_is(seen: Here) -> None:
    lock, retry, sleep = (by_name(seen)[name].id for name in ("lock", "retry", "sleep"))

    def found(*options: str) -> list[str]:
        return [o["id"] for o in json.loads(do(seen, "list", "--json", *options))]

    do(seen, "drop", retry)
    do(seen, "quarantine", sleep)
    assert found() == [lock, sleep]
    assert set(found("--all")) == {lock, retry, sleep}
    assert found("--only", "out-of-the-file") == [retry]
    assert found("--only", "goes-into-no-prompt") == [sleep]
    assert found("--only", "contradicted") == found("--only", "flagged") == found("--only", "in-conflict") == []
    assert found("lock", "tried") == [lock]
    assert "None of them is so" in do(seen, "list", "--only", "without-effect")
    assert seen("observations", RUN, "list", "--only", "odd")[0] == Exit.USAGE


def test_what_was_seen_in_a_run_that_is_gone_can_be_read_and_says_so(seen: Here) -> None:
    with open_store(seen.home.store) as store:
        document = merge(latest(seen), [finding("wait", SubagentId("gone1", 2, 3))])
        store.write(lambda c: observations.save(c, document, author="observer", at=6.0))
    wait = next(o.id for o in latest(seen).observations if "wait" in o.text)
    said = do(seen, "show", wait)
    assert "gone1.2.3 turn 4, call call3: “wait broken”" in said
    assert "The tapes of run gone1 are deleted or in another store" in said
    assert "deleted" not in do(seen, "show", by_name(seen)["lock"].id)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_file_that_is_handed_in_may_have_any_encoding(seen: Here, tmp_path: Path, encoding: str) -> None:
    mine = tmp_path / "mine.md"
    mine.write_bytes((do(seen) + "\n- Müll “hier”.\n").replace("\n", "\r\n").encode(encoding))
    do(seen, "edit", "--file", str(mine))
    now = latest(seen)
    assert [o.text for o in now.observations if o.author == "operator"] == ["Müll “hier”."]
    assert now.notes == ()
    assert not any(o.status is Status.DROPPED for o in now.observations)


def test_what_is_done_makes_a_version_and_the_file_says_it(seen: Here) -> None:
    names = {word: o.id for word, o in by_name(seen).items()}
    assert do(seen, "pin", names["lock"], names["retry"]) == (
        f"Pinned {names['lock']}; pinned {names['retry']}. Kept as version 2.\n"
    )
    do(seen, "quarantine", names["sleep"])
    do(seen, "edit", names["lock"], "No", "lock.")
    do(seen, "priority", "possible", names["retry"])
    do(seen, "claim", "hypothesis", names["retry"])
    do(seen, "add", "Mine.", "--priority", "important", "--claim", "environment")
    now = by_name(seen)
    assert (now["lock"].text, now["lock"].status) == ("No lock.", "pinned")
    assert (now["retry"].priority, now["retry"].claim) == ("possible", "hypothesis")
    assert now["sleep"].status == "quarantined"
    face = seen.home.folder(RUN).observations.read_text()
    assert "No lock." in face and "Mine." in face
    assert face == do(seen, "show")
    assert [p.name for p in seen.home.folder(RUN).path.iterdir() if "observations" in p.name] == ["observations.md"]
    assert do(seen, "keep", names["sleep"]) and by_name(seen)["sleep"].status == "kept"
    do(seen, "drop", names["sleep"])
    assert "sleep" not in do(seen, "list")
    assert "dropped" in do(seen, "list", "--all")
    assert "The sleep was tried." in do(seen, "show", names["sleep"])
    assert "The sleep was tried." not in do(seen, "show")
    assert "The sleep was tried." in do(seen, "show", "--version", "1")


def test_two_become_one_and_one_becomes_two(seen: Here) -> None:
    names = {word: o.id for word, o in by_name(seen).items()}
    do(seen, "merge", names["lock"], names["sleep"], "--text", "Neither helps.")
    assert by_name(seen)["lock"].text == "Neither helps."
    assert by_name(seen)["sleep"].merged_into == (names["lock"],)
    assert f"into {names['lock']}" in do(seen, "list", "--all")
    answer = json.loads(do(seen, "split", names["retry"], "It helps.", "Half.", "--json"))
    assert (answer["applied"], answer["version"], len(answer["added"])) == (True, 3, 2)
    assert by_name(seen)["retry"].merged_into == tuple(answer["added"])


def test_everything_is_undone_done_again_and_restored(seen: Here) -> None:
    lock = by_name(seen)["lock"].id
    do(seen, "drop", lock)
    do(seen, "add", "Mine.")
    do(seen, "undo")
    do(seen, "undo")
    assert do(seen, "list").count("\n") == 4
    code, out, _ = seen("observations", RUN, "undo")
    assert (code, out) == (Exit.UNSOLVED, "refused: There is nothing to undo.\n")
    do(seen, "redo")
    assert by_name(seen)["lock"].status == "dropped"
    do(seen, "restore", "3")
    assert "Mine." in do(seen, "list")
    versions = json.loads(do(seen, "versions", "--json"))
    assert [(v["author"], v["what"], v["undoes"]) for v in versions] == [
        ("observer", "", 0),
        ("operator", f"Dropped {lock}.", 0),
        ("operator", "Added “Mine.”.", 0),
        ("operator", "Undid version 3.", 3),
        ("operator", "Undid version 2.", 2),
        ("operator", "Did again what version 5 took back.", 5),
        ("operator", "Restored version 3.", 0),
    ]
    assert "Restored version 3." in do(seen, "versions")


def test_what_changed_is_told(seen: Here) -> None:
    lock = by_name(seen)["lock"].id
    assert do(seen, "changes", "--since", "generation").count("new") == 3
    do(seen, "edit", lock, "No lock.")
    told = json.loads(do(seen, "changes", "--json"))
    assert [(d["id"], d["what"], d["fields"]) for d in told["differences"]] == [(lock, "reworded", ["text", "status"])]
    assert (told["from"], told["to"]) == (1, 2)
    assert "reworded" in do(seen, "changes", "--since", "1")
    for wrong in ("7", "yesterday"):
        assert seen("observations", RUN, "changes", "--since", wrong)[0] == Exit.USAGE


def test_a_whole_file_is_handed_in_and_what_disagrees_is_settled(seen: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    old = do(seen, "show")
    lock = by_name(seen)["lock"].id
    do(seen, "edit", lock, "No lock.")
    mine = Path("mine.md")
    mine.write_text(old.replace("The lock was tried.", "A lock."))
    assert "A conflict" in do(seen, "edit", "--file", "mine.md")
    (conflict,) = json.loads(do(seen, "conflicts", "--json"))
    assert (conflict["id"], conflict["field"], conflict["value"]) == (lock, "text", "A lock.")
    assert "A lock." in do(seen, "conflicts")
    do(seen, "resolve", lock, "text", "--take")
    assert by_name(seen)["lock"].text == "A lock."
    assert do(seen, "conflicts") == "No two edits disagree.\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"From here.\n")))
    do(seen, "edit", lock, "-")
    assert by_name(seen)["lock"].text == "From here."
    excerpt = Path("excerpt")
    excerpt.write_text("@ a.py\n+ x\n")
    do(seen, "edit", lock, "--excerpt", "excerpt")
    assert by_name(seen)["lock"].excerpt == ("@ a.py", "+ x")


def test_what_a_person_changed_in_the_file_meanwhile_stays(seen: Here) -> None:
    do(seen, "add", "On the command line.")
    face = seen.home.folder(RUN).observations
    face.write_text(face.read_text() + "\n- In the file.\n")
    do(seen, "add", "And again.")
    texts = {o.text for o in latest(seen).observations}
    assert texts >= {"On the command line.", "In the file.", "And again."}
    assert "In the file." in face.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["drop", "o-none"], Exit.USAGE, "there is no observation o-none. `multitrack observations 7k3ab list`"),
        (["drop"], Exit.USAGE, "ID"),
        (["drop", "o-"], Exit.USAGE, "o- may be o-"),
        (["edit"], Exit.USAGE, "hand in the whole file with --file"),
        (["edit", "--file", "none.md"], Exit.ENVIRONMENT, "none.md"),
        (["priority", "urgent", "o-1"], Exit.USAGE, "urgent"),
        (["restore", "zero"], Exit.USAGE, "zero"),
        (["fold"], Exit.USAGE, "fold"),
        (["show", "--version", "9"], Exit.USAGE, "no version 9"),
    ],
)
def test_a_mistake_is_explained(seen: Here, arguments: list[str], code: Exit, said: str) -> None:
    got, _, err = seen("observations", RUN, *arguments)
    assert got == code
    assert said in err


def test_what_cannot_be_done_is_refused_and_nothing_is(seen: Here) -> None:
    names = [o.id for o in latest(seen).observations]
    code, out, _ = seen("observations", RUN, "merge", names[0])
    assert (code, out) == (Exit.UNSOLVED, "refused: It takes two observations to merge.\n")
    code, out, _ = seen("observations", RUN, "restore", "9", "--json")
    assert (code, json.loads(out)["applied"]) == (Exit.UNSOLVED, False)
    assert latest(seen).version == 1
    with open_store(seen.home.store) as store:
        assert pending(store, RUN) == []
        settled = [e.payload for e in read(store, run=RUN) if isinstance(e.payload, CommandSettled)]
    assert [(s.name, s.applied) for s in settled] == [("change-observations", False)] * 2


def test_one_can_be_written_before_the_observer_has(here: Here) -> None:
    assert json.loads(do(here, "list", "--json")) == []
    do(here, "add", "The shop is slow on Mondays.")
    assert "The shop is slow on Mondays." in do(here)
    assert here("observations", RUN, "changes")[0] == Exit.FINE


def test_options_stand_before_and_behind(seen: Here) -> None:
    home = str(seen.home.root)
    assert main(["--home", home, "observations", RUN, "list", "--json"]) == Exit.FINE
    seen.capture.readouterr()
    assert seen("observations", RUN, "list", "--home", home)[1] == do(seen, "list")
    assert seen("observations", RUN, "--json", "list")[1] == do(seen, "list", "--json")


async def test_a_live_engine_carries_it_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    from store.lock import RunLock

    async with rig(tmp_path, gates_open=False, generations=2) as made, made.working():
        await made.state(RunState.GATE)
        with RunLock(made.home.folder(made.run).lock):
            arguments = ["observations", made.run, "add", "Mine.", "--home", str(made.home.root)]
            assert await asyncio.to_thread(main, arguments) == Exit.FINE
        assert capsys.readouterr().out == "Added “Mine.”. Kept as version 2.\n"
        assert "Mine." in made.home.folder(made.run).observations.read_text()
