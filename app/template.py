"""The task file that `multitrack init` writes: every key with what it means, the check guessed from the repository."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from app.taskkeys import ARRAYS, KEYS, TABLES, Key
from app.taskkinds import NO_LIMIT, Bytes

WIDTH = 100

_HEAD = """\
# A task for Multitrack: what is to be solved, and within which bounds. `multitrack run` works on it,
# `multitrack doctor` looks whether everything that it needs is here.
#
# Lines that begin with `# name =` are keys that are left out: what they show is what holds then.
"""

_EXAMPLE = {
    "routes.model": "claude-haiku-4-5",
    "routes.deployments": ("openai/gpt-5.1-mini", "openai/gpt-5.1-mini@second"),
    "routes.fallbacks": ("ollama_chat/qwen3:8b",),
    "upstreams.name": "second",
    "upstreams.url": "https://llm.example.org",
    "upstreams.key": "SECOND_API_KEY",
    "prices.model": "qwen3:8b",
    "prices.input": 0.1,
    "prices.output": 0.4,
    "prices.cache_read": 0.01,
    "prices.cache_write": 0.1,
    "strategies.name": "reproduce first",
    "strategies.approach": "Write the smallest program that shows the fault, then read only what it touches.",
    "strategies.triage": ("the check's output", "the newest commits", "shared state"),
    "strategies.heuristics": ("make the fault impossible rather than rare",),
    "strategies.limits.turns": 40,
    "strategies.limits.tokens": 1_000_000,
    "strategies.limits.usd": 2.5,
    "strategies.limits.seconds": 1800.0,
}
"""What stands in the file where there is no default to show."""


@dataclass(frozen=True)
class Guess:
    """How a repository is likely to be checked, and which paths belong to its tests."""

    command: str
    protected: tuple[str, ...] = ()


def guess(repository: Path, environ: Mapping[str, str]) -> Guess | None:
    """The check that the repository's own files speak of, None when they speak of none. The environment's PATH tells
    what Python is called here."""
    python = "python" if shutil.which("python", path=environ.get("PATH")) else "python3"
    return _python(repository, python) or next((found for rule in _RULES if (found := rule(repository))), None)


def named(command: str, repository: Path) -> tuple[str, ...]:
    """The files of the repository that a check names: they decide, so a patch should not change them."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return ()
    files = (PurePath(os.path.normpath(word)) for word in words)
    return tuple(
        "/" + re.sub(r"([\\*?\[\]])", r"\\\1", str(file))
        for file in files
        if not file.is_absolute() and ".." not in file.parts and (repository / file).is_file()
    )


def _python(folder: Path, python: str) -> Guess | None:
    told = any(
        word in _read(folder / name)
        for name, word in (
            ("pytest.ini", "[pytest]"),
            ("pyproject.toml", "pytest"),
            ("setup.cfg", "[tool:pytest]"),
            ("tox.ini", "pytest"),
        )
    )
    tests = [name for name in ("tests", "test") if (folder / name).is_dir()]
    if not told and not any(next((folder / name).glob("**/test_*.py"), None) for name in tests):
        return None
    return Guess(f"{python} -m pytest -q", tuple(f"{name}/**" for name in tests) or ("**/test_*.py",))


def _make(folder: Path) -> Guess | None:
    names = ("GNUmakefile", "makefile", "Makefile")  # in the order in which make looks
    file = next((name for name in names if (folder / name).is_file()), "Makefile")
    text = _read(folder / file)
    target = next((name for name in ("test", "check") if re.search(rf"^{name}\s*:(?!=)", text, re.MULTILINE)), None)
    tests = tuple(f"{name}/**" for name in ("tests", "test") if (folder / name).is_dir())
    return Guess(f"make {target}", (f"/{file}", *tests)) if target else None


def _node(folder: Path) -> Guess | None:
    try:
        script = json.loads(_read(folder / "package.json") or "{}").get("scripts", {}).get("test", "")
    except (ValueError, AttributeError):
        return None
    # What `npm init` writes is no test.
    return Guess("npm test", ("**/*.test.*", "test/**")) if script and "no test specified" not in script else None


def _cargo(folder: Path) -> Guess | None:
    return Guess("cargo test", ("tests/**",)) if (folder / "Cargo.toml").is_file() else None


def _go(folder: Path) -> Guess | None:
    return Guess("go test ./...", ("**/*_test.go",)) if (folder / "go.mod").is_file() else None


_RULES: tuple[Callable[[Path], Guess | None], ...] = (_make, _node, _cargo, _go)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def template(*, goal: str, repository: str, found: Guess | None) -> str:
    """The whole file. What is not known (a goal, a check) stays empty, and the reader will ask for it."""
    known = {
        "task.goal": goal,
        "task.repository": repository,
        "check.command": found.command if found else "",
        "check.protected": found.protected if found else (),
    }
    parts = [_HEAD]
    for table, meaning in TABLES.items():
        sign = "# " if table.partition(".")[0] in ARRAYS else ""
        lines = [_comment(meaning), f"{sign}[[{table}]]" if table in ARRAYS else f"{sign}[{table}]"]
        for key in (key for key in KEYS if key.table == table):
            lines += ["", _comment(f"{key.help} {_must_be(key)}")] if not sign else [_comment(key.help)]
            if key.path in known:
                lines.append(f"{key.name} = {value(known[key.path])}")
            else:
                lines.append(f"# {key.name} = {value(_EXAMPLE.get(key.path, key.default))}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _must_be(key: Key) -> str:
    return f"({key.kind.right[0].upper()}{key.kind.right[1:]}.)"


def _comment(text: str) -> str:
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return "\n".join([*lines, line])


def value(given: Any) -> str:
    """A value in TOML; None is the word for no limit."""
    match given:
        case None:
            return f'"{NO_LIMIT}"'
        case Bytes():
            return f'"{given}"'
        case dict():
            inner = ", ".join(f"{name} = {value(item)}" for name, item in given.items())
            return f"{{ {inner} }}" if inner else "{}"
        case bool():
            return str(given).lower()
        case Enum():
            return value(given.value)
        case str() if "\n" in given and all(line.isprintable() for line in given.split("\n")) and _plain(given):
            return f'"""\n{given}"""'
        case str():
            # JSON's escapes are TOML's, but for the one sign that JSON lets through.
            return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float() if given == int(given):
            return str(int(given))
        case list() | tuple():
            return "[" + ", ".join(value(item) for item in given) + "]"
        case _:
            return str(given)


def _plain(text: str) -> bool:
    return "\\" not in text and '"""' not in text and not text.endswith('"')
