"""No answer gives the provider's real key away: an upstream that repeats what it was sent (an echo, a gateway's error)
is the one route by which it could reach a client or the record.

Its bytes become as many stars, so that lengths and framing stay. In a compressed answer nothing can be changed: one
that has the key in it breaks off. A client that brought a key of its own gets its answer as it is; on the tape are the
stars (`looked_through`). A key that comes back in another form (encoded, or in parts) is not found.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backends.proxy.decoding import PIECE, CannotDecodeError, Decoder, pieces
from backends.proxy.headers import Headers, get
from backends.proxy.upstream import UpstreamError

if TYPE_CHECKING:
    from backends.proxy.answering import Answering
    from backends.proxy.protocol import Answer

_CODING = b"content-encoding"

MOST_SEARCHED = 256 * 1024 * 1024
"""Bytes of one answer, unpacked, that are searched for its client's own keys: as many as may come (`LARGEST_ANSWER` of
the relay)."""

REPEATED = "stars stand for the client's own key, which this answer repeats"


class Starred:
    """A body that comes in pieces, with stars for a secret in it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._stars = b"*" * len(secret)
        self._kept = b""
        """The end of what came, as far as it may be the secret's beginning."""

    def take(self, piece: bytes) -> bytes:
        """What may go on, now that this came."""
        data = self._kept + piece if self._kept else piece
        if self._secret in data:
            data = data.replace(self._secret, self._stars)
        begins = self._begins(data)
        self._kept = data[len(data) - begins :]
        return data[: len(data) - begins] if begins else data

    def rest(self) -> bytes:
        """What was kept back, now that nothing comes any more."""
        rest, self._kept = self._kept, b""
        return rest

    def _begins(self, data: bytes) -> int:
        """The length of the longest end of the data that the secret begins with."""
        secret = self._secret
        # Nearly all pieces end in a line's end or a brace, which no key has in it.
        if not data or data[-1] not in secret:
            return 0
        return next((n for n in range(min(len(data), len(secret) - 1), 0, -1) if data.endswith(secret[:n])), 0)


class Unreflected:
    """An answer, as `answering.Answering`, without the key that it was asked for with."""

    def __init__(self, answering: "Answering", key: bytes) -> None:
        self._answering = answering
        self._key = key
        self._body = Starred(key)
        self.status = answering.status
        self.headers: Headers = [(name, value.replace(key, b"*" * len(key))) for name, value in answering.headers]
        self._decoder: Decoder | None = None
        self._seen = b""
        encoding = get(answering.headers, _CODING).decode("latin-1")
        # What nobody here can read, nobody here can look into.
        with suppress(CannotDecodeError):
            self._decoder = Decoder(encoding)
        self._coded = self._decoder is None or not self._decoder.plain

    @property
    def whole(self) -> bool:
        return self._answering.whole

    async def read(self) -> bytes:
        while piece := await self._answering.read():
            if out := self._checked(piece):
                return out
        return self._body.rest()

    def left(self) -> bytes:
        try:
            return self._checked(self._answering.left()) + self._body.rest()
        except UpstreamError:
            return b""

    def close(self) -> None:
        self._answering.close()

    def _checked(self, piece: bytes) -> bytes:
        if not self._coded:
            return self._body.take(piece)
        if self._decoder is not None:
            try:
                plain = self._seen + self._decoder.decode(piece)
            except CannotDecodeError:
                self._decoder = None
                return piece
            if self._key in plain:
                raise UpstreamError("the provider's answer has the provider's own key in it")
            self._seen = plain[-len(self._key) :]
        return piece


class Kept:
    """An answer as the tape keeps it, where that is not as it came: with stars for the keys of its client's own."""

    def __init__(self, keys: Sequence[bytes], headers: Headers, body: bytes, notes: Sequence[str]) -> None:
        self._keys = keys
        self._notes = notes
        self.body = self._starred(body)
        self.headers: Headers = [(name, self._starred(value)) for name, value in headers]

    def answer(self, answer: "Answer") -> "Answer":
        """What was understood of it, with the notes."""
        parts = {name: self._deep(getattr(answer, name)) for name in ("messages", "error", "strange", "notes")}
        return replace(answer, **{**parts, "notes": (*parts["notes"], *self._notes)})

    def _starred(self, data: bytes) -> bytes:
        for key in self._keys:
            data = data.replace(key, b"*" * len(key))
        return data

    def _deep(self, value: Any) -> Any:
        if isinstance(value, str):
            for key in self._keys:
                value = value.replace(key.decode("latin-1"), "*" * len(key))
            return value
        if isinstance(value, dict):
            return {name: self._deep(item) for name, item in value.items()}
        return type(value)(map(self._deep, value)) if isinstance(value, list | tuple) else value


async def looked_through(keys: Sequence[bytes], headers: Headers, body: bytes) -> Kept | None:
    """How the tape keeps an answer whose client brought these keys; None for as it came.

    A compressed one is searched a piece at a time, and others have their turn between: it may be a bomb. No more of it
    is looked through than MOST_SEARCHED bytes. Without a key in these, or in what can be unpacked of a broken one, it
    stays as it came, and a note says so: nothing is lost for what nobody expects. With one, what has it is kept without
    its coding, and what would follow is not.
    """
    found = any(key in part for key in keys for part in (body, *(value for _, value in headers)))
    notes = [REPEATED] if found else []
    if coding := get(headers, _CODING).decode("latin-1"):
        found, problem = await _search(keys, coding, body)
        if found:
            body, problem = await _unpacked(coding, body)
            notes = [REPEATED, f"what follows is not kept: {problem}"] if problem else [REPEATED]
            # Without its coding it has another length.
            gone = (_CODING, b"content-length")
            headers = [(name, value) for name, value in headers if name.lower() not in gone]
        elif problem:
            notes.append(f"not all of the answer could be searched for the client's own key: {problem}")
    return Kept(keys, headers, body, notes) if notes else None


async def _search(keys: Sequence[bytes], coding: str, body: bytes) -> tuple[bool, str]:
    """Whether a compressed body has one of the keys in it, and why no more of it could be looked through."""
    seen, overlap = b"", max(map(len, keys)) - 1
    try:
        for piece in pieces(coding, body, MOST_SEARCHED):
            seen += piece
            if any(key in seen for key in keys):
                return True, ""
            seen = seen[-overlap:]
            await _turn(piece)
    except CannotDecodeError as error:
        return False, str(error)
    return False, ""


async def _unpacked(coding: str, body: bytes) -> tuple[bytes, str]:
    """A body without its coding, as far as that goes, and why it goes no further."""
    out = bytearray()
    try:
        for piece in pieces(coding, body, MOST_SEARCHED):
            out += piece
            await _turn(piece)
    except CannotDecodeError as error:
        return bytes(out), str(error)
    return bytes(out), ""


async def _turn(piece: bytes) -> None:
    """Let others have their turn after a large piece; an ordinary answer is no such."""
    if len(piece) > PIECE // 2:
        await asyncio.sleep(0)
