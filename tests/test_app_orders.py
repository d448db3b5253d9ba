"""Orders to one or several subagents, and what is typed for them: without a screen."""

from dataclasses import replace

import pytest

from app.orders import Several, is_open, refusal, simple, targets
from app.raising import Wanted, parse, raised
from app.screens.ask import Place, matching
from store.domain.board import Generation, Lane
from store.domain.commands import Continue, Kill, Pause, Raise
from store.domain.events import GatePassed, SubagentChecked
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.states import SubagentState
from store.domain.strategy import LanePlan, Strategy

S = SubagentState


def lane(number: int = 1, state: SubagentState = S.RUNNING, **changes: object) -> Lane:
    made = Lane(
        SubagentId("7k3ab", 2, number), LanePlan(number, Strategy("history", "a"), clean=False), Limits(turns=20)
    )
    return replace(made, state=state, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("action", "state", "why"),
    [
        ("kill", S.RUNNING, ""),
        ("kill", S.SOLVED, "has ended"),
        ("pause", S.PAUSED, "paused already"),
        ("continue", S.RUNNING, "is not paused"),
        ("continue", S.PAUSED, ""),
        ("steer", S.CHECKING, "has ended"),
        ("limits", S.PAUSED, ""),
        ("restart", S.RUNNING, ""),
        ("restart", S.FAILED, ""),
    ],
)
def test_who_can_take_an_order(action: str, state: SubagentState, why: str) -> None:
    said = refusal(action, lane(state=state), open=True)
    assert why in said
    assert bool(said) == bool(why)


def test_only_what_is_not_solved_in_an_open_generation_starts_anew() -> None:
    solved = lane(state=S.SOLVED, checked=SubagentChecked(True, "p"))
    assert "has solved" in refusal("restart", solved, open=True)
    assert "latest generation" in refusal("restart", lane(), open=False)
    generation = Generation(2, {1: lane()})
    assert is_open(generation, 2)
    assert not is_open(generation, 3)
    generation.passed = GatePassed("operator")
    assert not is_open(generation, 2)


def test_those_that_can_take_it_get_it_and_the_others_are_named() -> None:
    found = targets("pause", [lane(1), lane(2, S.PAUSED), lane(3)], open=True)
    assert [one.id.lane for one in found.willing] == [1, 3]
    assert found.named == "2 subagents: 2.1, 2.3"
    assert found.why_not == ""
    assert "none of the 2" in targets("pause", [lane(1, S.PAUSED), lane(2, S.SOLVED)], open=True).why_not
    assert targets("pause", [], open=True).why_not == "no subagent is selected"
    assert targets("pause", [lane(1)], open=True).named == "subagent 2.1 (history)"
    assert [simple(action, lane(4)) for action in ("kill", "pause", "continue")] == [
        Kill(2, 4),
        Pause(2, 4),
        Continue(2, 4),
    ]


def test_what_came_of_several_orders_is_said_once() -> None:
    said: list[tuple[str, str]] = []
    several = Several("pause", ["2.1", "2.2", "2.3"], lambda text, level: said.append((text, level)))
    several.answered("2.1")(True)
    several.answered("2.3")(False)
    assert said == []
    several.answered("2.2")(True)
    assert said == [("pause: 2 of 3 taken; refused by 2.3", "warning")]


@pytest.mark.parametrize(
    ("field", "typed", "wanted"),
    [
        ("turns", "", None),
        ("turns", "40", Wanted("turns", 40)),
        ("turns", "+10", Wanted("turns", 10, more=True)),
        ("usd", "+50%", Wanted("usd", 50, share=True)),
        ("usd", "$2,50", Wanted("usd", 2.5)),
        ("tokens", "2M", Wanted("tokens", 2_000_000)),
        ("tokens", "800 k", Wanted("tokens", 800_000)),
        ("seconds", "+20m", Wanted("seconds", 1200, more=True)),
        ("seconds", "2h", Wanted("seconds", 7200)),
    ],
)
def test_limits_as_they_are_typed(field: str, typed: str, wanted: Wanted | None) -> None:
    assert parse(field, typed) == wanted


@pytest.mark.parametrize(("field", "typed"), [("turns", "40k"), ("usd", "much"), ("usd", "50%"), ("turns", "-4")])
def test_limits_that_are_not_understood_are_said(field: str, typed: str) -> None:
    assert isinstance(parse(field, typed), str)


def test_limits_are_raised_and_never_lowered() -> None:
    limited = lane(limits=Limits(turns=20, usd=2.0))
    given = raised(limited, [Wanted("turns", 50, share=True), Wanted("usd", 1, more=True), Wanted("tokens", 5)])
    assert given == Raise(2, 1, turns=30, usd=3.0)
    assert "only raised" in str(raised(limited, [Wanted("turns", 20)]))
    assert "no such limit" in str(raised(limited, [Wanted("tokens", 20)]))


def test_going_to_a_subagent_by_its_label_or_its_strategy() -> None:
    names = ("history", "trace", "plain")
    places = [
        Place(SubagentId("7k3ab", generation, number), name, ("▶ running", "accent"))
        for generation in (1, 2, 3)
        for number, name in enumerate(names, start=1)
    ]

    def labels(typed: str) -> list[str]:
        return [place.who.label for place in matching(typed, places, 2)]

    assert labels("") == ["2.1", "2.2", "2.3"]
    assert labels("3")[0] == "2.3"
    assert labels("3.") == ["3.1", "3.2", "3.3"]
    assert labels("1.2") == ["1.2"]
    assert labels("tr") == ["2.2"]
    assert labels("ist") == ["2.1"]
    assert labels("nobody") == []
