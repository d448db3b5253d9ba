"""What the items of a trace stand for."""

from dataclasses import dataclass, field

from store.domain.blocks import BlockKind
from store.domain.events import Event, ToolFinished, ToolStarted
from store.domain.ids import SubagentId
from store.domain.limits import Usage


@dataclass(frozen=True)
class OfRun:
    """The run itself."""

    run: str


@dataclass(frozen=True)
class OfGeneration:
    """A generation."""

    run: str
    number: int


@dataclass(frozen=True)
class OfLane:
    """A subagent."""

    who: SubagentId


@dataclass
class OfTurn:
    """A turn: its calls (more than one after a retry), the tries that a route made for each of them, and what they
    used. `turn` and `seq`, the event it began with, are 0 as long as it is not read."""

    who: SubagentId
    turn: int
    calls: list[str] = field(default_factory=list)
    tries: dict[str, list[str]] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    usd: float = 0.0
    priced: bool = True
    seconds: float = 0.0
    """Of its calls and its tools."""
    tools: list[str] = field(default_factory=list)
    seq: int = 0
    over: int = 0
    """Calls that have ended, tries aside."""
    says: str | None = None
    """The beginning of what it said, where it asked for no tool; None while that is not read."""


@dataclass(frozen=True)
class OfTry:
    """A call that a route made for a turn's call."""

    who: SubagentId
    turn: int
    call: str
    model: str


@dataclass(frozen=True)
class OfTold:
    """A block of what a call was told; `node` is that of its message, "" for the system prompt."""

    who: SubagentId
    turn: int
    call: str
    node: str
    block: int
    role: str


@dataclass(frozen=True)
class OfBlock:
    """A block of a call's answer."""

    who: SubagentId
    turn: int
    kind: BlockKind
    call: str
    block: int


@dataclass
class OfTool:
    """A tool call; `finished` is None while it runs."""

    who: SubagentId
    turn: OfTurn
    started: ToolStarted
    finished: ToolFinished | None = None


@dataclass(frozen=True)
class OfResult:
    """What a tool call gave back."""

    tool: OfTool

    @property
    def who(self) -> SubagentId:
        return self.tool.who


@dataclass
class OfBranch:
    """The turns of a subagent of the agent's own, which a tool call began."""

    tool: OfTool

    @property
    def who(self) -> SubagentId:
        return self.tool.who


@dataclass(frozen=True)
class OfEvent:
    """An event that is shown as such."""

    event: Event


@dataclass(frozen=True)
class OfFault:
    """An event in which something went wrong, None while it is not read."""

    who: SubagentId
    seq: int
    event: Event | None = None


Shown = (
    OfRun | OfGeneration | OfLane | OfTurn | OfTry | OfTold | OfBlock | OfTool | OfResult | OfBranch | OfEvent | OfFault
)
