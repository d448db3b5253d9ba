"""Agents: what does the work of a subagent. The face of the trade: the protocol, and the built-in subagent.

An agent gets an assignment (what to do and within which limits) and a session (what it may touch while it does it), and
works until it submits, falls silent or reaches a limit. It speaks to its model only through the proxy.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from backends.sandboxes import Sandbox
from store.domain.events import Payload
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend
from store.domain.states import Ending
from store.domain.strategy import Strategy
from store.domain.task import Task

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from backends.agents.answer import Answer

    Ask = Callable[[Mapping[str, Any]], Awaitable[Answer | str]]


@dataclass(frozen=True)
class Assignment:
    """What a subagent is told. `observations` is the text that goes into its prompt, "" without memory; `recall` is
    whether it may search the tapes of earlier generations; `base_url` and `key` are the proxy's. `conversation` are the
    messages that it starts with where it goes on from another's: it then works in a sandbox in which nothing of what
    they tell was done."""

    subagent: SubagentId
    goal: str
    check: str
    protected: tuple[str, ...]
    strategy: Strategy
    model: str
    limits: Limits
    observations: str
    recall: bool
    tool_seconds: float
    base_url: str
    key: str
    conversation: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Progress:
    """Where a subagent stood when its engine died: its conversation up to the last committed call.

    `messages` are those of that call's request, `answer` the assistant message that it returned. `results` are those of
    the answer's tool calls that were finished, by tool call id: the text, and whether it went well. A tool call of the
    answer that is not there was open: nobody knows whether it ran.
    """

    messages: Sequence[Mapping[str, Any]]
    answer: Mapping[str, Any]
    results: Mapping[str, tuple[str, bool]]
    turn: int


@dataclass(frozen=True)
class Recalled:
    """One hit of a recall: whose tape, which turn, and the text around the hit."""

    subagent: SubagentId
    turn: int
    role: str
    text: str


class Session(Protocol):
    """What an agent may touch while it works."""

    @property
    def sandbox(self) -> Sandbox:
        """Where its tools run."""

    async def record(self, *payloads: Payload) -> None:
        """Append events; returns when they are committed."""

    async def keep(self, text: str) -> str:
        """Keep a text as a blob; its digest."""

    async def before_turn(self) -> Ending | None:
        """Wait while paused. Then the limit that is reached, or None: the next call may be made."""

    def unread(self) -> Sequence[str]:
        """What the operator has told the subagent that it has not read, oldest first. While there is any it isn't done:
        whoever lets it end leaves that unread."""

    async def begin_turn(self, turn: int, thread: str = "", under: str = "", *, reads: int = 0) -> None:
        """Put a turn's beginning on record, as `TurnStarted` has it. With it the subagent reads that many of what is
        unread, oldest first."""

    def limits(self) -> Limits:
        """The most that may be used, as of now: the operator may raise what the assignment says."""

    def spend(self) -> Spend:
        """What has been used so far, by the tape."""

    async def recall(self, query: str) -> Sequence[Recalled]:
        """Search the tapes of earlier generations; best first, a handful."""


@dataclass(frozen=True)
class Outcome:
    """How the work ended. `detail` is the agent's own last word, or what went wrong."""

    ending: Ending
    detail: str = ""


class Agent(Protocol):
    """Does the work. Raises nothing but CancelledError: whatever goes wrong is an `Outcome`."""

    async def work(self, assignment: Assignment, session: Session, progress: Progress | None = None) -> Outcome:
        """Work from the start, or on from where an earlier engine died."""


def spoken(task: Task) -> set[str]:
    """The providers whose protocols a task's agent speaks, for the models that it may be told to use."""
    from backends.agents.hiring import spoken as found

    return found(task)


def speaking(base_url: str, key: str) -> "AbstractAsyncContextManager[Ask]":
    """A way to ask the proxy for who is no subagent: a request in Anthropic's form for a whole answer, or for why there
    is none."""
    from backends.agents.asking import speaking as opened

    return opened(base_url, key)
