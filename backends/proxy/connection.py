"""One client's connection: uvicorn's, with bounds on what a client may send before anybody knows who it is.

Heads are bounded in bytes and in time, and connections in number: one that has nothing under way makes room for a new
one. So half a request holds nothing but its own connection, and that not for long.
"""

import asyncio
import resource
import sys
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from backends.proxy.incoming import LARGEST_HEAD, offers_http2

HEAD_SECONDS = 60.0
"""From the first byte of a request, or from the connection, until its head is whole."""

LINGER_SECONDS = 30.0
"""For a body that still comes after its request was answered, so that its client gets to read the answer."""


def most_connections() -> int:
    """How many may be open at once: a call takes two descriptors, and the store must find some as well."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(16, min(4096, (soft - 128) // 2))


class Connection(HttpToolsProtocol):
    """It lets the app close it in the middle of an answer, and see the target as it was sent: ASGI has no word for
    either."""

    _head: int | None = None
    """Bytes that came since the head under way began; None in a body."""
    _timer: asyncio.TimerHandle | None = None
    _over = False
    _anew = b""
    """The head of a request that offers HTTP/2, without that."""
    _offered: list[tuple[bytes, bytes]] | None = None
    """All of its headers."""
    _behind = 0
    """Where the parser stopped in what came last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._make_room()
        self._head = 0
        self._limit(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimited()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        came = len(data)
        super().data_received(data)
        while self._anew and not self.transport.is_closing():
            data, self._anew = self._anew + data[self._behind :], b""
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            super().data_received(data)
        if self._head is None or self.transport.is_closing():
            return
        # The head is not whole: what came is all of it, at least when nothing else came before it.
        self._head += came
        if self._head > LARGEST_HEAD + came:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._timer is None:
            self._limit(HEAD_SECONDS)

    def _unsupported_upgrade_warning(self) -> None:
        """The parser has stopped behind a head with an upgrade. One that isn't ignored is refused, and that is said, by
        the app: it is not for want of a library."""
        stopped = sys.exception()
        assert isinstance(stopped, httptools.HttpParserUpgrade)
        self._behind = stopped.args[0]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self.scope["extensions"] = {"multitrack.hang_up": {"hang_up": self.transport.close}}

    def on_header(self, name: bytes, value: bytes) -> None:
        # Those after a chunked body would pass for the request's own.
        if self._head is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and offers_http2(self.headers) and self.parser.get_method() != b"CONNECT":
            # The parser takes what follows for the other protocol. As a head without the offer it is read once more,
            # by a parser that knows of none, so that the one library says where each request ends.
            self._offered = self.headers
            lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            self._anew = line + b"".join(lines) + b"\r\n"
            return
        if self._offered is not None:
            # The record has them all.
            self.headers[:], self._offered = self._offered, None
        self._head = None
        self._unlimited()
        cast("dict[str, Any]", self.scope["extensions"])["multitrack.target"] = {"target": self.url}
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._anew:
            return
        self._unlimited()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete and cycle.more_body:
            self._limit(LINGER_SECONDS)

    @property
    def waits(self) -> bool:
        """It has nothing under way."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _make_room(self) -> None:
        others = (other for other in tuple(self.connections) if other is not self)
        for other in others:
            if isinstance(other, Connection) and other.waits:
                other.transport.abort()
                self.connections.discard(other)
                return
        self._refuse(b"503 Service Unavailable")

    def _refuse(self, status: bytes) -> None:
        """Answer what is no request yet, and end. What still comes is read past: closing on it would reset the
        connection, and take the answer with it."""
        self._over = True
        self.transport.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        self.transport.write_eof()
        self._limit(LINGER_SECONDS)

    def _limit(self, seconds: float) -> None:
        self._unlimited()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _unlimited(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
