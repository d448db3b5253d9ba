"""What the stuck rules are told of one subagent's work: facts in order, from the events and the tape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from store.domain.foreign import exit_of
from store.domain.states import Ending
from store.domain.subagent_events import Reference

_LONGEST = 10_000
"""Characters of a command that are looked at."""
INTERRUPTED = "interrupted:"
"""How the result of a tool call begins that was open when its engine died: nobody knows whether it ran."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """`seq` and `at` are its event's; `thread` is which of the agent's own subagents it is about, "" the agent."""

    seq: int
    at: float = 0.0
    turn: int = 0
    thread: str = ""
    call: str = ""
    node: str = ""

    @property
    def reference(self) -> Reference:
        return Reference(self.call, self.node, self.seq)


@dataclass(frozen=True, kw_only=True)
class Began(Fact):
    """Its work begins. `afresh`: in a new sandbox, and nothing before counts."""

    afresh: bool = False


@dataclass(frozen=True, kw_only=True)
class Told(Fact):
    """Somebody told it something. `operator`: it was stepped in, and what it repeats is counted from here on."""

    operator: bool = False


@dataclass(frozen=True, kw_only=True)
class Answered(Fact):
    """The model's answer came whole. `tools` counts the tool calls that it asks for, `offered` says that it had any to
    ask for, `cut` that it ended for its length."""

    text: str = ""
    tools: int = 0
    offered: bool = True
    cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Used(Fact):
    """A tool call has its result. `name` and `given` are in our words (see `store.domain.foreign`), `tool` is the
    agent's own name for it; `ok` says that it could do what it was asked."""

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    ok: bool = True
    tool: str = ""

    @property
    def command(self) -> str:
        """The beginning of the command that it ran, "" for another tool."""
        said = self.given.get("command") if self.name == "run" else None
        return said[:_LONGEST] if isinstance(said, str) else ""

    @property
    def exit_code(self) -> int | None:
        """What its command ended with, None where nobody knows."""
        ended = exit_of(self.tool or self.name, self.text, self.ok) if self.name == "run" else None
        return None if ended is None else ended.code


@dataclass(frozen=True, kw_only=True)
class Spent(Fact):
    """How much of the limit that it is nearest to is used up, from 0 to 1."""

    limit: Ending
    share: float


@dataclass(frozen=True, kw_only=True)
class Waited(Fact):
    """So many seconds of work since it began, and no answer yet. `seq` is that of its beginning."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Ended(Fact):
    """It has stopped working."""

    ending: Ending
    detail: str = ""
