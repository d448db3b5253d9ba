"""The observer's model end to end: recorded tapes, the real proxy and SDK, and an upstream on loopback that plays a
script."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from backends.agents.asking import speaking
from backends.agents.provider import Retry
from backends.observer import check_evidence, observe
from backends.observer.model.consulting import Consultant, Consulted
from backends.proxy import Prices, Proxy, serve
from backends.proxy import Upstream as Provider
from store import observations, tapes
from store.database import Store, open_store
from store.domain.events import ModelObserved
from store.domain.ids import OBSERVER, SubagentId
from store.domain.limits import Limits
from store.domain.observations import Document
from store.domain.route import parse
from store.domain.states import Validity
from store.domain.tape import Call
from tests.observer_tapes import RUN, Recorder, check, edit, run, save
from tests.upstreams import Heard, Said, Script, Upstream, Use

MODEL = "claude-sonnet-5-5"
LIMITS = Limits(turns=6, tokens=1_000_000, usd=5.0, seconds=60.0)

CRASH = """\
Traceback (most recent call last):
  File "shop/bank.py", line 4, in debit
    self.balance -= amount
TypeError: unsupported operand type(s) for -=: 'NoneType' and 'int'"""


def answer(*deltas: dict[str, Any]) -> str:
    return json.dumps({"deltas": deltas}, ensure_ascii=False)


def add(text: str, *evidence: tuple[str, str], claim: str = "fact") -> dict[str, Any]:
    return {"op": "ADD", "claim": claim, "text": text, "evidence": quotes(*evidence)}


def on(operation: str, name: str, *evidence: tuple[str, str], **more: str) -> dict[str, Any]:
    return {"op": operation, "id": name, "evidence": quotes(*evidence), **more}


def quotes(*evidence: tuple[str, str]) -> list[dict[str, str]]:
    return [{"node": node, "quote": quote} for node, quote in evidence]


def node(heard: Heard, label: str, words: str) -> str:
    """The name of the first piece of an attempt's tape that is shown and has the words."""
    told = [block for message in heard.body["messages"] for block in message["content"] if message["role"] == "user"]
    texts = [part["text"] for block in told for part in block.get("content", [block]) if "text" in part]
    shown = "\n".join(texts)
    for match in re.finditer(
        r"^\[(n\d+)\] (\S+) turn \d+[^\n]*:\n(`{3,})\n(.*?)\n\3$", shown, re.MULTILINE | re.DOTALL
    ):
        if match[2] == label and words in match[4]:
            return match[1]
    raise AssertionError(f"nothing of {label} with {words!r} is shown in:\n{shown}")


def says(*said: Said | Callable[[Heard], Said]) -> Script:
    """A script that says one thing after the other, and the last one from then on."""
    left = list(said)

    def script(heard: Heard) -> Said:
        one = left.pop(0) if len(left) > 1 else left[0]
        return one(heard) if callable(one) else one

    return script


@dataclass
class Rig:
    """One run with two valid attempts and one that never started."""

    store: Store
    recorder: Recorder
    upstream: Upstream
    base_url: str
    cut: list[SubagentId] = field(default_factory=list)

    async def ask(self, script: Script, *, limits: Limits = LIMITS, generation: int = 1) -> Consulted:
        """What comes of asking about a generation that the rules have observed."""
        observed = observe(self.store, RUN, generation, at=9.0)
        save(self.store, observed)
        self.judged |= {who for who, (validity, _) in observed.judged.items() if validity is Validity.VALID}
        self.upstream.script = script
        self.upstream.heard.clear()
        retry = partial(speaking, retry=Retry(tries=2, first=0.01, most=0.01, asked=0.01))
        consultant = Consultant(
            self.store, RUN, MODEL, limits, self.base_url, retry, self.cut.append, lambda: time.time()
        )
        return await consultant.ask(generation, self.judged)

    judged: set[SubagentId] = field(default_factory=set)

    async def told(self, script: Script, **more: Any) -> tuple[Document, ModelObserved]:
        """The same, made; every quote in it is what its node says."""
        consulted = await self.ask(script, **more)
        document, told = consulted.apply(self.document)
        assert check_evidence(self.store, document) == []
        return document, told

    def keep(self, document: Document) -> Document:
        self.store.write(lambda connection: observations.save(connection, document, author="model", at=9.0))
        return self.document

    @property
    def document(self) -> Document:
        document = observations.load(self.store, RUN)
        assert document is not None
        return document

    def calls(self, generation: int = 1) -> list[Call]:
        return tapes.calls(self.store, subagent=SubagentId(RUN, generation, OBSERVER))

    def attempt(self, generation: int, lane: int, *turns: Sequence[Any]) -> SubagentId:
        tape = self.recorder.tape(generation, lane)
        for said, *asked in turns:
            tape.turn(said, *asked)
        tape.end()
        return tape.subagent


WAYS = ["top-down", "bottom-up", "silent"]


@asynccontextmanager
async def rig(root: Path, *, printed: str = "", translated: bool = False) -> AsyncIterator[Rig]:
    """`printed` is what a tool of the first attempt prints as well. `translated`: a provider of another protocol
    answers for the model, by LiteLLM."""
    with open_store(root / "store.sqlite3") as store:
        recorder = Recorder(store)
        recorder.begin()
        recorder.design(1, WAYS)
        async with Upstream(says([answer()])).serving() as upstream:
            far = Provider(f"{upstream.base_url}/v1", "sk-real", "openai")
            proxy = Proxy(
                store,
                upstreams={"anthropic": Provider(upstream.base_url, "sk-real"), "far": far},
                prices=Prices.default(),
                model_routes=[parse(f"{MODEL}=openai/gpt-5.1@far")] if translated else [],
            )
            async with serve(proxy) as address:
                made = Rig(store, recorder, upstream, address.base_url)
                made.attempt(
                    1,
                    1,
                    ("I look at the bank.", run("python -m shop", 1, CRASH)),
                    ("The balance is None before the first deposit.", edit("shop/bank.py", "a", "b")),
                    ("Once more.", run("cat notes.txt", 0, printed or "nothing to see")),
                    ("I check.", check(12)),
                    ("It is still broken.",),
                )
                made.attempt(
                    1,
                    2,
                    ("I begin at the bottom.", run("python -m shop", 1, CRASH)),
                    ("So it is the balance.", check(12)),
                    ("I give up.",),
                )
                made.attempt(1, 3, ("I can't start.",))
                yield made


def searching(query: str, attempt: str = "") -> list[str | Use]:
    return [Use("search", {"query": query, **({"attempt": attempt} if attempt else {})})]
