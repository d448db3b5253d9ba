"""A run's record without its secrets, as a record of its own.

Masking changes what nodes and blobs say, and so their names. A node that changed, and each after it, gets the key of
what it says now; a blob its digest; whatever names them names them anew, and a request's digest is taken again. So the
tape that leaves is as sound as the one that stays, and is verified like it. What has no secrets keeps its names.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from store import attachments, blobs, jsontext, overlay
from store.domain.canonical import canonical, digest, digest_of_members, kept_key, member_digest, value_digest
from store.domain.kept import bare, join_unit
from store.domain.secrets import mask, masked
from store.exact import dumps, form, loads
from store.portable.bodies import hide
from store.requests import PARTS, SYSTEM, body_digest

Row = dict[str, Any]
Decode = Callable[[bytes, Sequence[str]], bytes | None]
"""A body without its content codings; None where they are unknown, or it is not in them."""

_NAME = re.compile(r"[0-9a-f]{40}")
_NODE = "SELECT parent, message, attachments FROM nodes WHERE key = ?"
_GONE = frozenset({"content-encoding", "content-length"})
UNREAD = "The answer's bytes are left out: they could not be looked into for secrets."


class Hider:
    """Hides the secrets of one run. `nodes` are the keys that changed. Nodes are given parents first; calls when all
    nodes have been."""

    def __init__(self, connection: Connection, decode: Decode) -> None:
        self._connection = connection
        self._decode = decode
        self._blobs: dict[tuple[str, str], str] = {}
        self._overlays: dict[str, str] = {}
        self._digests: dict[str, tuple[str | None, str]] = {}
        self._answers: dict[str, Row] = {}
        self.nodes: dict[str, str] = {}

    def blob(self, name: str, role: str = "data") -> bytes:
        """What a blob says without secrets. `role` is "json", "document", "data", or "raw" for what is no text.
        KeyError and ValueError as `store.blobs.load`."""
        data = blobs.load(self._connection, name)
        if role == "raw":
            return data
        hidden = _hidden(data) if role == "data" else self._json(data, role)
        if hidden != data:
            self._blobs[role, name] = digest(hidden)
        return hidden

    def named(self, name: str, role: str = "data") -> str:
        """The name of a blob that was given."""
        return self._blobs.get((role, name), name)

    def overlays(self, name: str, known: "set[str]") -> Iterator[tuple[str, bytes]]:
        """An overlay, and those that it is a change of, first ones first, but those that are known."""
        chain: list[tuple[str, dict[str, Any]]] = []
        at: str | None = name
        while at is not None and at not in self._overlays:
            value = loads(blobs.load(self._connection, at))
            chain.append((at, value))
            at = value["base"]
        for of, value in reversed(chain):
            base = value["base"]
            hidden = {**value, "set": masked(value["set"]), "base": base and self._overlays[base]}
            data = blobs.load(self._connection, of) if hidden == value else dumps(hidden)
            self._overlays[of] = new = digest(data)
            if new not in known:
                yield new, data

    def response(self, row: Row) -> tuple[str, bytes] | None:
        """The bytes of a call's answer and their name; None for none."""
        if row["response"] is None:
            return None
        data = blobs.load(self._connection, row["response"])
        headers = json.loads(row["response_headers"])
        codings = [str(value) for name, value in headers if str(name).lower() == "content-encoding"]
        plain = self._decode(data, codings) if codings else data
        changes: Row = {}
        if plain is None:
            notes = jsontext.dumps([*json.loads(row["notes"]), UNREAD])
            self._answers[row["id"]] = {"response": None, "response_size": 0, "timing": None, "notes": notes}
            return None
        # What was said is in the answer's nodes too: where they have no secret, no pieces of one are looked for.
        whole = row["answer"] is not None and row["answer"] not in self.nodes
        hidden = hide(plain, in_pieces=not whole)
        if hidden == plain:
            return row["response"], data
        if codings:
            kept = [[name, value] for name, value in headers if str(name).lower() not in _GONE]
            changes["response_headers"] = jsontext.dumps(kept)
        if len(hidden) != len(data):
            # It says when which byte came.
            changes["timing"] = None
        name = digest(hidden)
        self._answers[row["id"]] = {**changes, "response": name, "response_size": len(hidden)}
        return name, hidden

    def timed(self, row: Row) -> bool:
        """Whether a call keeps its timing, when `response` has looked at its answer."""
        return row["timing"] is not None and "timing" not in self._answers.get(row["id"], {})

    def node(self, row: Row) -> Row:
        """A node; its attachments were given before."""
        message = loads(blobs.decompress(row["message"]))
        hidden, attached = masked(message), self._attached(row["attachments"])
        new = {**row, "message": dumps(hidden) if hidden != message else blobs.decompress(row["message"])}
        new["parent"] = self.nodes.get(row["parent"], row["parent"])
        if (hidden, new["parent"], attached) == (message, row["parent"], row["attachments"]):
            return new
        new["attachments"] = attached
        whole = hidden
        if attached is not None:
            whole = attachments.put_back(hidden, json.loads(attached), lambda name: self._kept[name])
        new["key"] = kept_key(new["parent"], canonical(bare(whole)))
        if new["key"] != row["key"]:
            self.nodes[row["key"]] = new["key"]
        return new

    def attachments(self, row: Row) -> Iterator[tuple[str, bytes]]:
        """The attachments of a node, as they are without secrets."""
        self._kept: dict[str, bytes] = {}
        for _, name in json.loads(row["attachments"] or "[]"):
            data = self.blob(name)
            self._kept[self.named(name)] = data
            yield self.named(name), data

    def call(self, row: Row) -> Row:
        """A call, when its blobs have been given and `response` has looked at its answer."""
        new = {**row, **self._answers.get(row["id"], {})}
        for name in ("tail", "answer", "base"):
            new[name] = self.nodes.get(row[name], row[name])
        for name in PARTS:
            new[name] = row[name] and self.named(row[name], "json")
        new["body"] = row["body"] and self.named(row["body"])
        new["overlay"] = row["overlay"] and self._overlays[row["overlay"]]
        if any(new[name] != row[name] for name in ("tail", "base", "body", "overlay", *PARTS)):
            new["request_digest"] = self._request_digest(row)
        for name in ("request_headers", "response_headers", "notes"):
            new[name] = _masked_json(new[name])
        for name in ("path", "model", "error", "thread", "stop_reason", "response_id"):
            new[name] = mask(row[name])
        return new

    def value(self, value: Any) -> Any:
        """A JSON value, with nodes and blobs that it names by their new names."""
        return self._renamed(masked(value))

    def _json(self, data: bytes, role: str) -> bytes:
        value = loads(data)
        hidden = masked(value) if role == "json" else self.value(value)
        return data if hidden == value else dumps(hidden)

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, str):
            if not _NAME.fullmatch(value):
                return value
            return self.nodes.get(value) or self.named(value)
        if isinstance(value, Mapping):
            return {name: self._renamed(item) for name, item in value.items()}
        return [self._renamed(item) for item in value] if isinstance(value, list) else value

    def _attached(self, attached: str | None) -> str | None:
        if attached is None:
            return None
        named = [[path, self.named(name)] for path, name in json.loads(attached)]
        return jsontext.dumps(named) if named != json.loads(attached) else attached

    # The digest of a request, as `store.verifying` takes it.

    def _request_digest(self, row: Row) -> str:
        if row["body"] is not None:
            return body_digest(self.blob(row["body"]))
        if row["tail"] is None:
            return str(row["request_digest"])
        keys = [*self._chain(row["tail"], row["base"])]
        overlays = overlay.read(self._connection, row["overlay"]) if row["overlay"] else {}
        digests: list[str] = []
        for index, key in enumerate(keys):
            own = overlays.get(index)
            digests += [self._digest(key)[1]] if own is None else self._joined(key, own)
        members: dict[str, str | list[str]] = {row["conversation"]: digests}
        if overlays.get(0, {}).get("bare"):
            (whole,) = join_unit(self._message(keys[0])[1], masked(overlays[0]))
            members[row["conversation"]] = value_digest(whole["content"])
        for column, name in (("system", SYSTEM[row["conversation"]]), ("tools", "tools"), ("parameters", "")):
            if row[column] is not None:
                value = masked(loads(blobs.load(self._connection, row[column])))
                for member, item in ({name: value} if name else value).items():
                    members[member] = member_digest(member, item)
        return digest_of_members(members)

    def _chain(self, tail: str, base: str | None) -> Sequence[str]:
        keys: list[str] = []
        at: str | None = tail
        while at is not None and at != base:
            keys.append(at)
            at = self._digest(at)[0]
        return keys[::-1]

    def _digest(self, key: str) -> tuple[str | None, str]:
        """A node's parent, and the digest of its message without secrets."""
        if key not in self._digests:
            parent, message = self._message(key)
            self._digests[key] = parent, value_digest(message)
        return self._digests[key]

    def _joined(self, key: str, own: Mapping[str, Any]) -> list[str]:
        known = f"{key} {digest(form(own))}"
        if known not in self._digests:
            items = join_unit(self._message(key)[1], masked(own))
            self._digests[known] = None, " ".join(map(value_digest, items))
        return self._digests[known][1].split()

    def _message(self, key: str) -> tuple[str | None, Mapping[str, Any]]:
        row = self._connection.exec_driver_sql(_NODE, (key,)).one()
        message = masked(loads(blobs.decompress(row.message)))
        if row.attachments is not None:
            message = attachments.put_back(message, json.loads(row.attachments), self.blob)
        return row.parent, bare(message)


def _hidden(data: bytes) -> bytes:
    """Text without secrets. What is no text is left as it is: a picture, a compressed file."""
    try:
        return mask(data.decode()).encode()
    except UnicodeDecodeError:
        return mask(data.decode("latin-1")).encode("latin-1") if b"\0" not in data[:8192] else data


def _masked_json(text: str) -> str:
    value = json.loads(text)
    hidden = masked(value)
    return text if hidden == value else jsontext.dumps(hidden)
