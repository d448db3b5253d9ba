"""Errors and crashes in what tools answered, found by their form."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backends.observer.telling import NAMES_ERROR

_PREFIX = r"^[ \t|+]*"
_TRACEBACK = re.compile(_PREFIX + r"Traceback \(most recent call last\):$", re.MULTILINE)
_FRAME = re.compile(r'File "([^"\n]+)", line \d+(?:, in (\S+))?')
_RAISED = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?")
_PYTEST = re.compile(
    r"^(\S+\.py):\d+: ([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Failed|Timeout))\s*$", re.M
)
_PYTEST_MESSAGE = re.compile(r"^E   +(.*)$", re.MULTILINE)
_STACK = re.compile(
    _PREFIX + r"(?:Uncaught |Exception in thread \"[^\"\n]*\" |Caused by: |\[ERROR\] )?"
    r"((?:[A-Za-z_$][\w$]*\.)*[A-Z]\w*(?:Error|Exception)\w*)(?: \[\w+\])?(?:: (.*))?$"
    r"((?:\n[ \t|]*at .+)+)",
    re.MULTILINE,
)
_AT = re.compile(r"at (?:(?:async |new )?([\w$.<>\[\] ]+?) ?\()?([^()\s]+?)(?::\d+)?(?::\d+)?\)?$")
_PANIC_GO = re.compile(r"^(?:panic|fatal error): (.*)$", re.MULTILINE)
_FRAME_GO = re.compile(r"^(\S+)\(.*\)\n\t(\S+\.go):\d+", re.MULTILINE)
_PANIC_RUST = re.compile(
    r"^thread '[^'\n]*' (?:\(\d+\) )?panicked at (?:'(.*)', )?([^\s:]+):\d+:\d+:?(?:\n(.*))?", re.MULTILINE
)

_FOREIGN = re.compile(
    r"site-packages/|dist-packages/|node_modules/|/lib/python\d|/usr/(?:local/)?(?:lib|share|go)/|^<|^node:|internal/|"
    r"/rustc/|\.cargo/|go/pkg/mod/|^(?:java|javax|jdk|sun|org\.junit|org\.gradle)\b|library/(?:std|core|test)/"
)

_MISSING = re.compile(
    r"(?:^|[\s:])([\w.+/-]+): command not found\b|^\S*sh: (?:line )?\d+: ([\w.+/-]+): not found$|"
    r"^make(?:\[\d+\])?: ([\w.+/-]+): (?:Command not found|No such file or directory)$|"
    r"No module named '?\"?([\w.-]+)|Cannot find (?:module|package) '([^'\n]+)'|"
    r"error while loading shared libraries: ([\w.+-]+)",
)


_COMPLAINS = re.compile(r"(?:\S*/)?[\w.-]+: (?:line \d+: )?\S")
"""A program's name, and what it has to say."""
_FEW = 3
_STACKED = 20_000
"""Characters after a panic in which its frames are."""


@dataclass(frozen=True)
class Crash:
    """One crash: what was raised, and the innermost frame in the project's own code, "" when none is. `quote` is the
    text that says what was raised, `start` its place in the output."""

    name: str
    message: str
    path: str
    function: str
    quote: str
    start: int


def crashes(output: str, root: str = "") -> Iterator[Crash]:
    """The crashes in an output, in order of the forms that they have."""
    yield from _python(output, root)
    for match in _PYTEST.finditer(output):
        told = [m[1] for m in _PYTEST_MESSAGE.finditer(output, 0, match.start())]
        message = told[-1].removeprefix(match[2]).lstrip(": ") if told else ""
        yield Crash(match[2], message, _project(match[1], root), "", match[0].strip(), match.start())
    for match in _STACK.finditer(output):
        frames = [(m[2], m[1] or "") for m in map(_AT.search, match[3].strip().split("\n")) if m]
        path, function = _innermost(frames, root)
        first = match[0].split("\n", 1)[0]
        yield Crash(match[1], match[2] or "", path, function, first.strip(), match.start() + first.index(first.strip()))
    for match in _PANIC_GO.finditer(output):
        frames = [(m[2], m[1]) for m in _FRAME_GO.finditer(output, match.end(), match.end() + _STACKED)]
        path, function = _innermost(frames, root)
        yield Crash("panic", match[1], path, function, match[0], match.start())
    for match in _PANIC_RUST.finditer(output):
        quote = match[0].split("\n", 1)[0]
        yield Crash("panic", match[1] or match[3] or "", _project(match[2], root), "", quote, match.start())


def missing(output: str) -> tuple[str, str, int] | None:
    """A program or module that is not there: its name, the line that says so, and the line's place."""
    start = 0
    for line in output.split("\n"):
        match = _MISSING.search(line.rstrip())
        if match:
            name = next(group for group in match.groups() if group)
            return name.rsplit("/", 1)[-1], line.strip(), start + line.index(line.strip())
        start += len(line) + 1
    return None


def complaint(output: str) -> str | None:
    """The line in which a program says that it could not do what it was asked, where that is all that it says."""
    lines = [line.strip() for line in output.strip().split("\n") if line.strip()]
    if 0 < len(lines) <= _FEW and _COMPLAINS.match(lines[-1]) and NAMES_ERROR.search(lines[-1]):
        return lines[-1]
    return None


def _python(output: str, root: str) -> Iterator[Crash]:
    for opening in _TRACEBACK.finditer(output):
        frames: list[tuple[str, str]] = []
        at = opening.end() + 1
        width = len(opening[0]) - len(opening[0].lstrip(" \t|+"))
        while at <= len(output):
            end = output.find("\n", at)
            end = len(output) if end < 0 else end
            line = output[at:end]
            body = line[width:]
            if frame := _FRAME.search(line):
                frames.append((frame[1], frame[2] or ""))
            elif body and not body[0].isspace() and not line.lstrip(" |").startswith("+-"):
                raised = _RAISED.fullmatch(body)
                if raised:
                    path, function = _innermost(list(reversed(frames)), root)
                    yield Crash(raised[1], raised[2] or "", path, function, body, at + width)
                break
            at = end + 1


def _innermost(frames: Sequence[tuple[str, str]], root: str) -> tuple[str, str]:
    """The first frame that is the project's own; frames come innermost first."""
    for path, function in frames:
        if not _FOREIGN.search(path) and not _FOREIGN.search(function):
            return _project(path, root), function.strip()
    return "", ""


def _project(path: str, root: str) -> str:
    """A path as the project has it. A sandbox's own folder differs from lane to lane."""
    base = root.rstrip("/")
    if base and path.startswith(f"{base}/"):
        return path[len(base) + 1 :]
    if path.startswith("/"):
        return "/".join(path.split("/")[-2:])
    return path.removeprefix("./")
