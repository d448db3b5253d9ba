"""Stores of the tapes proxy (github.com/papercomputeco/tapes): a node a message, content-addressed, in SQLite.

Its first schema has (hash, parent_hash, content), later ones (hash, parent_hash, bucket, role, content, model,
provider, stop_reason, tokens, durations, created_at). Each answer is a call, whose request are the nodes before it.
What begins with another message of a user is another conversation: a subagent each.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backends.imports import ANTHROPIC, CHAT, Asked, Attempt, Found, ImportedFileError, Protocol, Told
from backends.imports.chat import answered, body_of, text_of
from backends.imports.jsonfile import digest_of, dumps
from store.domain.limits import Usage
from store.migrations import APPLICATION

FORMAT = "tapes"
LANES = 10_000
_APPLICATION_AT = 68
"""Where a SQLite file has the number of the program that it belongs to (sqlite.org/fileformat2.html, 1.3)."""

_NOTES = (
    "The parameters and the tools' definitions of requests are not in the store.",
    "A call's cost is not in the store.",
)
_COLUMNS = (
    "stop_reason",
    "prompt_tokens",
    "completion_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "total_duration_ns",
    "created_at",
    "bucket",
    "role",
    "content",
    "model",
    "provider",
)


def found(path: Path) -> Found:
    """A store of the proxy."""
    with path.open("rb") as file:
        file.seek(_APPLICATION_AT)
        if int.from_bytes(file.read(4)) == APPLICATION:
            raise ImportedFileError("it is a store of Multitrack's: name it with --store, or export its runs")
    try:
        with closing(_opened(path)) as store:
            names = _columns(store)
            problem = store.execute("PRAGMA quick_check(1)").fetchone()
            if problem != ("ok",):
                raise ImportedFileError(f"it is damaged: {str(problem[0])[:100]}")
            _check(store)
            roots = _conversations(store, names)
    except sqlite3.Error as error:
        raise ImportedFileError(f"it can't be read as a database ({error})") from error
    if not roots:
        raise ImportedFileError("there is no answer of a model in it")
    if len(roots) > LANES:
        raise ImportedFileError(f"it has more than {LANES:,} conversations")
    attempts = []
    for number, (key, said, provider, model) in enumerate(roots, 1):
        protocol = _protocol(provider)
        name = said.strip().partition("\n")[0][:60] or f"conversation {number}"
        attempts.append(Attempt(name, protocol, partial(_calls, path, key, protocol), model=model))
    with closing(_opened(path)) as store:
        first = _time(store.execute("SELECT min(created_at) FROM nodes").fetchone()[0])
    goal = roots[0][1] if len(roots) == 1 else ""
    return Found(FORMAT, digest_of(path), [Told(path.stem, path.stem, goal, attempts, first, _NOTES)])


def _opened(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    # Views and triggers of a stranger's do nothing here.
    store.execute("PRAGMA trusted_schema = OFF")
    return store


def _columns(store: sqlite3.Connection) -> set[str]:
    kind = store.execute("SELECT type FROM sqlite_master WHERE name = 'nodes'").fetchone()
    names = {row[1] for row in store.execute("PRAGMA table_info(nodes)")} if kind == ("table",) else set()
    if not {"hash", "parent_hash", "content", "created_at"} <= names:
        raise ImportedFileError(
            "it is a SQLite database, but no store of the tapes proxy: its table `nodes` is missing"
        )
    return names


def _check(store: sqlite3.Connection) -> None:
    """Whether every node comes after one that is there, and none after itself. ImportedFileError."""
    lost = store.execute(
        "SELECT hash, parent_hash FROM nodes WHERE parent_hash IS NOT NULL "
        "AND parent_hash NOT IN (SELECT hash FROM nodes)"
    ).fetchone()
    if lost is not None:
        raise ImportedFileError(f"its node {str(lost[0])[:16]} comes after one that is not there, {str(lost[1])[:16]}")
    reached = store.execute(
        "WITH RECURSIVE down(hash) AS (SELECT hash FROM nodes WHERE parent_hash IS NULL UNION "
        "SELECT n.hash FROM nodes n JOIN down ON n.parent_hash = down.hash) SELECT count(*) FROM down"
    ).fetchone()[0]
    if reached != store.execute("SELECT count(*) FROM nodes").fetchone()[0]:
        raise ImportedFileError("some of its nodes come after themselves")


def _row(store: sqlite3.Connection, names: set[str], key: str) -> dict[str, Any]:
    wanted = ["hash", "parent_hash", *(name for name in _COLUMNS if name in names)]
    row = store.execute(f"SELECT {', '.join(wanted)} FROM nodes WHERE hash = ?", (key,)).fetchone()  # noqa: S608 - ours
    return dict(zip(wanted, row, strict=True))


def _conversations(store: sqlite3.Connection, names: set[str]) -> list[tuple[str, str, str, str]]:
    """The first node of each conversation that a model answered in: what it says, the provider and the model."""
    begun: list[tuple[str, str, str, str]] = []
    waiting = [
        row[0] for row in store.execute("SELECT hash FROM nodes WHERE parent_hash IS NULL ORDER BY created_at, hash")
    ]
    while waiting:
        row = _row(store, names, waiting.pop(0))
        role, content, _ = _said(row)
        children = "SELECT hash FROM nodes WHERE parent_hash = ? ORDER BY created_at, hash"
        if role in ("system", "developer"):
            waiting = [child for (child,) in store.execute(children, (row["hash"],))] + waiting
            continue
        answer = _first_answer(store, names, row["hash"])
        if answer is not None:
            begun.append((row["hash"], text_of(content), *answer))
    return begun


def _below(key: str) -> tuple[str, tuple[str]]:
    text = (
        "WITH RECURSIVE down(hash) AS (SELECT ? UNION "
        "SELECT n.hash FROM nodes n JOIN down ON n.parent_hash = down.hash) "
        "SELECT nodes.hash FROM nodes JOIN down ON nodes.hash = down.hash ORDER BY nodes.created_at, nodes.rowid"
    )
    return text, (key,)


def _first_answer(store: sqlite3.Connection, names: set[str], key: str) -> tuple[str, str] | None:
    for (below,) in store.execute(*_below(key)):
        row = _row(store, names, below)
        role, _, bucket = _said(row)
        if role == "assistant":
            provider = str(row.get("provider") or bucket.get("provider") or "")
            return provider, str(row.get("model") or bucket.get("model") or "")
    return None


def _calls(path: Path, key: str, protocol: Protocol) -> Iterator[Asked]:
    with closing(_opened(path)) as store:
        names = _columns(store)
        known: set[str] = set()
        for (below,) in store.execute(*_below(key)):
            row = _row(store, names, below)
            role, content, bucket = _said(row)
            if role != "assistant" or row["parent_hash"] is None:
                continue
            chain = _chain(store, names, row["parent_hash"])
            fresh = [_message(*_said(one)[:2], protocol) for one in chain if one["hash"] not in known]
            known.update(one["hash"] for one in chain)
            known.add(below)
            yield _asked(row, content, bucket, chain, [m for one in fresh for m in one], protocol)


def _chain(store: sqlite3.Connection, names: set[str], key: str | None) -> list[dict[str, Any]]:
    rows = []
    while key is not None:
        rows.append(_row(store, names, key))
        key = rows[-1]["parent_hash"]
    return rows[::-1]


def _asked(
    row: dict[str, Any],
    content: Any,
    bucket: dict[str, Any],
    chain: list[dict[str, Any]],
    news: list[dict[str, Any]],
    protocol: Protocol,
) -> Asked:
    model = str(row.get("model") or bucket.get("model") or "")
    messages = [one for above in chain for one in _message(*_said(above)[:2], protocol)]
    (answer, *_) = _message("assistant", content, protocol)
    reason = str(row.get("stop_reason") or "")
    if protocol is ANTHROPIC:
        system = [block for m in messages if m["role"] == "system" for block in m["content"]]
        body = body_of([dumps(m) for m in messages if m["role"] != "system"], model)
        if system:
            body = b'{"system":%b,%b' % (dumps(system), body[1:])
        told = {"type": "message", "role": "assistant", "model": model, "content": answer["content"]}
        response = dumps({**told, "stop_reason": reason or None})
    else:
        chat = answered([dumps(one) for one in messages], answer, (), model=model)
        body, response = chat.body, chat.response
    cached, written = _count(row, "cache_read_input_tokens"), _count(row, "cache_creation_input_tokens")
    asked = _count(row, "prompt_tokens")
    # Anthropic counts what was in the cache beside the others, and the proxy keeps it so.
    plain = asked if protocol is ANTHROPIC else max(asked - cached, 0)
    ended, took = _time(row.get("created_at")), _count(row, "total_duration_ns") / 1e9
    return Asked(
        body,
        [answer],
        response,
        model,
        started=None if ended is None else ended - took,
        ended=ended,
        usage=Usage(plain, _count(row, "completion_tokens"), cached, written),
        stop_reason=reason,
        news=news,
    )


def _said(row: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """The role of a node, what it says, and its bucket."""
    bucket = _json(row.get("bucket"))
    content = _json(row.get("content"))
    if isinstance(content, dict):
        # The first schema: what is now a bucket was the content.
        bucket, content = content, content.get("content")
    bucket = bucket if isinstance(bucket, dict) else {}
    role = row.get("role") or bucket.get("role")
    if content is None:
        content = bucket.get("content")
    return (role if isinstance(role, str) else ""), content, bucket


def _message(role: str, content: Any, protocol: Protocol) -> list[dict[str, Any]]:
    """A node in the provider's words. A result of a tool is a message of its own in OpenAI's."""
    blocks = [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []
    if isinstance(content, str):
        blocks = [{"type": "text", "text": content}]
    if protocol is ANTHROPIC:
        return [{"role": "user" if role == "tool" else role, "content": list(map(_block, blocks))}]
    results = [one for one in blocks if one.get("type") == "tool_result"]
    told: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": str(one.get("tool_result_id", "")), "content": str(one.get("tool_output", ""))}
        for one in results
    ]
    uses = [one for one in blocks if one.get("type") == "tool_use"]
    words = "".join(str(one.get("text", "")) for one in blocks if one.get("type") == "text")
    if results and not words:
        return told
    message: dict[str, Any] = {"role": role or "user", "content": words}
    if uses:
        message["tool_calls"] = [
            {
                "id": str(one.get("tool_use_id", "")),
                "type": "function",
                "function": {
                    "name": str(one.get("tool_name", "")),
                    "arguments": json.dumps(one.get("tool_input") or {}, ensure_ascii=False),
                },
            }
            for one in uses
        ]
    return [*told, message]


def _block(one: dict[str, Any]) -> dict[str, Any]:
    """A block in Anthropic's words; one that is not known as it is."""
    match one.get("type"):
        case "tool_use":
            given = one.get("tool_input") or {}
            return {
                "type": "tool_use",
                "id": one.get("tool_use_id", ""),
                "name": one.get("tool_name", ""),
                "input": given,
            }
        case "tool_result":
            result = {"type": "tool_result", "tool_use_id": one.get("tool_result_id", "")}
            result["content"] = one.get("tool_output", "")
            return {**result, "is_error": True} if one.get("is_error") else result
        case "image" if isinstance(one.get("image_base64"), str):
            source = {"type": "base64", "media_type": one.get("media_type", ""), "data": one["image_base64"]}
            return {"type": "image", "source": source}
    return one


