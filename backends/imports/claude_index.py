"""The lines of a session of Claude Code: where each stands, and how they hang together."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from backends.imports import ImportedFileError
from backends.imports.chat import text_of
from backends.imports.jsonfile import lines, parsed

SYNTHETIC = "<synthetic>"
"""The model of what Claude Code says in a model's place: an error, an interruption."""

_MOST_FILES = 2000
_SCHEMA = """
CREATE TABLE lines (file INTEGER, at INTEGER, size INTEGER, uuid TEXT, parent TEXT, kind TEXT, mid TEXT, thread TEXT,
  time REAL, PRIMARY KEY (file, at));
CREATE INDEX by_uuid ON lines (uuid);
CREATE INDEX by_parent ON lines (parent);
CREATE INDEX by_message ON lines (mid);
"""


class Line(NamedTuple):
    """Where a line stands, and how it hangs together with the others. `kind` is "assistant", "user", "result" for a
    user's line with results of tools, "error", or "" for what is no message."""

    file: int
    at: int
    size: int
    uuid: str | None
    parent: str | None
    kind: str
    mid: str | None
    thread: str
    time: float | None


@dataclass
class Session:
    """What is known of a session after a look at all its lines; `index` has where each stands, in a temporary file."""

    files: list[Path]
    index: sqlite3.Connection
    name: str = ""
    goal: str = ""
    title: str = ""
    model: str = ""
    created: float | None = None
    cwd: str = ""
    answers: int = 0
    last: str = ""
    under: dict[str, str] = field(default_factory=dict)
    """The tool call that began a thread, where a file says so."""


def looked_at(path: Path) -> Session:
    index = sqlite3.connect("", check_same_thread=False)
    index.executescript(_SCHEMA)
    session = Session([path], index)
    _index(session, 0)
    session.files += islice(_beside(path, session.name), _MOST_FILES)
    for number in range(1, len(session.files)):
        _index(session, number)
        session.under.update(_began_by(session.files[number]))
    index.commit()
    return session


def _beside(path: Path, name: str) -> Iterator[Path]:
    """The logs of a session's own subagents."""
    if path.name.startswith("agent-"):
        return
    # The session's name is the file's: whatever a line says, no other folder is looked into.
    yield from sorted((path.parent / path.stem / "subagents").glob("agent-*.jsonl"))
    for other in sorted(path.parent.glob("agent-*.jsonl")):
        first = next(lines(other), None)
        if first is not None:
            one = parsed(first[2], f"line 1 of {other.name}")
            if isinstance(one, dict) and one.get("sessionId") == name:
                yield other


def _began_by(file: Path) -> dict[str, str]:
    """The tool call that began a subagent, by the description beside its log."""
    meta = file.with_suffix(".meta.json")
    try:
        told = json.loads(meta.read_text()) if meta.stat().st_size < 65536 else {}
        return {file.stem.removeprefix("agent-"): str(told["toolUseId"])}
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return {}


def _index(session: Session, number: int) -> None:
    """Look at every line of a file."""
    file = session.files[number]
    where = f" of {file.name}" if number else ""
    roots: dict[str, str] = {}
    for count, at, text in lines(file):
        one = parsed(text, f"line {count:,}{where}")
        if not isinstance(one, dict):
            raise ImportedFileError(f"line {count:,}{where} is no object")
        line = _line(session, number, at, len(text), one, roots)
        if line.kind and line.uuid is None:
            raise ImportedFileError(f"line {count:,}{where} has a message without a uuid")
        session.index.execute("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", line)
        if not number:
            _told(session, one, line)
        session.answers += line.kind == "assistant"


def _line(session: Session, file: int, at: int, size: int, one: dict[str, Any], roots: dict[str, str]) -> Line:
    message = one.get("message")
    uuid, parent = text_in(one, "uuid") or None, text_in(one, "parentUuid") or None
    kind, mid = "", None
    if isinstance(message, dict) and one.get("type") == "assistant":
        wrong = one.get("isApiErrorMessage") is True or message.get("model") == SYNTHETIC
        kind = "error" if wrong else "assistant"
        mid = text_in(message, "id") or uuid
    elif isinstance(message, dict) and one.get("type") == "user":
        content = message.get("content")
        results = isinstance(content, list) and any(is_block(block, "tool_result") for block in content)
        kind = "result" if results else "user"
    thread = text_in(one, "agentId") if file or one.get("isSidechain") is True else ""
    if one.get("isSidechain") is True and not thread:
        # Older logs have a subagent's lines among the others, and name it by nothing but its first.
        thread = roots.get(parent or "", uuid or "")
    if file and not thread:
        thread = session.files[file].stem
    if uuid and thread:
        roots[uuid] = thread
    return Line(file, at, size, uuid, parent, kind, mid, thread, _time(one.get("timestamp")))


def _told(session: Session, one: dict[str, Any], line: Line) -> None:
    """What a line of the session's own file says of all of it."""
    session.name = session.name or text_in(one, "sessionId")
    message = one.get("message")
    match one.get("type"):
        case "summary":
            session.title = session.title or text_in(one, "summary")
        case "custom-title" | "ai-title":
            session.title = (
                text_in(one, "customTitle") or text_in(one, "aiTitle") or text_in(one, "title") or session.title
            )
    if line.time is not None and (session.created is None or line.time < session.created):
        session.created = line.time
    if not isinstance(message, dict) or line.thread:
        return
    if line.kind == "user" and not session.goal and one.get("isMeta") is not True:
        session.goal = text_of(message.get("content"))
    if line.kind == "assistant":
        session.model = session.model or text_in(message, "model")
        session.last = text_of(message.get("content")) or session.last


def blocks_of(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content if isinstance(content, list) else []


def is_block(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def text_in(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _time(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
