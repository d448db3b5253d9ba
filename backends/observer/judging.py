"""Whether an attempt can teach anything.

Of 332 published trials 153 had never started their agent, most of them under an ordinary failure's label: an observer
that believes the label writes a false lesson for each.
"""

import re

from backends.observer.attempt import WORKSPACE, Attempt, Step
from backends.observer.findings import quoted
from backends.observer.shell import runs_check
from store.domain.states import Ending, Validity

_CUT = (Ending.TURNS, Ending.TOKENS, Ending.COST, Ending.TIME, Ending.KILLED)
_LIMITED = re.compile(r"\b429\b|rate.?limit|too many requests", re.IGNORECASE)
_NOT_RUNNABLE = (126, 127)
"""A shell's exit codes for a command that is there but can't be run, and for one that isn't there."""


def judge(attempt: Attempt) -> tuple[Validity, str]:
    """The attempt's validity, and why, in words."""
    acted = _acted(attempt)
    told = f": {attempt.detail}" if attempt.detail else ""
    if attempt.ending is Ending.NEVER_STARTED:
        return Validity.NEVER_STARTED, f"Its sandbox or its program could not be started{told}"
    if attempt.ending is Ending.CRASHED:
        return Validity.INFRASTRUCTURE, f"It broke off through no fault of the attempt{told}"
    if not acted and attempt.ending is Ending.RATE_LIMITED:
        return Validity.RATE_LIMITED, f"The provider's rate limit ended it before it tried anything{told}"
    if not acted and attempt.ending is Ending.LOGIN_LOST:
        return Validity.INFRASTRUCTURE, f"The provider refused its key or its account before it tried anything{told}"
    if not acted and not attempt.answers and attempt.failed_calls and _LIMITED.search(attempt.failed_calls[-1]):
        return Validity.RATE_LIMITED, f"No model call came whole: {quoted(attempt.failed_calls[-1])}"
    if not acted and (attempt.ending is Ending.PROVIDER or (not attempt.answers and attempt.failed_calls)):
        why = told or f": {attempt.failed_calls[-1]}" if attempt.failed_calls else told
        return Validity.INFRASTRUCTURE, f"The model could not be reached{why}"
    if (broken := _broken(attempt)) is not None:
        return Validity.CHECK_BROKEN, f"The check could not be run: {broken}"
    if not acted and attempt.ending in _CUT:
        return Validity.CUT_OFF, f"{_words(attempt.ending)} ended it before it tried anything"
    if not attempt.answers:
        return Validity.NEVER_STARTED, "It made no whole model call"
    if not acted:
        return Validity.NEVER_STARTED, "It ran nothing and edited nothing"
    if attempt.ending in (*_CUT, Ending.PROVIDER, Ending.RATE_LIMITED, Ending.LOGIN_LOST):
        return Validity.VALID, f"It tried things before {_words(attempt.ending, inside=True)} ended it"
    if attempt.foreign and attempt.steps and _unread(attempt.steps[-1]):
        return Validity.VALID, f"It ended with what {quoted(attempt.steps[-1].name, 40)} answered"
    if attempt.ending is None and not attempt.foreign:
        return Validity.VALID, "It is still at work"
    return Validity.VALID, "It ran its course"


def _acted(attempt: Attempt) -> bool:
    """Whether it tried anything: a command ran or an edit was carried out. What was imported need not be work on files:
    there any tool's answer will do, and so will words to whoever it talked with."""
    tried = [step for step in attempt.steps if step.result is not None and not step.interrupted]
    if attempt.check or not attempt.foreign:
        return any(step.name in WORKSPACE for step in tried)
    return bool(tried) or any(said.text.strip() for said in attempt.said)


def _broken(attempt: Attempt) -> str | None:
    """Why the check could not be run: by the harness, or wherever the attempt ran it."""
    result = attempt.checked.result if attempt.checked is not None else None
    if result is not None:
        return result.broken or None
    codes = [
        ran.exit_code
        for step in attempt.steps
        if (ran := step.ran) is not None and runs_check(step.argument("command"), attempt.check)
    ]
    if codes and all(code in _NOT_RUNNABLE for code in codes):
        return f"wherever the attempt ran it, the exit code was {codes[0]}"
    return None


def _unread(step: Step) -> bool:
    """Whether its result went to no model."""
    return step.result is not None and not step.result.node


def _words(ending: Ending | None, *, inside: bool = False) -> str:
    match ending:
        case Ending.KILLED:
            words = "The operator"
        case Ending.PROVIDER:
            words = "An error of the provider's"
        case Ending.LOGIN_LOST:
            words = "The provider's refusal of its key"
        case Ending.RATE_LIMITED:
            words = "The provider's rate limit"
        case _:
            words = f"The {ending}"
    return words[0].lower() + words[1:] if inside else words
