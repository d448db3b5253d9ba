"""The words of what went wrong, in a full-text index of their own: of what events say, and of the output of tools.

Who records does not write it. Who searches puts in what has come since (`catch_up`), in transactions of a few
hundredths of a second: the newest event in it says that all before it are in it, too. So it may be emptied at any time
(`forget`); what is not in it is looked at itself. It leads to what may be right, and never past what is.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from store import blobs
from store.domain.codec import decode_payload
from store.domain.marking import READ, tokens
from store.domain.payload import Payload
from store.domain.query import Term
from store.domain.subagent_events import SubagentChecked, SubagentEnded, ToolFinished
from store.jsontext import loads
from store.windows import WRONG

if TYPE_CHECKING:
    from sqlalchemy import Connection
BATCH = 100
"""Events of one transaction, at most."""
LONG = 0.02
"""Seconds after which a transaction has had enough of them."""

INDEX = "ix_events_wrong"
"""Of the events that `WRONG` names."""

_NEWEST = "SELECT rowid FROM error_words ORDER BY rowid DESC LIMIT 1"
_MISSING = f"SELECT seq, kind, data FROM events INDEXED BY {INDEX} WHERE {WRONG} AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
_INSERT = "INSERT INTO error_words (rowid, text) VALUES (?, ?)"
_FORGET = "INSERT INTO error_words (error_words) VALUES ('delete-all')"
_TELLING = ("text", "error", "detail", "reason")
"""Members of events that say what went wrong."""


def said(payload: Payload) -> str:
    """What an event says of what went wrong."""
    if isinstance(payload, ToolFinished):
        return payload.summary
    told = [str(getattr(payload, name)) for name in _TELLING if getattr(payload, name, "")]
    if isinstance(payload, SubagentEnded):
        told.insert(0, f"ended: {payload.ending.value}")
    elif isinstance(payload, SubagentChecked) and payload.result is not None:
        told.append(payload.result.broken)
    return "\n".join(told) or payload.kind


def output(connection: "Connection", payload: Payload) -> str:
    """All that a tool put out, "" for other events."""
    if not isinstance(payload, ToolFinished):
        return ""
    try:
        return blobs.load(connection, payload.result).decode("utf-8", "replace")
    except (KeyError, ValueError):
        return ""


def newest(connection: "Connection") -> int:
    """The newest event that is in the index, 0 before the first."""
    return int(connection.exec_driver_sql(_NEWEST).scalar() or 0)


def catch_up(connection: "Connection", most: int = BATCH) -> bool:
    """Put the oldest events into the index that are yet to be in it, inside a job; whether there may be more."""
    end = time.monotonic() + LONG
    found = connection.exec_driver_sql(_MISSING, (newest(connection), most)).all()
    for seq, kind, data in found:
        words = _words(connection, decode_payload(kind, loads(data)))
        connection.exec_driver_sql(_INSERT, (seq, " ".join(words)))
        if time.monotonic() >= end:
            return True
    return len(found) == most


def _words(connection: "Connection", payload: Payload) -> Iterator[str]:
    # Taken apart here: what SQLite takes for a letter, and for an accent, is not always what a query takes for one.
    for text in (said(payload), output(connection, payload)):
        yield from tokens(text[:READ])


def match(terms: Sequence[Term]) -> str:
    """What all texts match that have the terms, and maybe others; "" where the index can't tell."""
    plain = ((tokens(term.text), term.begins) for term in terms)
    return " ".join(
        f'"{" ".join(words)}"{"*" * begins}' for words, begins in plain if words and all(map(str.isascii, words))
    )


def forget(connection: "Connection") -> None:
    """Empty the index, inside a job."""
    connection.exec_driver_sql(_FORGET)


def rows(
    connection: "Connection", query: str, low: int, high: int, where: str, told: Sequence[Any], most: int
) -> Sequence[Any]:
    """Events over one place and up to the other that match, newest first, as far as they are in the index. `where` and
    `told` are a condition on events."""
    return connection.exec_driver_sql(
        "SELECT seq, at, run, generation, lane, kind, data FROM error_words JOIN events ON seq = error_words.rowid "  # noqa: S608
        f"WHERE error_words MATCH ? AND error_words.rowid > ? AND error_words.rowid <= ?{where} "
        "ORDER BY error_words.rowid DESC LIMIT ?",
        (query, low, high, *told, most),
    ).all()
