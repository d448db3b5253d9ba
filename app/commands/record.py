"""`calls` and `nodes`: the record itself, of a run or of all."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from app.calls import facts, listed
from app.commands import Command, add_json, whole
from app.context import Context
from app.failure import Exit
from app.gist import LINE, gist
from app.output import counted, emit_each, say, table
from app.scope import HELP, Scope, one_call, scope
from store.domain.blocks import blocks
from store.domain.safe_text import safe_line
from store.domain.secrets import mask

if TYPE_CHECKING:
    from store.database import Store
    from store.domain.tape import Call
    from store.graph import Placed

ROWS = 200
"""The most that a table lists unless told otherwise."""

_TERMINAL = 1_000_000
"""Bytes of a body that a terminal is given."""


def _configure_calls(parser: ArgumentParser) -> None:
    _add_scope(parser)
    raw = parser.add_mutually_exclusive_group()
    raw.add_argument("--request", action="store_true", help="print a call's request: its body, as it was sent")
    raw.add_argument("--response", action="store_true", help="print a call's answer: the bytes, as they were received")
    raw.add_argument("--headers", action="store_true", help="print a call's headers, without credentials")


def _configure_nodes(parser: ArgumentParser) -> None:
    _add_scope(parser)


def _add_scope(parser: ArgumentParser) -> None:
    parser.add_argument("of", metavar="OF", nargs="?", help=HELP)
    parser.add_argument("subagent", metavar="SUBAGENT", nargs="?", help="GENERATION.LANE of the run, such as 2.3")
    limit = whole(1, 1_000_000)
    parser.add_argument("--limit", metavar="N", type=limit, help=f"list the last so many ({ROWS}; JSON has all)")
    add_json(parser)


def _calls(context: Context, options: Namespace) -> int:
    with context.store() as store:
        if options.request or options.response or options.headers:
            return _raw(store, one_call(store, options.of), options)
        of = scope(store, options.of, options.subagent)
        found = _found(store, of)
        if options.json:
            emit_each(facts(call) for call in _last(found, options.limit))
            return Exit.FINE
        shown = list(_last(found, options.limit or ROWS))
    if not shown:
        say("No calls are recorded there.")
        return Exit.FINE
    heads, rows, right = listed(shown, time.time())
    table(heads, rows, right=right)
    _cut(len(found), len(shown), "call")
    return Exit.FINE


def _found(store: "Store", of: Scope) -> "list[Call]":
    from store.tapes import calls

    return [of.call] if of.call is not None else calls(store, run=of.run, subagent=of.subagent)


def _last(found: "list[Call]", limit: int | None) -> "Iterator[Call]":
    return islice(found, max(len(found) - limit, 0) if limit else 0, None)


def _cut(count: int, shown: int, thing: str) -> None:
    if shown < count:
        say(f"\n{counted(count - shown, f'earlier {thing}')} not shown: --limit {count} lists all.")


def _raw(store: "Store", call: "Call", options: Namespace) -> int:
    """A part of a call, to the byte; a terminal is given it made safe, and with keys masked."""
    if options.headers:
        data = _head(call).encode()
    elif options.response:
        from store.tapes import response

        data = response(store, call)
    else:
        data = _body(store, call)
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return Exit.FINE
    try:
        text = data[:_TERMINAL].decode("utf-8", "strict" if len(data) <= _TERMINAL else "ignore")
    except UnicodeDecodeError:
        coding = next((value for name, value in call.response_headers if name.lower() == "content-encoding"), "")
        how = f" ({safe_line(coding, 40)})" if coding and options.response else ""
        say(f"{counted(len(data), 'byte')} that are no text{how}: send them to a file or a program.")
        return Exit.FINE
    say(mask(text).rstrip("\n"))
    if len(data) > _TERMINAL:
        say(f"… and {counted(len(data) - _TERMINAL, 'byte')} more: send it to a file or a program.")
    return Exit.FINE


def _body(store: "Store", call: "Call") -> bytes:
    from store.exact import dumps
    from store.tapes import request, request_body

    if (kept := request_body(store, call)) is not None:
        return kept
    value = request(store, call)
    return b"" if value is None else dumps(value)


def _head(call: "Call") -> str:
    asked = [f"{call.method} {call.path}", *(f"{name}: {value}" for name, value in call.request_headers)]
    status = call.status if call.status is not None else f"no answer: {call.error or 'under way'}"
    answered = [str(status), *(f"{name}: {value}" for name, value in call.response_headers)]
    return "\n".join([*asked, "", *answered]) + "\n"


def _nodes(context: Context, options: Namespace) -> int:
    with context.store() as store:
        found = _placed(store, scope(store, options.of, options.subagent))
        if options.json:
            kept = list(found)[-options.limit :] if options.limit else found
            emit_each(map(_facts, kept))
            return Exit.FINE
        every = [_node_row(node) for node in found]
    if not every:
        say("No messages are recorded there.")
        return Exit.FINE
    shown = every[-(options.limit or ROWS) :]
    heads = ["NODE", "PARENT", "DEPTH", "ROLE", "TRY", "TAPES", "SAYS"]
    if not any(row[_TRY] for row in shown):
        del heads[_TRY]
        shown = [row[:_TRY] + row[_TRY + 1 :] for row in shown]
    table(heads, shown, right=(2,))
    _cut(len(every), len(shown), "node")
    return Exit.FINE


def _placed(store: "Store", of: Scope) -> "Iterator[Placed]":
    from store.graph import chain, nodes

    if of.call is None:
        return nodes(store, run=of.run, subagent=of.subagent)
    return chain(store, of.call)


def _facts(node: "Placed") -> dict[str, Any]:
    said = [
        {"kind": block.kind, "name": block.name, "id": block.id, "text": block.text} for block in blocks(node.message)
    ]
    place = {"key": node.key, "parent": node.parent, "depth": node.depth, "role": node.role, "call": node.call}
    return {**place, "try": node.of_try, "tapes": list(node.tapes), "blocks": said}


_TRY = 4
"""The column that marks nodes of a route's tries; it is left out where there are none."""


def _node_row(node: "Placed") -> tuple[object, ...]:
    said = " · ".join(
        " ".join(part for part in (block.kind, block.name, gist(block)) if part) for block in blocks(node.message)
    )
    tapes = " ".join(node.tapes[:2]) + (f" +{len(node.tapes) - 2}" if len(node.tapes) > 2 else "")
    place = (node.key[:12], (node.parent or "")[:12], node.depth, safe_line(node.role, 12))
    return *place, "try" if node.of_try else "", tapes, safe_line(said, LINE)


COMMANDS = (
    Command("calls", "Model calls with status, tokens, cost and time; one call's bytes.", _calls, _configure_calls),
    Command("nodes", "The messages of a run, a subagent or a call, as nodes of the DAG.", _nodes, _configure_nodes),
)
