"""A request's messages next to the conversation that they go on with, at the price of what is new in them.

A client sends its whole conversation with each call. The bytes of the last ones are remembered, with where each message
ends in them. How far a new body is the same is found by comparing bytes; only what comes after that is read, taken
apart and hashed. What a changed message costs is thus itself and those behind it: clients move their cache markers near
the end.

The memory holds results of pure functions alone: whether a node is in the store is always asked of the store. So it may
be lost at any time. A conversation is changed in place as it grows; whoever rolls a transaction back forgets it.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from store import jsonwalk, overlay
from store.attachments import Attachment
from store.dag import Kept, Tape, keep
from store.domain.canonical import DIGEST_SIZE, InexactError, canonical, digest, kept_key
from store.domain.kept import join_unit, split_unit, units
from store.exact import form, loads, parse, trimmed
from store.gathering import AnyConnection, Gathering, driver_of

MEMORY_BYTES = 64 * 1024 * 1024
"""About how much of conversations is remembered, over all tapes."""

MOST = 8
"""How many conversations of one tape are remembered: an agent may have several in parallel."""

_EACH = 400
"""About the bytes that a message takes in memory beside its own."""

_ALL = 3000
"""About the bytes that a conversation takes in memory beside its own, and its messages."""


class Part(NamedTuple):
    """A part of a request beside its messages: its JSON, the blob it goes into, the digests of the body's members.
    `attached` is large data that has blobs of its own."""

    data: bytes
    blob: str
    members: dict[str, str | list[str]]
    attached: Sequence[Attachment] = ()


class Mark(NamedTuple):
    """The request digest's hash, as it was after so many messages."""

    length: int
    before: bytes
    """What comes before the messages in what is hashed."""
    state: Any

    def on(self, digests: Sequence[bytes], count: int) -> "Mark":
        """The hash after more messages."""
        if count == self.length:
            return self
        state = self.state.copy()
        state.update(b"," * bool(self.length) + b",".join(digests[self.length : count]))
        return Mark(count, self.before, state)


class Fresh(NamedTuple):
    """Messages that were taken apart, as one node holds them: what that keeps, its key, the messages' digests as JSON,
    what it leaves out as JSON, and where they end in the body."""

    kept: Kept
    key: str
    digests: bytes
    overlay: bytes | None
    end: int


@dataclass(slots=True)
class Conversation:
    """A request's conversation, its last so far: the body; where in it the list begins (the first of `ends`), where
    each node's messages end, and where the list's bracket stands; the nodes' keys, and the digests of the messages of
    each as JSON; the overlays of those that have one, and their bytes in all. `written`, `parts` and `marks` are what
    the last call had, as are the model that it named and whether it wanted a stream."""

    body: bytes
    ends: list[int]
    close: int
    keys: list[str] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    overlays: dict[int, bytes] = field(default_factory=dict)
    overlaid: int = 0
    written: overlay.Written | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    model: str = ""
    stream: bool = False
    guess: int = 0
    """How many messages the last request had in common with the one before: the next has these, too, most likely."""
    counted: int = 0
    """About how many bytes of memory it takes, as it was remembered."""

    def kept(self, index: int, member: str) -> Kept:
        """What a node keeps, read from the body again."""
        piece = self.body[self.ends[index] : self.ends[index + 1]]
        items = parse(b"[%b%b]" % (b"null" if index else b"", piece))
        return keep(split_unit(items[1:] if index else items, member)[0])

    def copy(self) -> "Conversation":
        """One of its own that is the same."""
        return replace(
            self,
            ends=[*self.ends],
            keys=[*self.keys],
            digests=[*self.digests],
            overlays=dict(self.overlays),
            marks=[*self.marks],
            counted=0,
        )

    def go_on(self, start: int, shared: int, fresh: Sequence[Fresh]) -> set[int]:
        """Put these behind the first nodes, in place of what was there, in a body in which the list begins at `start`;
        the indices at which the overlays differ."""
        self.guess = shared
        if (shift := start - self.ends[0]) != 0:
            self.ends = [end + shift for end in self.ends]
        changed = {index for index in range(shared, len(self.keys)) if index in self.overlays}
        before = {index: self.overlays.pop(index) for index in changed}
        del self.ends[shared + 1 :], self.keys[shared:], self.digests[shared:]
        for index, one in enumerate(fresh, shared):
            self.ends.append(one.end)
            self.keys.append(one.key)
            self.digests.append(one.digests)
            if one.overlay is not None:
                self.overlays[index] = trimmed(one.overlay)
                self.overlaid += len(one.overlay)
                changed.add(index)
        self.overlaid -= sum(map(len, before.values()))
        return {index for index in changed if self.overlays.get(index) != before.get(index)}

    def digest(self, member: str, members: Mapping[str, str | list[str]], shared: int) -> str:
        """The request digest, of the digests of the body's other members. What was hashed of the first messages when
        the last request was recorded is not hashed again."""
        around = sorted(members.items())
        before = b'{%b"%b":[' % (
            b"".join(_counted(*item) + b"," for item in around if item[0] < member),
            member.encode(),
        )
        mark = Mark(0, before, blake2b(before, digest_size=DIGEST_SIZE))
        marks = [mark, *(one for one in self.marks if one.before == before and one.length <= shared)]
        # Where the next request differs is mostly behind where this one does.
        self.marks = []
        for count in (shared, len(self.digests)):
            mark = marks[-1].on(self.digests, count)
            marks.append(mark)
            self.marks.append(mark)
        state = mark.state.copy()
        state.update(b"]%b}" % b"".join(b"," + _counted(*item) for item in around if item[0] > member))
        return str(state.hexdigest())


