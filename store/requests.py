"""A request onto the tape: its messages as nodes, what is beside them as blobs.

Nothing that a client sends makes this fail: a request that cannot be taken apart without loss is kept as the bytes that
came.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from store import attachments, blobs, conversations, dag, jsontext, jsonwalk, overlay
from store.conversations import Conversation, Fresh, Memory, Part
from store.domain.canonical import digest, digest_of_members, member_digest, request_digest, value_digest
from store.domain.safe_text import safe_line
from store.exact import dumps, form, loads, parse, read, trimmed
from store.gathering import AnyConnection, driver_of

# The index has only those that have a name, which a parameter doesn't tell.
_ANSWERED = (
    "SELECT coalesce(answer, tail) FROM calls WHERE response_id != '' AND response_id = ? "
    "AND run = ? AND coalesce(generation, 0) = ? AND coalesce(lane, 0) = ? ORDER BY started DESC, id DESC"
)
_DEPTH = "SELECT depth FROM nodes WHERE key = ?"

SYSTEM = {"messages": "system", "input": "instructions", "contents": "systemInstruction"}
"""The member of a body with the system prompt, by that with the conversation."""

PARTS = ("system", "tools", "parameters")
"""The columns of a call with the parts of its request beside the messages."""

_PREVIOUS, _CONVERSATION = "previous_response_id", "conversation"
"""The members by which a request goes on from what the provider keeps: an answer, or a whole conversation."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was taken apart. `keys` are its own nodes, under `base` where the provider keeps what was said
    before; `columns` those of the call that say where all the rest is."""

    keys: Sequence[str] = ()
    kept: Callable[[int], dag.Kept] = field(default=lambda index: dag.keep({}))
    base: str | None = None
    depth: int = 0
    """Of its first node."""
    model: str = ""
    stream: bool = False
    columns: Mapping[str, str | None] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def tail(self) -> str | None:
        return self.keys[-1] if self.keys else self.base


def put(connection: AnyConnection, tape: dag.Tape, member: str, body: bytes, value: Any = None) -> Request:
    """Take a request apart, whose conversation is under this member of the body, and write what is beside its nodes,
    inside a job. `value` is what orjson makes of the body, for who has that already."""
    if member not in SYSTEM:
        return _whole(connection, body)
    memory = conversations.memory(connection)
    try:
        if (found := _found(connection, memory, tape, member, body)) is not None:
            return found
    except (ValueError, RecursionError):
        pass
    try:
        exact, compact = read(body, value)
    except (ValueError, RecursionError):
        return _inexact(connection, member, body)
    if not isinstance(exact, dict):
        return _whole(connection, body)
    try:
        return _begun(connection, memory, tape, member, body, exact, compact=compact)
    except (ValueError, RecursionError):
        return _whole(connection, body, exact)


def body_digest(body: bytes) -> str:
    """The request digest of a body: of its value, or of the bytes themselves where they are no JSON or can't be held
    exactly."""
    try:
        return request_digest(parse(body))
    except (ValueError, RecursionError):
        return digest(body)


def depth(connection: AnyConnection, key: str) -> int:
    """How many nodes are before one that is in the store."""
    (found,) = driver_of(connection).execute(_DEPTH, (key,)).fetchone()
    return int(found)


def _found(connection: AnyConnection, memory: Memory, tape: dag.Tape, member: str, body: bytes) -> Request | None:
    """A request that goes on with a conversation which is remembered; None for another one."""
    found = memory.find(tape, member, body)
    if found is None:
        return None
    known, shared = found.known, found.shared
    members: dict[str, Any] | None = None
    parts = known.parts
    if not found.same:
        members = parse(body[: found.start] + body[found.rest.close :])
        members.pop(member)
        if _elsewhere(members, member):
            return None
        parts = _parts(members, member, known.parts)
    parent = known.keys[shared - 1] if shared else None
    fresh = conversations.take_apart(found.rest.items, found.rest.ends, member, parent)
    if not shared and not fresh:
        return None
    # Only from here on is anything changed.
    conversation = known if 2 * shared >= len(known.keys) else known.copy()
    changed = conversation.go_on(found.start, shared, fresh)
    conversation.body, conversation.close, conversation.parts = body, found.rest.close, parts
    if members is not None:
        conversation.model, conversation.stream = _told(members)
    memory.keep(tape, member, conversation, known if conversation is known else None)
    return _written(connection, member, conversation, shared, fresh, changed)


def _begun(
    connection: AnyConnection,
    memory: Memory,
    tape: dag.Tape,
    member: str,
    body: bytes,
    value: dict[str, Any],
    *,
    compact: bool,
) -> Request:
    """A request of which nothing is remembered. `compact` says that orjson writes it as it came. ValueError when it
    can't be taken apart."""
    members = {name: item for name, item in value.items() if name != member}
    items = value.get(member)
    string = member == "input" and isinstance(items, str)
    if string:
        items = [{"role": "user", "content": items}]
    elsewhere = _elsewhere(members, member)
    base: str | None = None
    before, notes = 0, list[str]()
    if elsewhere and isinstance(previous := members.get(_PREVIOUS), str):
        base, before, notes = _base(connection, tape, previous)
    elif elsewhere:
        notes = ["The provider keeps what was said before: the request doesn't have it."]
    if not isinstance(items, list) or (not items and base is None) or any(type(item) is not dict for item in items):
        raise ValueError("there is no conversation in it")
    start, rest = (
        (0, jsonwalk.Items(items, [0] * len(items), 0)) if string else _placed(body, value, member, compact=compact)
    )
    fresh = conversations.take_apart(rest.items, rest.ends, member, base)
    if string:
        fresh = [fresh[0]._replace(overlay=form({**loads(fresh[0].overlay or b"{}"), "bare": True}))]
    conversation = Conversation(body, [start], rest.close)
    conversation.model, conversation.stream = _told(members)
    last = memory.last(tape, member) if not (string or elsewhere) else None
    if last is not None:
        # Its overlay may be a change of that one's.
        conversation.overlays, conversation.overlaid, conversation.written = (
            {**last.overlays},
            last.overlaid,
            last.written,
        )
        conversation.keys = [*last.keys]
    conversation.parts = _parts(members, member, last.parts if last else {})
    changed = conversation.go_on(start, 0, fresh)
    if not (string or elsewhere):
        instead = last if last is not None and _same_talk(last.keys, conversation.keys) else None
        memory.keep(tape, member, conversation, instead)
    whole = value_digest(value[member]) if string else None
    request = _written(connection, member, conversation, 0, fresh, changed, whole)
    return replace(request, base=base, depth=before, notes=notes) if elsewhere else request


