from dataclasses import replace

from store.domain.board import Board
from store.domain.events import (
    Event,
    GenerationDesigned,
    Payload,
    RunCreated,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend
from store.domain.replay import SOFT, LaneReplayed, playable, replayed, used
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.tape import Call
from store.domain.task import Check, Task

THEN, NOW = "abcde", "fghij"
ORDER = RunCreated(Task("Repair it.", "/r", Check("make check")), "t", "f" * 40, 1)


def board(run: str, *events: tuple[int | None, Payload]) -> Board:
    """A run of one generation of two lanes, then these events, each a second after the other from 101 on."""
    made = Board(run)
    plans = tuple(LanePlan(lane, Strategy("s", "a"), False, "") for lane in (1, 2))
    log: list[tuple[int | None, int | None, Payload]] = [(None, None, ORDER), (1, None, GenerationDesigned(plans))]
    log += [(1, lane, payload) for lane, payload in events]
    for seq, (generation, lane, payload) in enumerate(log, 1):
        made.apply(Event(seq, 98.0 + seq, run, generation, lane, payload))
    return made


def call(run: str, number: int, *, at: float = 102.0, lane: int = 1, source: str = "", **more: object) -> Call:
    made = Call(f"c{number}", run, SubagentId(run, 1, lane), "anthropic", "POST", "/v1/messages", "m", False, at)
    made = replace(made, ended=at + 1, status=200, complete=True, source=source)
    return replace(made, **more)  # type: ignore[arg-type] # fields of a call


LAUNCHED, ENDED = SubagentLaunched("/s", "m"), SubagentEnded(Ending.SUBMITTED, "", Spend())
SOLVED = SubagentChecked(solved=True, patch="p")


def test_a_faithful_replay_has_the_same_verdicts_and_uses_every_call() -> None:
    work: list[tuple[int | None, Payload]] = [(1, LAUNCHED), (1, ENDED), (1, SOLVED)]
    compared = replayed(
        board(THEN, *work),
        board(NOW, *work),
        [call(THEN, 1), call(THEN, 2), call(THEN, 3, error="engine died"), call(THEN, 4, parent="c1")],
        [call(NOW, 11, source="tape:c1"), call(NOW, 12, source="tape:c2"), call(NOW, 13, parent="c12")],
    )
    assert compared.faithful
    assert compared.lanes[0] == LaneReplayed("1.1", "solved", "solved", matched=2, soft=0, missed=0, unused=0)
    assert (compared.matched, compared.unused) == (2, 0)


def test_whatever_differs_makes_it_unfaithful() -> None:
    then = board(THEN, (1, LAUNCHED), (1, ENDED), (1, SOLVED))
    now = board(NOW, (1, LAUNCHED), (1, ENDED), (1, SubagentChecked(solved=False, patch="")))
    recorded = [call(THEN, number) for number in (1, 2, 3)]
    made = [
        call(NOW, 11, source="tape:c1", notes=(f"{SOFT}\n@@ a @@",)),
        call(NOW, 12),
        call(NOW, 13, status=None, complete=False, error="it is not on the tape of run abcde"),
    ]
    compared = replayed(then, now, recorded, made)
    assert compared.lanes[0] == LaneReplayed("1.1", "solved", "unsolved", matched=0, soft=1, missed=2, unused=2)
    assert not compared.faithful
    assert compared.differing == 1
    only_then = replayed(then, Board(NOW), recorded, [])
    assert [(lane.label, lane.then, lane.now, lane.unused) for lane in only_then.lanes] == [
        ("1.1", "solved", "", 3),
        ("1.2", "queued", "", 0),
    ]


def test_what_a_subagent_did_before_it_began_anew_does_not_count() -> None:
    then = board(THEN, (1, LAUNCHED), (1, ENDED), (1, SOLVED))
    now = board(NOW, (1, LAUNCHED), (1, replace(LAUNCHED, attempt=2, afresh=True)), (1, ENDED), (1, SOLVED))
    lane = now.generations[1].lanes[1]
    assert (lane.began, lane.attempt, lane.turn) == (102.0, 2, 0)
    made = [call(NOW, 11, at=101.5, source="tape:c1"), call(NOW, 12, at=103.0, source="tape:c1")]
    assert replayed(then, now, [call(THEN, 1)], made).faithful


def test_what_is_played_and_what_was_used() -> None:
    assert playable(call(THEN, 1))
    assert playable(call(THEN, 1, status=None, complete=False, error="the provider could not be reached: gone"))
    assert playable(call(THEN, 1, complete=False, error="the provider's answer broke off: gone"))
    assert not playable(replace(call(THEN, 1), ended=None))
    assert not playable(call(THEN, 1, complete=False, error="the client hung up"))
    assert not playable(call(THEN, 1, status=None, error="it is not on the tape of run abcde"))
    made = [call(NOW, 1, source="tape:a"), call(NOW, 2, source="tape:b", error="engine died"), call(NOW, 3)]
    assert used(made) == {"a"}
