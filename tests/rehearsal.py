"""A whole run of generations in one process: the scripted model's pure core, tools on files in memory, the practice
task's own check, and the observer's and the harness's own rules. No network, no store, no engine.

The check really runs, once for each state of the files that any attempt comes to.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from backends.agents import Assignment
from backends.agents.prompt import BEGIN, system_prompt
from backends.agents.tools import Result, definitions, not_once, numbered
from backends.harness.design import Result as Designed
from backends.harness.design import _plan
from backends.harness.strategies import PORTFOLIO
from backends.observer.attempt import Attempt, Said, Step
from backends.observer.trials import trials, tried_fixes
from backends.practice import make_repository
from backends.practice.model.policy import reply
from store.domain import failures
from store.domain.events import CheckResult, SubagentChecked
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.observations import Document, Injection, merge, select
from store.domain.states import Ending
from store.domain.strategy import Strategy

TURNS = 11
MEMORY_TOKENS = 3000
LANES = 5
CLEAN = 5
"""The lane that has no memory."""
GENERATIONS = 5


class Bench:
    """A practice task's files, and its check."""

    def __init__(self, task: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="rehearsal-")
        root = Path(self.folder.name)
        self.task = make_repository(task, root / "repository")
        self.history: dict[str, str] = {}
        listed = self.shell("git ls-files")[1].split()
        self.files = {path: (self.task.repository / path).read_text() for path in listed}
        self.known: dict[str, tuple[int, str]] = {}
        self.bin = root / "bin"
        self.bin.mkdir()
        # The interpreter itself: a version manager's stand-in costs more than the check.
        (self.bin / "python3").symlink_to(os.path.realpath(sys.executable))

    def shell(self, command: str) -> tuple[int, str]:
        """Run a command on the unchanged files; its output is remembered."""
        if command not in self.history:
            done = subprocess.run(command, shell=True, cwd=self.task.repository, capture_output=True, text=True)
            self.history[command] = done.stdout
        return 0, self.history[command]

    def guarded(self, path: str) -> bool:
        """Whether changes to a file don't count."""
        return any(fnmatch(path, pattern) for pattern in self.task.protected)

    def lay(self, files: Mapping[str, str]) -> None:
        """Make the repository's files these."""
        for path, text in files.items():
            file = self.task.repository / path
            if file.read_text() != text:
                file.write_text(text)

    def check(self, files: Mapping[str, str]) -> tuple[int, str]:
        """Exit code and output of the check on these files."""
        digest = hashlib.blake2b(repr(sorted(files.items())).encode()).hexdigest()
        if digest not in self.known:
            self.lay(files)
            environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run(
                self.task.check, shell=True, cwd=self.task.repository, env=environment, capture_output=True, text=True
            )
            self.known[digest] = done.returncode, done.stdout + done.stderr
        return self.known[digest]


@cache
def bench(task: str) -> Bench:
    """The bench of a task, shared by all tests of the process, with what its check said to each state of the files."""
    return Bench(task)


