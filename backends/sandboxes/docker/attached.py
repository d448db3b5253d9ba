"""The connection of an exec: what the program writes comes in frames, what we write is its input. Blocks.

Every program that is started here first waits for a line of ours, and then says one byte. Without the line, the SDK
could read what it says first together with the engine's answer. Without the byte, nobody knew whether it is there: an
engine answers before it has started it, and what is not there yet can't be found and killed.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import APIClient

STDOUT, STDERR = 1, 2
_HEAD = struct.Struct(">BxxxI")
_CHUNK = 64 * 1024
STARTS_WITHIN = 120.0
"""Seconds that a loaded engine may take to start a program."""
HERE = b"."


class NotStartedError(Exception):
    """A program could not be started; the message is the engine's, if any."""


class Attached:
    """One exec's two streams out and one in. May be read by one thread while another writes."""

    def __init__(self, exec_id: str, wire: socket.socket, keep: object) -> None:
        self.exec_id = exec_id
        self._wire, self._keep = wire, keep
        self._buffer = bytearray()
        self._first: list[tuple[int, bytes]] = []
        self._closed = False
        # Two threads may not be inside one TLS connection.
        self._tls = threading.Lock() if isinstance(wire, ssl.SSLSocket) else None

    @classmethod
    def start(cls, api: "APIClient", container: str, argv: list[str], line: bytes, **how: Any) -> "Attached":
        """Start a program in a container, by `exec_create`'s arguments, and wait until it is there. The SDK's errors;
        NotStartedError with what is said instead."""
        made = api.exec_create(container, argv, stdin=True, stdout=True, stderr=True, tty=False, **how)
        answer: Any = api.exec_start(made["Id"], socket=True)
        # The SDK hands out a reader over the socket; the socket itself can be shut down from another thread.
        wire = answer if isinstance(answer, ssl.SSLSocket) else answer._sock
        attached = cls(made["Id"], wire, answer)
        wire.settimeout(STARTS_WITHIN)
        words: list[tuple[int, bytes]] = []
        with contextlib.suppress(ConnectionError):
            attached.write(line + b"\n")
        while (piece := attached.read()) is not None:
            if piece[0] == STDOUT and piece[1].startswith(HERE):
                wire.settimeout(None)
                attached._first = [(STDOUT, piece[1][len(HERE) :]), *reversed(words)]
                return attached
            words.append(piece)
        attached.close()
        raise NotStartedError(b"".join(said for _, said in words).decode(errors="replace").strip())

    def read(self) -> tuple[int, bytes] | None:
        """The next piece and which stream it is of; None at the end, or when the connection broke."""
        if self._first:
            return self._first.pop()
        try:
            while len(self._buffer) < _HEAD.size:
                if not self._more():
                    return None
            kind, size = _HEAD.unpack_from(self._buffer)
            while len(self._buffer) < _HEAD.size + size:
                if not self._more():
                    return None
        except (OSError, ValueError):
            return None
        data = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
        del self._buffer[: _HEAD.size + size]
        return kind, data

    def write(self, data: bytes) -> None:
        """Write to the program's input. ConnectionError when it can't be."""
        try:
            if self._tls is None:
                self._wire.sendall(data)
            else:
                with self._tls:
                    self._wire.sendall(data)
        except (OSError, ValueError) as error:
            raise ConnectionError(f"the program takes no more: {error}") from error

    def cut(self) -> None:
        """End the connection, whoever reads or writes. The program may go on."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up; nobody may be reading or writing."""
        self.cut()
        for thing in (self._keep, self._wire, getattr(self._keep, "_response", None)):
            with contextlib.suppress(OSError, AttributeError, ValueError):
                thing.close()  # type: ignore[union-attr] # suppressed

    def _more(self) -> bool:
        if self._tls is None:
            data = self._wire.recv(_CHUNK)
        else:
            assert isinstance(self._wire, ssl.SSLSocket)
            if not self._wire.pending() and not select.select([self._wire], [], [], self._wire.gettimeout())[0]:
                raise TimeoutError("nothing was said in time")
            with self._tls:
                data = self._wire.recv(_CHUNK)
        self._buffer += data
        return bool(data)
