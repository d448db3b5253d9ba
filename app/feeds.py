"""Threads between the record and the screen. They read, and post messages; they touch no widget and own no state of it.

The store is opened here, in a thread, after the first paint: its imports take most of a second.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.message import Message

from store.domain.blocks import BlockKind, blocks
from store.domain.board import Board
from store.domain.events import CallFinished, Event, RunCreated
from store.domain.ids import SubagentId
from store.home import Home
from widgets.flow import Flow, Parts

if TYPE_CHECKING:
    from app.world import World
    from store.database import Store

TICK = 0.1
"""Seconds between two looks at the record."""
ALIVE_EVERY = 10
"""Ticks between two looks at which runs have an engine."""
HEARD = 3
"""Calls of each lane whose words are read when a run is opened: more than a pane shows."""


_KINDS = {BlockKind.REASONING: "reasoning", BlockKind.TOOL_CALL: "tool"}


class News(Message):
    """What a feed says. `world` is the one that it is folded into."""

    world: "World"


@dataclass
class Listed(News):
    """The runs there are: (id, title, created)."""

    runs: tuple[tuple[str, str, float], ...]


@dataclass
class Read(News):
    """A run's past, folded."""

    board: Board


@dataclass
class Happened(News):
    """New events, in order; `said` has the words of the calls that ended, of the watched run."""

    events: tuple[Event, ...]
    said: dict[str, Parts]


@dataclass
class Streamed(News):
    """Text in progress, by subagent: the call, and its words so far."""

    tails: dict[SubagentId, tuple[str, Parts]]


@dataclass
class Alive(News):
    """The runs that an engine holds."""

    runs: frozenset[str]


@dataclass
class Flowed(News):
    """The past of a run's lanes up to event `seq`, and all of that run's events."""

    run: str
    flows: dict[SubagentId, Flow]
    events: tuple[Event, ...]
    seq: int


@dataclass
class Rewound(News):
    """A playback went elsewhere: this run as it was then, its lanes' flows, and its events so far, in place of all that
    was shown of it. `taken` is to be set when the screens have it."""

    board: Board
    title: str
    created: float
    flows: dict[SubagentId, Flow]
    events: Sequence[Event]
    taken: threading.Event = field(default_factory=threading.Event)


@dataclass
class Trouble(News):
    """The record can't be read; "" when it can again."""

    text: str


