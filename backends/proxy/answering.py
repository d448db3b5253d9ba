"""Who answers a request: its provider, or something in the provider's place. The relay can't tell which it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from backends.proxy.headers import Headers, to_upstream
from backends.proxy.identity import SHORTEST_KEY, own_keys
from backends.proxy.protocol import ProviderProtocol
from backends.proxy.reflection import Unreflected
from backends.proxy.upstream import Client


@dataclass(frozen=True)
class Forward:
    """A request as it goes to the provider: the path with its query, the body compressed or not, both as they came.
    With `own_key`, and without one of ours, the key that the client has brought for the provider goes on."""

    protocol: ProviderProtocol
    url: str
    api_key: str | None
    method: str
    headers: Headers
    body: bytes
    own_key: bool = False

    def brought(self) -> list[bytes]:
        """The client's own keys that go on."""
        if not self.own_key or self.api_key is not None:
            return []
        return own_keys(self.headers, self.url.partition("?")[2])


class Answering(Protocol):
    """An answer under way: its head is there, its body comes."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """As they came, in order, repeats included."""

    @property
    def whole(self) -> bool:
        """All of it is here already."""

    async def read(self) -> bytes:
        """What has come, at least a byte; b"" at its proper end. UpstreamError when it breaks off."""

    def left(self) -> bytes:
        """What had come by the time it broke off, and was not read."""

    def close(self) -> None:
        """No more of it is wanted. Also called at its proper end."""


class Answerer(Protocol):
    """Answers one request."""

    @property
    def source(self) -> str:
        """For the record: "" for an answer that is asked for now, else where it comes from. One that comes from
        somewhere costs nothing."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences for the record; read when the answer is over."""

    async def ask(self, forward: Forward) -> Answering:
        """Ask; returns when the answer's head is there. UpstreamError when there will be none."""


@dataclass(frozen=True)
class Provider:
    """The provider itself, through a client's connections."""

    client: Client
    source: str = ""
    notes: Sequence[str] = ()

    async def ask(self, forward: Forward) -> Answering:
        headers = to_upstream(forward.headers, own_key=forward.own_key and forward.api_key is None)
        if forward.api_key is not None:
            headers += forward.protocol.credentials(forward.api_key)
        answering = await self.client.ask(forward.method, forward.url, headers, forward.body)
        if forward.api_key is None or len(forward.api_key) < SHORTEST_KEY:
            return answering
        return Unreflected(answering, forward.api_key.encode())
