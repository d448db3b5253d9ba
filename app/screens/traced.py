"""What threads tell the Traces screen."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from app.saying import Told
from app.trace import Opening, Page
from store.domain.blocks import Block
from store.domain.events import Event
from store.domain.ids import SubagentId
from widgets.ink import Line

if TYPE_CHECKING:
    from store.finding import Hit


@dataclass
class Opened(Message):
    """What a trace begins with has been read."""

    opening: Opening


@dataclass
class News(Message):
    """What has happened in a run since."""

    run: str
    events: Sequence[Event]


@dataclass
class Scanned(Message):
    """All of a run was looked at for what went wrong, up to an event."""

    run: str
    events: Sequence[Event]
    until: int


@dataclass
class Placed(Message):
    """Where a subagent's turns begin."""

    who: SubagentId
    places: "array[int]"


@dataclass
class Turned(Message):
    """A window of turns has been read."""

    page: Page


@dataclass
class Caught(Message):
    """Errors have been read."""

    run: str
    events: Sequence[Event]


@dataclass
class Filled(Message):
    """The words of a turn have been read."""

    run: str
    turn: str
    said: Sequence[tuple[str, Sequence[Block]]]
    told: Sequence[Told] = ()


@dataclass
class Worded(Message):
    """The beginnings of what turns said have been read, by the turns' keys."""

    run: str
    says: Mapping[str, str]


@dataclass
class Painted(Message):
    """A node has been painted; `key` names it. `at` is the first line with what is searched for."""

    key: tuple[str, bool, int]
    lines: Sequence[Line]
    at: int | None = None


@dataclass
class Found(Message):
    """What a search found, newest first, and whether that is all; `over` is its last word for now."""

    number: int
    hits: "Sequence[Hit]"
    done: bool
    over: bool = False
