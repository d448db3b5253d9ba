"""One attempt as the observer reads it: a plain value, whatever it was read from."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from store.domain.events import SubagentChecked
from store.domain.foreign import exit_of
from store.domain.ids import SubagentId
from store.domain.limits import Spend
from store.domain.states import Ending

INTERRUPTED = "interrupted:"
"""How the result of a tool call begins that was open when the engine died."""

WORKSPACE = frozenset({"run", "edit", "write"})
"""Tools, in our words, that change files or can."""

_OURS = {"search": {"pattern"}, "recall": {"query"}, "submit": {"summary"}}
"""The built-in subagent's other tools, and what they are given."""

_EXIT = re.compile(r"(?:exit code (-?\d+)|timed out after ([\d.e+]+) s)\b[^\n]*(?:\n|$)")


_CLOSING = "</output>"


@dataclass(frozen=True)
class Said:
    """The text of one block, and where it is on the tape: `node` is "" when it got no further than the events."""

    text: str
    turn: int
    call: str = ""
    node: str = ""
    block: int = 0


@dataclass(frozen=True)
class Ran:
    """What the `run` tool answered. `exit_code` is None when the time ran out; `output` begins at `start` in the
    result's text."""

    exit_code: int | None
    seconds: str
    output: str
    start: int

    @property
    def timed_out(self) -> bool:
        return self.exit_code is None


@dataclass(frozen=True)
class Step:
    """One tool call with its result, which is None when it never had one. `name` and `input` are in our words, `tool`
    is the name that an agent of another kind has for it, "" where it is ours."""

    name: str
    input: Mapping[str, Any]
    asked: Said
    result: Said | None = None
    ok: bool = False
    tool: str = ""

    @property
    def ran(self) -> Ran | None:
        """The outcome of a command; None for another tool, and for a command that was not carried out."""
        if self.name != "run" or self.result is None:
            return None
        match = _EXIT.match(self.result.text)
        if match is None:
            ended = exit_of(self.tool, self.result.text, self.ok) if self.tool else None
            return None if ended is None else Ran(ended.code, "", _output(self.result.text, ended.start), ended.start)
        code = int(match[1]) if match[1] is not None else None
        return Ran(code, match[2] or "", self.result.text[match.end() :], match.end())

    @property
    def interrupted(self) -> bool:
        """Nobody knows whether it took effect."""
        return self.result is None or self.result.text.startswith(INTERRUPTED)

    @property
    def foreign(self) -> bool:
        """Whether its tool is none that works on files, and none of ours: nobody knows what such a one does, or how it
        says that it couldn't."""
        return self.name not in (*WORKSPACE, "read") and not _OURS.get(self.name, {""}) <= self.input.keys()

    def argument(self, name: str) -> str:
        """A text among its inputs, "" when there is none."""
        value = self.input.get(name)
        return value if isinstance(value, str) else ""


def _output(text: str, start: int) -> str:
    """A command's output from there on; out of the JSON that some agents put it in. Its lines stand there in the same
    order, and no earlier."""
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(output := value.get("output"), str):
            return output
    bare = text[start:].rstrip()
    return bare.removesuffix(_CLOSING).rstrip() if bare.endswith(_CLOSING) else text[start:]


@dataclass(frozen=True)
class Attempt:
    """One subagent's work. `answers` counts whole answers of the model, `failed_calls` what went wrong with the other
    calls. `baseline` is what the check counted on the unchanged code. `root` is the path of its sandbox, "" when that
    is no folder. `patch` is the patch that the harness checked. `told` is what it was told first.
    `foreign` is one that we did not run: it was imported, or only recorded, and need not have worked on files."""

    subagent: SubagentId
    strategy: str
    goal: str
    check: str
    protected: tuple[str, ...] = ()
    clean: bool = False
    model: str = ""
    ending: Ending | None = None
    detail: str = ""
    checked: SubagentChecked | None = None
    baseline: int | None = None
    foreign: bool = False
    steps: tuple[Step, ...] = ()
    said: tuple[Said, ...] = ()
    told: Said | None = None
    answers: int = 0
    failed_calls: tuple[str, ...] = ()
    spend: Spend = field(default_factory=Spend)
    root: str = ""
    patch: str = ""

    @property
    def solved(self) -> bool:
        """By the harness's word."""
        return self.checked is not None and self.checked.solved

    @property
    def unsolved(self) -> bool:
        """By the harness's word, or the file's that it was imported from; where nobody knows, it is neither."""
        return self.checked is not None and self.checked.known and not self.checked.solved

    @property
    def worked_on_files(self) -> bool:
        """Whether it had a workspace: what it did is in files, and not in what else its tools did."""
        return bool(self.check or self.patch) or any(step.name in WORKSPACE for step in self.steps)
