"""What the next generation may cost."""

from dataclasses import replace

import pytest

from store.domain.board import Board, Generation
from store.domain.events import RunCreated, SubagentChecked, SubagentEnded
from store.domain.ids import SubagentId
from store.domain.lane import Lane
from store.domain.limits import Limits, Spend, Usage
from store.domain.outlook import outlook
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task

TASK = Task("fix it", "/repo", Check("./check"), model="m", limits=Limits(usd=5.0), run_limits=Limits(usd=100.0))


def lane(generation: int, number: int, usd: float, *, model: str = "m", priced: bool = True) -> Lane:
    made = Lane(SubagentId("one", generation, number), LanePlan(number, Strategy("s", "a"), False), Limits())
    made.model, made.spend = model, Spend(3, Usage(10, 5), usd, priced=priced)
    made.ended, made.checked = SubagentEnded(Ending.SUBMITTED, "", made.spend), SubagentChecked(False, "")
    return made


def board(*lanes: Lane, **changes: object) -> Board:
    made = Board("one", order=RunCreated(replace(TASK, **changes), "t", "f" * 40, 1))  # type: ignore[arg-type]
    for one in lanes:
        number = one.id.generation
        made.generations.setdefault(number, Generation(number, {})).lanes[one.id.lane] = one
    return made


def plans(*models: str, usd: float | None = None) -> list[LanePlan]:
    return [
        LanePlan(n, Strategy("s", "a", model=model, limits=Limits(usd=usd)), False) for n, model in enumerate(models, 1)
    ]


def test_lanes_cost_what_lanes_of_their_model_did_last() -> None:
    known = board(lane(1, 1, 9.0), lane(2, 1, 1.0), lane(2, 2, 3.0), lane(2, 3, 8.0, model="big"))
    found = outlook(known, plans("", "", "big"), 0.0)
    assert (found.expected, found.low, found.high) == (2.0 + 2.0 + 8.0, 1.0 + 1.0 + 8.0, 3.0 + 3.0 + 8.0)
    assert found.based_on == 3, "not the lane of an earlier generation"
    assert found.spent.usd == 21.0
    assert found.most == 15.0


def test_what_nobody_knows_is_not_guessed() -> None:
    assert outlook(board(lane(1, 1, 1.0)), plans("", "new"), 0.0).expected is None
    assert outlook(board(), plans(""), 0.0).expected is None
    assert outlook(board(lane(1, 1, 0.0, priced=False)), plans(""), 0.0).expected is None
    assert outlook(board(lane(1, 1, 1.0)), [], 0.0).expected is None


def test_the_most_is_what_limits_leave() -> None:
    assert outlook(board(), plans("", "", usd=1.5), 0.0).most == 3.0
    assert outlook(board(limits=Limits()), plans("", ""), 0.0).most == 100.0
    assert outlook(board(limits=Limits(), run_limits=Limits()), plans(""), 0.0).most is None
    assert outlook(board(lane(1, 1, 99.5)), plans("", ""), 0.0).most == pytest.approx(0.5)
    assert outlook(board(lane(1, 1, 120.0)), plans(""), 0.0).most == 0.0
