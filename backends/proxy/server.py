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
from uvicorn.server import ServerState

from backends.proxy.app import Proxy
from backends.proxy.connection import Connection

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


@asynccontextmanager
async def serve(proxy: Proxy, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Address]:
    """Listen until the block is left; then all open calls are ended and recorded.

    `host` is one address: loopback, or that of a container network's gateway. A proxy may be served at several at once,
    each in a block of its own; when one is left, the calls of its clients end, and with the last one all. Port 0 takes
    a free one. ValueError for an address that stands for every interface, OSError when it can't be listened on.
    """
    if ipaddress.ip_address(host).is_unspecified:
        raise ValueError(f"{host} would listen on every interface: name the one address that clients reach")
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        cast("Any", proxy),
        http=Connection,
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
    server = await loop.create_server(lambda: Connection(config, state, {}), host, port, family=family, backlog=BACKLOG)
    proxy.open(_bracketed(host))
    try:
        yield Address(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await proxy.shut(_bracketed(host))
        for connection in tuple(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks)
        await server.wait_closed()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
