"""What a run may cost at most."""

from dataclasses import replace

import pytest

from app.cost import described, worst_case
from store.domain.limits import Limits
from store.domain.strategy import Strategy
from store.domain.task import Check, Task

TASK = Task(
    goal="mend it",
    repository="/r",
    check=Check("make check", 10.0),
    generations=3,
    lanes=4,
    limits=Limits(turns=5, tokens=1000, usd=0.5, seconds=100.0),
    run_limits=Limits(),
)


def test_every_subagent_uses_what_it_may() -> None:
    case = worst_case(TASK)
    assert (case.subagents, case.at_once) == (12, 4)
    assert case.usd == pytest.approx(6.0)
    assert case.tokens == 12_000
    assert case.seconds == 330.0, "lanes work side by side; the check comes on top, once a generation"


def test_the_runs_own_limits_cap_it() -> None:
    case = worst_case(replace(TASK, run_limits=Limits(tokens=500, usd=2.0, seconds=50.0)))
    assert (case.usd, case.tokens, case.seconds) == (2.0, 500, 50.0)
    wide = worst_case(replace(TASK, run_limits=Limits(tokens=10**9, usd=900.0, seconds=10**6)))
    assert wide == worst_case(TASK)


def test_without_a_limit_there_is_no_bound_but_the_runs() -> None:
    free = replace(TASK, limits=Limits())
    assert (worst_case(free).usd, worst_case(free).tokens, worst_case(free).seconds) == (None, None, None)
    assert "no limit on money, no limit on tokens, no limit on time" in described(worst_case(free))
    assert worst_case(replace(free, run_limits=Limits(usd=3.0))).usd == 3.0


def test_the_strategy_that_may_use_most_counts() -> None:
    cheap, dear = Strategy("a", "x", limits=Limits(usd=0.1)), Strategy("b", "x", limits=Limits(usd=0.4))
    assert worst_case(replace(TASK, strategies=(cheap, dear))).usd == pytest.approx(4.8)
    assert worst_case(replace(TASK, strategies=(cheap, Strategy("c", "x")))).usd == pytest.approx(6.0)


def test_it_is_said_in_words() -> None:
    told = described(worst_case(TASK))
    assert told.startswith(
        "This run may use: at most $6.00, 12,000 tokens, 5 min 30 s of work (12 subagents, 4 at a time)"
    )