class Found(NamedTuple):
    """A body next to a conversation: how many nodes they share, where the list begins in the body, what the body has
    behind the shared nodes, read anew, and whether all is the same but for the messages."""

    known: Conversation
    shared: int
    start: int
    rest: jsonwalk.Items
    same: bool


class Memory:
    """The conversations that were last recorded, by tape; those of tapes that were quiet longest go first."""

    def __init__(self, most: int = MEMORY_BYTES) -> None:
        self._most = most
        self._size = 0
        self._tapes: OrderedDict[tuple[Tape, str], list[Conversation]] = OrderedDict()

    def last(self, tape: Tape, member: str) -> Conversation | None:
        """The conversation that was recorded last."""
        known = self._tapes.get((tape, member))
        return known[-1] if known else None

    def find(self, tape: Tape, member: str, body: bytes) -> Found | None:
        """The conversation that this body goes on with: that of which it has the longest beginning. None when it has
        none. ValueError when what is new can't be read, InexactError when it can't be held."""
        best: tuple[int, int, int, Conversation] | None = None
        elsewhere: int | None = None
        for known in reversed(self._tapes.get((tape, member), ())):
            start, view = known.ends[0], memoryview(known.body)
            if not body.startswith(view[: known.ends[1]]):
                if body.startswith(view[:start]):
                    # Another one from its first message on.
                    continue
                if elsewhere is None:
                    elsewhere = jsonwalk.start(body, member) or 0
                start = elsewhere
            shared = jsonwalk.common(known.body, known.ends, body, start, known.guess) if start else 0
            length = known.ends[shared] - known.ends[0]
            if shared and (best is None or length > best[0]):
                best = (length, shared, start, known)
            if shared == len(known.keys):
                break
        if best is None:
            return None
        _, shared, start, known = best
        if member == "contents":
            # What is new may go on with the last.
            shared -= 1
        rest = jsonwalk.items(body, known.ends[shared] + start - known.ends[0], first=not shared)
        view = memoryview(known.body)
        same = body.startswith(view[: known.ends[0]]) and start == known.ends[0]
        same = same and len(body) - rest.close == len(view) - known.close and body.endswith(view[known.close :])
        return Found(known, shared, start, rest, same)

    def keep(self, tape: Tape, member: str, conversation: Conversation, instead: Conversation | None) -> None:
        """Remember a conversation, in place of another."""
        known = self._tapes.setdefault((tape, member), [])
        self._tapes.move_to_end((tape, member))
        self._size -= sum(one.counted for one in known)
        parts = sum([len(part.data) for part in conversation.parts.values()])
        own = len(conversation.body) + conversation.overlaid + parts
        conversation.counted = _ALL + own + _EACH * len(conversation.keys)
        known[:] = [one for one in known if one is not instead and one is not conversation][1 - MOST :]
        known.append(conversation)
        self._size += sum(one.counted for one in known)
        while self._size > self._most and self._tapes:
            _, gone = self._tapes.popitem(last=False)
            self._size -= sum(one.counted for one in gone)


def _counted(name: str, digests: str | list[str]) -> bytes:
    """A member as the request digest counts it, in canonical JSON."""
    value = f'"{digests}"'.encode() if isinstance(digests, str) else canonical(digests)
    return b"%b:%b" % (encode_basestring_ascii(name).encode(), value)


def take_apart(items: Sequence[Mapping[str, Any]], ends: Sequence[int], member: str, parent: str | None) -> list[Fresh]:
    """The nodes of messages under a parent's. InexactError when one of them would not come back as it is, ValueError
    when it has no role that a node can have."""
    fresh: list[Fresh] = []
    done = 0
    for unit in units(items, member):
        done += len(unit)
        message, left_out = split_unit(unit, member)
        kept = keep(message)
        encoded = form(left_out) if left_out else None
        back = join_unit(loads(kept.data), loads(encoded) if encoded else None)
        if [form(item) for item in back] != [form(item) for item in unit]:
            raise InexactError(f"message {done - len(unit)} would not come back as it is")
        parent = kept_key(parent, kept.written)
        digests = [digest(canonical(item) if left_out else kept.written) for item in unit]
        fresh.append(
            Fresh(kept, parent, b",".join(b'"%b"' % name.encode() for name in digests), encoded, ends[done - 1])
        )
    return fresh


def memory(connection: AnyConnection) -> Memory:
    """The memory that goes with a database connection, and away with it."""
    driver = driver_of(connection)
    info = driver.info if isinstance(driver, Gathering) else {}
    found = info.get("conversations")
    if not isinstance(found, Memory):
        found = info["conversations"] = Memory()
    return found
