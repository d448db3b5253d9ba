"""A call as it is shown: what is known of it, and its request and response as they were recorded."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from store.domain.limits import Usage
from store.domain.secrets import shown_line
from store.domain.tape import Call
from widgets import paint, words
from widgets.ink import Line

if TYPE_CHECKING:
    from store.database import Store

_USAGE = ('"usage"', '"usageMetadata"')
"""Members in which providers say what a call used."""
_LOOKED_AT = 4_000_000
"""Characters of a response in which they are looked for."""


def title(text: str) -> list[Line]:
    """A heading inside a node."""
    return [[], [(text, "strong")]]


def pairs(*rows: tuple[str, str]) -> list[Line]:
    """Names and values."""
    size = max((len(name) for name, _ in rows), default=0)
    return [[(f"{name:<{size}}  ", "faint"), (shown_line(value), "text")] for name, value in rows if value]


def as_of(call: Call, now: float) -> Call:
    """The call as it was known at a time, in Unix seconds: in a playback it may be under way, though it is recorded."""
    if call.ended is None or call.ended <= now:
        return call
    first = call.first_byte if call.first_byte is not None and call.first_byte <= now else None
    return replace(
        call, first_byte=first, ended=None, status=None, error="", complete=False, stop_reason="", usage=Usage(),
        usd=0.0, answer=None, response=None, response_size=0, response_headers=(), response_id="", timing=None,
        notes=(),
    )  # fmt: skip


def facts(call: Call, tries: Sequence[Call] = ()) -> list[Line]:
    """What is known of a call beside its words. `tries` were made for it by a route."""
    first = "" if call.first_byte is None else f"{call.first_byte - call.started:.2f}s"
    usage = call.usage
    # A route's call has neither tokens nor a price of its own: its tries have.
    routed = call.source == "route"
    made = f"{words.count(len(tries), 'try', 'tries')} of the route" if tries else ""
    if call.ended is None:
        state: Line = [("▶ in progress", "accent")]
    elif call.error:
        state = [(f"✗ {shown_line(call.error)}", "bad")]
    else:
        state = [("✔ whole", "good"), (f"  {shown_line(call.stop_reason)}", "faint")]
    return [
        [("call " if call.parent is None else "try ", "faint"), (call.id, "text"), ("  ", "text"), *state],
        *pairs(
            ("model", f"{call.model} ({call.provider})"),
            ("status", str(call.status or "")),
            ("first byte", first),
            ("speed", _speed(call)),
            ("whole answer", "" if call.seconds is None else f"{call.seconds:.2f}s, {call.response_size:,} bytes"),
            ("tokens", "" if routed else f"{usage.input:,} in, {usage.output:,} out{_thought(call)}"),
            ("cache", "" if routed else f"{usage.cache_read:,} read, {usage.cache_write:,} written"),
            ("cost", "" if routed else "unknown" if call.usd is None else f"${call.usd:.4f}"),
            ("answered by", made),
            *(("note", shown_line(note, 300)) for note in call.notes),
        ),
    ]


def _speed(call: Call) -> str:
    """Tokens a second, from the first byte to the last."""
    took = call.ended - call.first_byte if call.ended is not None and call.first_byte is not None else 0.0
    return f"{call.usage.output / took:,.0f} tokens a second" if took >= 0.05 and call.usage.output else ""


def _thought(call: Call) -> str:
    return f", {call.usage.reasoning:,} of them reasoning" if call.usage.reasoning else ""


def reported(response: str) -> list[Mapping[str, Any]]:
    """What a provider itself said of a call's usage, in the order in which it came; what it said twice, once."""
    found: list[Mapping[str, Any]] = []
    text = response[:_LOOKED_AT]
    for name in _USAGE:
        at = text.find(name)
        while at >= 0:
            start = text.find("{", at)
            between = text[at + len(name) : start]
            if start >= 0 and between.strip() == ":":
                try:
                    value, _ = json.JSONDecoder().raw_decode(text, start)
                except ValueError:
                    value = None
                if isinstance(value, dict) and value not in found:
                    found.append(value)
            at = text.find(name, at + len(name))
    return found


def reported_lines(response: bytes) -> list[Line]:
    """The same, a line each."""
    said = reported(response.decode("utf-8", "replace"))
    return [[("provider says  ", "faint"), (shown_line(json.dumps(one)), "text")] for one in said]


def exchanges(store: "Store", names: Sequence[str], now: float = math.inf) -> list[Line]:
    """The requests and responses of calls, as far as they were known `now`. Their headers are recorded without
    credentials. StoreError."""
    from store import tapes

    lines: list[Line] = []
    for name in names:
        call = as_of(tapes.call(store, name), now)
        lines += [*facts(call), *title(f"Request  {call.method} {shown_line(call.path)}")]
        lines += _headers(call.request_headers)
        try:
            lines += paint.code(json.dumps(tapes.request(store, call), indent=2, ensure_ascii=False), language="json")
        except ValueError:
            lines += paint.shell((tapes.request_body(store, call) or b"").decode("utf-8", "replace"))
        lines += title(f"Response  {call.status or 'none'}")
        lines += _headers(call.response_headers)
        body = tapes.response(store, call)
        lines += paint.shell(body.decode("utf-8", "replace"))
    return lines


def _headers(headers: tuple[tuple[str, str], ...]) -> list[Line]:
    return [[(f"{shown_line(name)}: ", "faint"), (shown_line(value), "text")] for name, value in headers] + [[]]
