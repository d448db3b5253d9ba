"""When the operator is called, and what the terminal's title says."""

from dataclasses import replace

import pytest

from app.calling import Calling, needing, sequence
from app.world import Track, World
from store.domain.board import Board
from store.domain.events import (
    Alert,
    EngineStarted,
    Event,
    GateOpened,
    GatePassed,
    GenerationDesigned,
    Payload,
    RunCreated,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
)
from store.domain.limits import Spend
from store.domain.states import AlertLevel, Ending
from store.domain.strategy import LanePlan
from tests.record import STRATEGIES, TASK

RUN = "abcde"


def track(*more: tuple[Payload, int | None]) -> Track:
    """A run at work with two subagents, and what else happened: payloads with their lanes."""
    plans = tuple(LanePlan(lane, STRATEGIES[lane], clean=False) for lane in (1, 2))
    began: list[tuple[Payload, int | None]] = [
        (RunCreated(TASK, "a title", "r", 1), None),
        (EngineStarted(1, "0", "x"), None),
        (GenerationDesigned(plans), None),
        (SubagentLaunched("s", "m"), 1),
        (SubagentLaunched("s", "m"), 2),
    ]
    board = Board(RUN)
    for seq, (payload, lane) in enumerate([*began, *more], 1):
        board.apply(Event(seq, float(seq), RUN, 1 if seq > 2 else None, lane, payload))
    return Track(RUN, "a title", 1.0, board, alive=True, read=True, lived=True)


def needs(one: Track, **handled: int) -> int:
    world = World({RUN: one})
    if handled:
        ((lane, seen),) = handled.items()
        world.handled = {one.board.generations[1].lanes[int(lane[-1])].id: seen}
    return len(needing(world))


def test_it_rings_for_what_begins_and_not_for_what_goes_on() -> None:
    calling = Calling()
    assert calling.look(frozenset({"a gate 1"})) == (False, "(1) multitrack"), "it was so before they came"
    assert calling.look(frozenset({"a gate 1"})) == (False, "")
    assert calling.look(frozenset({"a gate 1", "b.1.2 1"})) == (True, "(2) multitrack")
    assert calling.look(frozenset({"b.1.2 1"})) == (False, "(1) multitrack")
    assert calling.look(frozenset()) == (False, "multitrack")
    assert calling.look(frozenset()) == (False, "")
    assert calling.look(frozenset({"a gate 2"})) == (True, "(1) multitrack")


def test_a_title_that_was_never_marked_stays_the_terminals_own() -> None:
    assert Calling().look(frozenset()) == (False, "")
    assert needing(World()) == frozenset()
    assert sequence("multitrack") == "\x1b]2;multitrack\x07"


@pytest.mark.parametrize(("level", "calls"), [(AlertLevel.NOTE, 0), (AlertLevel.WARNING, 0), (AlertLevel.STUCK, 1)])
def test_who_is_stuck_calls_until_an_order_was_given(level: AlertLevel, calls: int) -> None:
    assert needs(track()) == 0
    alert = Alert("same-call", "the same call", level=level), 1
    assert needs(track(alert)) == calls
    assert needs(track(alert), lane1=1) == 0
    assert needs(track(alert, alert), lane1=1) == calls
    assert needs(track(alert, (SubagentEnded(Ending.SUBMITTED, "", Spend()), 1))) == 0


def test_who_could_not_work_calls_while_something_can_be_done_about_it() -> None:
    failed = [(SubagentEnded(Ending.NEVER_STARTED, "no key", Spend()), 2), (SubagentChecked(solved=False, patch=""), 2)]
    assert needs(track(*failed)) == 1
    gate = GateOpened(waits=True), None
    assert needs(track(*failed, gate)) == 2, "the gate, and the failed one"
    assert needs(track(*failed, gate, (GatePassed("operator"), None))) == 0


def test_a_run_that_loses_its_engine_calls_and_one_that_has_none_does_not() -> None:
    assert needs(replace(track(), alive=False)) == 1
    assert needs(replace(track(), alive=False, lived=False)) == 0, "it was so before they came"
    assert needs(replace(track(), alive=False, played=True)) == 0
