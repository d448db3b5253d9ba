"""What an agent that is a program of its own is told: the same sections as the built-in one, in a file."""

from collections.abc import Sequence

from backends.agents import Assignment
from backends.agents.commands.declaration import variable
from backends.agents.prompt import from_operator, in_words, most, told

FILES = {"prompt": "prompt.md", "again": "again.md"}
"""The names of the files, by placeholder."""

FOLDER = ".multitrack"
"""Their folder in the agent's home, which is outside of the clone."""

BEGUN = (
    "\n# An interruption\nYou began this before, and were interrupted; nobody knows whether what you did last took "
    "effect. What was changed in the files so far is still there. Look before you repeat it.\n"
)

AGAIN = (
    "You were interrupted, because the machine that you work for went down. Nobody knows whether what you did last "
    "took effect: look before you repeat it. Then go on with your task.\n"
)

TOLD = "Take that into account, and go on with your task. What was changed in the files so far is still there.\n"


def message(words: Sequence[str]) -> str:
    """What an agent that was interrupted for them is told: the operator's messages."""
    return "\n\n".join([*(from_operator(one) for one in words), TOLD])


def prompt(assignment: Assignment, *, begun: bool = False) -> str:
    """The whole prompt. `begun` when an earlier process of the agent worked on it, of which it knows nothing."""
    return told(assignment, _role(assignment), f"{most(assignment.limits)} for the whole attempt.") + (
        BEGUN if begun else ""
    )


def texts(assignment: Assignment) -> dict[str, str]:
    """The texts that a command may name by placeholder, as variables of its environment."""
    said = {
        "goal": assignment.goal.strip(),
        "strategy": in_words(assignment.strategy),
        "observations": assignment.observations.strip(),
        "check": assignment.check,
    }
    return {variable(name): text for name, text in said.items()}


def _role(assignment: Assignment) -> str:
    return (
        f"You are subagent {assignment.subagent.label}, one of several that debug the same problem apart from each "
        "other. The current folder is a clone of the repository of your own; nobody answers questions, and there is no "
        "network. Find the cause, repair it in the files here, and run the check to see whether it passes. Don't "
        "commit. When the check passes, or when you cannot go on, end with a summary: what the cause was, what you "
        "changed, and what is still open."
    )
