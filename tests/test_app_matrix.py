"""Every screen at three sizes and in three themes, in the states that matter, from recorded runs and a clock that
stands still. Baselines are in `tests/pictures`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.playback.feed import Start
from app.playback.where import where
from store import observations
from store.database import open_store
from store.domain.observations.conflicts import Conflict, with_conflicts
from store.home import Home
from tests import matrix, record
from tests.driving import settled, studio


@dataclass(frozen=True)
class Case:
    """A screen in a state: what is pressed first, whether it is played, and at which moment."""

    name: str
    screen: str
    run: str | None = None
    keys: Sequence[str] = ()
    moment: str = ""


CASES = (
    Case("runs", "runs"),
    Case("runs-failed", "runs", None, ("end",)),
    Case("grid-live", "grid", record.LIVE),
    Case("grid-gate", "grid", record.GATE),
    Case("grid-failed", "grid", record.BROKEN),
    Case("grid-solved", "grid", record.SOLVED),
    Case("grid-zoom", "grid", record.LIVE, ("z",)),
    Case("grid-beside", "grid", record.GATE, ("b",)),
    Case("grid-playback", "grid", record.LIVE, (), "alert"),
    Case("traces-live", "traces", record.LIVE, ("f",)),
    Case("traces-gate", "traces", record.GATE),
    Case("traces-failed", "traces", record.BROKEN),
    Case("traces-playback", "traces", record.LIVE, (), "alert"),
    Case("observations-gate", "observations", record.GATE),
    Case("observations-marked", "observations", record.GATE, ("space", "down", "space")),
    Case("observations-lanes", "observations", record.GATE, ("n", "down")),
    Case("observations-edit", "observations", record.GATE, ("e",)),
    Case("observations-filter", "observations", record.GATE, ("slash",)),
    Case("observations-merge", "observations", record.GATE, ("space", "down", "space", "m")),
    Case("observations-changes", "observations", record.GATE, ("d",)),
    Case("observations-versions", "observations", record.GATE, ("h", "down")),
    Case("observations-restore", "observations", record.GATE, ("h", "down", "enter")),
    Case("observations-lane", "observations", record.GATE, ("n", "down", "e")),
    Case("observations-live", "observations", record.LIVE),
    Case("observations-failed", "observations", record.BROKEN),
    Case("convergence-solved", "convergence", record.SOLVED),
    Case("convergence-gate", "convergence", record.GATE),
    Case("convergence-failed", "convergence", record.BROKEN),
    Case("report-solved", "report", record.SOLVED),
    Case("report-live", "report", record.LIVE),
)
DISPUTED = (
    Case("observations-conflict", "observations", record.GATE, ("down",)),
    Case("observations-settle", "observations", record.GATE, ("down", "equals_sign", "n")),
)
EMPTY = tuple(Case(f"{screen}-empty", screen) for screen in ("runs", "grid", "traces", "observations", "report"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with record.recorded(tmp_path_factory.mktemp("home")) as opened:
        yield opened


async def compare(home: Home, case: Case) -> None:
    start = Start(record.LIVE, 4.0, where(case.moment), playing=False) if case.moment else None
    app = studio(home, case.screen, case.run, play=start)
    async with app.run_test(size=matrix.SIZES[0]) as pilot:
        await settled(pilot)
        for key in case.keys:
            await pilot.press(key)
            await settled(pilot)
        found = await matrix.take(pilot, case.name)
    matrix.compare(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_pictures(home: Home, case: Case) -> None:
    await compare(home, case)


@pytest.mark.parametrize("case", EMPTY, ids=lambda case: case.name)
async def test_empty(tmp_path: Path, case: Case) -> None:
    await compare(Home(tmp_path / "none"), case)


@pytest.mark.parametrize("case", DISPUTED, ids=lambda case: case.name)
async def test_where_two_edits_disagree(tmp_path: Path, case: Case) -> None:
    other = "In `shop/pay.py`, `Pay.charge`: a longer limit left the check failing; the bank answers late (3 failures)."
    disputed = (
        Conflict("o-0001", "text", other, "An edit of version 2 has it otherwise."),
        Conflict("o-0001", "priority", "possible", "An edit of version 2 has it otherwise."),
    )
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        document = observations.load(store, record.GATE)
        assert document is not None
        both = with_conflicts(document, disputed)
        store.write(lambda c: observations.save(c, both, author="operator", at=record.NOW, what="Edited the text."))
        await compare(home, case)


def test_no_picture_is_of_a_case_that_is_gone() -> None:
    names = {
        f"{case.name}-{columns}x{rows}.txt" for case in (*CASES, *DISPUTED, *EMPTY) for columns, rows in matrix.SIZES
    }
    assert {path.name for path in matrix.FOLDER.glob("*")} <= names


def test_a_picture_tells_what_only_one_theme_tells_apart() -> None:
    one = [[("a", "red"), ("b", "red")]]
    other = [[("a", "red"), ("b", "blue")]]
    assert matrix.picture([one, one]) == "  ab\n~ a2\n\na = red | red\n"
    assert matrix.picture([one, other]) == "  ab\n~ a1 b1\n\na = red | red\nb = red | blue\n"
    with pytest.raises(AssertionError):
        matrix.picture([one, [[("a", "red"), ("c", "red")]]])