class Feed:
    """Follows the record of one home and posts what is new. `post` must be safe to call from a thread."""

    def __init__(self, home: Home, post: Callable[[Message], object]) -> None:
        self._home = home
        self._post = post
        self._store: Store | None = None
        self._opening = threading.Lock()
        self._stop = threading.Event()
        self._watched: str | None = None
        self._thread: threading.Thread | None = None

    def store(self) -> "Store":
        """The open store, shared by all threads. StoreError when it can't be opened."""
        from store.database import open_store

        with self._opening:
            if self._store is None:
                self._store = open_store(self._home.store)
            return self._store

    def watch(self, run: str | None) -> None:
        """Read the words of this run's calls as they end."""
        self._watched = run

    def start(self) -> None:
        """Begin to follow, in a thread of its own that never keeps the program alive; it begins once."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self.follow, name="feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and close the store. Takes a tick."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        with self._opening:
            if self._store is not None:
                self._store.close()
                self._store = None

    def follow(self) -> None:
        """Follow the record until `close`."""
        from store.errors import StoreError

        told = False
        while not self._stop.is_set():
            if not self._home.store.exists():
                # Looking must not make a store.
                if not told:
                    self._post(Listed(()))
                    told = True
                self._stop.wait(5 * TICK)
                continue
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 - said on the screen, and tried again: a frozen screen would lie
                if self._stop.is_set():
                    return
                said = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
                self._post(Trouble(said))
                self._stop.wait(2)

    def _follow(self) -> None:
        from store import runs
        from store.feed import LiveFeed
        from store.tail import TailReader, tail_path

        store = self.store()
        # Read first: whatever comes after it is live, and boards skip what they have.
        with store.read() as connection:
            last = int(connection.exec_driver_sql("SELECT coalesce(max(seq), 0) FROM events").scalar_one())
        known = runs.runs(store)
        self._post(Listed(tuple((row.id, row.title, row.created) for row in known)))
        self._post(Trouble(""))
        alive = self._alive(row.id for row in known)
        self._post(Alive(alive))
        for row in known:
            if self._stop.is_set():
                return
            self._post(Read(_board(store, row.id)))
        feed = LiveFeed(store, after=last)
        tails = TailReader(tail_path(store.path))
        names = {row.id for row in known}
        seen: Mapping[SubagentId, object] = {}
        ticks = 0
        while not self._stop.is_set():
            happened = feed.wait(TICK)
            # Recordings come, and deleted runs go, without an event.
            if ticks % ALIVE_EVERY == 0 or any(event.run not in names for event in happened):
                known = runs.runs(store)
                if (now_there := {row.id for row in known}) != names:
                    self._post(Listed(tuple((row.id, row.title, row.created) for row in known)))
                    # A run that comes from a file has begun long before it is seen.
                    begun = {event.run for event in happened if isinstance(event.payload, RunCreated)}
                    for run in now_there - names - begun:
                        self._post(Read(_board(store, run)))
                    names = now_there
            if happened:
                self._post(Happened(tuple(happened), self._said(store, happened)))
            streaming = tails.read()
            if streaming != seen:
                seen = streaming
                self._post(Streamed({who: (tail.call, tail.parts) for who, tail in streaming.items()}))
            ticks += 1
            if ticks % ALIVE_EVERY == 0 or any(event.generation is None for event in happened):
                now = self._alive(names)
                if now != alive:
                    alive = now
                    self._post(Alive(alive))

    def _alive(self, names: Iterable[str]) -> frozenset[str]:
        from store.lock import holder

        return frozenset(name for name in names if holder(self._home.folder(name).lock) is not None)

    def _said(self, store: "Store", happened: Iterable[Event]) -> dict[str, Parts]:
        return words_of(store, ended(event for event in happened if event.run == self._watched))


def ended(happened: Iterable[Event]) -> list[str]:
    """The calls that ended."""
    return [event.payload.call for event in happened if isinstance(event.payload, CallFinished)]


def words_of(store: "Store", calls: Iterable[str]) -> dict[str, Parts]:
    """What finished calls said, by call; a call without an answer says nothing, and one that was made for another says
    it there."""
    from store import tapes

    said: dict[str, Parts] = {}
    for name in calls:
        call = tapes.call(store, name)
        if call.parent is None and (answers := tapes.answers(store, call)):
            said[name] = tuple(
                (_KINDS.get(block.kind, "text"), block.text) for answer in answers for block in blocks(answer.message)
            )
    return said


def read_flows(store: "Store", run: str) -> Flowed:
    """A run's events, and its lanes' flows up to the last of them. Of a long run, its last events alone."""
    from app import large
    from store import events

    happened = large.recent(store, run) if large.is_large(store, run) else events.read(store, run=run)
    last: dict[SubagentId, list[str]] = {}
    for event in happened:
        if isinstance(event.payload, CallFinished) and event.subagent is not None:
            last.setdefault(event.subagent, []).append(event.payload.call)
    said = words_of(store, (call for calls in last.values() for call in calls[-HEARD:]))
    flows: dict[SubagentId, Flow] = {}
    for event in happened:
        if event.subagent is not None:
            flows.setdefault(event.subagent, Flow()).apply(event, said)
    return Flowed(run, flows, tuple(happened), happened[-1].seq if happened else 0)


def _board(store: "Store", run: str) -> Board:
    """A run's past, folded."""
    from app import large
    from store import events

    if large.is_large(store, run):
        return large.board(store, run)
    board = Board(run)
    for event in events.read(store, run=run):
        board.apply(event)
    return board
