"""Calls put on tapes for the tests of the record, a second apart."""

import json
import random
from typing import Any

from store import tapes
from store.database import Store
from store.domain.ids import SubagentId
from store.domain.tape import Call
from store.tapes import CallEnd, CallStart, new_call_id

ONE, TWO = SubagentId("abcde", 1, 1), SubagentId("abcde", 1, 2)
TOOLS = [{"name": "bash", "description": "Run a command.", "input_schema": {"type": "object"}}]


class Clock:
    """Ids and times that go up by a second with each call."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._random = random.Random(7)

    def call(self) -> str:
        self.at += 1.0
        return new_call_id(self.at, self._random.randbytes(5))


clock = Clock()


def opened(store: Store, body: bytes, subagent: SubagentId | None = ONE, *, run: str = "", **more: Any) -> Call:
    run = run or (subagent.run if subagent else "abcde")
    start = CallStart(
        clock.call(), clock.at, run, subagent, "anthropic", "POST", "/v1/messages?beta=true", body, **more
    )
    store.write(lambda connection: tapes.open_call(connection, start))
    return tapes.call(store, start.id)


def closed(store: Store, call: Call, message: Any = None, **more: Any) -> Call:
    given = {"status": 200, "complete": True, "stop_reason": "tool_use", **more}
    messages = message if isinstance(message, list) else [] if message is None else [message]
    end = CallEnd(call.id, call.started + 0.5, messages=messages, **given)
    store.write(lambda connection: tapes.close_call(connection, end))
    return tapes.call(store, call.id)


def body_of(messages: list[Any], **more: Any) -> bytes:
    body = {"model": "m-1", "max_tokens": 99, "system": "You debug.", "tools": TOOLS, "messages": messages, **more}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text, **more}]}


def count(store: Store, table: str) -> int:
    with store.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
