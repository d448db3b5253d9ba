"""The feed of a playback: it posts what a live feed would have posted at the time.

A thread of its own looks where the clock is, ten times a second, and tells what has happened since; where the clock
went back, or far ahead, it posts the whole state at once. The operator's orders come from the screen's thread.
"""

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from textual.message import Message

from app import feeds
from app.playback.deck import Deck, Place
from app.playback.marks import times_of
from app.playback.reel import Reel, Words
from app.playback.streams import Stream
from app.playback.tape import Tape, read_tape, read_words, stream_of
from app.playback.where import Where
from store.domain.ids import SubagentId
from widgets.flow import Parts

if TYPE_CHECKING:
    from store.database import Store

TICK: Final = 0.1
"""Seconds between two looks at the clock."""
LEAP: Final = 2000
"""Events from which going forth is a leap: the whole state is quicker than one event after the other."""
REMEMBERED: Final = 512
"""Calls whose words and streams are kept."""

LISTENED: Final = 8
"""Calls whose streams are taken apart in one tick: at 64× there may be more than anybody could read."""

T = TypeVar("T")


@dataclass(frozen=True)
class Start:
    """Which run is played, and how it begins. `where` is "" for the beginning."""

    run: str
    speed: float = 1.0
    where: Where | None = None
    playing: bool = True
    squeezed: bool = True


