"""A provider of three protocols that plays a script: for agents that are programs of somebody else's.

A script is asked with what every protocol's request comes down to, and says what the model says.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """A request. `first` is what the user said first, `turns` how often the model has answered, `results` what the
    tool calls of its last answer gave back, `everything` the whole body as text."""

    path: str
    headers: dict[str, str]
    body: Json
    tools: tuple[str, ...]
    first: str
    turns: int
    results: tuple[str, ...]

    @property
    def everything(self) -> str:
        return json.dumps(self.body)


@dataclass(frozen=True)
class Use:
    """A tool call to make."""

    name: str
    input: Json


@dataclass(frozen=True)
class Fault:
    """An error to answer with."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ending:
    """An answer that ends otherwise than it should: for a reason of Anthropic's, or, `broken`, in the middle of its
    last block, with the connection."""

    said: Sequence["str | Use"]
    reason: str = "end_turn"
    broken: bool = False


Said = Sequence["str | Use"] | Fault | Ending
Script = Callable[[Heard], Said]


@dataclass
class Upstream:
    """The provider. `heard` are all requests, in order; `others` are method and path of what was no model call."""

    script: Script
    heard: list[Heard] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    base_url: str = ""
    _count: int = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Upstream"]:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages/count_tokens", self._tokens)
        app.router.add_route("*", "/{rest:.*}", self._other)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _tokens(self, request: web.Request) -> web.Response:
        self.others.append(f"{request.method} {request.path_qs}")
        return web.json_response({"input_tokens": 1000})

    async def _other(self, request: web.Request) -> web.Response:
        self.others.append(f"{request.method} {request.path_qs}")
        return web.json_response({"error": {"type": "not_found_error", "message": "no such thing"}}, status=404)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count:024d}"

    def _play(self, request: web.Request, body: Json, heard: Heard) -> Said:
        self.heard.append(heard)
        return self.script(heard)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        messages = [{**one, "content": _blocks(one["content"])} for one in body["messages"]]
        results = [b for b in messages[-1]["content"] if b["type"] == "tool_result"]
        heard = Heard(
            request.path_qs,
            {name.lower(): value for name, value in request.headers.items()},
            body,
            tuple(tool["name"] for tool in body.get("tools", ())),
            _text(messages[0]["content"]),
            sum(one["role"] == "assistant" for one in messages),
            tuple(_text(_blocks(b.get("content", ""))) for b in results),
        )
        said = self._play(request, body, heard)
        if isinstance(said, Fault):
            error = {"type": "error", "error": {"type": said.kind, "message": said.message}}
            return web.json_response(error, status=said.status, headers=dict(said.headers))
        ending, said = _ending(said)
        blocks = [
            {"type": "text", "text": one}
            if isinstance(one, str)
            else {"type": "tool_use", "id": self._name("toolu"), "name": one.name, "input": one.input}
            for one in said
        ]
        reason = "tool_use" if any(b["type"] == "tool_use" for b in blocks) else "end_turn"
        reason = ending.reason if ending is not None else reason
        message = {"id": self._name("msg"), "type": "message", "role": "assistant", "model": body["model"]}
        usage = {
            "input_tokens": 1000,
            "output_tokens": 50,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        }
        if not body.get("stream"):
            whole = {**message, "content": blocks, "stop_reason": reason, "stop_sequence": None, "usage": usage}
            return web.json_response(whole)
        start = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        events = list(_message_events(start, blocks, reason))
        if ending is not None and ending.broken:
            response = await _stream(request, iter(events[:-3]))
            assert request.transport is not None
            request.transport.abort()
            return response
        return await _stream(request, iter(events))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        messages = body["messages"]
        last = next((at for at in range(len(messages) - 1, -1, -1) if messages[at]["role"] == "assistant"), -1)
        heard = Heard(
            request.path_qs,
            {name.lower(): value for name, value in request.headers.items()},
            body,
            tuple(tool["function"]["name"] for tool in body.get("tools", ())),
            next((_text(_blocks(m["content"])) for m in messages if m["role"] == "user"), ""),
            sum(m["role"] == "assistant" for m in messages),
            tuple(_text(_blocks(m["content"])) for m in messages[last + 1 :] if m["role"] == "tool"),
        )
        said = self._play(request, body, heard)
        if isinstance(said, Fault):
            error = {"error": {"type": said.kind, "message": said.message, "code": said.kind, "param": None}}
            return web.json_response(error, status=said.status, headers=dict(said.headers))
        ending, said = _ending(said)
        text = "".join(one for one in said if isinstance(one, str))
        calls = [
            {
                "index": index,
                "id": self._name("call"),
                "type": "function",
                "function": {"name": one.name, "arguments": json.dumps(one.input)},
            }
            for index, one in enumerate(one for one in said if isinstance(one, Use))
        ]
        reason = "tool_calls" if calls else "stop"
        reason = _FINISHES[ending.reason] if ending is not None else reason
        usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
        common = {"id": self._name("chatcmpl"), "created": 1, "model": body["model"]}
        message: Json = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = calls
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            return web.json_response({**common, "object": "chat.completion", "choices": [choice], "usage": usage})
        chunk = {**common, "object": "chat.completion.chunk"}
        events = [
            {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        ]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**chunk, "choices": [], "usage": usage})
        return await _stream(request, iter(events), named=False, done=True)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        given = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
        items = [{"type": "message", **one} for one in given]
        said_at = [
            at for at, one in enumerate(items) if one.get("role") == "assistant" or one["type"].endswith("_call")
        ]
        outputs = [one for one in items[said_at[-1] + 1 :] if one["type"].endswith("_output")] if said_at else []
        spoken = [_text(_blocks(one["content"])) for one in items if one.get("role") == "user"]
        groups = sum(at - 1 not in said_at for at in said_at)
        heard = Heard(
            request.path_qs,
            {name.lower(): value for name, value in request.headers.items()},
            body,
            tuple(tool.get("name", tool["type"]) for tool in body.get("tools", ())),
            "\n".join(spoken),
            groups,
            tuple(_text(_blocks(one["output"])) for one in outputs),
        )
        said = self._play(request, body, heard)
        if isinstance(said, Fault):
            error = {"error": {"type": said.kind, "message": said.message, "code": said.kind, "param": None}}
            return web.json_response(error, status=said.status, headers=dict(said.headers))
        output: list[Json] = []
        for one in _ending(said)[1]:
            if isinstance(one, str):
                part = {"type": "output_text", "text": one, "annotations": []}
                output.append({"type": "message", "id": self._name("msg"), "role": "assistant", "content": [part]})
            else:
                call = {"call_id": self._name("call"), "name": one.name, "arguments": json.dumps(one.input)}
                output.append({"type": "function_call", "id": self._name("fc"), **call})
        for item in output:
            item["status"] = "completed"
        usage = {
            "input_tokens": 1000, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1050,
        }  # fmt: skip
        whole = {
            "id": self._name("resp"), "object": "response", "created_at": 1, "model": body["model"],
            "status": "completed", "output": output, "usage": usage,
        }  # fmt: skip
        if not body.get("stream"):
            return web.json_response(whole)
        return await _stream(request, _response_events(whole))


