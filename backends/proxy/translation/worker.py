"""The worker: LiteLLM in a process of its own, asked by the proxy over a socket that it is started with.

    python -P -E -m backends.proxy.translation.worker FD FOLDER

It has no provider's key: its calls go back to the proxy, which adds them. A request's order is in the header
`x-translate`, as JSON; its body is the client's. Whatever goes wrong before an answer begins is status 422 (it can't be
translated) or 502; the proxy has seen what the provider said. An answer that breaks off later breaks off here.

It can connect to the proxy and to nobody else. LiteLLM would fetch what a client names by URL, a picture for a provider
that takes none so, and an agent without a network must not have one here.
"""

import asyncio
import json
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger("multitrack.translation")

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

KEEP_ALIVE = 3600
"""Seconds that an idle connection stays open: the proxy closes them."""

_UNFETCHED = "URL download is disabled"
"""What LiteLLM says where it would fetch something."""

_LONGEST = 1000
"""Letters of what LiteLLM says about a failure."""


class Wall:
    """An audit hook that lets this process connect to the addresses it is told, and look up no name."""

    def __init__(self) -> None:
        self._open: set[tuple[str, int]] = set()

    def open(self, url: str) -> None:
        """What is at that URL may be asked."""
        parts = urlsplit(url)
        if parts.hostname and parts.port:
            self._open.add((parts.hostname, parts.port))

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            let = isinstance(address, tuple) and address[:2] in self._open
        elif event == "socket.getaddrinfo":
            let = arguments[:2] in self._open
        else:
            let = event not in _OTHER_WAYS
        if not let:
            raise PermissionError("the worker that translates asks nobody but the proxy")


_OTHER_WAYS = frozenset(
    (
        *("socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto", "socket.sendmsg"),
        *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
    )
)

_wall = Wall()


def leave_with(stream: Any, folder: str) -> None:
    """End the process, and its folder, when the one that started it closes this stream, or dies."""
    stream.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """ASGI: `POST /translate` and `POST /count`; `GET /alive` says that it is."""
    if scope["path"] == "/alive":
        await _whole(send, 204, b"")
        return
    order = json.loads(next(value for name, value in scope["headers"] if name == b"x-translate"))
    _wall.open(order["base"])
    body = await _body(receive)
    answering = asyncio.create_task(_answer(scope["path"], order, body, send))
    leaving = asyncio.create_task(_until_left(receive))
    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    # Who has gone wants no more of it: the call that goes on behind it ends too.
    answering.cancel()
    leaving.cancel()
    await asyncio.wait({answering, leaving})
    if not answering.cancelled() and (problem := answering.exception()) is not None:
        # Its connection closes in the middle of the answer.
        log.error("a translated answer broke off: %s", _line(problem))


async def _answer(path: str, order: Mapping[str, Any], body: bytes, send: Send) -> None:
    from backends.proxy.translation import translate
    from backends.proxy.translation.untranslatable import UntranslatableError

    begun = False
    try:
        request = json.loads(body.decode("utf-8", "replace"))
        if not isinstance(request, dict):
            raise UntranslatableError("the body is no JSON object")
        if path == "/count":
            counted = translate.count(order["endpoint"], request, order["deployment"])
            await _whole(send, 200, json.dumps(counted).encode())
            return
        answer = await translate.translate(
            order["endpoint"], request, order["deployment"], order["base"], order["secret"], stream=order["stream"]
        )
        if isinstance(answer, bytes):
            await _whole(send, 200, answer)
            return
        begun = True
        await _stream(send, answer)
    except UntranslatableError as error:
        await _whole(send, 422, str(error).encode())
    except Exception as error:
        if begun:
            raise
        if _UNFETCHED in str(error):
            await _whole(
                send, 422, b"it names data by its URL, which this provider doesn't take, and nobody here fetches"
            )
            return
        status = 422 if getattr(error, "status_code", None) == 400 else 502
        await _whole(send, status, _line(error).encode("utf-8", "replace"))


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:_LONGEST]


async def _stream(send: Send, pieces: AsyncIterator[bytes]) -> None:
    head = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _whole(send: Send, status: int, body: bytes) -> None:
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _body(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    """Answer until the starter is gone."""
    import uvicorn

    threading.Thread(target=leave_with, args=(sys.stdin.buffer, sys.argv[2]), daemon=True).start()
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    # An answer that breaks off has its own line.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    import backends.proxy.translation.translate  # noqa: F401 - before the first call is taken

    sys.addaudithook(_wall)

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=1,
    )
    listening = socket.socket(fileno=int(sys.argv[1]))
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
