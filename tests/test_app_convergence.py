"""The picture of how runs converge: on the screen, as text, as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.cli import main
from app.converging import page
from app.screens.convergence import same_task
from store.domain.board import Board
from store.domain.convergence import Convergence, convergence
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from tests.test_convergence import Run
from widgets import plots
from widgets.chart import Series, chart
from widgets.ink import Line, width

SIZES = [(80, 24), (120, 40), (200, 50)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as opened:
        yield opened


@pytest.fixture
def run() -> Run:
    run = Run()
    run.generation(1, (), 4)
    run.generation(2, (1,), 6)
    return run


def text(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


# Drawn.


@pytest.mark.parametrize(("cells", "height"), SIZES)
def test_everything_is_on_the_page_at_every_size(run: Run, cells: int, height: int) -> None:
    lines = page(convergence([run.board]), cells, height)
    drawn = text(lines)
    for said in (
        "Solved first in generation 2.",
        "with memory 1 of 2 (50%)",
        "clean 0 of 1 (0%)",
        "Observations",
        "Solved lanes",
        "Strategies, by generation",
        "clean: way 3",
        "Why attempts failed, and when",
        "check fails",
        "Cost by model",
        "in prompts",
    ):
        assert said in drawn
    assert max(map(width, lines)) <= cells


def test_where_there_is_nothing_it_says_what_to_do() -> None:
    assert "multitrack demo" in text(page(Convergence(), 80, 24))
    begun = text(page(convergence([Run().board]), 80, 24))
    assert "No generation has been designed yet." in begun
    assert "the grid shows how far it is" in begun


@pytest.mark.parametrize(("cells", "height"), SIZES)
def test_several_runs_are_shares_and_a_row_each(run: Run, cells: int, height: int) -> None:
    other = Run("other")
    other.generation(1, (1,), 3)
    lines = page(convergence([run.board, other.board]), cells, height)
    drawn = text(lines)
    for said in (
        "2 runs, 2 of them solved, the first in generation 1.",
        "Solved lanes, %",
        "solved so far",
        "run other",
    ):
        assert said in drawn
    assert max(map(width, lines)) <= cells


def test_a_generation_at_work_has_no_point_yet(run: Run) -> None:
    before = text(page(convergence([run.board]), 80, 24))
    three = Run()
    three.board = run.board
    three.generation(3, (1, 2), None)
    three.board.generations[3].lanes[2].checked = None
    after = text(page(convergence([three.board]), 80, 24))
    assert "goes on" in after
    assert before.count("●") == after.count("●"), "half a count would look like a fall"


def test_hostile_names_are_text(run: Run) -> None:
    run.board.generations[1].lanes[1].model = "\x1b[31m[red]m\u202eo\ndel" + "x" * 500
    lines = page(convergence([run.board]), 80, 24)
    assert "\x1b" not in text(lines)
    assert max(map(width, lines)) <= 80


def test_bars_show_whatever_is_more_than_nothing() -> None:
    assert plots.bar(0, 10, 20) == ""
    assert plots.bar(0.01, 10, 20) == "▌"
    assert plots.bar(5, 10, 20) == "█" * 10
    assert plots.bar(99, 10, 20) == "█" * 20
    assert plots.bar(1, 0, 20) == "▌"


def test_one_lane_is_a_glyph_and_several_are_a_count() -> None:
    cells = {(1, 1, 1): "✔", (0, 1, 1): "✗", (0, 0, 1): "▶", (1, 2, 3): "1/2", (0, 0, 3): "▶3"}
    assert {key: plots.Cell(*key).span[0] for key in cells} == cells


def test_of_many_generations_the_last_are_shown() -> None:
    cells = {number: plots.Cell(0, 1, 1) for number in range(1, 40)}
    lines = plots.grid([plots.Row("way", cells, 0.0, "0/39")], range(1, 40), 60, "Strategies")
    assert text(lines).splitlines()[1].split()[-1] == "39"
    assert max(map(width, lines)) <= 60


def test_axes_have_round_numbers_where_there_is_room() -> None:
    def labels(most: float, height: int) -> list[str]:
        rows = chart([Series("a", [0, most])], 2, 40, height, most, "t")[1:-2]
        return [row[0][0].strip() for row in rows if row[0][0].strip()]

    assert labels(4, 8) == ["4", "0"]
    assert labels(100, 20) == ["100", "75", "50", "25", "0"]
    assert labels(15, 20) == ["15", "10", "5", "0"]


@given(some.lists(some.lists(some.booleans(), min_size=1, max_size=4), max_size=7), some.integers(20, 220))
def test_no_run_breaks_the_page(generations: list[list[bool]], cells: int) -> None:
    run = Run()
    for number, lanes in enumerate(generations, 1):
        run.generation(number, tuple(at for at, solved in enumerate(lanes, 1) if solved), number, lanes=len(lanes))
    for boards in ([run.board], [run.board, Run("b").board], [run.board, Board("c")]):
        assert page(convergence(boards), cells, 24)


# The screen.


@pytest.mark.parametrize("size", SIZES)
async def test_the_screen(home: Home, size: tuple[int, int]) -> None:
    async with studio(home, "grid", record.SOLVED).run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press("5")
        await settled(pilot)
        screen = shown(pilot)
        assert "5 Convergence  6 Report" in screen
        assert "Solved first in generation 2." in screen
        assert "Solved lanes" in screen


async def test_one_key_takes_in_more_runs(home: Home) -> None:
    async with studio(home, "convergence", record.SOLVED).run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "4 runs" in shown(pilot), "the runs of the same task")
        await pilot.press("a")
        await settled(pilot)
        assert "of 4 with the scripted model" in shown(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "Solved first in generation 2." in shown(pilot), "the run alone")


async def test_the_empty_screen_says_what_to_do(tmp_path: Path) -> None:
    async with studio(Home(tmp_path / "none"), "convergence").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "multitrack demo" in shown(pilot), "the empty state")
        await pilot.press("a")
        await pilot.pause()
        assert "there is no run yet" in "".join(notice.message for notice in pilot.app._notifications).lower()


def test_the_same_task_is_the_same_whatever_its_memory(run: Run) -> None:
    assert same_task(run.board, Run("b").board)
    assert not same_task(run.board, Board("c"))


# The command line.


def test_the_command_prints_what_the_screen_shows(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["--home", str(home.root), "convergence", record.SOLVED]) == 0
    told = capsys.readouterr().out
    assert "Solved first in generation 2." in told
    assert "check fails" in told


def test_the_command_prints_numbers_of_several_runs(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    names = [record.SOLVED, record.GATE, record.SOLVED]
    assert main(["--home", str(home.root), "convergence", *names, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in told["runs"]] == [record.SOLVED, record.GATE]
    assert told["runs"][0]["shares"] == [0.0, 0.25, 0.75, 1.0]
    assert [point["runs"] for point in told["generations"]] == [2, 2, 2, 1]
    assert told["from_generation_2"]["clean"] == {"lanes": 5, "judged": 5, "solved": 0, "share": 0.0}
    assert sum(one["count"] for one in told["failures"]) == 35 - 8 - 3
    assert told["strategies"][0]["generations"]["1"] == {"lanes": 2, "judged": 2, "solved": 0}
    assert told["models"][0]["model"] == "claude-sonnet-4-5"
