"""What is read of the record to play a run: its events, when its answers streamed, what its calls said. For threads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import feeds
from app.playback.streams import Piece, Stream, spread
from store.domain.events import Event
from widgets.flow import Parts

if TYPE_CHECKING:
    from store.database import Store


class NothingToPlayError(Exception):
    """The run has no events. The message is for the operator."""


@dataclass(frozen=True)
class Tape:
    """A run as it is played. `streams` are the stretches in which answers streamed, in Unix seconds."""

    run: str
    title: str
    created: float
    events: Sequence[Event]
    streams: Sequence[tuple[float, float]]


_STREAMS = (
    "SELECT first_byte, ended FROM calls WHERE run = ? AND parent IS NULL AND timing IS NOT NULL "
    "AND first_byte IS NOT NULL AND ended IS NOT NULL"
)


def read_tape(store: "Store", run: str) -> Tape:
    """A run's tape. NothingToPlayError for a bare recording, StoreError."""
    from store import events, runs

    row = runs.find(store, run)
    happened = events.read(store, run=row.id)
    if not happened:
        raise NothingToPlayError(
            f"run {row.id} is a bare recording, without events to play: `multitrack calls {row.id}` lists its calls"
        )
    with store.read() as connection:
        streams = [(first, last) for first, last in connection.exec_driver_sql(_STREAMS, (row.id,))]
    return Tape(row.id, row.title, row.created, happened, streams)


def read_words(store: "Store", calls: Iterable[str]) -> dict[str, Parts]:
    """What finished calls said; a call that is not on a tape says nothing."""
    said: dict[str, Parts] = {}
    for call in calls:
        try:
            said[call] = feeds.words_of(store, [call]).get(call, ())
        except KeyError:
            said[call] = ()
    return said


def stream_of(store: "Store", name: str) -> Stream:
    """A call's text with its times: from the recorded bytes, and where those don't tell, from the answer's words,
    spread over the time in which it came."""
    from backends.proxy import spoken
    from store import tapes

    try:
        call = tapes.call(store, name)
        heard = spoken(call, tapes.response(store, call), tapes.timing(store, call))
    except (KeyError, ValueError):
        return Stream(())
    if heard:
        return Stream([Piece(call.started + piece.seconds, piece.kind, piece.text) for piece in heard])
    if call.ended is None:
        return Stream(())
    return Stream(spread(read_words(store, [name])[name], call.first_byte or call.started, call.ended))
