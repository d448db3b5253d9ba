"""What the observer's rules make of recorded conversations: what they miss, what they repeat, how long they take.

    python -m bench.observer [FILE] [--list]

The file is JSON: an array of objects with `task_id`, `traj` (or `messages`), a conversation in OpenAI's format, and
`reward`, 1.0 for solved; without one it is what the tests have of tau-bench. It is imported into a store of its own,
which goes afterwards. `--list` prints every observation.

What is true is taken from the file, not from the rules: a tool's message that begins with the word "Error" is an error,
and an attempt is valid when a model has answered in it. As no conversation of such a file failed to start, each is
also brought in spoiled in four ways, and should be judged for what it is then.
"""

import json
import lzma
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from backends.imports import CHAT, Asked, Attempt, Found, Made, Told, Verdict, bring, look
from backends.observer import check_evidence, observe, observe_all
from store.database import Store, open_store
from store.domain.observations import Document, Priority, render, select, tokens
from store.domain.states import Ending, Validity
from store.home import Home

RECORDED = Path(__file__).parent.parent / "tests" / "recorded" / "imports" / "tau-bench-airline-gpt-4o.json.xz"
CAP = 3000
"""Tokens of observations that a prompt has room for, by default."""
ALIKE = 0.85
"""Of the words of two observations, the share that both have, from which on they may say the same."""

_SPOILED = {
    "no call at all": (Validity.NEVER_STARTED, ()),
    "every call: 429": (Validity.RATE_LIMITED, ("status 429: rate limit exceeded",) * 3),
    "every call: 529": (Validity.INFRASTRUCTURE, ("status 529: overloaded",) * 3),
    "connection refused": (Validity.INFRASTRUCTURE, ("connect: connection refused",)),
}


@dataclass(frozen=True)
class Conversation:
    """One attempt as the file has it."""

    task: str
    messages: list[dict[str, Any]]

    @property
    def errors(self) -> list[str]:
        """What its tools reported as errors."""
        texts = [str(m.get("content") or "") for m in self.messages if m["role"] == "tool"]
        return [text for text in texts if re.match(r"\s*error\b", text, re.IGNORECASE)]


def conversations(path: Path) -> list[Conversation]:
    """Those of a file, in its order."""
    return [
        Conversation(str(one["task_id"]), one.get("traj") or one["messages"]) for one in json.loads(path.read_text())
    ]


def spoiled(count: int) -> Found:
    """As many attempts as there are conversations, in each of the four ways."""
    told = []
    for word, (_, errors) in _SPOILED.items():

        def calls(errors: Sequence[str] = errors) -> Iterator[Asked]:
            body = b'{"messages":[{"role":"user","content":"Begin."}]}'
            return iter([Asked(body, [], b"", error=error) for error in errors])

        attempts = [
            Attempt(f"attempt {n}", CHAT, calls, lambda: Verdict(Ending.SILENT, word="not solved: it never got there"))
            for n in range(count)
        ]
        told.append(Told(word, word, "Begin.", attempts))
    return Found("openai", "spoiled", told)


def missed(document: Document, attempts: Sequence[Conversation]) -> list[str]:
    """Errors that no observation quotes from the attempt that met them."""
    left = []
    for lane, attempt in enumerate(attempts, 1):
        quotes = Counter(e.quote for o in document.observations for e in set(o.evidence) if e.subagent.lane == lane)
        for error in attempt.errors:
            quote = next((quote for quote in quotes if quotes[quote] > 0 and quote.strip() and quote in error), None)
            if quote is None:
                left.append(f"1.{lane}: {error}")
            else:
                quotes[quote] -= 1
    return left


