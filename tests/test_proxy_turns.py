"""What is awaited before a subagent's model call goes out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backends.proxy import BeforeTurn, Proxy, Upstream, serve
from store import tapes
from store.domain.allowance import Allowance
from store.domain.ids import SubagentId
from tests.proxyrig import (
    ASK,
    KEY,
    OTHER,
    PRICES,
    SUBAGENT,
    Client,
    Rig,
    mint,
    prepared,
    provided,
    recorded,
    streamed,
)

COUNT = "/v1/messages/count_tokens"


@asynccontextmanager
async def rig(root: Path, before_turn: BeforeTurn) -> AsyncIterator[Rig]:
    async with provided(streamed(recorded("tools.sse"))) as provider:
        with prepared(root / "store.sqlite3") as store:
            upstreams = {"anthropic": Upstream(provider.base_url, "real")}
            proxy = Proxy(store, upstreams=upstreams, prices=PRICES, before_turn=before_turn)
            async with serve(proxy) as address:
                yield Rig(store, proxy, provider, address.port, None)  # type: ignore[arg-type] # no tail is read here


async def ask(r: Rig, **more: str) -> tuple[int, bytes]:
    client = await r.client()
    await client.ask(**more)  # type: ignore[arg-type] # texts alone
    status, _, body, _ = await client.answer()
    client.close()
    return status, body


async def test_it_is_told_who_asks_and_what(tmp_path: Path) -> None:
    told: list[tuple[SubagentId, str, bytes]] = []

    async def before(subagent: SubagentId, thread: str, body: bytes) -> str:
        told.append((subagent, thread, body))
        return ""

    async with rig(tmp_path, before) as r:
        headers = f"x-api-key: {KEY}\r\nx-claude-code-session-id: s1\r\nx-claude-code-agent-id: a1\r\n"
        assert (await ask(r, headers=headers))[0] == 200
        assert (await ask(r))[0] == 200
        # What counts tokens, or only looks, is no turn.
        assert (await ask(r, path=COUNT))[0] == 200
        assert (await ask(r, method="GET", path="/v1/models"))[0] == 200
        assert told == [(SUBAGENT, "a1", ASK), (SUBAGENT, "", ASK)]


async def test_a_call_waits_for_it_and_counts_as_under_way_meanwhile(tmp_path: Path) -> None:
    held, go = asyncio.Event(), asyncio.Event()

    async def before(subagent: SubagentId, thread: str, body: bytes) -> str:
        held.set()
        await go.wait()
        return ""

    async with rig(tmp_path, before) as r:
        mint(r, OTHER, "mt-" + "c" * 32, Allowance(turns=1))
        headers = f"x-api-key: mt-{'c' * 32}\r\n"
        asking = asyncio.create_task(ask(r, headers=headers))
        await held.wait()
        assert r.provider.asked == [] and r.calls() == []
        # Another one would be beyond the limit.
        status, body = await ask(r, headers=headers)
        assert status == 429 and b"under way" in body
        go.set()
        assert (await asking)[0] == 200
        assert len(r.provider.asked) == 1
        assert (await ask(r, headers=headers))[0] == 402


async def test_it_may_refuse(tmp_path: Path) -> None:
    async def before(subagent: SubagentId, thread: str, body: bytes) -> str:
        return "it is over"

    async with rig(tmp_path, before) as r:
        mint(r, OTHER, "mt-" + "c" * 32, Allowance(turns=1))
        for _ in range(2):
            # What was refused is not under way, and has used nothing.
            status, body = await ask(r, headers=f"x-api-key: mt-{'c' * 32}\r\n")
            assert status == 402
            assert json.loads(body)["error"] == {"type": "billing_error", "message": "it is over"}
        assert r.provider.asked == [] and tapes.calls(r.store) == []


async def test_a_fault_in_it_costs_the_call_alone(tmp_path: Path) -> None:
    faults = [RuntimeError("a fault"), None]

    async def before(subagent: SubagentId, thread: str, body: bytes) -> str:
        if (fault := faults.pop(0)) is not None:
            raise fault
        return ""

    async with rig(tmp_path, before) as r:
        mint(r, OTHER, "mt-" + "c" * 32, Allowance(turns=1))
        client: Client = await r.client()
        await client.ask(headers=f"x-api-key: mt-{'c' * 32}\r\n")
        assert not (await client.rest()).startswith(b"HTTP/1.1 200")
        assert (await ask(r, headers=f"x-api-key: mt-{'c' * 32}\r\n"))[0] == 200
