"""Git patches as plain data: which files they touch, how much, and the patch without protected files.

A patch may come out of a hostile sandbox, so it is read strictly: a line that is not understood is an error, never
passed over, for what is passed over could touch a protected file unseen.
"""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.sandboxes.patterns import Patterns
from backends.sandboxes.protocol import SandboxError


@dataclass(frozen=True)
class FilePatch:
    """What a patch does to one file. `paths` are all names that it changes: one, or two when it is renamed."""

    paths: tuple[bytes, ...]
    insertions: int
    deletions: int
    text: bytes


def read(patch: bytes) -> tuple[FilePatch, ...]:
    """The files of a patch, in order. SandboxError when it is no patch as Git writes them."""
    lines = _Lines(io.BytesIO(patch).readlines())
    files = []
    while lines.more:
        files.append(_file(lines))
    return tuple(files)


def touched(patch: bytes) -> tuple[str, ...]:
    """The paths that a patch changes, sorted; bytes that are no UTF-8 are shown as escapes."""
    return _names(path for file in read(patch) for path in file.paths)


def size(patch: bytes) -> tuple[int, int]:
    """Lines inserted and deleted; binary files count none."""
    files = read(patch)
    return sum(file.insertions for file in files), sum(file.deletions for file in files)


def without(patch: bytes, protected: Sequence[str]) -> tuple[bytes, tuple[str, ...]]:
    """The patch without the files that change a protected path, and the protected paths that they would have changed.

    The patterns are as in `.gitignore`. A rename from or to a protected path is a change of it, and left out whole.
    """
    guarded = Patterns(protected)
    kept: list[bytes] = []
    left_out: list[bytes] = []
    for file in read(patch):
        hit = [path for path in file.paths if guarded.match(path)]
        left_out += hit
        if not hit:
            kept.append(file.text)
    return b"".join(kept), _names(left_out)


def _names(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted({path.decode("utf-8", "backslashreplace") for path in paths}))