def _written(
    connection: AnyConnection,
    member: str,
    conversation: Conversation,
    shared: int,
    fresh: Sequence[Fresh],
    changed: Collection[int],
    whole: str | None = None,
) -> Request:
    """Write what a request has beside its nodes. `whole` is the digest of a conversation that is no list."""
    before, parts = conversation.written, conversation.parts
    wanted = [name for part in parts.values() for name in _names(part)] + ([before.blob] if before else [])
    there = blobs.existing(connection, wanted)
    columns: dict[str, str | None] = {}
    members: dict[str, str | list[str]] = {}
    for name, part in parts.items():
        if not there.issuperset(_names(part)):
            for blob, data in _stored(name, part).items():
                if blob not in there:
                    blobs.put_new(connection, blob, data)
        columns[name] = part.blob
        members.update(part.members)
    attached = [attachment for part in parts.values() for attachment in part.attached]
    columns["attachments"] = jsontext.dumps(attached) if attached else None
    written = overlay.write(connection, conversation.overlays, conversation.overlaid, changed, before, there)
    conversation.written = written
    columns["overlay"] = written.blob if written else None
    if whole is not None:
        columns["request_digest"] = digest_of_members({**members, member: whole})
    else:
        columns["request_digest"] = conversation.digest(member, members, shared)

    def kept(index: int) -> dag.Kept:
        return fresh[index - shared].kept if index >= shared else conversation.kept(index, member)

    return Request(conversation.keys, kept, model=conversation.model, stream=conversation.stream, columns=columns)