@dataclass
class Lane:
    """One attempt as it goes on."""

    bench: Bench
    subagent: SubagentId
    strategy: Strategy
    observations: str
    recall: str | None
    """What there is to recall; None when the tool is not offered."""
    turns: int = TURNS
    files: dict[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    ending: Ending = Ending.TURNS
    solved: bool = False
    failures: int | None = None
    recalls: int = 0

    def request(self) -> dict[str, Any]:
        """The next request as the built-in subagent makes it."""
        if not self.messages:
            self.files = dict(self.bench.files)
            self.messages.append({"role": "user", "content": [{"type": "text", "text": BEGIN}]})
        task = self.bench.task
        assignment = Assignment(
            self.subagent,
            task.goal,
            task.check,
            task.protected,
            self.strategy,
            "scripted-debugger",
            Limits(turns=self.turns),
            self.observations,
            self.recall is not None,
            60.0,
            "",
            "",
        )
        return {
            "model": "scripted-debugger",
            "max_tokens": 8192,
            "system": [{"type": "text", "text": system_prompt(assignment)}],
            "tools": definitions(recall=self.recall is not None),
            "messages": self.messages,
        }

    def work(self, seed: int) -> None:
        """Go on to the end of the attempt, then let the check judge what is left."""
        for turn in range(1, self.turns + 1):
            answer = reply(self.request(), seed)
            self.messages.append({"role": "assistant", "content": list(answer.blocks)})
            results = [self.call(block, turn) for block in answer.blocks if block["type"] == "tool_use"]
            if self.ending is Ending.SUBMITTED:
                break
            assert results, "an answer without a tool call"
            self.messages.append({"role": "user", "content": results})
        code, output = self.bench.check(self.judged)
        self.solved, self.failures = code == 0, failures.count(output, code)

    @property
    def judged(self) -> dict[str, str]:
        """The files as the harness checks them: protected ones as they were."""
        return {
            p: self.bench.files[p] if p == "check.py" or p.startswith("tests/") else t for p, t in self.files.items()
        }

    def call(self, block: Mapping[str, Any], turn: int) -> dict[str, Any]:
        done = self.tool(block["name"], block["input"])
        asked = Said("", turn, f"c{turn}", f"n{turn}")
        self.steps.append(Step(block["name"], block["input"], asked, Said(done.text, turn, f"c{turn}", "n"), done.ok))
        return {"type": "tool_result", "tool_use_id": block["id"], "content": done.text, "is_error": not done.ok}

    def tool(self, name: str, given: Mapping[str, Any]) -> Result:
        match name:
            case "run":
                code, output = self.run(given["command"])
                return Result(f"exit code {code}\n{output}".rstrip())
            case "read":
                return numbered(given["path"], self.files[given["path"]], given.get("first", 1), given.get("last"))
            case "search":
                expression = re.compile(given["pattern"])
                found = [
                    f"{path}:{n}: {line}"
                    for path, text in self.files.items()
                    for n, line in enumerate(text.split("\n"), 1)
                    if expression.search(line)
                ]
                return Result("\n".join(found[:60]) or "no match")
            case "edit":
                text, old = self.files[given["path"]], given["old"]
                if reason := not_once(text.encode(), old.encode()):
                    return Result(reason, ok=False)
                self.files[given["path"]] = text.replace(old, given["new"])
                return Result(f"edited {given['path']}")
            case "recall":
                self.recalls += 1
                return Result(self.recall or "nothing found")
            case "submit":
                self.ending = Ending.SUBMITTED
                return Result("submitted", submitted=True)
        raise AssertionError(f"no tool {name}")

    def run(self, command: str) -> tuple[int, str]:
        return self.bench.check(self.files) if command == self.bench.task.check else self.bench.shell(command)

    def attempt(self, baseline: int) -> Attempt:
        """What the observer reads."""
        result = CheckResult(self.solved, 0 if self.solved else 1, self.failures, 0.1, "", "")
        checked = SubagentChecked(self.solved, "", result=result)
        task = self.bench.task
        return Attempt(
            self.subagent,
            self.strategy.name,
            task.goal,
            task.check,
            protected=task.protected,
            clean=self.recall is None,
            ending=self.ending,
            checked=checked,
            baseline=baseline,
            steps=tuple(self.steps),
            patch=self.patch,
        )

    @property
    def patch(self) -> str:
        """What is changed, as Git writes it."""
        differing = [path for path, text in sorted(self.judged.items()) if text != self.bench.files[path]]
        return "".join(
            line
            for path in differing
            for line in unified_diff(
                self.bench.files[path].splitlines(keepends=True),
                self.judged[path].splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
        )


@dataclass
class Generation:
    """How one went, without its clean lane."""

    solved: int
    clean_solved: int
    observations: int
    injected: int
    failures: tuple[int | None, ...]
    recalls: int


@dataclass
class Rehearsal:
    """A run: `memory` is "own", "none", or a text that is given in place of its own."""

    bench: Bench
    seed: int
    memory: str = "own"
    turns: int = TURNS
    tokens: int = MEMORY_TOKENS
    lanes: list[Lane] = field(default_factory=list)
    document: Document = field(default_factory=lambda: Document("run"))
    injection: Injection = field(default_factory=lambda: Injection("", (), 0))

    def run(self, generations: int = GENERATIONS) -> list[Generation]:
        code, output = self.bench.check(self.bench.files)
        baseline = failures.count(output, code)
        assert baseline
        return [self.generation(number, baseline) for number in range(1, generations + 1)]

    def generation(self, number: int, baseline: int) -> Generation:
        if self.memory == "own":
            self.injection = select(self.document, self.tokens)
        text = {"own": self.injection.text, "none": ""}.get(self.memory, self.memory)
        tape = "\n\n".join(
            f"[{lane.subagent.label} turn {step.asked.turn} assistant] {step.input}"
            for lane in self.lanes
            for step in lane.steps
            if step.name == "edit"
        )
        previous = (
            {lane.subagent.lane: self.designed(lane, baseline) for lane in self.lanes} if self.memory == "own" else {}
        )
        self.lanes = []
        for place in range(1, LANES + 1):
            clean = place == CLEAN
            plan = _plan(place, number, clean=clean, previous=previous, portfolio=PORTFOLIO)
            remembers = not clean and self.memory != "none"
            lane = Lane(
                self.bench,
                SubagentId("run", number, place),
                plan.strategy,
                text if remembers and (number > 1 or self.memory != "own") else "",
                tape if remembers and number > 1 else None,
                self.turns,
            )
            lane.work(self.seed)
            self.lanes.append(lane)
        attempts = [lane.attempt(baseline) for lane in self.lanes]
        found = [each for attempt in attempts for each in tried_fixes(attempt, trials(attempt))]
        self.document = merge(self.document, found)
        mine = [lane for lane in self.lanes if lane.subagent.lane != CLEAN]
        return Generation(
            solved=sum(lane.solved for lane in mine),
            clean_solved=sum(lane.solved for lane in self.lanes) - sum(lane.solved for lane in mine),
            observations=len(self.document.observations),
            injected=len(self.injection.ids),
            failures=tuple(lane.failures for lane in self.lanes),
            recalls=sum(lane.recalls for lane in self.lanes),
        )

    def designed(self, lane: Lane, baseline: int) -> Designed:
        return Designed(
            lane.subagent.lane,
            lane.strategy,
            lane.solved,
            lane.ending,
            lane.failures,
            baseline,
            lane.files != self.bench.files,
        )


def main() -> None:
    """Print what a run had learned at its end, as a prompt has it: `python -m tests.rehearsal TASK [SEED]`."""
    rehearsal = Rehearsal(bench(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    rehearsal.run()
    print(rehearsal.injection.text)


if __name__ == "__main__":
    main()
