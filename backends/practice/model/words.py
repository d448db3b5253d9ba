"""What the scripted model thinks and says, in words."""

from collections.abc import Mapping, Sequence

from backends.practice.model.conversation import UNCOUNTED
from backends.practice.model.faults import Hypothesis
from backends.practice.model.state import State

NO_TIME = "I ran out of turns before I could change anything; nothing is changed."


def opening(strategy: str) -> str:
    first = next((line.partition(":")[2].strip() for line in strategy.split("\n") if line.startswith("Approach:")), "")
    own = f" My approach: {first}" if first else ""
    return f"First I need to know which files there are, and what exactly the check says.{own}"


def reading(paths: Sequence[str]) -> str:
    return (
        f"I read {', '.join(paths)}. I look for state that is used over an await, for what is sent again, for who "
        "waits how long for whom, and for what is begun and not ended."
    )


def lost() -> str:
    return "None of the usual patterns is in these files, or they are no Python that I can read."


def doubt(path: str) -> str:
    return f"I don't know whether my last edit of {path} took effect. Before I repeat it I read the file."


def pending() -> str:
    return "Something is changed and I have no count for it. Without the check I learn nothing."


def remembered(number: int) -> str:
    what = "one edit" if number == 1 else f"{number} edits"
    return f"The record of earlier attempts names {what} that fit this code and lowered the count. I begin with that."


def belief(each: Hypothesis) -> str:
    return f"`{each.where}` in {each.path}: {each.belief}. That fits a failure under load."


def suspicion(each: Hypothesis, tried: Mapping[str, int], *, taking_back: bool) -> str:
    begun = f"{list(tried)[-1]} did not help, so I take it back. " if taking_back and tried else ""
    return (
        f"{begun}Next suspect, {each.id}: `{each.where}`, {each.fault.name.lower().replace('_', ' ')}. I look closer."
    )


def expectation(each: Hypothesis, best: int | None) -> str:
    count = f" below {best}" if best is not None and best != UNCOUNTED else ""
    return f"If {each.id} is right, then to {each.repair} brings the count{count}. If it does not, I take it back."


def closing(done: bool, why: str) -> str:
    return why if done else f"{why} I leave in place only what lowered the count, and say what I did not get to."


def summary(state: State, why: str) -> str:
    """How far an attempt got, without claiming more."""
    lines = [why]
    if state.first is not None and state.best is not None:
        lines.append(
            f"The check counted {_number(state.first)} at first and {_number(state.best)} with what is in place."
        )
    made = [f"{each.repair} in `{each.where}` ({each.id})" for each in state.in_force]
    lines.append("In place: " + "; ".join(made) + "." if made else "Nothing is changed.")
    in_force = {each.id for each in state.in_force}
    vain = [key for key in state.tried if key not in in_force]
    if vain:
        lines.append(f"Tried without effect and taken back: {', '.join(vain)}.")
    if state.best != 0:
        lines.append(f"Not tried: {state.untried} suspects.")
    return " ".join(lines)


def _number(count: int) -> str:
    return "nothing readable" if count == UNCOUNTED else str(count)
