"""A conversation of a thousand turns: what call n costs, and what it takes in the store."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection

from bench import long_conversation
from bench.long_conversation import ONE, conversation
from store import conversations, jsonwalk, tapes
from store.database import Store, open_store
from store.exact import dumps, loads
from store.gathering import driver_of
from store.tapes import CallEnd, CallStart, new_call_id
from tests.taping import count

TURNS = 1000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


class Work:
    """What is done in jobs: steps of Python's machine, bytes that are hashed for requests or read as JSON, statements.

    No time is taken, for machines differ and are busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = self.read = self.hashed = self.statements = 0
        items, on = jsonwalk.items, conversations.Mark.on

        def counted_items(body: bytes, at: int, *, first: bool) -> jsonwalk.Items:
            self.read += len(body) - at
            return items(body, at, first=first)

        def counted_on(mark: conversations.Mark, digests: Any, length: int) -> conversations.Mark:
            self.hashed += sum(map(len, digests[mark.length : length]))
            return on(mark, digests, length)

        monkeypatch.setattr(jsonwalk, "items", counted_items)
        monkeypatch.setattr(conversations.Mark, "on", counted_on)

    def statement(self, text: str) -> None:
        # Those of the full-text index itself are shown as comments.
        self.statements += not text.startswith("--")

    def run(self, connection: Connection, job: Callable[[Connection], None]) -> None:
        """Run a job step by step."""

        def step(frame: Any, event: str, _: Any) -> Any:
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.steps += event == "opcode"
            return step

        driver_of(connection).set_trace_callback(self.statement)
        before = sys.gettrace()
        sys.settrace(step)
        try:
            job(connection)
        finally:
            sys.settrace(before)
            driver_of(connection).set_trace_callback(None)

    @property
    def so_far(self) -> tuple[int, ...]:
        return self.steps, self.read, self.hashed, self.statements


def size(store: Store) -> tuple[int, int]:
    """Rows, and bytes of what they hold."""
    rows = sum(count(store, table) for table in ("calls", "nodes", "tape_nodes", "blobs", "passages", "events"))
    with store.read() as connection:
        held = connection.exec_driver_sql(
            "SELECT (SELECT sum(length(message)) FROM nodes) + (SELECT sum(length(data)) FROM blobs)"
            " + (SELECT sum(length(data)) FROM events) + (SELECT sum(length(text)) FROM passages)"
        ).scalar_one()
    return rows, int(held)


def test_work_and_storage_of_a_call_do_not_grow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    work, noise = Work(monkeypatch), Random(3)
    watched = {*range(10, 21), *range(TURNS - 11, TURNS)}
    done: dict[int, tuple[int, ...]] = {}
    held: dict[int, tuple[int, int]] = {}
    for number, (body, answer) in enumerate(conversation(TURNS)):
        at = 1000.0 + number
        start = CallStart(new_call_id(at, noise.randbytes(5)), at, ONE.run, ONE, "a", "POST", "/v1/messages", body)
        end = CallEnd(start.id, at + 0.5, 200, complete=True, messages=[answer], response=noise.randbytes(400))
        for job in (partial(tapes.open_call, start=start), partial(tapes.close_call, end=end)):
            store.write(partial(work.run, job=job) if number in watched else job)
        if number in watched:
            done[number] = work.so_far
        if number in {10, 20, TURNS // 2 - 1, TURNS - 11, TURNS - 1}:
            held[number] = size(store)
    early = [after - before for before, after in zip(done[10], done[20], strict=True)]
    late = [after - before for before, after in zip(done[TURNS - 11], done[TURNS - 1], strict=True)]
    # Steps, bytes read, bytes hashed, statements: the first two have larger numbers in them later on.
    assert late[0] <= 1.02 * early[0] and late[1] <= 1.02 * early[1]
    assert late[2:] == early[2:] and early[2] <= 10 * 6 * 42
    grown = [held[20][place] - held[10][place] for place in (0, 1)]
    now = [held[TURNS - 1][place] - held[TURNS - 11][place] for place in (0, 1)]
    assert now[0] == grown[0] and now[1] <= 1.2 * grown[1]
    assert held[TURNS - 1][1] <= 2.1 * held[TURNS // 2 - 1][1]
    assert tapes.verify(store, ONE.run) == []
    last = tapes.calls(store, subagent=ONE)[-1]
    assert tapes.request(store, last) == loads(body)


def of_responses(number: int) -> tuple[list[Any], list[Any]]:
    """A turn of Responses: what the model answers, and what it is told."""
    call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"c{number}", "name": "bash", "arguments": "{}"}
    thought = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": f"gAAAA{number}"}
    return [thought, call], [{"type": "function_call_output", "call_id": f"c{number}", "output": f"{number} lines"}]


def of_gemini(number: int) -> tuple[list[Any], list[Any]]:
    """A turn of Gemini, in the chunks of its stream."""
    call = {"functionCall": {"name": "bash", "args": {"n": number}}, "thoughtSignature": f"c2ln{number}"}
    chunks = [{"role": "model", "parts": [part]} for part in ({"text": "Let me "}, {"text": "look."}, call)]
    told = {"functionResponse": {"name": "bash", "response": {"output": f"{number} lines"}}}
    return chunks, [{"role": "user", "parts": [told]}]


@pytest.mark.parametrize(("member", "turn"), [("input", of_responses), ("contents", of_gemini)])
def test_work_of_a_call_does_not_grow_in_any_protocol(
    store: Store, monkeypatch: pytest.MonkeyPatch, member: str, turn: Callable[[int], tuple[list[Any], list[Any]]]
) -> None:
    work, talk, turns = Work(monkeypatch), [{"role": "user", "parts": [{"text": "fix it"}], "content": "fix it"}], 150
    done: dict[int, tuple[int, ...]] = {}
    for number in range(turns):
        body = dumps({"model": "m", member: talk, "tools": [{"name": "bash"}]})
        answer, told = turn(100 + number)
        at = 1000.0 + number
        name = new_call_id(at, b"12345")
        start = CallStart(name, at, ONE.run, ONE, "a", "POST", "/", body, conversation=member)
        end = CallEnd(name, at + 0.5, 200, complete=True, messages=answer, response=b"bytes %d" % number)
        for job in (partial(tapes.open_call, start=start), partial(tapes.close_call, end=end)):
            store.write(partial(work.run, job=job) if number in {*range(10, 21), *range(turns - 11, turns)} else job)
        done[number] = work.so_far
        talk += answer + told
    early = [after - before for before, after in zip(done[10], done[20], strict=True)]
    late = [after - before for before, after in zip(done[turns - 11], done[turns - 1], strict=True)]
    assert late[0] <= 1.05 * early[0] and late[1] <= 1.05 * early[1] and late[2:] == early[2:]
    assert tapes.verify(store, ONE.run) == []


@pytest.mark.soak
def test_the_cpu_of_a_call_does_not_grow(tmp_path: Path) -> None:
    ratios = []
    for number in range(3):
        found = long_conversation.windows(long_conversation.record(TURNS, tmp_path / f"{number}.sqlite3"))
        ratios.append(found[-1] / found[1])
    assert sorted(ratios)[1] <= long_conversation.AIM
