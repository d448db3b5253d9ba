"""Tool calls of agents that are not ours, in our own words: `run` a command, `edit` and `read` a file.

By the tools of Claude Code, codex, mini-swe-agent and opencode as they were seen on the wire, and by what their kinds
have in common. What can't be said in our words stays as it is.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Given = Mapping[str, Any]

_OURS = {"run": {"command"}, "read": {"path"}, "edit": {"path", "old", "new"}}
_RUNS = {
    "bash",
    "shell",
    "exec_command",
    "local_shell_call",
    "run_shell_command",
    "execute_bash",
    "run_command",
    "terminal",
}
_EDITS = {"edit", "str_replace", "replace", "multiedit", "str_replace_editor", "str_replace_based_edit_tool"}
_WRITES = {"write", "create_file", "write_file"}
_READS = {"read", "view", "read_file", "view_file"}
_COMMAND = ("command", "cmd", "action", "script")
_PATH = ("file_path", "filePath", "path", "filename")
_OLD = ("old_string", "oldString", "old_str", "old")
_NEW = ("new_string", "newString", "new_str", "new")
_WHOLE = ("content", "file_text", "contents", "text")


def in_our_words(name: str, given: Given) -> tuple[str, Given]:
    """A tool call's name and input, as the built-in subagent would have called it; as they are where there is no
    likeness. A patch, and a file that is written whole, are edits whose old text is unknown: they have none."""
    if name in _OURS and _OURS[name] <= given.keys():
        return name, given
    low = name.rpartition("__")[2].lower()
    if low in _RUNS and (command := _command(given)):
        return "run", {"command": command}
    path = _first(given, _PATH)
    if low in _EDITS and path and (old := _first(given, _OLD)) is not None:
        return "edit", {"path": path, "old": old, "new": _first(given, _NEW) or ""}
    if path and (low in _WRITES or low in _EDITS) and (whole := _first(given, _WHOLE)) is not None:
        return "write", {"path": path, "new": whole}
    if low in _READS and path:
        return "read", {"path": path}
    if low == "apply_patch":
        return "write", {"path": "", "new": _first(given, ("input", "patch", *_WHOLE)) or ""}
    return name, given


class Exit(NamedTuple):
    """What a command's result says of its end: its exit code, and where its output begins in the text."""

    code: int
    start: int


_SAID = (
    # Ours; Claude Code's, where it is not 0; codex's; older mini-swe-agents'.
    re.compile(r"exit code (-?\d+)\b[^\n]*(?:\n|\Z)", re.IGNORECASE),
    re.compile(r"(?:[^\n]*\n){0,6}?Process exited with code (-?\d+)\n(?:[^\n]*\n){0,2}?Output:\n?"),
    re.compile(r"\s*<returncode>\s*(-?\d+)\s*</returncode>\s*(?:<output>\n?)?"),
    re.compile(r'\s*\{\s*"returncode":\s*(-?\d+)\s*,\s*(?:"output":\s*")?'),
)


def exit_of(tool: str, text: str, ok: bool | None) -> Exit | None:
    """What the result of a command says of its end, by the agent's own name of the tool; None where nobody knows. Where
    Claude Code's says nothing and is no error, the command went well; others say nothing either way."""
    for said in _SAID:
        if (match := said.match(text)) is not None:
            return Exit(int(match[1]), match.end())
    return Exit(0, 0) if ok and tool == "Bash" else None


def gist(name: str, given: Any) -> str:
    """What a tool call does, in the words that tell most: its command, its path, its longest text."""
    if not isinstance(given, Mapping):
        return str(given or "")
    if command := _command(given):
        return command
    if (path := _first(given, _PATH)) is not None:
        return path
    texts = [value for value in given.values() if isinstance(value, str) and value]
    named = _first(given, ("description", "pattern", "query", "url"))
    return named or (max(texts, key=len) if texts else json.dumps(given, ensure_ascii=False) if given else "")


def _command(given: Given) -> str:
    value = next((given[name] for name in _COMMAND if name in given), None)
    if isinstance(value, Mapping):
        value = value.get("command")
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        # Most are a shell, its option, and what it shall run.
        return value[2] if len(value) == 3 and value[1] in ("-c", "-lc") else " ".join(value)
    return value if isinstance(value, str) else ""


def _first(given: Given, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := given.get(name), str)), None)
