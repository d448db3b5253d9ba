"""The screens' state, folded from what the feed says, in whatever order it comes."""

from pathlib import Path

from app.feeds import Alive, Feed, Flowed, Happened, Listed, Read, read_flows
from app.screens.runs import row
from app.world import Track, World
from store import events
from store.database import open_store
from store.domain.board import Board
from store.domain.events import Event, GateOpened, GatePassed, GenerationDesigned, RunCreated, ToolStarted, TurnStarted
from store.domain.ids import SubagentId
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from tests import record
from tests.driving import wait

TASK = Task(goal="g", repository="r", check=Check("true"))
PLAN = LanePlan(1, Strategy("s", "a"), clean=False)
PAST = [
    Event(1, 1.0, "7k3ab", None, None, RunCreated(TASK, "t", "r", 1)),
    Event(2, 2.0, "7k3ab", 1, None, GenerationDesigned((PLAN,))),
    Event(3, 3.0, "7k3ab", 1, 1, TurnStarted(1)),
]
WHO = SubagentId("7k3ab", 1, 1)


def world() -> World:
    made = World()
    made.know("7k3ab", "t", 1.0)
    made.watch("7k3ab")
    return made


def said(made: World) -> list[str]:
    return ["".join(text for text, _ in row).strip() for row in made.flow(WHO).lines(40, 20)]


def test_a_run_that_is_seen_from_its_first_event_needs_no_past() -> None:
    made = world()
    made.apply(PAST, {})
    track = made.tracks["7k3ab"]
    assert track.read
    assert track.board.generations[1].lanes[1].turn == 1


def test_a_board_that_comes_late_is_taken_only_when_it_is_ahead() -> None:
    made = world()
    made.apply(PAST, {})
    old = Board("7k3ab")
    old.apply(PAST[0])
    made.take(old)
    assert made.tracks["7k3ab"].board.seq == 3


def test_events_that_come_before_the_past_are_kept_and_none_is_told_twice() -> None:
    made = world()
    live = [Event(4, 4.0, "7k3ab", 1, 1, ToolStarted(1, "t", "run", "run make"))]
    made.apply([*PAST[2:], *live], {})
    assert said(made) == []
    flow = made.flow(WHO)
    flow.apply(PAST[2])
    made.begin_flows("7k3ab", {WHO: flow}, PAST, 3)
    assert said(made)[-1] == "› run make"
    assert len(said(made)) == 2
    assert [event.seq for event in made.past] == [1, 2, 3, 4]
    made.apply(live, {})
    assert len(said(made)) == 2


def test_another_run_forgets_the_lanes_of_the_one_before() -> None:
    made = world()
    made.begin_flows("7k3ab", {}, PAST, 3)
    made.know("m2qtw", "u", 2.0)
    assert made.watch("m2qtw")
    assert not made.watch("m2qtw")
    assert (made.flows, made.past, made.flowed) == ({}, [], 0)
    made.begin_flows("7k3ab", {}, PAST, 3)
    assert made.past == []


def test_a_gate_is_told_only_when_it_still_waits() -> None:
    made = world()
    made.apply(PAST, {})
    opened = Event(4, 4.0, "7k3ab", 1, None, GateOpened(waits=True))
    passed = Event(5, 5.0, "7k3ab", 1, None, GatePassed("operator"))
    assert [track.id for track in made.apply([opened], {})] == ["7k3ab"]
    assert made.apply([opened], {}) == []
    again = world()
    again.apply(PAST, {})
    assert again.apply([opened, passed], {}) == []


def test_the_feed_tells_the_past_once_and_then_what_comes(tmp_path: Path) -> None:
    told: list[object] = []
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        feed = Feed(home, told.append)
        feed.start()
        try:
            wait(lambda: sum(isinstance(message, Read) for message in told) == 4, "the past")
            turn = TurnStarted(10)
            store.write(lambda c: events.append(c, record.LIVE, [turn], at=record.NOW, generation=2, lane=1))
            wait(lambda: any(isinstance(message, Happened) for message in told), "the event")
        finally:
            feed.close()
    assert [type(message) for message in told if isinstance(message, Listed | Alive)][:2] == [Listed, Alive]
    alive = next(message for message in told if isinstance(message, Alive))
    assert alive.runs == {record.LIVE, record.GATE}
    (happened,) = [message for message in told if isinstance(message, Happened)]
    assert [event.payload for event in happened.events] == [turn]


def test_a_run_that_is_opened_has_the_words_of_its_last_calls(tmp_path: Path) -> None:
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        flowed: Flowed = read_flows(store, record.LIVE)
    rows = flowed.flows[SubagentId(record.LIVE, 2, 1)].lines(60, 12)
    text = " ".join("".join(piece for piece, _ in row) for row in rows)
    assert "Who else changes the count without a lock?" in text
    assert flowed.seq == flowed.events[-1].seq


def test_a_row_of_runs_says_nothing_of_what_is_not_there() -> None:
    def shown(*, clean: bool, imported: str) -> tuple[str, str]:
        track = Track("abcde", "a title", 1.0, Board("abcde"), read=True)
        plans = PLAN, LanePlan(2, PLAN.strategy, clean=clean)
        track.board.apply(Event(1, 1.0, "abcde", None, None, RunCreated(TASK, "t", "r", 1, imported=imported)))
        track.board.apply(Event(2, 1.0, "abcde", 1, None, GenerationDesigned(plans)))
        found = row(track, 2.0)
        return found.clean, found.cost

    assert shown(clean=True, imported="") == ("0/1", "$0.00")
    assert shown(clean=False, imported="openai") == ("", ""), "no control, and nobody said what it cost"
