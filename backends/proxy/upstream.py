"""The connection to the providers: one aiohttp session, which neither follows, decodes, stores cookies nor retries."""

import asyncio
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.http_writer import StreamWriter
from yarl import URL

from backends.proxy.headers import Headers

_HEADER_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
"""What may wait for a slow client, twice; beyond it the provider is not read from."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. None of them ends a stream that is alive: `silence` is the longest time without a byte."""

    connect: float = 15.0
    silence: float = 900.0


class UpstreamError(Exception):
    """The provider could not be asked, or its answer broke off. `status` is what a gateway answers to that; `detail` is
    for the client alone, who is told not to try again when it is `final`."""

    def __init__(self, message: str, status: int = 502, *, final: bool = False, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.final = final
        self.detail = detail


class Answering:
    """A provider's answer under way."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = response.raw_headers
        # aiohttp closes a connection whose framing breaks in the middle of a body, and doesn't tell the body's reader.
        protocol = response.connection.protocol if response.connection is not None else None
        self._gone = protocol.closed if protocol is not None else None
        if self._gone is not None:
            self._gone.add_done_callback(self._lost)
            # Once a connection, however many calls it carries.
            self._gone.remove_done_callback(_seen)
            self._gone.add_done_callback(_seen)
        elif protocol is not None:
            self._lost(None)

    @property
    def whole(self) -> bool:
        """All of it is here already."""
        return self._response.content.is_eof()

    async def read(self) -> bytes:
        """What has come, at least a byte; b"" at its proper end. UpstreamError when it breaks off."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            status = 504 if isinstance(error, asyncio.TimeoutError) else 502
            raise UpstreamError(f"the provider's answer broke off: {_words(error)}", status) from error

    def left(self) -> bytes:
        """What had come by the time it broke off, and was not read."""
        # The reader's public methods only raise by now, but the bytes came, and so they count. (They are taken whole.)
        return b"".join(getattr(self._response.content, "_buffer", ()))

    def close(self) -> None:
        """End it: a provider that is still sending sees the connection close; one that has ended it stays connected."""
        if self._gone is not None:
            self._gone.remove_done_callback(self._lost)
        self._response.close()

    def _lost(self, _: "asyncio.Future[None] | None") -> None:
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("it is not framed as HTTP has it"))


def _seen(gone: "asyncio.Future[None]") -> None:
    """Look at how a connection ended: asyncio reports what nobody has looked at."""
    if not gone.cancelled():
        gone.exception()


class _Request(aiohttp.ClientRequest):
    """A request whose headers go out as they came. aiohttp writes them as UTF-8; values in another encoding, which HTTP
    takes for bytes without meaning (RFC 9110, 5.5), are here decoded as Latin-1, byte by byte, and encoded as that."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if self._continue is None and not "".join(self.headers.values()).isascii():
            # What waits is written by `write_bytes`, body or not.
            self._continue = self.loop.create_future()
            self._continue.set_result(True)
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        assert isinstance(writer, StreamWriter)
        head = writer._headers_buf
        if head is not None and not head.isascii():
            writer._headers_buf = head.decode().encode("latin-1")
        self._continue = None
        await super().write_bytes(writer, conn, content_length)


class Client:
    """Asks providers. Belongs to the event loop it is made in."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            request_class=_Request,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.silence),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=_READ_BYTES,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            max_headers=1024,
        )

    async def ask(self, method: str, url: str, headers: Headers, body: bytes) -> Answering:
        """Send a request; returns when the answer's headers are there. `url` goes out as it is. UpstreamError."""
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        try:
            response = await self._session.request(
                method, URL(url, encoded=True), headers=pairs, data=body or None, allow_redirects=False
            )
        except TimeoutError as error:
            raise UpstreamError(f"the provider did not answer in time: {_words(error)}", 504) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"the provider could not be reached: {_words(error)}") from error
        return Answering(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
