"""Path patterns as in `.gitignore`."""

import re
from collections.abc import Sequence

from backends.sandboxes.protocol import SandboxError


class Patterns:
    """Patterns of which the last that matches decides; `!` takes one back.

    A pattern without a slash means a name anywhere. One for all that is in a folder (`tests/**`) also means the
    folder's own name as a file, so that no file or link can take the folder's place. SandboxError for a pattern that
    could never match, where Git would keep silent.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules: list[tuple[bool, re.Pattern[bytes]]] = []
        for pattern in patterns:
            try:
                self._add(pattern.encode("utf-8", "surrogateescape"))
            except (ValueError, re.error) as error:
                raise SandboxError(f"the path pattern {pattern!r} is not understood: {error}") from None

    def match(self, path: bytes) -> bool:
        """Whether the path, or a folder above it, is meant."""
        parts = path.split(b"/")
        folders = [b"/".join(parts[:end]) + b"/" for end in range(1, len(parts))]
        return any(self._verdict(place) for place in [*folders, path])

    def _verdict(self, place: bytes) -> bool:
        return next((not negated for negated, rule in reversed(self._rules) if rule.fullmatch(place)), False)

    def _add(self, pattern: bytes) -> None:
        pattern = re.sub(rb"(?<!\\) +$", b"", pattern)
        if not pattern or pattern.startswith(b"#"):
            return
        negated = pattern.startswith(b"!")
        pattern = pattern[1:] if negated else pattern
        folder = pattern.endswith(b"/")
        pattern = pattern[:-1] if folder else pattern
        if not pattern:
            raise ValueError("it names nothing")
        start = b"" if b"/" in pattern else rb"(?:.*/)?"
        pattern = pattern.removeprefix(b"/")
        if pattern.endswith(b"/**") and not folder and not negated:
            self._rules.append((False, _compiled(_translated(pattern.removesuffix(b"/**")))))
        self._rules.append((negated, _compiled(start + _translated(pattern) + (b"/" if folder else b"/?"))))


def _compiled(rule: bytes) -> re.Pattern[bytes]:
    return re.compile(rule, re.DOTALL)


_BRACKET = re.compile(rb"\[([!^]?)((?:\]|\\.|[^]\\])(?:\\.|[^]\\])*)\]", re.DOTALL)


def _translated(pattern: bytes) -> bytes:
    """A glob as a regular expression: `*` and `?` stay within a name, `**` between slashes spans folders."""
    out = b""
    at = 0
    while at < len(pattern):
        here = pattern[at : at + 1]
        whole = at == 0 or pattern[at - 1 : at] == b"/"
        if whole and pattern[at:] == b"**":
            return out + b".+"
        if whole and pattern.startswith(b"**/", at):
            out += rb"(?:.*/)?"
            at += 3
            continue
        if here == b"*":
            out += rb"[^/]*"
        elif here == b"?":
            out += rb"[^/]"
        elif here == b"[":
            found = _BRACKET.match(pattern, at)
            if found is None or b"[:" in found[2]:
                raise ValueError("a bracket that is not closed, or names a class")
            out += rb"(?!/)[" + (b"^" if found[1] else b"") + _members(found[2]) + b"]"
            at = found.end()
            continue
        elif here == b"\\":
            at += 1
            if at == len(pattern):
                raise ValueError("a backslash at its end")
            out += re.escape(pattern[at : at + 1])
        else:
            out += re.escape(here)
        at += 1
    return out


def _members(inside: bytes) -> bytes:
    """What stands in a bracket: single characters and ranges."""
    characters = [match[1] or match[0] for match in re.finditer(rb"\\(.)|[^\\]", inside, re.DOTALL)]
    plain = [match[0] == b"-" for match in re.finditer(rb"\\.|[^\\]", inside, re.DOTALL)]
    out = b""
    at = 0
    while at < len(characters):
        if at + 2 < len(characters) and plain[at + 1]:
            low, high = characters[at], characters[at + 2]
            out += re.escape(low) + b"-" + re.escape(high) if low <= high else b""
            at += 3
        else:
            out += re.escape(characters[at])
            at += 1
    if not out:
        raise ValueError("a bracket that holds nothing")
    return out
