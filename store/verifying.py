"""Whether the record of a run is whole: every request rebuilt, every key and digest taken again.

What calls share is looked at once, so that a long conversation costs its length and not the square of it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from store import blobs, overlay, rebuilding
from store.domain.blocks import blocks
from store.domain.canonical import canonical, digest_of_members, kept_key, member_digest, value_digest
from store.domain.kept import Overlay, bare, join_unit, role_of
from store.domain.tape import Call, Message
from store.domain.timing import decode
from store.exact import form
from store.requests import SYSTEM, body_digest

_ON_TAPES = text("SELECT generation, lane, node FROM tape_nodes WHERE run = :run")
_INDEXED = text("SELECT DISTINCT generation, lane, node FROM passages WHERE run = :run")

_DAMAGE = (LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""What reading a damaged record may raise."""

_TELLING, _SAID = (KeyError, ValueError), ("no blob", "no node", "blob ", "damaged", "the timing")

_OVERLAYS = 16
"""Overlays that are kept in hand: the next one is mostly a change of one of the last."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A node that was looked at: `digest` is its message's, `says` whether it has words, `problem` is what is wrong."""

    parent: str | None
    depth: int
    digest: str
    says: bool
    problem: str


class Verifier:
    """Checks the calls of a run."""

    def __init__(self, connection: Connection, run: str) -> None:
        self._connection = connection
        self._nodes: dict[str, _Node] = {}
        self._changed: dict[tuple[str, bytes], list[str]] = {}
        self._members: dict[tuple[str, str, str | None], dict[str, str | list[str]]] = {}
        self._overlays: OrderedDict[str, dict[int, Overlay]] = OrderedDict()
        self._sound: set[str] = set()
        self._on_tapes = {tuple(row) for row in connection.execute(_ON_TAPES, {"run": run})}
        self._indexed = {tuple(row) for row in connection.execute(_INDEXED, {"run": run})}

    def problems(self, call: Call) -> Iterator[str]:
        """What is wrong with a call's record."""
        try:
            yield from self._problems(call)
        except _DAMAGE as error:
            yield _words(error)

    def _problems(self, call: Call) -> Iterator[str]:
        request, problem = self._chain(call.tail)
        if not problem and call.answer is not None:
            answer, problem = self._chain(call.answer)
            if not problem and answer[: len(request)] != request:
                problem = "its answer does not follow its request"
            problem = problem.replace(f"node {call.answer} is missing", "its answer's node is missing")
            request, chain = request, answer
        else:
            chain = request
        if problem:
            yield problem
            return
        yield from self._off_tape(call, chain)
        if call.base is not None and call.base not in request:
            yield "it does not go on from its base"
            return
        if call.body is not None:
            found = body_digest(blobs.load(self._connection, call.body))
        else:
            found = self._digest(call, request) if call.tail is not None else ""
        if found != call.request_digest:
            yield "the request that is rebuilt is not the one that was sent"
        self._load(call.response)
        if call.timing is not None:
            decode(blobs.load(self._connection, call.timing))

    def _chain(self, tail: str | None) -> tuple[list[str], str]:
        """The keys from the root to a node, and what is wrong with the first that isn't as it should be."""
        keys: list[str] = []
        key = tail
        while key is not None:
            keys.append(key)
            key = self._node(key).parent
        keys.reverse()
        parent = None
        for depth, key in enumerate(keys):
            node = self._nodes[key]
            if node.problem:
                return keys, node.problem
            if (node.parent, node.depth) != (parent, depth):
                return keys, f"node {key} is out of its place"
            parent = key
        return keys, ""

    def _node(self, key: str) -> _Node:
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = self._looked_at(key)
        return node

    def _looked_at(self, key: str) -> _Node:
        try:
            found = rebuilding.node(self._connection, key)
        except _DAMAGE as error:
            missing = error.args == (f"no node {key}",)
            return _Node(None, 0, "", False, f"node {key} is missing" if missing else f"node {key}: {_words(error)}")
        if problem := _problem(found):
            return _Node(found.parent, found.depth, "", False, problem)
        says = any(block.text for block in blocks(found.message))
        return _Node(found.parent, found.depth, value_digest(bare(found.message)), says, "")

    def _off_tape(self, call: Call, keys: Iterable[str]) -> Iterator[str]:
        generation, lane = (call.subagent.generation, call.subagent.lane) if call.subagent else (0, 0)
        for key in keys:
            if (generation, lane, key) not in self._on_tapes:
                yield f"node {key} is not on its tape"
                return
            if self._nodes[key].says and (generation, lane, key) not in self._indexed:
                yield f"node {key} is not in the index of what was said"
                return

    def _digest(self, call: Call, keys: list[str]) -> str:
        """The request digest of what a call's request is rebuilt to."""
        own = keys if call.base is None else keys[keys.index(call.base) + 1 :]
        overlays = self._overlay(call.overlay)
        digests: list[str] = []
        for index, key in enumerate(own):
            left_out = overlays.get(index)
            digests += [self._nodes[key].digest] if left_out is None else self._joined(key, left_out)
        members: dict[str, str | list[str]] = {call.conversation: digests}
        if overlays.get(0, {}).get("bare"):
            (whole,) = join_unit(bare(rebuilding.node(self._connection, own[0]).message), overlays[0])
            members[call.conversation] = value_digest(whole["content"])
        for column, name in (("system", SYSTEM[call.conversation]), ("tools", "tools"), ("parameters", "")):
            if getattr(call, column) is not None:
                members.update(self._part(call, column, name))
        return digest_of_members(members)

    def _joined(self, key: str, left_out: Overlay) -> list[str]:
        """The digests of the messages of a node, with what it leaves out."""
        known = (key, form(left_out))
        if known not in self._changed:
            message = bare(rebuilding.node(self._connection, key).message)
            self._changed[known] = [value_digest(item) for item in join_unit(message, left_out)]
        return self._changed[known]

    def _part(self, call: Call, column: str, name: str) -> dict[str, str | list[str]]:
        """The digests of the members in a part of a request; of the one of that name, or of all."""
        known = (name, getattr(call, column), call.attachments)
        digests = self._members.get(known)
        if digests is None:
            value = rebuilding.part(self._connection, call, column)
            members = {name: value} if name else value
            digests = self._members[known] = {member: member_digest(member, item) for member, item in members.items()}
        return digests

    def _overlay(self, blob: str | None) -> dict[int, Overlay]:
        if blob is None:
            return {}
        found = self._overlays.get(blob)
        if found is None:
            found = self._overlays[blob] = overlay.read(self._connection, blob, self._overlays)
            while len(self._overlays) > _OVERLAYS:
                self._overlays.popitem(last=False)
        return found

    def _load(self, blob: str | None) -> None:
        if blob is not None and blob not in self._sound:
            blobs.load(self._connection, blob)
            self._sound.add(blob)


def _words(error: Exception) -> str:
    """What is wrong, of an error that says so, or of one that only damage can make."""
    if isinstance(error, _TELLING) and str(error.args[0]).startswith(_SAID):
        return str(error.args[0])
    return f"damaged: {error}" if isinstance(error, ValueError) else f"damaged: {error!r}"


def _problem(found: Message) -> str:
    """What is wrong with a node by itself."""
    message: Any = found.message
    if not isinstance(message, dict) or kept_key(found.parent, canonical(bare(message))) != found.node:
        return f"node {found.node} is not what its key says"
    return "" if role_of(message) == found.role else f"node {found.node} is out of its place"
