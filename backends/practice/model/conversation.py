"""A request of the Messages protocol, read back into what has happened so far.

Nothing is remembered between requests: what the files say, what was edited and what the check found all comes from the
conversation, so it makes no difference which process answers.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backends.practice.model.hunks import once

Json = Mapping[str, Any]

_LINE = re.compile(r" *(\d+)\t(.*)")
_RANGE = re.compile(r"\(lines (\d+) to (\d+) of (\d+)\)")
_COUNTED = re.compile(r"(\d+) (?:broken|failed|failures?|errors?|violations?)\b|(?:failures|errors|failed)[=:] ?(\d+)")
_SECTION = re.compile(r"^# (.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_TURNS = re.compile(r"(\d+)\s+turns?\b|turns?\D{0,12}(\d+)", re.IGNORECASE)
_LABEL = re.compile(r"subagent\s+[`\"]?([\w.:-]*\d)", re.IGNORECASE)
_PARTED = "From here on this conversation goes on in a new workspace"
_RAISED = "limits are raised"
_MANY_TURNS = 60
UNCOUNTED = 1_000_000
"""What a check counts that ran out of time or can't be read: more than anything."""


@dataclass(frozen=True)
class Brief:
    """What the system prompt says, by the titles of its sections."""

    sections: Mapping[str, str]
    label: str
    check: str
    protected: tuple[str, ...]
    turns: int

    def section(self, title: str) -> str:
        return self.sections.get(title, "")


@dataclass(frozen=True)
class Checked:
    """One run of the check: the files that had been edited as they were then, what it counted and what it said."""

    files: Mapping[str, str]
    count: int
    output: str


@dataclass
class Pages:
    """The lines of a file that have been seen, from 1, and how many there are."""

    lines: dict[int, str] = field(default_factory=dict)
    total: int | None = None

    @property
    def text(self) -> str | None:
        """The whole file, once every line has been seen."""
        if self.total is None or any(n not in self.lines for n in range(1, self.total + 1)):
            return None
        return "".join(f"{self.lines[n]}\n" for n in range(1, self.total + 1))

    @property
    def missing(self) -> int:
        """The first line that has not been seen."""
        return next((n for n in range(1, (self.total or 0) + 1) if n not in self.lines), 1)


@dataclass
class Story:
    """What has happened. `base` are files as first read, `now` as they must be after the edits; `doubtful` are those
    where nobody knows; `errors` counts failed edits by path."""

    brief: Brief
    tools: frozenset[str]
    turn: int
    said: str = ""
    pages: dict[str, Pages] = field(default_factory=dict)
    base: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    errors: dict[str, int] = field(default_factory=dict)
    checks: list[Checked] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    """What other commands printed, by command; only those that went well."""
    recalled: dict[str, str] = field(default_factory=dict)
    """What recall found, by query."""

    @property
    def left(self) -> int:
        """Turns left, this one included."""
        return self.brief.turns - self.turn + 1


def story(request: Json) -> Story:
    """Read a request that is valid."""
    tools = frozenset(str(tool.get("name", "")) for tool in request.get("tools") or ())
    turn = 1 + sum(message["role"] == "assistant" for message in request["messages"])
    told = Story(_brief(_text(request.get("system") or "")), tools, turn)
    open_calls: dict[str, Json] = {}
    for at, message in enumerate(request["messages"]):
        for block in blocks(message):
            if message["role"] == "user" and block["type"] == "text":
                _heard(told, block["text"], turn - sum(m["role"] == "assistant" for m in request["messages"][:at]))
            elif message["role"] == "assistant" and block["type"] == "text":
                told.said += block["text"] + "\n"
            elif block["type"] == "tool_use":
                open_calls[block["id"]] = block
            elif block["type"] == "tool_result" and (call := open_calls.pop(block["tool_use_id"], None)):
                _happened(told, call, _text(block.get("content") or ""), not block.get("is_error"))
    return told


