"""What a tool was given and what it gave, drawn as what it is: by its shape, for each agent has tools of its own."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from store.domain.secrets import shown_line
from widgets import paint
from widgets.ink import Line

PATHS = ("path", "file_path", "filePath", "filename", "file", "notebook_path", "target_file")
COMMANDS = ("command", "cmd", "script")
EDITS = (
    ("old", "new"),
    ("old_string", "new_string"),
    ("old_str", "new_str"),
    ("oldString", "newString"),
    ("old_text", "new_text"),
    ("search", "replace"),
)
CONTENTS = ("content", "file_text", "contents", "new_source")
PROSE = ("summary", "prompt", "thought", "message", "instructions", "plan", "description")
STEPS = ("todos", "plan", "steps")
"""Members by which the tools of agents are known: what they have in common is how they call what they are given."""

BESIDE = 64
"""Characters of what a tool is given that have room beside its name."""
SHORT = 200
"""Characters of a value that stands on its name's line."""

_PATCH = re.compile(r"\*\*\* Begin Patch|^diff --git |^--- .*\n\+\+\+ ", re.M)
_DONE = {"completed": ("✔ ", "good"), "done": ("✔ ", "good"), "in_progress": ("▶ ", "accent")}


def given(name: str, value: Any) -> list[Line]:
    """A tool call's input, under the tool's name."""
    head: Line = [("› ", "tool"), (shown_line(name), "tool")]
    if isinstance(value, str):
        return [head, *_text(value)] if value else [head]
    if not isinstance(value, dict):
        return [head, *paint.as_json(value)]
    left: dict[str, Any] = dict(value)
    body = _known(left)
    facts, more = _rest(left)
    beside = sum(len(name) + len(value) + 3 for name, value in facts)
    if facts and beside <= BESIDE:
        for member, text in facts:
            head += [(f"  {member} ", "faint"), (text, "text")]
    else:
        size = max((len(member) for member, _ in facts), default=0)
        more = [*([(f"  {member:<{size}}  ", "faint"), (text, "text")] for member, text in facts), *more]
    return [head, *more, *body]


def gave(text: str, asked: Any) -> list[Line]:
    """What a tool gave back; `asked` is what it was given."""
    path = path_of(asked)
    if path and paint.is_numbered(text):
        return paint.numbered(text, path)
    return paint.guess(text)


def path_of(value: Any) -> str:
    """The file that a tool call is about, "" where it names none."""
    return _first(value, PATHS)[1] if isinstance(value, dict) else ""


def written(value: Any) -> str:
    """What a tool call would put into files, "" where it puts nothing: what its one-line summary doesn't tell."""
    if isinstance(value, str):
        return value if _PATCH.search(value[:4000]) else ""
    if not isinstance(value, dict):
        return ""
    members = {*CONTENTS, "edits", *(name for pair in EDITS for name in pair)} if path_of(value) else set()
    own = {name: one for name, one in value.items() if name in members or (isinstance(one, str) and written(one))}
    return json.dumps(own, sort_keys=True) if own else ""


def _known(left: dict[str, Any]) -> list[Line]:
    """What is drawn in a way of its own; it is taken out."""
    path = path_of(left)
    for old, new in EDITS:
        if path and isinstance(left.get(old), str) and isinstance(left.get(new), str):
            del left[_first(left, PATHS)[0]]
            return paint.edit(path, left.pop(old), left.pop(new))
    edits = left.get("edits")
    if path and isinstance(edits, list) and edits and all(map(_is_edit, edits)):
        del left["edits"], left[_first(left, PATHS)[0]]
        return [line for edit in edits for line in _known({"path": path, **edit})]
    member, content = _first(left, CONTENTS)
    if path and member:
        del left[member]
        return paint.code(content, path)
    # Beside a path a command is what an editor is to do.
    if not path and (command := _command(left)) is not None:
        return paint.code(command, language="bash")
    for member, value in left.items():
        if isinstance(value, str) and _PATCH.search(value[:4000]):
            del left[member]
            return paint.diff(value)
    for member in STEPS:
        if (steps := _steps(left.get(member))) is not None:
            del left[member]
            return steps
    return []


def _first(value: Mapping[str, Any], names: Sequence[str]) -> tuple[str, str]:
    return next(((name, value[name]) for name in names if isinstance(value.get(name), str)), ("", ""))


def _is_edit(value: Any) -> bool:
    return isinstance(value, dict) and any(
        isinstance(value.get(old), str) and isinstance(value.get(new), str) for old, new in EDITS
    )


def _command(left: dict[str, Any]) -> str | None:
    """A command for a shell; also as codex gives it, in pieces."""
    for name in COMMANDS:
        value = left.get(name)
        if isinstance(value, str):
            return str(left.pop(name))
        if isinstance(value, list) and value and all(isinstance(piece, str) for piece in value):
            del left[name]
            # `bash -lc SCRIPT`
            shell = len(value) == 3 and value[1] in ("-c", "-lc")
            return str(value[2]) if shell else shlex.join(value)
    return None


def _steps(value: Any) -> list[Line] | None:
    """A plan: what is to be done, and what is."""
    if not isinstance(value, list) or not value:
        return None
    lines: list[Line] = []
    for step in value:
        words = _first(step, ("content", "step", "title", "text"))[1] if isinstance(step, dict) else ""
        if not words:
            return None
        lines.append([_DONE.get(str(step.get("status")), ("○ ", "faint")), (shown_line(words, SHORT), "text")])
    return lines


def _rest(left: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[Line]]:
    """What fits on a line, by name; and lines for what doesn't."""
    facts: list[tuple[str, str]] = []
    lines: list[Line] = []
    for member, value in left.items():
        name = shown_line(str(member), 40)
        if isinstance(value, str) and (len(value) > SHORT or "\n" in value):
            lines += [[(name, "faint")], *(paint.prose(value) if member in PROSE else _text(value))]
        elif isinstance(value, dict | list) and value:
            lines += [[(name, "faint")], *paint.as_json(value)]
        else:
            facts.append((name, shown_line(value if isinstance(value, str) else json.dumps(value), SHORT)))
    return facts, lines


def _text(value: str) -> list[Line]:
    return paint.diff(value) if _PATCH.search(value[:4000]) else paint.guess(value)