def alike(document: Document) -> list[tuple[str, str]]:
    """Pairs of observations that may say the same, by their words."""
    said = [
        (o.text, set(re.findall(r"\w+", f"{o.claim} {o.text} {' '.join(o.excerpt)}".lower())))
        for o in document.observations
    ]
    return [
        (a, b)
        for (a, words), (b, others) in combinations(said, 2)
        if len(words & others) >= ALIKE * len(words | others)
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    named = [argument for argument in arguments if argument != "--list"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(named[0]) if named else Path(folder, "tau-bench.json")
        if not named:
            path.write_bytes(lzma.decompress(RECORDED.read_bytes()))
        told = conversations(path)
        home = Home(Path(folder)).create()
        with open_store(home.store) as store:
            at = time.time()
            made = bring(store, home, path, look(path), observe=_observe, at=at)
            imported = time.time() - at
            wrong = bring(store, home, path, spoiled(len(told)), observe=_observe, at=at)
            _print(store, made, wrong, told, imported, everything="--list" in arguments)
    return 0


def _observe(store: Store, run: str) -> Any:
    return observe(store, run, 1, at=0.0)


@dataclass
class _Sum:
    """What all tasks come to."""

    left: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    unproved: int = 0
    known: Counter[Priority] = field(default_factory=Counter)
    words: list[int] = field(default_factory=list)
    injected: list[int] = field(default_factory=list)
    judged: Counter[tuple[Validity, Validity]] = field(default_factory=Counter)
    seconds: float = 0.0

    def take(self, store: Store, run: Made, attempts: Sequence[Conversation]) -> Document:
        """One task."""
        begin = time.perf_counter()
        seen = observe_all(store, run.run)
        self.seconds += time.perf_counter() - begin
        document = seen.document
        self.left += [f"{run.name}, {error}" for error in missed(document, attempts)]
        self.unproved += sum(not o.evidence for o in document.observations)
        self.broken += check_evidence(store, document)
        self.pairs += alike(document)
        self.known.update(o.priority for o in document.observations)
        self.words.append(tokens(render(document)))
        self.injected.append(select(document, CAP).tokens)
        self.judged.update((Validity.VALID, word) for word, _ in seen.judged.values())
        return document


def _print(
    store: Store,
    made: Sequence[Made],
    wrong: Sequence[Made],
    told: Sequence[Conversation],
    imported: float,
    *,
    everything: bool,
) -> None:
    tasks: dict[str, list[Conversation]] = {}
    for one in told:
        tasks.setdefault(f"task {one.task}", []).append(one)
    all_ = _Sum()
    for run in made:
        document = all_.take(store, run, tasks[run.name])
        if everything:
            print(f"\n{run.name}\n{render(document)}")
    judged = all_.judged
    for run in wrong:
        judged.update((_SPOILED[run.name][0], word) for word, _ in observe_all(store, run.run).judged.values())
    errors, count, every = sum(len(one.errors) for one in told), len(told), sum(all_.known.values())
    quoted = errors - len(all_.left)
    valid = sum(number for (_, word), number in judged.items() if word is Validity.VALID)
    right = judged[Validity.VALID, Validity.VALID]
    mean, most = sum(all_.injected) / len(all_.injected), max(all_.injected)
    rows = [
        ("errors that tools reported", f"{errors}, of which {quoted} are quoted: {_share(quoted, errors)}"),
        ("judged valid", f"{valid}, of which {right} are: precision {_share(right, valid)}"),
        ("valid", f"{count}, of which {right} are judged so: recall {_share(right, count)}"),
        *(_spoiled_row(judged, truth) for truth in dict.fromkeys(truth for truth, _ in _SPOILED.values())),
        ("observations", f"{every}, {every / count:.2f} an attempt, {every / len(tasks):.1f} a task"),
        ("of these", ", ".join(f"{all_.known[priority]} {priority}" for priority in Priority)),
        ("without evidence", str(all_.unproved)),
        ("quotes that no tape has", str(len(all_.broken))),
        ("pairs that may say the same", str(len(all_.pairs))),
        ("tokens a task, in the file", f"{sum(all_.words) / len(all_.words):.0f}"),
        ("tokens a task, in a prompt", f"{mean:.0f}, at most {most}"),
        ("time", f"{1000 * all_.seconds / count:.1f} ms an attempt; {imported:.1f} s for the import with it"),
    ]
    print(f"{len(tasks)} tasks, {count} attempts, {sum(len(one.messages) for one in told):,} messages")
    for name, value in rows:
        print(f"  {name:<30}{value}")
    for text in (*all_.left, *all_.broken, *(f"{a}\n    {b}" for a, b in all_.pairs)):
        print(f"  ! {text}")


def _spoiled_row(judged: Counter[tuple[Validity, Validity]], truth: Validity) -> tuple[str, str]:
    total = sum(number for (was, _), number in judged.items() if was is truth)
    return f"spoiled: {truth}", f"{total}, of which {judged[truth, truth]} are judged so"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