class _Lines:
    """The lines of a patch, read from first to last."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.at = 0

    @property
    def more(self) -> bool:
        return self.at < len(self.lines)

    def take(self, *beginnings: bytes) -> bytes | None:
        """The next line when it begins so."""
        if self.more and self.lines[self.at].startswith(beginnings):
            self.at += 1
            return self.lines[self.at - 1]
        return None

    def fail(self, what: str) -> SandboxError:
        return SandboxError(f"the patch is not one that Git writes: {what} in line {self.at}")


_HEADERS = (
    b"old mode ", b"new mode ", b"deleted file mode ", b"new file mode ", b"similarity index ", b"dissimilarity index ",
    b"index ", b"rename from ", b"rename to ", b"copy from ", b"copy to ",
)  # fmt: skip
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_DATA = re.compile(rb"[A-Za-z][0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]+\n")


def _file(lines: _Lines) -> FilePatch:
    begin = lines.at
    head = lines.take(b"diff --git ")
    if head is None:
        lines.at += 1
        raise lines.fail("no `diff --git`")
    moved: dict[bytes, bytes] = {}
    while (line := lines.take(*_HEADERS)) is not None:
        for word in (b"rename from ", b"rename to ", b"copy from ", b"copy to "):
            if line.startswith(word) and word in moved:
                raise lines.fail("a second rename")
            if line.startswith(word):
                moved[word] = _name(line.removeprefix(word), lines)
    insertions = deletions = 0
    content: set[bytes] = set()
    if (old := lines.take(b"--- ")) is not None:
        new = lines.take(b"+++ ")
        if new is None:
            raise lines.fail("no `+++`")
        content = _side(old[4:], b"a/", lines) | _side(new[4:], b"b/", lines)
        hunk = lines.take(b"@@ ")
        if hunk is None:
            raise lines.fail("no hunk")
        while hunk is not None:
            added, removed = _hunk(hunk, lines)
            insertions += added
            deletions += removed
            hunk = lines.take(b"@@ ")
    elif lines.take(b"GIT binary patch\n") is not None:
        _binary(lines)
    paths = _paths(head.removeprefix(b"diff --git "), moved, lines)
    if not content <= {*paths, *moved.values()}:
        raise lines.fail("file names that disagree")
    return FilePatch(paths, insertions, deletions, b"".join(lines.lines[begin : lines.at]))


def _paths(head: bytes, moved: dict[bytes, bytes], lines: _Lines) -> tuple[bytes, ...]:
    if b"rename from " in moved and b"rename to " in moved:
        return moved[b"rename from "], moved[b"rename to "]
    if b"copy from " in moved and b"copy to " in moved:
        return (moved[b"copy to "],)
    if moved:
        raise lines.fail("half a rename")
    # Both names are the same, so the line falls into two halves around its middle.
    head = head.rstrip(b"\n")
    middle = len(head) // 2
    left, right = head[:middle], head[middle + 1 :]
    if head[middle : middle + 1] != b" ":
        raise lines.fail("unclear names")
    names = _side(left, b"a/", lines) | _side(right, b"b/", lines)
    if len(names) != 1:
        raise lines.fail("two names without a rename")
    return tuple(names)


def _side(text: bytes, prefix: bytes, lines: _Lines) -> set[bytes]:
    text = text.rstrip(b"\n").removesuffix(b"\t")
    if text == b"/dev/null":
        return set()
    name = _unquoted(text, lines)
    if not name.startswith(prefix):
        raise lines.fail("a name without its prefix")
    return {_checked(name.removeprefix(prefix), lines)}


def _name(text: bytes, lines: _Lines) -> bytes:
    return _checked(_unquoted(text.rstrip(b"\n"), lines), lines)


def _checked(name: bytes, lines: _Lines) -> bytes:
    if {b"", b".", b".."} & set(name.split(b"/")):
        raise lines.fail("a name that is no plain path")
    return name


_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
    b'"': b'"',
    b"\\": b"\\",
}


def _unquoted(text: bytes, lines: _Lines) -> bytes:
    """A name as Git writes it: plain, or in quotes with C's escapes."""
    if not text.startswith(b'"'):
        if b"\t" in text:
            raise lines.fail("a tab in a name")
        return text
    if not re.fullmatch(rb'"(?:[^"\\]|\\[abtnvfr"\\]|\\[0-3][0-7]{2})*"', text):
        raise lines.fail("a name in broken quotes")

    def plain(match: re.Match[bytes]) -> bytes:
        return _ESCAPES.get(match[1]) or bytes([int(match[1], 8)])

    return re.sub(rb'\\([abtnvfr"\\]|[0-3][0-7]{2})', plain, text[1:-1])


def _hunk(head: bytes, lines: _Lines) -> tuple[int, int]:
    """Read one hunk's lines, as many as its head says; lines added and removed."""
    found = _HUNK.match(head)
    if found is None:
        raise lines.fail("a broken hunk head")
    old, new = (int(count) if count is not None else 1 for count in found.groups())
    added = removed = 0
    while removed < old or added < new:
        line = lines.take(b" ", b"\n", b"+", b"-", b"\\")
        if line is None:
            raise lines.fail("a hunk that ends too early")
        if line[:1] in {b" ", b"\n"}:
            old -= 1
            new -= 1
        added += line[:1] == b"+"
        removed += line[:1] == b"-"
    if removed != old or added != new:
        raise lines.fail("a hunk whose lines don't add up")
    lines.take(b"\\")
    return added, removed


def _binary(lines: _Lines) -> None:
    parts = 0
    while lines.take(b"literal ", b"delta ") is not None:
        parts += 1
        while (line := lines.take(b"")) is not None and line != b"\n":
            if not _DATA.fullmatch(line):
                raise lines.fail("broken binary data")
    if not parts:
        raise lines.fail("no binary data")
