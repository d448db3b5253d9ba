"""Whether one more call may go out, by what a key may use, has used, and has under way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.allowance import AGAIN, AT_ONCE, Allowance, Bound, Claim, Denial, Ledger, denial
from store.domain.limits import Limits

CALL = Claim("claude-x", tokens=1_000, usd=0.10)


def asked(allowance: Allowance, ledger: Ledger | None = None, claim: Claim = CALL, at: float = 0.0) -> Bound | None:
    found = denial(allowance, ledger or Ledger(), claim, at=at)
    return None if found is None else found.bound


def test_without_limits_everything_goes_out() -> None:
    spent = Ledger(turns=10**6, tokens=10**12, usd=10.0**6, calls=10**6)
    assert asked(Allowance(), spent) is None
    assert asked(Allowance(), spent, Claim("", measured=False, usd=None)) is None


@pytest.mark.parametrize(
    ("allowance", "below", "reached"),
    [
        (Allowance(turns=3), Ledger(turns=2), Ledger(turns=3)),
        (Allowance(tokens=100), Ledger(tokens=99), Ledger(tokens=100)),
        (Allowance(usd=1.0), Ledger(usd=0.99), Ledger(usd=1.0)),
        (Allowance(calls=5), Ledger(calls=4), Ledger(calls=5)),
        (Allowance(turns=0), None, Ledger()),
    ],
)
def test_a_limit_is_reached_when_as_much_is_used(allowance: Allowance, below: Ledger | None, reached: Ledger) -> None:
    if below is not None:
        assert asked(allowance, below) is None
    found = denial(allowance, reached, CALL, at=0.0)
    assert found is not None and found.retry_after is None
    assert found.bound in {Bound.TURNS, Bound.TOKENS, Bound.COST, Bound.CALLS} and str(found.bound) in found.text


def test_limits_are_those_of_the_harness() -> None:
    limits = Limits(turns=60, tokens=2_000_000, usd=5.0, seconds=3600.0)
    assert Allowance.of(limits, "m") == Allowance(turns=60, tokens=2_000_000, usd=5.0, unpriced=("m",))


@pytest.mark.parametrize(
    ("model", "patterns", "goes"),
    [
        ("claude-x", ("claude-x",), True),
        ("claude-x", ("claude-*",), True),
        ("claude-x", ("gpt-?", "claude-[xy]"), True),
        ("claude-xy", ("claude-x",), False),
        ("CLAUDE-X", ("claude-x",), False),
        ("", ("*",), False),
        ("x" * 257, ("*",), False),
        ("a" * 256, ("*a" * 60 + "b",), False),
    ],
)
def test_models_are_names_or_patterns(model: str, patterns: tuple[str, ...], goes: bool) -> None:
    assert asked(Allowance(models=patterns), claim=Claim(model)) is (None if goes else Bound.MODELS)


def test_what_uses_no_model_needs_none_but_must_be_understood() -> None:
    assert asked(Allowance(models=("m",)), claim=Claim(uses=False)) is None
    for allowance in (Allowance(models=("m",)), Allowance(usd=1.0), Allowance(tokens=1), Allowance(turns=1)):
        assert asked(allowance, claim=Claim(uses=False, measured=False)) is Bound.PATHS
    assert asked(Allowance(rate=1, calls=1), claim=Claim(uses=False, measured=False)) is None


def test_a_model_without_a_price_is_refused_under_a_cost_limit_unless_it_was_chosen() -> None:
    unknown = Claim("mine", usd=None)
    assert asked(Allowance(usd=1.0), claim=unknown) is Bound.COST
    assert asked(Allowance(usd=1.0, unpriced=("other",)), claim=unknown) is Bound.COST
    assert asked(Allowance(usd=1.0, unpriced=("mine",)), claim=unknown) is None
    assert asked(Allowance(tokens=1), claim=unknown) is None


@pytest.mark.parametrize(
    ("tied", "peer", "goes"),
    [
        ("172.18.0.5", "172.18.0.5", True),
        ("172.18.0.5", "172.18.0.6", False),
        ("172.18.0.5", "", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("no address", "no address", False),
    ],
)
def test_a_key_may_be_tied_to_an_address(tied: str, peer: str, goes: bool) -> None:
    found = denial(Allowance(peer=tied), Ledger(), CALL, at=0.0, peer=peer)
    assert (found is None) is goes
    assert found is None or found.bound is Bound.PEER


def test_a_rate_is_calls_in_any_minute() -> None:
    allowance, ledger = Allowance(rate=2), Ledger()
    for at in (0.0, 50.0):
        assert asked(allowance, ledger, at=at) is None
        ledger.begin(CALL, at)
    assert denial(allowance, ledger, CALL, at=55.0) == Denial(
        Bound.RATE, "the rate limit is reached: 2 calls a minute", 5
    )
    assert asked(allowance, ledger, at=60.0) is None
    ledger.begin(CALL, 60.0)
    assert denial(allowance, ledger, CALL, at=61.0) == Denial(
        Bound.RATE, "the rate limit is reached: 2 calls a minute", 49.0
    )
    # A clock that is set back holds nobody up for longer.
    assert asked(allowance, ledger, at=-1000.0) is None


@pytest.mark.parametrize(
    ("allowance", "bound"),
    [(Allowance(turns=3), Bound.TURNS), (Allowance(tokens=3_000), Bound.TOKENS), (Allowance(usd=0.3), Bound.COST)],
)
def test_calls_under_way_count_and_more_have_to_wait(allowance: Allowance, bound: Bound) -> None:
    ledger = Ledger()
    for _ in range(3):
        assert asked(allowance, ledger) is None
        ledger.begin(CALL, 0.0)
    found = denial(allowance, ledger, CALL, at=0.0)
    assert found is not None and (found.bound, found.retry_after) == (bound, AGAIN)
    # One that used nothing makes room for one.
    ledger.end(CALL)
    assert asked(allowance, ledger) is None
    # What uses no model needs none.
    ledger.begin(CALL, 0.0)
    assert asked(allowance, ledger, Claim(uses=False)) is None


def test_a_single_call_goes_out_however_much_it_may_cost() -> None:
    """Whoever works one call after the other stops where the harness would have stopped it."""
    dear = Claim("m", tokens=10**9, usd=10.0**6)
    assert asked(Allowance(tokens=10, usd=0.01), Ledger(tokens=9, usd=0.009), dear) is None


def test_nobody_has_more_under_way_than_is_sensible() -> None:
    ledger = Ledger()
    for _ in range(AT_ONCE):
        assert asked(Allowance(), ledger) is None
        ledger.begin(CALL, 0.0)
    found = denial(Allowance(), ledger, CALL, at=0.0)
    assert found is not None and (found.bound, found.retry_after) == (Bound.RATE, AGAIN)


_LIMIT = st.none() | st.integers(0, 20)


@given(
    allowance=st.builds(Allowance, turns=_LIMIT, tokens=_LIMIT.map(lambda n: n and n * 100), calls=_LIMIT),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=80),
)
def test_never_is_more_used_than_a_limit_and_one_call(allowance: Allowance, steps: list[tuple[bool, int]]) -> None:
    """However many calls come together, as long as none uses more than was estimated."""
    ledger = Ledger()
    most = 0
    for begins, size in steps:
        if begins:
            claim = Claim("m", tokens=size)
            if denial(allowance, ledger, claim, at=0.0) is None:
                ledger.begin(claim, 0.0)
                most = max(most, size)
        elif ledger.under_way:
            claim = ledger.under_way[size % len(ledger.under_way)]
            ledger.end(claim, turn=size % 2 == 0, tokens=min(size, claim.tokens))
    assert allowance.calls is None or ledger.calls <= allowance.calls
    under_way = len(ledger.under_way)
    assert allowance.turns is None or ledger.turns + under_way <= allowance.turns
    promised = ledger.tokens + sum(claim.tokens for claim in ledger.under_way)
    assert allowance.tokens is None or promised < allowance.tokens + most or promised == 0
