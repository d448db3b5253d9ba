"""An upstream that plays a script over HTTP, and a session that keeps what it is told: for tests of agents."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from backends.agents import Recalled
from backends.sandboxes.local import LocalSandbox
from store.domain.events import Payload, ToolFinished, TurnStarted
from store.domain.limits import Limits, Spend
from store.domain.states import Ending

Block = dict[str, Any]


def said(text: str) -> Block:
    return {"type": "text", "text": text}


def use(name: str, given: Any, call: str = "") -> Block:
    return {"type": "tool_use", "id": call or f"tool-{name}", "name": name, "input": given}


@dataclass(frozen=True)
class Answer:
    """An answer to play as a stream. `raw_input` takes the place of every tool call's JSON; `cut` ends it early."""

    content: Sequence[Block]
    stop_reason: str = "tool_use"
    raw_input: str | None = None
    cut: bool = False
    explanation: str = ""

    def events(self) -> list[dict[str, Any]]:
        start = {"id": "msg", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
        for index, block in enumerate(self.content):
            empty, deltas = self._parts(block)
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        if not self.cut:
            details = {"type": "refusal", "explanation": self.explanation} if self.explanation else None
            delta = {"stop_reason": self.stop_reason, "stop_sequence": None, "stop_details": details}
            events += [{"type": "message_delta", "delta": delta, "usage": {}}, {"type": "message_stop"}]
        return events

    def _parts(self, block: Block) -> tuple[Block, list[dict[str, Any]]]:
        if block["type"] == "text":
            text = block["text"]
            halves = [text[: len(text) // 2], text[len(text) // 2 :]]
            return {**block, "text": ""}, [{"type": "text_delta", "text": half} for half in halves]
        if block["type"] == "thinking":
            thought = {"type": "thinking_delta", "thinking": block["thinking"]}
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [thought, signed]
        if block["type"] == "tool_use":
            raw = json.dumps(block["input"]) if self.raw_input is None else self.raw_input
            pieces = [raw[: len(raw) // 3], raw[len(raw) // 3 :]]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        return block, []


@dataclass(frozen=True)
class Fault:
    """An error to answer with; a status of 200 is one in the middle of the stream."""

    status: int
    kind: str
    message: str = "no"
    retry_after: str = ""


Script = Callable[[dict[str, Any]], Answer | Fault]


@dataclass
class Provider:
    """The upstream: plays its script, one answer a request, and keeps what it was sent."""

    script: list[Answer | Fault | Script]
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    base_url: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Provider"]:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/messages", self._messages)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        step = self.script[min(len(self.requests), len(self.script)) - 1]
        played = step(body) if callable(step) else step
        if isinstance(played, Fault) and played.status != 200:
            error = {"type": "error", "error": {"type": played.kind, "message": played.message}}
            headers = {"retry-after": played.retry_after} if played.retry_after else {}
            return web.json_response(error, status=played.status, headers=headers)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        if isinstance(played, Fault):
            events = [
                *Answer([said("half")]).events()[:3],
                {"type": "error", "error": {"type": played.kind, "message": played.message}},
            ]
        else:
            events = played.events()
        for event in events:
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response


@dataclass
class Notes:
    """A session that keeps what it is told."""

    sandbox: LocalSandbox
    payloads: list[Payload] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    turns: int = 0
    most_turns: int = 40
    hits: Sequence[Recalled] = ()
    waiting: list[str] = field(default_factory=list)
    """What the operator has told it that it has not read."""

    async def record(self, *payloads: Payload) -> None:
        self.payloads += payloads

    async def keep(self, text: str) -> str:
        digest = f"blob-{len(self.kept)}"
        self.kept[digest] = text
        return digest

    async def before_turn(self) -> Ending | None:
        self.turns += 1
        return Ending.TURNS if self.turns > self.most_turns else None

    async def begin_turn(self, turn: int, thread: str = "", under: str = "", *, reads: int = 0) -> None:
        self.waiting = self.waiting[reads:]
        self.payloads.append(TurnStarted(turn, thread, under))

    def unread(self) -> Sequence[str]:
        return self.waiting

    def limits(self) -> Limits:
        return Limits(turns=self.most_turns)

    def spend(self) -> Spend:
        return Spend(turns=self.turns)

    async def recall(self, query: str) -> Sequence[Recalled]:
        return self.hits

    def finished(self) -> list[ToolFinished]:
        return [payload for payload in self.payloads if isinstance(payload, ToolFinished)]

    def results(self) -> list[str]:
        return [self.kept[payload.result] for payload in self.finished()]
