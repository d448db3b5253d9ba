"""The proxy on a socket: uvicorn's HTTP connection in the caller's own event loop, without its server around it.

That server would install signal handlers, configure logging and tick; all that is needed of it is `create_server`.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from backends.proxy.app import Proxy

KEEP_ALIVE = 120
"""Seconds that an idle connection stays open: longer than clients keep theirs, so that none is closed under a call."""

BACKLOG = 1024


@dataclass(frozen=True)
class Address:
    """Where the proxy listens."""

    host: str
    port: int

    @property
    def base_url(self) -> str:
        """What a client is given as its base URL."""
        return f"http://{_bracketed(self.host)}:{self.port}"


class _Connection(HttpToolsProtocol):
    """One client's connection. It lets the app close it in the middle of an answer, which ASGI has no word for."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"multitrack.hang_up": {"hang_up": self.transport.close}}


@asynccontextmanager
async def serve(proxy: Proxy, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Address]:
    """Listen until the block is left; then all open calls are ended and recorded.

    `host` is one address: loopback, or that of a container network's gateway. Port 0 takes a free one. ValueError for
    an address that stands for every interface, OSError when it can't be listened on.
    """
    if ipaddress.ip_address(host).is_unspecified:
        raise ValueError(f"{host} would listen on every interface: name the one address that clients reach")
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        cast("Any", proxy),
        http=_Connection,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
    config.load()
    state = ServerState()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = await loop.create_server(
        lambda: _Connection(config, state, {}), host, port, family=family, backlog=BACKLOG
    )
    try:
        address = Address(host, server.sockets[0].getsockname()[1])
        proxy.open(_bracketed(host))
        yield address
    finally:
        server.close()
        await proxy.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks)
        await server.wait_closed()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
