"""Providers of every protocol on raw sockets, the real proxy with routes to them, and its worker. `conftest.py` has one
that all share, for LiteLLM takes seconds to import."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types

from backends.proxy import Prices, Proxy, Timeouts, Upstream, serve
from store import tapes
from store.database import Store
from store.domain.route import parse
from store.domain.tape import Call
from tests.proxyrig import (
    JSON,
    KEY,
    LAST_CHUNK,
    STREAM,
    SUBAGENT,
    Asked,
    Handler,
    Provider,
    chunk,
    prepared,
    provided,
    streamed,
    until,
    whole,
)

REAL = "sk-real-key-of-the-operator"

ROUTES = (
    "claude-by-openai=openai/gpt-5.1",
    "claude-by-ollama=ollama_chat/qwen3:8b",
    "gpt-by-claude=anthropic/claude-sonnet-4-5",
    "claude-by-gemini=gemini/gemini-2.5-pro",
    "gemini-by-gemini=gemini/gemini-2.5-pro",
    "keyless=openai/gpt-5.1@keyless",
    "same=anthropic/same",
    "renamed=anthropic/claude-sonnet-4-5",
    "two=openai/gpt-5.1|openai/gpt-5.1@second",
    "fallen=openai/gpt-5.1,anthropic/claude-sonnet-4-5,openai/gpt-5.1@second",
    "nowhere=openai/gpt-5.1@refusing,openai/gpt-5.1@silent,openai/gpt-5.1@second",
    "again=openai/gpt-5.1,retries=2",
    "again-then=openai/gpt-5.1,openai/gpt-5.1@second,retries=1",
    "any-*=openai/gpt-5.1",
    "poor=gemini/gemini-2.5-pro,anthropic/claude-sonnet-4-5,openai/gpt-5.1",
    "claude-then-gpt=anthropic/claude-sonnet-4-5,openai/gpt-5.1",
    "gpt-then-claude=openai/gpt-5.1,anthropic/claude-sonnet-4-5",
    "vectors=gemini/gemini-embedding-001",
    "vectors-by-ollama=ollama/nomic-embed-text",
    "vectors-then=gemini/gemini-embedding-001,openai/text-embedding-3-small@second",
    "no-vectors=anthropic/claude-sonnet-4-5,openai/text-embedding-3-small",
)


@dataclass
class Rigged:
    """All of it. `asked` and `calls` begin anew with `begin`."""

    store: Store
    proxy: Proxy
    base_url: str
    providers: dict[str, Provider]
    seen: int = 0
    clients: list[Any] = field(default_factory=list)

    def begin(self) -> None:
        """For the next test."""
        self.seen = len(tapes.calls(self.store))
        for provider in self.providers.values():
            provider.asked.clear()
            provider.handler = whole(b"500 Error", b'{"error": {"message": "not expected to be asked"}}')

    def answers(self, name: str, *handlers: Handler) -> None:
        """What a provider answers, one after the other; the last one from then on."""
        left = list(handlers)

        async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
            await (left.pop(0) if len(left) > 1 else left[0])(asked, writer)

        self.providers[name].handler = handler

    def asked(self, name: str, number: int = 0) -> Any:
        """A body that reached a provider."""
        return json.loads(self.providers[name].asked[number].body)

    def calls(self) -> tuple[list[Call], list[Call]]:
        """The clients' calls, and those that were made for them."""
        calls = tapes.calls(self.store)[self.seen :]
        return [call for call in calls if call.parent is None], [call for call in calls if call.parent is not None]

    def both(self, tries: int = 1) -> tuple[Call, list[Call]]:
        """The client's one call and the tries that were made for it, after a look at what always holds."""
        (call,), made = self.calls()
        assert len(made) == tries and {each.parent for each in made} == {call.id}
        assert (call.provider, call.source, call.usage.total, call.usd) == ("route", "route", 0, 0.0)
        assert tapes.verify(self.store, SUBAGENT.run) == []
        for name, provider in self.providers.items():
            for asked in provider.asked:
                # The real key goes in at the proxy, which alone has it; nothing of ours goes on.
                assert asked.head.count(REAL.encode()) == 1, name
                assert b"x-multitrack" not in asked.head.lower() and b"mt-" not in asked.head
        return call, made

    async def ended(self) -> tuple[Call, Call]:
        """The client's one call and its one try, when both have ended."""

        def both() -> tuple[Call, Call] | None:
            calls, made = self.calls()
            if len(calls) == len(made) == 1 and calls[0].ended is not None and made[0].ended is not None:
                return calls[0], made[0]
            return None

        return await until(both)

    def anthropic(self, **more: Any) -> Any:
        client = anthropic.AsyncAnthropic(api_key=KEY, base_url=self.base_url, max_retries=0, **more)
        self.clients.append(client)
        return client

    def gemini(self) -> Any:
        options = types.HttpOptions(base_url=f"{self.base_url}/gemini")
        return genai.Client(api_key=KEY, http_options=options).aio

    def openai(self, **more: Any) -> Any:
        client = openai.AsyncOpenAI(api_key=KEY, base_url=f"{self.base_url}/openai/v1", max_retries=0, **more)
        self.clients.append(client)
        return client


