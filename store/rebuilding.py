"""Requests and messages put together again from nodes, overlays and blobs, on a connection."""

import json
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from store import attachments, blobs, jsontext, overlay
from store.blobs import decompress
from store.domain.kept import bare, join_unit
from store.domain.tape import Call, Message
from store.exact import loads, parse
from store.requests import SYSTEM
from store.tables import metadata

_nodes = metadata.tables["nodes"]

_up = (
    select(_nodes.c.key, _nodes.c.parent)
    .where(_nodes.c.key == bindparam("tail"), _nodes.c.key.is_distinct_from(bindparam("after")))
    .cte("up", recursive=True)
)
_up = _up.union_all(
    select(_nodes.c.key, _nodes.c.parent).where(
        _nodes.c.key == _up.c.parent, _nodes.c.key.is_distinct_from(bindparam("after"))
    )
)
_path = select(_nodes).join(_up, _nodes.c.key == _up.c.key).order_by(_nodes.c.depth)
_node = select(_nodes).where(_nodes.c.key == bindparam("of"))


def node(connection: Connection, key: str) -> Message:
    """A node. KeyError when there is none of this key, or none of its data, ValueError when it is damaged."""
    row = connection.execute(_node, {"of": key}).one_or_none()
    if row is None:
        raise KeyError(f"no node {key}")
    return _message(connection, row)


def messages(connection: Connection, tail: str | None, after: str | None = None) -> list[Message]:
    """A node and those before it, from the root, or from behind another."""
    if tail is None:
        return []
    return [_message(connection, row) for row in connection.execute(_path, {"tail": tail, "after": after})]


def request(connection: Connection, call: Call) -> Any:
    """A request's JSON value; None for one without a body. ValueError when it was no JSON."""
    if call.body is not None:
        return _lenient(blobs.load(connection, call.body))
    if call.tail is None or call.parameters is None:
        return None
    body = {
        name: part(connection, call, column)
        for column, name in (("system", SYSTEM[call.conversation]), ("tools", "tools"))
        if getattr(call, column) is not None
    }
    overlays = overlay.read(connection, call.overlay) if call.overlay is not None else {}
    items: list[Any] = []
    for index, message in enumerate(messages(connection, call.tail, call.base)):
        items += join_unit(bare(message.message), overlays.get(index))
    body[call.conversation] = items[0]["content"] if overlays.get(0, {}).get("bare") else items
    return {**part(connection, call, "parameters"), **body}


def part(connection: Connection, call: Call, column: str) -> Any:
    """What a request has beside its messages, by the column of its call. KeyError when some of it is missing."""
    value = loads(blobs.load(connection, getattr(call, column)))
    if call.attachments is None:
        return value
    own = [[path, name] for path, name in jsontext.loads(call.attachments) if path[0] == column]
    return attachments.put_back({column: value}, own, lambda name: blobs.load(connection, name))[column]


def _lenient(body: bytes) -> Any:
    try:
        return parse(body)
    except ValueError:
        return json.loads(body)


def _message(connection: Connection, row: Row[Any]) -> Message:
    message = loads(decompress(row.message))
    if row.attachments is not None:
        attached = jsontext.loads(row.attachments)
        message = attachments.put_back(message, attached, lambda name: blobs.load(connection, name))
    return Message(row.key, row.parent, row.depth, row.role, message)
