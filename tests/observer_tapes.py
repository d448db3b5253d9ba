"""Tapes for the tests of the observer, written through the store as the proxy and the engine write them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from backends.observer import Observed, check_evidence, observe
from store import blobs, events, observations, tapes
from store.database import Store
from store.domain.events import (
    BaselineChecked,
    CheckResult,
    GenerationDesigned,
    Payload,
    RunCreated,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    ToolFinished,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.observations import Observation, Subject
from store.domain.states import Ending, Validity
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.tapes import CallEnd, CallStart, new_call_id

RUN = "k7m2p"
CHECK = "make check"
ROOT = "/home/op/.multitrack/runs/k7m2p/sandboxes/"

Asked = tuple[str, dict[str, Any], str]
"""A tool, its input, and the text of its result; one that begins with `!` is an error."""


def result(passed: bool, failures: int | None, broken: str = "") -> CheckResult:
    return CheckResult(passed, 0 if passed else 1, failures, 1.0, "", "", broken)


@dataclass
class Recorder:
    """One run in a store. Times go up by a second with each call."""

    store: Store
    at: float = 1000.0
    random: Random = field(default_factory=lambda: Random(5))

    def event(self, *payloads: Payload, generation: int | None = None, lane: int | None = None) -> None:
        self.store.write(lambda c: events.append(c, RUN, payloads, at=self.at, generation=generation, lane=lane))

    def begin(self, *, baseline: int | None = 12, protected: tuple[str, ...] = ("tests/",)) -> None:
        task = Task("Make the shop hold under load.", "/repo", Check(CHECK, protected=protected))
        self.event(RunCreated(task, "shop", "f" * 40, 1))
        self.event(BaselineChecked((result(False, baseline), result(False, baseline))))

    def design(self, generation: int, lanes: Sequence[str]) -> None:
        plans = tuple(LanePlan(n, Strategy(name, "look"), clean=n == len(lanes)) for n, name in enumerate(lanes, 1))
        self.event(GenerationDesigned(plans), generation=generation)

    def blob(self, text: str) -> str:
        return self.store.write(lambda connection: blobs.put(connection, text.encode(errors="replace")))

    def tape(self, generation: int, lane: int, *, afresh: bool = False) -> "Tape":
        tape = Tape(self, SubagentId(RUN, generation, lane))
        launched = SubagentLaunched(f"{ROOT}{tape.subagent}", "m-1", afresh=afresh)
        self.event(launched, generation=generation, lane=lane)
        return tape


@dataclass
class Tape:
    """One subagent's conversation as it grows."""

    recorder: Recorder
    subagent: SubagentId
    messages: list[dict[str, Any]] = field(default_factory=lambda: [{"role": "user", "content": "Begin."}])
    turns: int = 0

    def turn(self, said: str, *asked: Asked, sent: bool = True) -> None:
        """One call of the model, and what its tools answered. What is not `sent` is in the events alone."""
        self.turns += 1
        content: list[dict[str, Any]] = [{"type": "text", "text": said}] if said else []
        answers = []
        for number, (name, given, text) in enumerate(asked):
            tool = f"toolu_{self.subagent.label}_{self.turns}_{number}"
            content.append({"type": "tool_use", "id": tool, "name": name, "input": given})
            answer: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool}
            if text.startswith("!"):
                answer["is_error"] = True
            answer["content"] = [{"type": "text", "text": text.removeprefix("!")}]
            answers.append(answer)
        message = {"role": "assistant", "content": content}
        self.call(message)
        self.messages.append(message)
        if answers:
            self.messages.append({"role": "user", "content": answers})
        for answer in answers:
            text = answer["content"][0]["text"]
            finished = ToolFinished(
                self.turns, answer["tool_use_id"], "run", not answer.get("is_error"), 0.1, self.recorder.blob(text), ""
            )
            self.recorder.event(finished, generation=self.subagent.generation, lane=self.subagent.lane)

    def call(self, message: dict[str, Any] | None, *, status: int | None = 200, error: str = "") -> None:
        """One exchange; without a message it failed."""
        recorder = self.recorder
        recorder.at += 1.0
        body = {"model": "m-1", "max_tokens": 999, "stream": True, "system": "You debug.", "messages": self.messages}
        start = CallStart(
            new_call_id(recorder.at, recorder.random.randbytes(5)),
            recorder.at,
            RUN,
            self.subagent,
            "anthropic",
            "POST",
            "/v1/messages",
            json.dumps(body).encode(),
        )
        end = CallEnd(
            start.id,
            recorder.at + 0.5,
            status,
            error=error,
            complete=message is not None,
            messages=[] if message is None else [message],
            stop_reason="tool_use",
            usage=Usage(input=100, output=20),
            usd=0.01,
        )
        recorder.store.write(lambda connection: tapes.open_call(connection, start))
        recorder.store.write(lambda connection: tapes.close_call(connection, end))

    def end(
        self,
        ending: Ending = Ending.SUBMITTED,
        *,
        solved: bool = False,
        failures: int | None = 12,
        patch: str = "",
        left_out: tuple[str, ...] = (),
        broken: str = "",
        detail: str = "",
    ) -> None:
        spend = Spend(self.turns, Usage(input=100 * self.turns, output=20 * self.turns), 0.01 * self.turns, 5.0)
        checked = SubagentChecked(
            solved,
            self.recorder.blob(patch) if patch else "",
            left_out=left_out,
            result=result(solved, 0 if solved else failures, broken),
        )
        where = {"generation": self.subagent.generation, "lane": self.subagent.lane}
        self.recorder.event(SubagentEnded(ending, detail, spend), **where)
        self.recorder.event(checked, **where)


