"""`delete`, `prune`, and how much disk a run takes."""

import json
import os
from functools import partial

import pytest

from app.failure import Exit
from app.output import size
from store import runs
from store.database import open_store
from store.domain.events import RunFinished
from store.domain.states import RunState
from store.lock import RunLock
from tests.shop import OTHER, RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]


def left(here: Here) -> set[str]:
    with open_store(here.home.store) as store:
        return {row.id for row in runs.runs(store)}


def test_a_run_is_deleted_by_name(here: Here) -> None:
    code, out, _ = here("delete", RUN, "--yes")
    assert code == Exit.FINE
    assert out.startswith(f"Deleted {RUN}. Freed: ")
    assert left(here) == {OTHER}
    assert not here.home.folder(RUN).path.exists()
    code, _, err = here("delete", RUN, "--yes")
    assert (code, f"no run '{RUN}'" in err) == (Exit.USAGE, True)


@pytest.mark.parametrize("arguments", [("delete", RUN), ("prune", "--older", "0.5h", "--keep-solved")])
def test_where_nobody_can_be_asked_a_command_is_taken_at_its_word(here: Here, arguments: tuple[str, ...]) -> None:
    assert here(*arguments)[0] == Exit.FINE
    assert left(here) < {RUN, OTHER}


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(("answer", "stays"), [("y", False), ("YES ", False), ("n", True), ("", True), (None, True)])
def test_the_operator_is_asked(
    here: Here, monkeypatch: pytest.MonkeyPatch, answer: str | None, stays: bool, options: tuple[str, ...]
) -> None:
    asked: list[str] = []

    def read(question: str = "") -> str:
        asked.append(question)
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    code, out, err = here("delete", RUN, *options)
    question = f"Delete run {RUN} (shop ␛[31mred) with its tapes, report and patches? It frees about "
    assert (asked, err.startswith(question)) == ([""], True)
    assert (RUN in left(here)) is stays
    assert code == (Exit.UNSOLVED if stays else Exit.FINE)
    assert (out == "", "Nothing was deleted." in err) == (stays, stays)


def test_a_run_that_an_engine_works_on_stays(here: Here) -> None:
    with RunLock(here.home.folder(RUN).lock) as lock:
        assert lock.acquire()
        code, _, err = here("delete", RUN, "--yes")
        assert (code, f"works on run {RUN}" in err) == (Exit.UNSOLVED, True)
        assert here("prune", "--older", "1m", "--yes")[0] == Exit.FINE
    assert left(here) == {RUN}


def test_a_deletion_that_was_begun_is_finished_by_name(here: Here) -> None:
    with open_store(here.home.store) as store:
        store.write(
            lambda connection: connection.exec_driver_sql("INSERT INTO deletions VALUES (?, 1.0)", (RUN,)).close()
        )
    assert left(here) == {OTHER}
    code, out, err = here("delete", RUN)
    assert (code, out.startswith(f"Deleted {RUN}.")) == (Exit.FINE, True)
    assert "was not finished: it goes on" in err
    assert not here.home.folder(RUN).path.exists()


def test_old_runs_go_and_solved_ones_may_stay(here: Here) -> None:
    here.add(RunFinished(RunState.SOLVED, "done", "report.md"))
    told = json.loads(here("prune", "--older", "1m", "--dry-run", "--json")[1])
    assert [run["run"] for run in told["runs"]] == [OTHER, RUN], "oldest first"
    assert [run["state"] for run in told["runs"]] == ["interrupted", "solved"]
    assert told["runs"][1]["disk"]["store"] > 0
    assert told["freed"] is None
    assert left(here) == {RUN, OTHER}
    assert json.loads(here("prune", "--older", "9999w", "--yes", "--json")[1])["runs"] == []
    code, out, _ = here("prune", "--older", "0.5h", "--keep-solved", "--yes")
    assert code == Exit.FINE
    assert "1 run, about " in out and f"Deleted {OTHER}. Freed: " in out
    assert "\x1b" not in out
    assert left(here) == {RUN}


def test_what_is_recorded_makes_a_run_young_again(here: Here) -> None:
    now = 4_000_000_000.0
    with open_store(here.home.store) as store:
        store.write(partial(runs.create, run="young", title="", at=now))
    assert [run["run"] for run in json.loads(here("prune", "--older", "1m", "--dry-run", "--json")[1])["runs"]] == [
        OTHER,
        RUN,
    ]


@pytest.mark.parametrize("age", ["30", "d", "-3d", "30 days", "1y", ""])
def test_an_age_is_a_number_and_a_unit(here: Here, age: str) -> None:
    code, _, err = here("prune", f"--older={age}", "--yes")
    assert (code, "such as 30d, 12h or 2w" in err) == (Exit.USAGE, True)
    assert left(here) == {RUN, OTHER}


def test_runs_say_what_they_take(here: Here) -> None:
    here.home.folder(RUN).log.write_bytes(os.urandom(100_000))
    listed = {run["run"]: run["disk"] for run in json.loads(here("runs", "--json")[1])}
    assert listed[RUN]["files"] >= 100_000
    assert listed[RUN]["store"] > 0
    head, *rows = here("runs")[1].splitlines()
    assert "DISK" in head.split()
    assert next(row for row in rows if row.startswith(RUN)).split("shop")[0].split()[-1] == "kB"


@pytest.mark.parametrize(
    ("count", "told"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (12_300, "12 kB"), (999_700, "1.0 MB")),
        *((5_400_000_000, "5.4 GB"), (10**16, "10,000 TB")),
    ],
)
def test_sizes(count: int, told: str) -> None:
    assert size(count) == told


def test_a_deletion_is_told_as_json(here: Here) -> None:
    code, out, _ = here("delete", RUN, "--json")
    told = json.loads(out)
    assert (code, told["runs"]) == (Exit.FINE, [RUN])
    assert told["freed"].keys() == {"store", "files", "kept", "unnamed"}
    assert left(here) == {OTHER}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--host", "big"), Exit.USAGE, "goes with --images"),
        (("--images", "--keep-solved"), Exit.USAGE, "doesn't go with --images"),
        (("--images", "--host=-x"), Exit.USAGE, "--host -x is neither a Docker context nor an address"),
        (("--images", "--host", "unix:///nosuch"), Exit.ENVIRONMENT, "no Docker engine answers at unix:///nosuch"),
    ],
)
def test_images_are_somewhere(here: Here, options: tuple[str, ...], code: Exit, said: str) -> None:
    found, out, err = here("prune", *options)
    assert (found, out, said in err) == (code, "", True), err
    assert left(here) == {RUN, OTHER}