@asynccontextmanager
async def routed(root: Path, routes: Iterable[str] = ROUTES, prices: Prices | None = None) -> AsyncIterator[Rigged]:
    """Everything up. Nothing is running of the worker until a call needs it."""
    nothing = whole(b"500 Error", b"{}", JSON)
    async with AsyncExitStack() as stack:
        providers = {
            name: await stack.enter_async_context(provided(nothing))
            for name in ("anthropic", "openai", "second", "ollama", "gemini", "silent")
        }
        store = stack.enter_context(prepared(root / "store.sqlite3"))
        table = {
            name: Upstream(provider.base_url, REAL, {"second": "openai", "silent": "openai"}.get(name, name))
            for name, provider in providers.items()
        }
        table["keyless"] = Upstream(providers["second"].base_url, None, "openai", own_key=True)
        table["refusing"] = Upstream("http://127.0.0.1:9", REAL, "openai")
        proxy = Proxy(
            store,
            upstreams=table,
            prices=prices or Prices.default(),
            timeouts=Timeouts(connect=2.0, silence=2.0),
            model_routes=[parse(route) for route in routes],
        )
        address = await stack.enter_async_context(serve(proxy))
        rigged = Rigged(store, proxy, address.base_url, providers)
        try:
            yield rigged
        finally:
            for client in rigged.clients:
                await client.close()


def chunks(*deltas: dict[str, Any], finish: str = "stop", usage: dict[str, Any] | None = None) -> Handler:
    """A stream of Chat Completions."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795000000, "model": "gpt-5.1-2025-11-13"}
    bodies = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    bodies.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    bodies.append({**head, "choices": [], "usage": usage or USAGE})
    return streamed(b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies) + b"data: [DONE]\n\n")


USAGE = {
    "prompt_tokens": 110,
    "completion_tokens": 7,
    "total_tokens": 117,
    "prompt_tokens_details": {"cached_tokens": 40},
}


def tool_call(index: int, name: str, arguments: str) -> dict[str, Any]:
    """A delta that has a whole tool call."""
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function", "function": function}]}


def completion(message: dict[str, Any], finish: str = "stop") -> Handler:
    """A whole Chat Completion."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    head = {"id": "chatcmpl-2", "object": "chat.completion", "created": 1795000000, "model": "gpt-5.1-2025-11-13"}
    return whole(b"200 OK", json.dumps({**head, "choices": [choice], "usage": USAGE}).encode())


def failed(status: int, error: dict[str, Any], headers: bytes = b"") -> Handler:
    """An error as the provider writes it."""
    return whole(b"%d Error" % status, json.dumps(error).encode(), JSON + headers)


def stalling(first: bytes, go: asyncio.Event | None = None) -> Handler:
    async def stalls(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first))
        if go is not None:
            await go.wait()
            writer.write(LAST_CHUNK)
            return
        await asked.gone.wait()

    return stalls


FIRST = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5.1",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}\n\n'
)
