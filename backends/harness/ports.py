"""What the harness needs from the other trades, as the engine hands it over."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from backends.agents import Agent
from backends.harness.played import Played
from backends.sandboxes import Sandboxes
from store.domain.events import ModelObserved
from store.domain.ids import SubagentId
from store.domain.observations import Document, Injection
from store.domain.observations.citing import Citation
from store.domain.states import Validity
from store.domain.strategy import Strategy
from store.home import RunFolder


class Observed(Protocol):
    """What the observer found in a generation."""

    @property
    def document(self) -> Document:
        """The observations, with what is new."""

    @property
    def judged(self) -> dict[SubagentId, tuple[Validity, str]]:
        """Each attempt's validity, and why."""

    @property
    def added(self) -> int: ...

    @property
    def supported(self) -> int: ...


class Consulted(Protocol):
    """What the observer's model wants changed. `failed` is why no more came of it, "" when it came to its end."""

    @property
    def failed(self) -> str: ...

    def apply(self, document: Document) -> tuple[Document, ModelObserved]:
        """The document with the changes that fit it, and the event that tells of all."""


Consult = Callable[[int, Collection[SubagentId]], Awaitable[Consulted]]
"""Asks the observer's model about a generation, with all attempts of the run that can teach. Only the store's faults
are raised."""


@dataclass(frozen=True)
class Ports:
    """The other trades. `cut` ends a subagent's open model calls; `shuffled` is what the shuffled control is
    given in place of its own observations; `revision` is the full commit in the mirror; `played` is the run that this
    one is a replay of."""

    sandboxes: Sandboxes
    agent: Agent
    observe: Callable[[int, float], Observed]
    """Reads the tapes of a generation, at a time; slow enough for a thread."""
    consult: Consult | None = field(default=None, kw_only=True)
    cut: Callable[[SubagentId], None]
    base_url: str
    revision: str
    portfolio: tuple[Strategy, ...]
    folder: RunFolder
    shuffled: Injection | None = None
    played: Played | None = None
    cited: (
        Callable[[int, Document, Mapping[SubagentId, Collection[str]]], Mapping[SubagentId, tuple[Citation, ...]]]
        | None
    ) = None
    """Finds on the tapes of a generation what its subagents say of the observations that they were given, by id."""
    prepare: Callable[[], Awaitable[None]] | None = None
    """Makes ready what sandboxes need. SandboxError when none can be made."""
    listens: bool = True
    """The agent reads what the operator tells it while it works."""
    forks: bool = True
    """The agent can begin with a conversation that is another's."""
