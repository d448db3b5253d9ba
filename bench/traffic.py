"""What the benchmarks of the proxy send and answer: an agent's requests, and a provider that thinks for no time."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

EVENTS = 200
MODEL = "claude-sonnet-4-5"
PACED = "at a pace"
"""A request whose prompt begins so is answered by a stream at a steady pace."""
PACE = 50
"""Events a second of such a stream."""
STAMP = re.compile(rb"said at (\d+\.\d{6}) ")
"""What each of its events says: the monotonic clock as it went out, which all processes of a machine share."""


@dataclass(frozen=True)
class Case:
    """Calls of a kind: streamed or not, so many at once, with so many messages before the one that is new."""

    kind: str
    stream: bool
    at_once: int
    context: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.at_once} at once"


def small() -> bytes:
    """An answer with a length."""
    body = json.dumps(
        {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": "The retry is not idempotent. " * 8}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 412, "output_tokens": 58},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _event(value: dict[str, Any]) -> bytes:
    event = f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def _delta(text: str) -> bytes:
    return _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def opening() -> list[bytes]:
    """A stream's head and its first two events."""
    usage = {"input_tokens": 412, "output_tokens": 3}
    start = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929"}
    return [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        _event({"type": "message_start", "message": {**start, "content": [], "stop_reason": None, "usage": usage}}),
        _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ]


def ending() -> list[bytes]:
    """A stream's last three events and the end of its body."""
    return [
        _event({"type": "content_block_stop", "index": 0}),
        _event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": EVENTS}}),
        _event({"type": "message_stop"}),
        b"0\r\n\r\n",
    ]


def stream() -> list[bytes]:
    """An answer of EVENTS events, in the pieces in which it goes out."""
    return [*opening(), *(_delta(f"word {n} and ") for n in range(EVENTS - 5)), *ending()]


class Provider(asyncio.Protocol):
    """Answers as soon as a request is whole. An event goes out by itself, as a model's do."""

    SMALL, STREAM, OPENING, ENDING = small(), stream(), opening(), ending()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.came = bytearray()

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, found, body = self.came.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        if b"transfer-encoding: chunked" in head:
            whole = body.endswith(b"0\r\n\r\n")
        else:
            whole = len(body) >= int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if not whole:
            return
        self.came.clear()
        if PACED.encode() in body:
            seconds = int(bytes(body).partition(PACED.encode())[2].split()[0])
            asyncio.get_running_loop().create_task(self.pace(seconds * PACE))
        elif b'"stream":true' in body.replace(b" ", b""):
            self.say(0)
        else:
            self.transport.write(self.SMALL)

    def say(self, number: int) -> None:
        self.transport.write(self.STREAM[number])
        if number + 1 < len(self.STREAM) and not self.transport.is_closing():
            asyncio.get_running_loop().call_soon(self.say, number + 1)

    async def pace(self, events: int) -> None:
        for piece in self.OPENING:
            self.transport.write(piece)
        begin = time.monotonic()
        for number in range(events):
            await asyncio.sleep(begin + number / PACE - time.monotonic())
            self.transport.write(_delta(f"said at {time.monotonic():.6f} and more"))
        for piece in self.ENDING:
            self.transport.write(piece)


async def provide() -> None:
    """Be the provider, until killed. The port is told on standard output."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@cache
def beginning(stream: bool, context: int) -> bytes:
    """A request's body up to its last message."""
    value = {"model": MODEL, "max_tokens": 1024, "stream": stream, "system": "You repair code. " * 10}
    turns: list[dict[str, Any]] = []
    for turn in range(context // 2):
        asked = {
            "type": "tool_use",
            "id": f"t{turn}",
            "name": "bash",
            "input": {"command": f"sed -n {turn},40p shop.py"},
        }
        told = {"type": "tool_result", "tool_use_id": f"t{turn}", "content": f"{turn}: def total(order):\n" * 30}
        turns += [{"role": "assistant", "content": [asked]}, {"role": "user", "content": [told]}]
    messages = b"".join(compact(message) + b"," for message in turns)
    return compact(value)[:-1] + b',"messages":[' + messages


def request(key: str, body: bytes) -> bytes:
    """A request on the wire."""
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def asking(case: Case, number: int) -> bytes:
    """The body of the case's call of this number."""
    content = f"{number}: why does the check fail? " + "Look at it. " * 20
    return beginning(case.stream, case.context) + compact({"role": "user", "content": content}) + b"]}"


def asking_at_a_pace(number: int, seconds: int) -> bytes:
    """The body of a call that is answered at a pace."""
    content = f"{PACED} {seconds} seconds: stream {number}"
    return beginning(True, 0) + compact({"role": "user", "content": content}) + b"]}"
