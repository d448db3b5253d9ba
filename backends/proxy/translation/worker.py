"""The worker: LiteLLM in a process of its own, asked by the proxy over a socket that it is started with.

    python -P -E -m backends.proxy.translation.worker FD FOLDER

It has no provider's key: its calls go back to the proxy, which adds them. A request's order is in the header
`x-translate`, as JSON; its body is the client's. Whatever goes wrong before an answer begins is status 422 (it can't be
translated) or 502; the proxy has seen what the provider said. An answer that breaks off later breaks off here.
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

log = logging.getLogger("multitrack.translation")

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

KEEP_ALIVE = 3600
"""Seconds that an idle connection stays open: the proxy closes them."""


def leave_with(stream: Any, folder: str) -> None:
    """End the process, and its folder, when the one that started it closes this stream, or dies."""
    stream.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """ASGI: `POST /translate` and `POST /count`."""
    order = json.loads(next(value for name, value in scope["headers"] if name == b"x-translate"))
    body = await _body(receive)
    answering = asyncio.create_task(_answer(scope["path"], order, body, send))
    leaving = asyncio.create_task(_until_left(receive))
    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    # Who has gone wants no more of it: the call that goes on behind it ends too.
    answering.cancel()
    leaving.cancel()
    await asyncio.wait({answering, leaving})
    if not answering.cancelled() and (problem := answering.exception()) is not None:
        raise problem


async def _answer(path: str, order: Mapping[str, Any], body: bytes, send: Send) -> None:
    from backends.proxy.translation import translate

    begun = False
    try:
        request = json.loads(body.decode("utf-8", "replace"))
        if not isinstance(request, dict):
            raise translate.UntranslatableError("the body is no JSON object")
        if path == "/count":
            counted = {"input_tokens": translate.count(request, order["deployment"])}
            await _whole(send, 200, json.dumps(counted).encode())
            return
        answer = await translate.translate(
            order["endpoint"], request, order["deployment"], order["base"], order["secret"]
        )
        if isinstance(answer, bytes):
            await _whole(send, 200, answer)
            return
        begun = True
        await _stream(send, answer)
    except translate.UntranslatableError as error:
        await _whole(send, 422, str(error).encode())
    except Exception as error:
        if begun:
            raise
        await _whole(send, 502, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))


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
    import backends.proxy.translation.translate  # noqa: F401 - before the first call is taken

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