class PlaybackFeed:
    """Plays one run. `store` gives the open store, `post` must be safe to call from a thread, `clock` may not go back.

    Until the tape has been read there is no `deck`, and nothing can be asked of it.
    """

    def __init__(
        self,
        store: "Callable[[], Store]",
        start: Start,
        post: Callable[[Message], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.start_at = start
        self.deck: Deck | None = None
        self.tape: Tape | None = None
        self._store = store
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._reel: Reel | None = None
        self._told: Place | None = None
        """Where it was when the last message was posted: what the screens show."""
        self._open: dict[SubagentId, str] = {}
        self._words: OrderedDict[str, Parts] = OrderedDict()
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self._lacking: list[str] = []
        """Calls whose words the screens should have, and have not yet."""
        self._streamed: Mapping[SubagentId, tuple[str, Parts]] = {}

    # The screen's side.

    def start(self) -> None:
        """Begin, in a thread of its own that never keeps the program alive; it begins once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.follow, name="playback", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        gc.unfreeze()
        self._stop.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join(10)

    @property
    def place(self) -> Place | None:
        """Where the screens are; None until the tape has been read."""
        return self._told

    @property
    def head(self) -> Place | None:
        """Where the clock is: the screens follow within a tick."""
        with self._lock:
            return self.deck.place(self._clock()) if self.deck is not None else None

    @property
    def at(self) -> float:
        """The recorded time that the screens show, in Unix seconds; 0 until the tape has been read."""
        return self._told.at if self._told else 0.0

    def order(self, what: Callable[[Deck, float], T]) -> T | None:
        """Have the clock do something; what came of it. None while there is no clock yet."""
        with self._lock:
            if self.deck is None:
                return None
            answer = what(self.deck, self._clock())
        self._asked.set()
        return answer

    def squeeze(self, squeezed: bool) -> None:
        """Squeeze silences, or let them take their time."""
        tape = self.tape
        if tape is not None:
            times = times_of(tape.events, tape.streams, squeezed=squeezed)
            self.order(lambda deck, now: deck.retime(times, now))

    # The thread's side.

    def follow(self) -> None:
        """Read the tape, then tell what happens, until `close`."""
        try:
            self.load()
            while not self._stop.is_set():
                self.tell()
                self._asked.wait(TICK)
        except Exception as error:  # noqa: BLE001 - said on the screen: one that only stands still would lie
            if not self._stop.is_set():
                self._post(feeds.Trouble(str(error) or type(error).__name__))

    def load(self) -> None:
        """Read the tape, and post where it begins. NothingToPlayError, StoreError."""
        from store import runs

        start = self.start_at
        row = runs.find(self._store(), start.run)
        self._post(feeds.Listed(((row.id, row.title, row.created),)))
        tape = read_tape(self._store(), start.run)
        times = times_of(tape.events, tape.streams, squeezed=start.squeezed)
        deck, reel = Deck(times), Reel(tape.run, tape.events)
        now = self._clock()
        deck.at_speed(start.speed, now)
        if start.where is not None:
            deck.go(start.where.count(times), now)
        if start.playing:
            deck.play(now)
        self.tape, self._reel = tape, reel
        with self._lock:
            self.deck = deck
        self.tell()
        # Folded once to the end, every later seek is quick.
        reel.board(len(reel))
        # The tape stays as long as it is played: collecting garbage need not look at all of it, which takes half a
        # second for 100,000 events, and stops the screen.
        gc.collect()
        gc.freeze()

    def tell(self) -> None:
        """Post what is new since the last time."""
        deck, reel, tape = self.deck, self._reel, self.tape
        if deck is None or reel is None or tape is None:
            return
        self._asked.clear()
        with self._lock:
            place = deck.place(self._clock())
        before = self._told.count if self._told is not None else None
        if before is None or place.count < before or place.count - before > LEAP:
            self._rewind(place, reel, tape)
        elif place.count > before:
            self._forth(place.count, before, reel)
        self._told = place
        self._complete(place, reel, tape)
        self._stream(place, deck)

    def _rewind(self, place: Place, reel: Reel, tape: Tape) -> None:
        """The state there, with the words that are known: `_complete` reads the others."""
        self._lacking = []

        def known(calls: Iterable[str]) -> dict[str, Parts]:
            wanted = list(calls)
            self._lacking = [call for call in wanted if call not in self._words]
            return {call: self._words[call] for call in wanted if call in self._words}

        self._open = reel.under_way(place.count)
        self._show(place, reel, tape, known)

    def _complete(self, place: Place, reel: Reel, tape: Tape) -> None:
        """Read the words that are lacking. When the operator has gone on meanwhile, they are not worth it."""
        while self._lacking and not self._asked.is_set():
            call = self._lacking.pop()
            self._words.update(read_words(self._store(), [call]))
            if not self._lacking:
                self._show(place, reel, tape, self._said)

    def _show(self, place: Place, reel: Reel, tape: Tape, words: Words) -> None:
        """Post the state, and wait until the screens have it: while the operator scrubs, they must not pile up."""
        flows, past = reel.flows(place.count, words), tape.events[: place.count]
        message = feeds.Rewound(reel.board(place.count), tape.title, tape.created, flows, past)
        self._streamed = {}
        self._post(message)
        while not self._stop.is_set() and not message.taken.wait(TICK):
            pass

    def _forth(self, count: int, before: int, reel: Reel) -> None:
        happened = reel.events[before:count]
        self._post(feeds.Happened(tuple(happened), self._said(feeds.ended(happened))))
        self._open = reel.under_way(count, self._open, before)

    def _stream(self, place: Place, deck: Deck) -> None:
        tails = {}
        fresh = [call for call in self._open.values() if call not in self._streams][LISTENED:]
        for who, call in self._open.items():
            # Without times nobody knows how far an answer had come.
            if call in fresh or deck.times.timeless:
                continue
            if parts := self._stream_of(call).parts(place.at):
                tails[who] = call, parts
        if tails != self._streamed:
            self._streamed = tails
            self._post(feeds.Streamed(tails))

    def _stream_of(self, call: str) -> Stream:
        if call not in self._streams:
            self._streams[call] = stream_of(self._store(), call)
        return _used(self._streams, call)

    def _said(self, calls: Iterable[str]) -> dict[str, Parts]:
        wanted = list(calls)
        self._words.update(read_words(self._store(), [call for call in wanted if call not in self._words]))
        return {call: _used(self._words, call, keep=wanted) for call in wanted if call in self._words}


def _used(kept: "OrderedDict[str, T]", key: str, keep: Sequence[str] = ()) -> T:
    """The value, which was used last now; those that were not used for long are let go of."""
    kept.move_to_end(key)
    while len(kept) > max(REMEMBERED, len(keep)):
        kept.popitem(last=False)
    return kept[key]
