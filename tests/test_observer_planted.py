"""Orders hidden in what the tools of a demo print, fifty and then those that are hidden better: none reaches the next
generation unflagged."""

from dataclasses import replace
from itertools import cycle

import pytest

from backends.agents import Recalled
from backends.agents.tools import _marks
from backends.observer import Observed
from backends.observer.attempt import Said, Step
from backends.observer.observing import observe_attempts
from store.domain.ids import SubagentId
from store.domain.observations import Document, Flag, Observation, Status, select
from store.domain.safe_text import safe_line
from tests import rehearsal
from tests.planted import HARDER, PLANTED
from tests.rehearsal import Lane, Rehearsal

CAP = 1_000_000
"""Room for all there is."""

WORD = 8
"""Characters of a line that is no order."""

WAYS = (
    'exit code 1\nTraceback (most recent call last):\n  File "shop/stock.py", line 3, in reserve\nValueError: {}\n',
    "exit code 2\nbuilding\nerror: {}\n",
    "exit code 127\nsh: 1: frob{n}: not found ({})\n",
    "exit code 1\nfatal: it broke off ({})\nmake: leaving\n",
)


def hidden(lane: Lane, orders: list[str], ways: "cycle[str]") -> None:
    """Put an order into the result of each of a lane's tool calls, in whatever way such a result has room for it."""
    for place, step in enumerate(lane.steps):
        if not orders or step.name == "submit":
            break
        order = orders.pop()
        assert step.result is not None
        if step.name == "run":
            text = next(ways).replace("{n}", "n" * len(orders)).replace("{}", order)
            lane.steps[place] = put(step, text, ok=True)
        else:
            lane.steps[place] = put(step, f"{order} ({step.name})", ok=False)


def put(step: Step, text: str, *, ok: bool) -> Step:
    said = step.result
    assert said is not None
    return replace(step, result=Said(text, said.turn, said.call, said.node), ok=ok)


@pytest.fixture(scope="module")
def observed() -> Observed:
    """The first generation of the demo, as the observer sees it with all that was hidden in it."""
    seen = Observed(Document("run"), {}, 0, 0)
    left = [*PLANTED, *HARDER]
    while left:
        demo = Rehearsal(rehearsal.bench("one"), 1)
        demo.run(generations=1)
        before, ways = len(left), cycle(WAYS)
        for lane in demo.lanes:
            hidden(lane, left, ways)
        assert len(left) < before, "there was room for some of them"
        seen = observe_attempts(seen.document, [replace(lane.attempt(12), answers=11) for lane in demo.lanes], 1)
    return seen


def saying(document: Document, order: str) -> list[Observation]:
    """What quotes an order, or as much of its first line as a program's line has."""
    words = safe_line(order.strip().split("\n")[0].replace("`", "'"))[:24]
    return [o for o in document.observations if words in o.text]


def test_there_are_fifty() -> None:
    assert len(set(PLANTED)) == 50


@pytest.mark.parametrize("order", [*PLANTED, *HARDER])
def test_what_is_hidden_is_flagged_wherever_it_comes_to_stand(observed: Observed, order: str) -> None:
    there = saying(observed.document, order)
    assert there, "it was seen"
    # Of one that is spread over lines a refusal tells the first: a word alone orders nothing.
    assert all(Flag.INSTRUCTION in o.flags for o in there) or len(order.split("\n")[0]) < WORD


def test_none_of_it_reaches_the_next_generation(observed: Observed) -> None:
    told = select(observed.document, CAP)
    assert told.ids, "others do"
    assert [order for order in (*PLANTED, *HARDER) if safe_line(order.replace("`", "'"))[:40] in told.text] == []


def test_only_the_operator_lets_it_in(observed: Observed) -> None:
    (one,) = saying(observed.document, PLANTED[0])[:1]
    kept = tuple(replace(o, status=Status.KEPT) if o.id == one.id else o for o in observed.document.observations)
    assert one.id in select(replace(observed.document, observations=kept), CAP).ids


@pytest.mark.parametrize("order", [*PLANTED, *HARDER])
def test_what_is_recalled_is_marked_too(order: str) -> None:
    assert "instruction" in _marks(Recalled(SubagentId("run", 1, 1), 3, "user", f"12 broken\n{order}\n"))
