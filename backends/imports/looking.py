"""What a file is, by its content."""

from pathlib import Path
from typing import Any

from backends.imports import Found, ImportedFileError
from backends.imports.jsonfile import Data, Span, first, lines, members, opened, parsed

_SQLITE = b"SQLite format 3\0"
KNOWN = (
    "a tape of `multitrack export`, a session's log of Claude Code (.jsonl), conversations in OpenAI's format (.json, "
    ".jsonl), a trajectory of SWE-agent (.traj) or mini-swe-agent (.traj.json), a store of the tapes proxy (.sqlite)"
)

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
}
"""How archives begin. None is unpacked: where its files would go, and how large they are, is its maker's choice."""
_TAR = 257, b"ustar"


def look_at(path: Path) -> Found:
    """See what a file is, and look at all of it."""
    with opened(path) as data:
        if data[: len(_SQLITE)] == _SQLITE:
            from backends.imports import proxied

            return proxied.found(path)
        at = first(data)
        if data[at : at + 1] == b"{":
            one, several = _object(data, at)
            if several:
                return _in_lines(path)
            return _of_object(path, data, at, one)
        if data[at : at + 1] == b"[":
            from backends.imports import chat

            spans = chat.spans_of(data)
            _end(data, at)
            return chat.in_json(path, spans)
        if not data[:1]:
            raise ImportedFileError("it is empty")
        packed = next((name for head, name in _PACKED.items() if data[: len(head)] == head), "")
        if not packed and data[_TAR[0] : _TAR[0] + len(_TAR[1])] == _TAR[1]:
            packed = "tar"
        if packed:
            raise ImportedFileError(f"it is packed ({packed}): unpack it, and import the file that is in it")
    raise ImportedFileError(f"it is none of the files that are known: {KNOWN}")


def _object(data: Data, at: int) -> tuple[dict[str, Span], bool]:
    """The members of the object that begins a file, and whether another one follows it."""
    found: dict[str, Span] = {}
    end = at
    for name, span in members(data, at):
        if name is None:
            end = span[1]
        else:
            found[str(name)] = span
    rest = data[end : end + 4096].lstrip()
    if rest and not rest.startswith(b"{"):
        raise ImportedFileError(f"something else follows the object that ends at byte {end:,}: the file is damaged")
    return found, bool(rest) or _is_line(found)


def _is_line(members: dict[str, Any]) -> bool:
    """Whether an object is one of a session's log, though it may be the only one."""
    return "type" in members and ("sessionId" in members or "uuid" in members)


def _end(data: Data, at: int) -> None:
    """ImportedFileError where something follows the value that begins there."""
    *_, (_, span) = members(data, at)
    if data[span[1] : span[1] + 4096].strip():
        raise ImportedFileError(f"something follows the list that ends at byte {span[1]:,}: the file is damaged")


def _in_lines(path: Path) -> Found:
    for seen, (number, _, text) in enumerate(lines(path)):
        one = parsed(text, f"line {number:,}")
        if not isinstance(one, dict):
            raise ImportedFileError(f"line {number:,} is no object")
        if "sessionId" in one or "parentUuid" in one or "leafUuid" in one:
            from backends.imports import claude

            return claude.found(path)
        from backends.imports import chat

        if chat.talk_of(one) is not None:
            return chat.in_lines(path)
        if seen > 100:
            break
    raise ImportedFileError(f"its lines are of no format that is known: {KNOWN}")


def _of_object(path: Path, data: Data, at: int, one: dict[str, Span]) -> Found:
    from backends.imports import chat, trajectories

    if "trajectory_format" in one or (
        {"messages", "info"} <= one.keys() and b"model_stats" in _head(data, one["info"])
    ):
        return trajectories.mini(path, data, one)
    if "trajectory" in one or "attempts" in one:
        return trajectories.swe(path, data, one)
    if any(name in one for name in chat.TALKS):
        return chat.in_json(path, chat.spans_of(data))
    raise ImportedFileError(f"it is none of the files that are known: {KNOWN}")


def _head(data: Data, span: Span) -> bytes:
    return bytes(data[span[0] : min(span[1], span[0] + 4096)])