def _heard(told: Story, text: str, turn: int) -> None:
    """What is said in the middle of it: that the limits are others; or that it goes on in a workspace as it was at
    first, with all its turns (`turn` is then the present one, counted from here)."""
    if text.startswith(_PARTED):
        told.turn = turn
        told.now = dict(told.base)
        told.touched, told.doubtful, told.errors = set(), set(), {}
    elif (limits := text.rfind(_RAISED)) >= 0 and (turns := _TURNS.search(text[limits:])):
        told.brief = replace(told.brief, turns=int(turns[1] or turns[2]))


def blocks(message: Json) -> Iterator[Json]:
    """The blocks of a message; a plain text is one."""
    content = message["content"]
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    else:
        yield from content


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


def _brief(system: str) -> Brief:
    parts = _SECTION.split(_unfenced(system))
    sections = {title.strip(): text.strip() for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    learned = next((title for title in sections if title.startswith("What earlier")), None)
    if learned is not None:
        sections[learned] = system.split(f"# {learned}", 1)[1].strip()
    codes = _CODE.findall(sections.get("Check", ""))
    label = _LABEL.search(sections.get("Role", ""))
    turns = _TURNS.search(sections.get("Limits", ""))
    return Brief(
        sections,
        label[1] if label else "",
        codes[0].strip() if codes else "",
        tuple(codes[1:]),
        int(turns[1] or turns[2]) if turns else _MANY_TURNS,
    )


def _unfenced(text: str) -> str:
    """Without what stands in fences: a heading in there is not one of the prompt's."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _happened(told: Story, call: Json, result: str, ok: bool) -> None:
    name, given = call["name"], call["input"]
    if name == "read":
        _read(told, str(given.get("path", "")), result, ok)
    elif name == "edit":
        _edited(told, str(given.get("path", "")), str(given.get("old", "")), str(given.get("new", "")), ok)
    elif name == "run":
        command = str(given.get("command", "")).strip()
        if command == told.brief.check:
            if ok or result.startswith("timed out"):
                now = {path: told.now[path] for path in told.touched if path in told.now}
                told.checks.append(Checked(now, _count(result), result))
        elif ok:
            told.outputs[command] = result.partition("\n")[2]
    elif name == "recall":
        told.recalled[str(given.get("query", ""))] = result if ok else ""


def _read(told: Story, path: str, result: str, ok: bool) -> None:
    if not ok:
        if path not in told.base and "interrupted" not in result:
            told.unreadable.add(path)
        return
    found = [(int(match[1]), match[2]) for line in result.split("\n") if (match := _LINE.fullmatch(line))]
    span = _RANGE.search(result.partition("\n")[0])
    total = int(span[3]) if span else None
    fresh = told.pages[path] if path in told.pages and path not in told.doubtful else Pages()
    if path in told.touched and path not in told.doubtful:
        return
    fresh.lines.update(found)
    if total is not None:
        fresh.total = total
    elif not found or found[0][0] == 1:
        fresh.total = max((number for number, _ in found), default=0)
    told.pages[path] = fresh
    text = fresh.text
    if text is not None:
        told.now[path] = text
        told.doubtful.discard(path)
        if path not in told.touched:
            told.base[path] = text


def _edited(told: Story, path: str, old: str, new: str, ok: bool) -> None:
    told.touched.add(path)
    now = told.now.get(path)
    if not ok:
        told.errors[path] = told.errors.get(path, 0) + 1
    if ok and not old:
        told.now[path] = new
    elif ok and now is not None and once(now, old):
        told.now[path] = now.replace(old, new)
    else:
        told.doubtful.add(path)
        told.pages.pop(path, None)


def _count(result: str) -> int:
    """What the check counts: 0 when it passed; 1 when it failed and counts nothing."""
    first, _, output = result.partition("\n")
    code = re.fullmatch(r"exit code (-?\d+)", first.strip())
    if code is None:
        return UNCOUNTED
    if int(code[1]) == 0:
        return 0
    found = list(_COUNTED.finditer(output))
    return max(int(found[-1][1] or found[-1][2]), 1) if found else UNCOUNTED if "Traceback" in output else 1
