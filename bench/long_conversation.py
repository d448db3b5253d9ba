"""What recording call n of one conversation costs: the CPU of the writing thread, for a conversation of 1,000 turns as
a coding agent sends it, whose cache markers move on with each call.

Each call is opened and closed in the store, with the transactions' commits. What is measured is the recorder alone: no
proxy has parsed the request before. Printed are windows of ten calls, and what the last ten take beside calls 11 to 20.

    python bench/long_conversation.py [--turns 1000] [--rounds 3] [--json]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import orjson
from sqlalchemy import Connection

from store import tapes
from store.database import open_store
from store.domain.ids import SubagentId
from store.tapes import CallEnd, CallStart, new_call_id

ONE = SubagentId("bench", 1, 1)
TOOLS = [{"name": f"tool{n}", "description": "Does it. " * 40, "input_schema": {"type": "object"}} for n in range(12)]
WINDOW = 10
AIM = 1.5


def marked(message: dict[str, Any]) -> dict[str, Any]:
    """The message with a cache marker on its last block."""
    *before, last = message["content"]
    return {**message, "content": [*before, {**last, "cache_control": {"type": "ephemeral"}}]}


def turn(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the model asks for in a turn, and what its tool says."""
    noise = Random(number)
    words = " ".join(f"{noise.getrandbits(24):x}" for _ in range(80))
    use = {"type": "tool_use", "id": f"t{number}", "name": "bash", "input": {"command": f"sed -n {number},40p shop.py"}}
    text = {"type": "text", "text": f"Let me look at {number}.", "citations": None}
    answer = {"role": "assistant", "content": [text, use]}
    return answer, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": words}]}


def conversation(turns: int) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each call's body and answer. Every answer comes back as an SDK dumps it, with a null, and the last two messages
    have cache markers."""
    talk: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Why does the check fail?"}]}]
    around = {"model": "m-1", "max_tokens": 4096, "stream": True, "system": "You repair code. " * 200, "tools": TOOLS}
    pieces = [orjson.dumps(message) for message in talk]
    for number in range(turns):
        last = [orjson.dumps(marked(message)) for message in talk[-2:]]
        messages = b",".join([*pieces[:-2], *last])
        answer, told = turn(number)
        yield orjson.dumps(around)[:-1] + b',"messages":[' + messages + b"]}", answer
        talk = [*talk[-1:], answer, told]
        pieces += [orjson.dumps(answer), orjson.dumps(told)]


def record(turns: int, path: Path) -> list[float]:
    """CPU seconds of the writing thread for each call."""
    noise = Random(2)
    taken: list[float] = []
    with open_store(path) as store:
        for number, (body, answer) in enumerate(conversation(turns)):
            at = 1000.0 + number
            start = CallStart(
                new_call_id(at, noise.randbytes(5)), at, ONE.run, ONE, "anthropic", "POST", "/v1/messages", body
            )
            end = CallEnd(start.id, at + 0.5, 200, complete=True, messages=[answer], response=noise.randbytes(400))
            begin = store.write(cpu)
            store.write(partial(tapes.open_call, start=start))
            store.write(partial(tapes.close_call, end=end))
            taken.append(store.write(cpu) - begin)
    return taken


def cpu(_: Connection) -> float:
    return time.thread_time()


def windows(taken: list[float]) -> list[float]:
    """CPU milliseconds a call, by window: the median, for a busy machine has outliers."""
    return [1000 * statistics.median(taken[at : at + WINDOW]) for at in range(0, len(taken) - WINDOW + 1, WINDOW)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(windows(record(options.turns, Path(folder) / "store.sqlite3")))
    found = [statistics.median(window) for window in zip(*rounds, strict=True)]
    ratio = found[-1] / found[1]
    if options.json:
        print(json.dumps({"turns": options.turns, "ms": found, "ratio": ratio, "aim": AIM}))
        return
    print("| calls | CPU ms a call |\n| --- | --- |")
    for index in sorted({1, *range(0, len(found), max(1, len(found) // 8)), len(found) - 1}):
        print(f"| {index * WINDOW + 1} to {(index + 1) * WINDOW} | {found[index]:.3f} |")
    print(f"\nThe last {WINDOW} calls take {ratio:.2f} times what calls 11 to 20 take; aimed at: at most {AIM}.")


if __name__ == "__main__":
    main()