_FINISHES = {"end_turn": "stop", "max_tokens": "length", "refusal": "content_filter"}


def _ending(said: "Sequence[str | Use] | Ending") -> tuple[Ending | None, "Sequence[str | Use]"]:
    return (said, said.said) if isinstance(said, Ending) else (None, said)


def _blocks(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())


def _text(blocks: Sequence[Json]) -> str:
    return "\n".join(str(block["text"]) for block in blocks if "text" in block)


def _message_events(start: Json, blocks: Sequence[Json], reason: str) -> Iterator[Json]:
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 50}}
    yield {"type": "message_stop"}


def _response_events(whole: Json) -> Iterator[Json]:
    number = 0

    def event(kind: str, **members: Any) -> Json:
        nonlocal number
        number += 1
        return {"type": kind, "sequence_number": number, **members}

    yield event("response.created", response={**whole, "status": "in_progress", "output": [], "usage": None})
    for index, item in enumerate(whole["output"]):
        yield event("response.output_item.added", output_index=index, item={**item, "status": "in_progress"})
        if item["type"] == "message":
            place = {"item_id": item["id"], "output_index": index, "content_index": 0}
            yield event("response.output_text.delta", **place, delta=item["content"][0]["text"])
            yield event("response.output_text.done", **place, text=item["content"][0]["text"])
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=whole)


async def _stream(
    request: web.Request, events: Iterator[Json], *, named: bool = True, done: bool = False
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        await response.write(f"{name}data: {json.dumps(event)}\n\n".encode())
    if done:
        await response.write(b"data: [DONE]\n\n")
    return response
