"""The Observations screen driven by keys: what is done is in the store, and nothing moves under its reader."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from app.screens.observations import ObservationsScreen
from app.screens.traces import TracesScreen
from store import commands, observations, runs, tapes
from store.database import Store, open_store
from store.domain.blocks import blocks
from store.domain.commands import ChangePlan, Launch, PlanChange
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.observations import Document, Evidence, Observation, Status
from store.domain.observations.conflicts import Conflict, conflicts, with_conflicts
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until

SIZE = (130, 40)
RUN = record.GATE


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """No engine lives: what is ordered of observations is carried out by the screen's own process."""
    with record.recorded(tmp_path, alive=()) as opened:
        yield opened


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as opened:
        yield opened


def latest(store: Store) -> Document:
    document = observations.load(store, RUN)
    assert document is not None
    return document


def one(store: Store, name: str) -> Observation:
    return next(o for o in latest(store).observations if o.id == name)


def place(pilot: Pilot[None]) -> ObservationsScreen:
    found = pilot.app.screen
    assert isinstance(found, ObservationsScreen)
    return found


async def done(pilot: Pilot[None], store: Store, condition: Callable[[], object], what: str) -> None:
    await until(pilot, condition, what)
    version = latest(store).version
    screen = place(pilot)
    await until(pilot, lambda: screen.seen is not None and screen.seen.known.version == version, "the new version")
    await settled(pilot)


async def test_a_session(home: Home, store: Store) -> None:
    app = studio(home, "observations", RUN)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = place(pilot)
        assert screen.listing.cursor == "o-0000"
        assert "generation 4 is told" in shown(pilot)
        await pilot.press("x")
        await done(pilot, store, lambda: one(store, "o-0000").status is Status.DROPPED, "the drop")
        assert screen.listing.cursor == "o-0001"
        assert "12 observations" in shown(pilot)
        assert "/12 " in shown(pilot), "what is dropped is not counted"
        await pilot.press("space", "space", "p")
        pinned = [Status.PINNED, Status.PINNED]
        await done(pilot, store, lambda: [one(store, n).status for n in ("o-0001", "o-0004")] == pinned, "the pins")
        assert not screen.marked
        await pilot.press("u")
        await done(pilot, store, lambda: one(store, "o-0004").status is Status.PROPOSED, "the undo")
        await pilot.press("U")
        await done(pilot, store, lambda: one(store, "o-0004").status is Status.PINNED, "the redo")
        # Edited in place.
        screen.listing.point("o-0001")
        await pilot.press("e")
        field = screen.query_one(TextArea)
        assert field.has_focus
        field.insert("Mine: ", (0, 0))
        await pilot.press("escape")
        await until(pilot, lambda: "will be lost" in shown(pilot), "the question")
        await pilot.press("n", "ctrl+s")
        await done(pilot, store, lambda: one(store, "o-0001").text.startswith("Mine: In"), "the words")
        assert one(store, "o-0001").excerpt
        assert not screen.editing
        # Added, and gone to.
        await pilot.press("a", *"Tea.")
        await pilot.press("ctrl+s")
        await done(pilot, store, lambda: any(o.text == "Tea." for o in latest(store).observations), "what was added")
        added = next(o for o in latest(store).observations if o.text == "Tea.")
        await until(pilot, lambda: screen.listing.cursor == added.id, "the cursor")
        # Exactly what the next generation is told stands beside it.
        assert screen.seen is not None
        told = screen.seen.readings[0].told
        assert added.id in told.ids
        assert "o-0000" not in told.ids
        assert set(told.ids[:2]) == {"o-0001", "o-0004"}
        # Merged.
        await pilot.press("space")
        screen.listing.point("o-0001")
        await pilot.press("space")
        screen.listing.point("o-0001")
        await pilot.press("m", "ctrl+s")
        await done(pilot, store, lambda: one(store, added.id).merged_into == ("o-0001",), "the merge")
        assert one(store, "o-0001").text.endswith("Tea.")
        await until(pilot, lambda: screen.listing.cursor == "o-0001", "the cursor")


