"""Serves the scripted model over HTTP/1.1 on the loopback: `/v1/messages` and `/v1/messages/count_tokens`.

Only the standard library, so that it starts at once. It is an upstream for the recording proxy and for tests, not a
server for strangers.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.practice.model import wire
from backends.practice.model.policy import reply

log = logging.getLogger(__name__)

MOST_BODY = 64 * 1024 * 1024
"""Bytes of a request's body."""
_MOST_HEAD = 64 * 1024
_LINGER_SECONDS = 1.0
_PATHS = ("/v1/messages", "/v1/messages/count_tokens")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Payload Too Large"}


class BadRequestError(Exception):
    """Not HTTP that we can answer; the status, and what to say."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Server:
    """Answers requests. `pace` is in events a second, 0 is as fast as it goes."""

    def __init__(self, seed: int, pace: float) -> None:
        self._seed, self._pace = seed, pace
        self._answered = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        try:
            while (request := await _read(reader, writer)) is not None:
                await self._answer(request, writer)
                if request.headers.get("connection", "").lower() == "close":
                    break
        except BadRequestError as error:
            with contextlib.suppress(ConnectionError):
                await self._plain(writer, error.status, wire.error(error.status, str(error)), close=True)
                await _linger(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            log.debug("the caller has gone")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        path = request.path.partition("?")[0].rstrip("/")
        if request.method == "HEAD":
            await self._plain(writer, 200, b"")
            return
        if path not in _PATHS:
            await self._plain(writer, 404, wire.error(404, f"there is nothing at {path or '/'}"))
            return
        if request.method != "POST":
            await self._plain(writer, 405, wire.error(405, f"{path} is asked by POST"))
            return
        try:
            value: Any = json.loads(request.body)
        except (ValueError, RecursionError):
            await self._plain(writer, 400, wire.error(400, "the body is no JSON"))
            return
        counting = path.endswith("count_tokens")
        wrong = wire.problem(value, counting=counting)
        if wrong:
            await self._plain(writer, wrong[0], wire.error(*wrong))
        elif counting:
            counted = wire.tokens([value.get("system", ""), value.get("tools", []), value["messages"]])
            await self._plain(writer, 200, json.dumps({"input_tokens": counted}).encode())
        else:
            await self._message(value, writer)

    async def _message(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        answer = reply(request, self._seed)
        if not request.get("stream"):
            body = json.dumps(wire.message(request, answer), ensure_ascii=False)
            await self._plain(writer, 200, body.encode("utf-8", "backslashreplace"))
            return
        head = self._head(200, "text/event-stream; charset=utf-8")
        writer.write(head + b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n")
        if self._pace <= 0:
            whole = b"".join(wire.events(request, answer, words=False))
            writer.write(_chunk(whole) + b"0\r\n\r\n")
            await writer.drain()
            return
        for event in wire.events(request, answer, words=True):
            writer.write(_chunk(event))
            await writer.drain()
            await asyncio.sleep(1 / self._pace)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _plain(self, writer: asyncio.StreamWriter, status: int, body: bytes, *, close: bool = False) -> None:
        end = b"connection: close\r\n" if close else b""
        writer.write(self._head(status, "application/json") + end + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    def _head(self, status: int, kind: str) -> bytes:
        self._answered += 1
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"content-type: {kind}",
            f"request-id: req_scripted_{self._answered:06d}",
        )
        return "".join(f"{line}\r\n" for line in lines).encode()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take in what the caller still sends, for a moment: with bytes unread, closing would take the answer away."""
    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while await reader.read(_MOST_HEAD):
                pass


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request; None when the caller has closed the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadRequestError(400, "the request breaks off") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequestError(400, "the head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequestError(400, "this is no HTTP/1.1 request")
    headers = {
        name.strip().lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon
    }
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(parts[0], parts[1], headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequestError(400, "a body without content-encoding is expected")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequestError(400, "content-length is no number")
    if int(length) > MOST_BODY:
        raise BadRequestError(413, f"the body is longer than {MOST_BODY} bytes")
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = (await reader.readline()).split(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError as error:
            raise BadRequestError(400, "a chunk without a size") from error
        if length < 0 or len(body) + length > MOST_BODY:
            raise BadRequestError(413, f"the body is longer than {MOST_BODY} bytes")
        if length == 0:
            while (await reader.readline()).strip():
                pass
            return bytes(body)
        body += await reader.readexactly(length)
        await reader.readexactly(2)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def start(*, seed: int, pace: float, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Begin to listen; the port is that of the server's socket."""
    return await asyncio.start_server(Server(seed, pace).connected, host, port, limit=_MOST_HEAD)
