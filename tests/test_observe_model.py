"""`multitrack observe RUN --model`: a model is asked about a run that is over, through the real proxy; an upstream on
loopback plays a script."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from backends.observer import check_evidence
from store import events, observations, runs, tapes
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.events import ModelObserved
from store.domain.ids import OBSERVER, SubagentId
from store.domain.observations import Author, Document
from store.home import Home
from tests.observer_tapes import RUN, Recorder
from tests.observermodel import MODEL, add, answer
from tests.talks import Talk, home_in, imported
from tests.upstreams import Fault, Heard, Said, Script, Upstream, Use

KEY = "sk-of-the-operator-for-all"
DECLINED = "Error: the card was declined"
LESSON = "The card that the booking tool declines is the one that the customer names first."
WRONG = "The customer has no card at all, as the tool has said before."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return home_in(tmp_path)


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as store:
        yield store


@pytest.fixture
def run(store: Store, home: Home) -> str:
    talks = Talk(0.0, [("book", {"flight": "F1"}, DECLINED), "No."]), Talk(1.0, ["Yes."])
    return imported(store, home, *talks)


def reader(heard: Heard) -> Said:
    """Searches once, then adds a lesson, and one whose quote is on no tape; it mends nothing."""
    if heard.turns == 0:
        return [Use("search", {"query": "declined"})]
    if not heard.results:
        return [answer()]
    found = re.search(r"^\[(n\d+)\]", heard.results[0], re.MULTILINE)
    assert found is not None, heard.results[0]
    return [answer(add(LESSON, (found[1], DECLINED)), add(WRONG, (found[1], "no card at all")))]


async def asked(
    home: Home, run: str, script: Script, capsys: pytest.CaptureFixture[str], *, times: int = 1
) -> tuple[list[int], dict[str, Any], list[Heard]]:
    """Ask so often: the exit codes, what the command printed last, and what the provider heard."""
    async with Upstream(script).serving() as upstream:
        arguments = ["--home", str(home.root), "observe", run, "--json", "--model", MODEL]
        arguments += ["--upstream", upstream.base_url]
        capsys.readouterr()
        codes = []
        for _ in range(times):
            capsys.readouterr()
            codes.append(await asyncio.to_thread(main, arguments))
        return codes, json.loads(capsys.readouterr().out), list(upstream.heard)


def board(store: Store, run: str) -> Board:
    made = Board(run)
    for event in events.read(store, run=run):
        made.apply(event)
    return made


def latest(store: Store, run: str) -> Document:
    document = observations.load(store, run)
    assert document is not None
    return document


def alive(store: Store) -> int:
    with store.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM virtual_keys WHERE revoked IS NULL").scalar_one()
    assert isinstance(found, int)
    return found


async def test_what_a_model_finds_is_kept_with_its_tape_and_its_bill(
    home: Home, store: Store, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, told, heard = await asked(home, run, reader, capsys)
    assert codes == [0]
    (one,) = told["asked"]
    assert (one["generation"], one["model"], one["failed"]) == (1, MODEL, "")
    assert [(c["operation"], c["text"]) for c in one["changes"]] == [("ADD", LESSON), ("ADD", WRONG)]
    assert [bool(c["refused"]) for c in one["changes"]] == [False, True]
    (lesson,) = [o for o in told["observations"] if o["author"] == "model"]
    assert (lesson["text"], lesson["attempts"]) == (LESSON, ["1.1"])
    document = latest(store, run)
    assert check_evidence(store, document) == [] and tapes.verify(store, run) == []
    assert home.folder(run).observations.read_text() == observations.text(store, run)
    assert LESSON in home.folder(run).observations.read_text()
    calls = tapes.calls(store, subagent=SubagentId(run, 1, OBSERVER))
    assert len(calls) == len(heard) == 3 and all(call.complete for call in calls)
    used = board(store, run).generations[1].observing
    assert used.turns == 3 and used.usd > 0 and board(store, run).spent(0.0).usd == pytest.approx(used.usd)
    assert board(store, run).generations[1].reader == MODEL
    assert alive(store) == 0
    capsys.readouterr()
    assert await asyncio.to_thread(main, ["--home", str(home.root), "trace", run]) == 0
    assert f"1.0  the observer's model {MODEL}  3 turns, $" in capsys.readouterr().out
    assert KEY not in "".join(one.everything for one in heard)


async def test_it_is_asked_once_and_again_where_it_came_to_no_end(
    home: Home, store: Store, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, told, heard = await asked(home, run, lambda heard: Fault(400, "invalid_request_error", "no such"), capsys)
    assert codes == [1] and "no such" in told["asked"][0]["failed"]
    assert told["observations"] and all(o["author"] == "observer" for o in told["observations"])
    codes, told, heard = await asked(home, run, reader, capsys, times=2)
    assert codes == [0, 0] and told["asked"] == [] and len(heard) == 3
    assert [o.text for o in latest(store, run).observations if o.author is Author.MODEL] == [LESSON]
    ends = [e.payload.failed for e in events.read(store, run=run) if isinstance(e.payload, ModelObserved)]
    assert [bool(one) for one in ends] == [True, False] and alive(store) == 0


async def test_what_a_person_changes_while_it_thinks_stands(
    home: Home, store: Store, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def typed() -> int:
        return await asyncio.to_thread(
            main, ["--home", str(home.root), "observations", run, "add", "Mine, in between."]
        )

    loop = asyncio.get_running_loop()
    async with Upstream(reader).serving() as upstream:
        arguments = ["--home", str(home.root), "observe", run, "--model", MODEL, "--upstream", upstream.base_url]
        edited: list[asyncio.Task[int]] = []

        def meanwhile(heard: Heard) -> Said:
            if not edited:
                edited.append(loop.create_task(typed()))
            return reader(heard)

        upstream.script = meanwhile
        assert await asyncio.to_thread(main, arguments) == 0
        assert await edited[0] == 0
    texts = [o.text for o in latest(store, run).observations]
    assert LESSON in texts and "Mine, in between." in texts
    assert "wanted 2 changes, 1 of them made" in capsys.readouterr().out


def refused(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    try:
        code = main(["--home", str(home.root), "observe", *arguments])
    except SystemExit as ended:
        code = int(str(ended.code))
    return code, capsys.readouterr().err


def test_where_no_model_can_be_asked_nothing_is_done(
    home: Home, store: Store, run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latest(store, run)
    code, said = refused(home, capsys, run, "--model")
    assert code == 2 and "names no model" in said
    code, said = refused(home, capsys, run, "--model", MODEL, "--dry-run")
    assert code == 2 and "not allowed with" in said
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    code, said = refused(home, capsys, run, "--model", MODEL)
    assert code == 3 and "no key" in said
    recorder = Recorder(store)
    store.write(lambda connection: runs.create(connection, RUN, "under way", at=1.0))
    code, said = refused(home, capsys, RUN, "--model", MODEL)
    assert code == 2 and "bare recording" in said
    recorder.begin()
    recorder.design(1, ["top-down"])
    code, said = refused(home, capsys, RUN, "--model", MODEL)
    assert code == 1 and "is not over" in said
    assert latest(store, run) == before