async def test_a_version_that_comes_moves_nothing(home: Home, store: Store) -> None:
    app = studio(home, "observations", RUN)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = place(pilot)
        await pilot.press("e")
        screen.query_one(TextArea).insert("Half a word", (0, 0))
        screen.listing.point("o-0002")
        row = next(y for y, line in enumerate(shown(pilot).splitlines()) if "o-0002" in line[:20])
        written = latest(store)
        first = replace(written.observations[0], id="o-fff0", fingerprint="f" * 32)
        document = replace(written, observations=(first, *written.observations))
        store.write(lambda c: observations.save(c, document, author="observer", at=record.NOW))
        await until(pilot, lambda: screen.seen and screen.seen.known.version == document.version + 1, "the version")
        await settled(pilot)
        assert screen.query_one(TextArea).text.startswith("Half a word")
        assert "was written meanwhile" in shown(pilot)
        assert screen.listing.cursor == "o-0002"
        assert screen.draft is not None
        assert screen.draft.base == document.version
        assert abs(next(y for y, line in enumerate(shown(pilot).splitlines()) if "o-0002" in line[:20]) - row) <= 1


async def test_what_is_written_is_there_again_when_the_screen_is_gone(home: Home, store: Store) -> None:
    async with studio(home, "observations", RUN).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("e", *"Mine: ", "ctrl+q")
        assert not pilot.app.is_running or pilot.app._exit
    async with studio(home, "observations", RUN).run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = place(pilot)
        assert screen.query_one(TextArea).text.startswith("Mine: In")
        assert "editing o-0000" in shown(pilot)
        # Another screen on the run does not get what this one writes.
        async with studio(home, "observations", RUN).run_test(size=SIZE) as other:
            await settled(other)
            assert not place(other).editing
        # Nor is it handed in for another run.
        pilot.app.show_run(record.SOLVED)  # type: ignore[attr-defined]  # the app is a Studio
        await settled(pilot)
        assert not screen.editing
        pilot.app.show_run(RUN)  # type: ignore[attr-defined]  # as above
        await settled(pilot)
        assert screen.query_one(TextArea).text.startswith("Mine: In")
        await pilot.press("ctrl+s")
        await done(pilot, store, lambda: one(store, "o-0000").text.startswith("Mine: In"), "the words")
    async with studio(home, "observations", RUN).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert not place(pilot).editing


async def test_filters_and_words(home: Home) -> None:
    app = studio(home, "observations", RUN)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = place(pilot)
        await pilot.press("slash")
        await until(pilot, lambda: "Show only" in shown(pilot), "the filters")
        await pilot.press("down", "enter")
        await settled(pilot)
        assert {entry.news for entry in screen.listed} == {"new"}
        assert "4 of 13 · new" in shown(pilot)
        await pilot.press("f", *"retry", "enter")
        await settled(pilot)
        assert [entry.observation.id for entry in screen.listed] == ["o-000a"]
        await pilot.press("escape")
        await settled(pilot)
        assert len(screen.listed) == 13


async def test_the_evidence_opens_the_trace_at_it(home: Home, store: Store) -> None:
    call = f"c{RUN}31003"
    *_, message = tapes.messages(store, tapes.call(store, call))
    said = blocks(message.message)[0].text
    quote = said.split("\n")[0]
    real = Evidence(SubagentId(RUN, 3, 1), call, message.node, 0, 0, len(quote), quote, 2)
    written = latest(store)
    first = replace(written.observations[0], evidence=(*written.observations[0].evidence, real))
    document = replace(written, observations=(first, *written.observations[1:]))
    store.write(lambda c: observations.save(c, document, author="observer", at=record.NOW))
    app = studio(home, "observations", RUN)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.place, TracesScreen), "the trace")
        await settled(pilot)
        # Its node is on no tape: as near as the turn.
        assert "3.1 · turn 3" in shown(pilot)
        await pilot.press("4")
        await settled(pilot)
        await pilot.press("right_square_bracket", "o")
        await until(pilot, lambda: isinstance(app.place, TracesScreen), "the trace")
        await settled(pilot)
        trace = app.place
        assert isinstance(trace, TracesScreen)
        await until(pilot, lambda: trace.cursor is not None and trace.cursor.key.endswith(" r"), "the result")
        assert "turn 2" in shown(pilot)
        assert quote in shown(pilot)


