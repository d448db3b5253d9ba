"""Every stuck rule, in the order in which they speak."""

from store.domain.stuck.facts import Began, Fact
from store.domain.stuck.progress import NeverStarted, NoCheck, TestsUnchanged, TreeReturns
from store.domain.stuck.repeats import (
    Alternating,
    Errors,
    Malformed,
    NoAction,
    RepeatedText,
    SameCall,
    SameError,
    Timeouts,
)
from store.domain.stuck.rule import Rule

RULES: tuple[type[Rule], ...] = (
    SameCall,
    SameError,
    Errors,
    Alternating,
    NoAction,
    Malformed,
    Timeouts,
    RepeatedText,
    TestsUnchanged,
    TreeReturns,
    NoCheck,
    NeverStarted,
)


def fresh() -> list[Rule]:
    """All rules, with nothing counted."""
    return [rule() for rule in RULES]


REPEATS = (SameCall, SameError, Errors, Alternating, NoAction, Malformed, Timeouts)


def stepped_in(rules: list[Rule]) -> list[Rule]:
    """The rules after somebody stepped in: those that see the same again begin anew, and may speak again."""
    return [type(rule)() if isinstance(rule, REPEATS) else rule for rule in rules]


def forgets_all(fact: Fact) -> bool:
    """It begins anew in a new sandbox."""
    return isinstance(fact, Began) and fact.afresh