def _inexact(connection: AnyConnection, member: str, body: bytes) -> Request:
    """A request that can't be held exactly: it is kept as it came, and its nodes are for those who read and search."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _whole(connection, body)
    request = _whole(connection, body, value)
    items = value.get(member) if isinstance(value, dict) else None
    if not isinstance(items, list) or {type(item) for item in items} != {dict}:
        return request
    try:
        fresh = conversations.take_apart(items, [0] * len(items), member, None)
    except (ValueError, RecursionError):
        return request
    return replace(request, keys=[one.key for one in fresh], kept=lambda index: fresh[index].kept)


def _whole(connection: AnyConnection, body: bytes, value: Any = None) -> Request:
    """A request that is kept as the bytes that came."""
    model, stream = _told(value) if isinstance(value, dict) else ("", False)
    columns = {"body": blobs.put(connection, body), "request_digest": body_digest(body)} if body else {}
    return Request(model=model, stream=stream, columns=columns)


def _placed(body: bytes, value: dict[str, Any], member: str, *, compact: bool) -> tuple[int, jsonwalk.Items]:
    """Where the conversation stands in a body. ValueError when it is not there, or something else is among it."""
    if compact and (placed := jsonwalk.compact(value, member)) is not None:
        return placed
    start = jsonwalk.start(body, member)
    if start is None:
        raise ValueError("there is no conversation in it")
    return start, jsonwalk.items(body, start, first=True)


def _parts(members: dict[str, Any], member: str, known: Mapping[str, Part]) -> dict[str, Part]:
    """The parts of a request beside its messages; those that are as they were the last time cost only a comparison."""
    own = {SYSTEM[member]: "system", "tools": "tools"}
    rest = {name: item for name, item in members.items() if name not in own}
    given: list[tuple[str, Any, dict[str, Any]]] = [
        (own[name], item, {name: item}) for name, item in members.items() if name in own
    ]
    parts = {}
    for column, value, digested in [*given, ("parameters", rest, rest)]:
        data = dumps(value)
        before = known.get(column)
        if before is not None and before.data == data:
            parts[column] = before
            continue
        if form(loads(data)) != form(value):
            raise ValueError(f"{column} would not come back as they are")
        digests = {name: member_digest(name, item) for name, item in digested.items()}
        left, attached = data, list[attachments.Attachment]()
        if len(data) >= attachments.LEAST:
            without, attached, _ = attachments.take({column: value})
            left = dumps(without[column]) if attached else data
        parts[column] = Part(trimmed(data), digest(left), digests, attached)
    return parts


def _names(part: Part) -> list[str]:
    """The blobs of a part."""
    return [part.blob, *(blob for _, blob in part.attached)]


def _stored(column: str, part: Part) -> dict[str, bytes]:
    """What these blobs hold."""
    if not part.attached:
        return {part.blob: part.data}
    without, _, found = attachments.take({column: loads(part.data)})
    return {part.blob: dumps(without[column]), **found}


def _base(connection: AnyConnection, tape: dag.Tape, previous: str) -> tuple[str | None, int, list[str]]:
    """The node after which a request goes on, and the depth of the next; or why that is not known."""
    found = driver_of(connection).execute(_ANSWERED, (previous, *tape)).fetchone()
    if found is None or found[0] is None:
        name = safe_line(previous, 80)
        return None, 0, [f"It goes on from {name}, which is not on this tape: what was said before is not known."]
    return found[0], depth(connection, found[0]) + 1, []


def _elsewhere(members: Mapping[str, Any], member: str) -> bool:
    """Whether the provider keeps what was said before."""
    return member == "input" and any(members.get(name) is not None for name in (_PREVIOUS, _CONVERSATION))


def _told(members: Mapping[str, Any]) -> tuple[str, bool]:
    """The model that a body names, and whether it wants a stream."""
    model = members.get("model")
    return model if isinstance(model, str) else "", members.get("stream") is True


def _same_talk(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether most of the one conversation's nodes are the other's too."""
    length = (len(one) + 1) // 2
    return one[:length] == other[:length]