def _protocol(provider: str) -> Protocol:
    return ANTHROPIC if provider.lower() in ("anthropic", "bedrock", "vertex") else CHAT


def _json(text: Any) -> Any:
    if not isinstance(text, str | bytes):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ImportedFileError("what one of its nodes says is no JSON") from None


def _count(row: dict[str, Any], name: str) -> int:
    value = row.get(name)
    return value if type(value) is int and value > 0 else 0


def _time(text: Any) -> float | None:
    """When a node was put there: as Go's driver writes it, or SQLite; a number is Unix seconds."""
    if type(text) in (int, float):
        return float(text)
    if not isinstance(text, str):
        return None
    words = text.replace("T", " ").split(" ")
    clock = " ".join(words[:2]).removesuffix("Z")
    head, _, rest = clock.partition(".")
    digits = "".join(letter for letter in rest if letter.isdigit() or letter in "+-:")
    fraction, sign, zone = digits, "", ""
    for mark in "+-":
        if mark in digits:
            fraction, sign, zone = *digits.partition(mark)[:2], digits.partition(mark)[2]
    if len(words) > 2 and not zone and words[2][:1] in "+-":
        sign, zone = words[2][0], words[2][1:]
    zone = zone if ":" in zone or len(zone) != 4 else f"{zone[:2]}:{zone[2:]}"
    try:
        at = datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}{sign}{zone}")
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