def numbered(text: str, first: int = 1, total: int = 0) -> str:
    """A file's lines as the `read` tool shows them."""
    lines = text.removesuffix("\n").split("\n")
    head = f"(lines {first} to {first + len(lines) - 1} of {total or len(lines)})"
    return "\n".join([head, *(f"{number:6d}\t{line}" for number, line in enumerate(lines, first))])


def read(path: str, text: str) -> Asked:
    return ("read", {"path": path}, numbered(text))


def edit(path: str, old: str, new: str, answer: str = "") -> Asked:
    return ("edit", {"path": path, "old": old, "new": new}, answer or f"edited {path} (+1 −1 lines)")


def run(command: str, exit_code: int, output: str) -> Asked:
    return ("run", {"command": command}, f"exit code {exit_code}\n{output}".rstrip())


def check(broken: int) -> Asked:
    """The check, with the closing line that it prints."""
    kinds = "".join(f"oversold stock: {n} orders\n" for n in range(min(broken, 3)))
    return run(CHECK, 1 if broken else 0, f"{kinds}{broken} broken\n" + ("make: *** [check] Error 1" if broken else ""))


STOCK = """\
import asyncio


class Stock:
    async def reserve(self, n):
        held = self.count
        await asyncio.sleep(0)
        self.count = held - n

    async def release(self, n):
        self.count += n
"""
BANK = """\
class Bank:
    async def debit(self, key, amount):
        self.balance -= amount
        return self.balance
"""
LOCK = edit(
    "shop/stock.py",
    "        held = self.count\n        await asyncio.sleep(0)\n        self.count = held - n\n",
    "        async with self.lock:\n            held = self.count\n            await asyncio.sleep(0)\n"
    "            self.count = held - n\n",
)
UNLOCK = edit("shop/stock.py", str(LOCK[1]["new"]), str(LOCK[1]["old"]))
SEEN = edit(
    "shop/bank.py",
    "        self.balance -= amount\n",
    "        if key in self.seen:\n            return self.balance\n        self.seen.add(key)\n"
    "        self.balance -= amount\n",
)
CLAMP = edit("shop/stock.py", "self.count += n", "self.count = min(10, self.count + n)")


def seen(store: Store, generation: int = 1) -> Observed:
    """What the observer sees, every quote of it checked against its node."""
    observed = observe(store, RUN, generation, at=9.0)
    assert check_evidence(store, observed.document) == []
    assert all(o.evidence for o in observed.document.observations)
    return observed


def save(store: Store, observed: Observed) -> None:
    store.write(lambda connection: observations.save(connection, observed.document, author="observer", at=9.0))


def about(observed: Observed, subject: Subject) -> list[Observation]:
    return [o for o in observed.document.observations if o.subject is subject]


def judged(observed: Observed, lane: int = 1) -> Validity:
    return observed.judged[SubagentId(RUN, 1, lane)][0]


def begun(recorder: Recorder, lane: int = 1) -> Tape:
    tape = recorder.tape(1, lane)
    tape.turn("I look at the stock and the bank first.", check(12))
    tape.turn("", read("shop/stock.py", STOCK), read("shop/bank.py", BANK))
    return tape
