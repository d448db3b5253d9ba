"""What a model may change about the observations: never the whole, only one thing at a time, each with its evidence."""

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """The kinds of change."""

    ADD = "ADD"
    """An observation that is not there yet."""
    SUPPORT = "SUPPORT"
    """An attempt shows it too."""
    CONTRADICT = "CONTRADICT"
    """An attempt shows otherwise."""
    REFINE = "REFINE"
    """Other words for one of the model's own."""
    EXPIRE = "EXPIRE"
    """One of the model's own that has been overtaken."""


@dataclass(frozen=True)
class DeltaTaken:
    """A change that a model wanted, safe to show. `operation` is as it wrote it, `on` the observation's id, "" for one
    that was not added; `text` are its words or else its quote; `refused` is why it was not made, "" when it was."""

    operation: str
    on: str = ""
    text: str = ""
    refused: str = ""