async def test_a_conflict_is_settled_side_by_side(home: Home, store: Store) -> None:
    both = with_conflicts(latest(store), (Conflict("o-0001", "text", "The other side.", "It was otherwise."),))
    store.write(lambda c: observations.save(c, both, author="operator", at=record.NOW))
    app = studio(home, "observations", RUN)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "1 conflict" in shown(pilot)
        await pilot.press("equals_sign")
        await until(pilot, lambda: "What stands" in shown(pilot), "the two sides")
        assert "The other side." in shown(pilot)
        await pilot.press("t")
        await until(pilot, lambda: not conflicts(latest(store)), "the end of it")
        assert one(store, "o-0001").text == "The other side."


async def test_a_version_is_restored(home: Home, store: Store) -> None:
    app = studio(home, "observations", RUN)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("h", "down")
        await settled(pilot)
        assert "What version 2 changed" in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "Restore version 2?" in shown(pilot), "the question")
        await pilot.press("y")
        await until(pilot, lambda: latest(store).version == 4, "the version")
        assert one(store, "o-000c").status is Status.DROPPED


async def test_lanes_at_the_gate(tmp_path: Path) -> None:
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        app = studio(home, "observations", RUN)

        async def ordered(pilot: Pilot[None]) -> object:
            await until(pilot, lambda: commands.pending(store, RUN), "the order")
            (order,) = commands.pending(store, RUN)
            store.write(lambda c: commands.settle(c, order.id, applied=True, outcome="done", at=record.NOW))
            return order.command

        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot)
            await pilot.press("n")
            await settled(pilot)
            assert "as the rules propose it" in shown(pilot)
            assert "Cost so far $0.55" in shown(pilot)
            await pilot.press("down", "x")
            assert await ordered(pilot) == ChangePlan((PlanChange("remove", 2),))
            await pilot.press("e")
            await until(pilot, lambda: "What is left empty" in shown(pilot), "the form")
            await pilot.press("tab", *"small", "tab", "9", "enter")
            change = PlanChange("change", 2, model="small", limits=Limits(turns=9))
            assert await ordered(pilot) == ChangePlan((change,))
            await pilot.press("R")
            await until(pilot, lambda: "again?" in shown(pilot), "the question")
            await pilot.press("y")
            assert await ordered(pilot) == Launch(again=True)
            await pilot.press("W")
            await until(pilot, lambda: "without your changes?" in shown(pilot), "the question")
            await pilot.press("y")
            assert await ordered(pilot) == Launch(curated=False)


async def test_in_one_column_each_part_has_the_screen(home: Home) -> None:
    app = studio(home, "observations", RUN)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "o-0005" in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert "Evidence  1 span" in shown(pilot)
        assert "o-0005" not in shown(pilot)
        await pilot.press("w")
        await settled(pilot)
        assert "generation 4 is told" in shown(pilot)
        await pilot.press("escape")
        await settled(pilot)
        assert "o-0005" in shown(pilot)
        await pilot.press("e")
        await settled(pilot)
        assert "editing o-0000" in shown(pilot)


async def test_a_first_word_where_nothing_was_learned(home: Home, store: Store) -> None:
    store.write(lambda c: runs.create(c, "fresh", "nothing yet", at=record.NOW))
    home.folder("fresh").create()
    record._begin(record.Writer(store, "fresh", record.NOW), "nothing yet")
    app = studio(home, "observations", "fresh")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "Nothing was learned yet." in shown(pilot)
        await pilot.press("a", *"Tea.")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: observations.load(store, "fresh"), "the first version")
        await until(pilot, lambda: "1 observation" in shown(pilot), "the list")
