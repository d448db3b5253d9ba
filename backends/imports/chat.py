"""Conversations in OpenAI's format: a list of messages, an object with one, a list or lines of such objects.

Objects that say of which task they are (`task_id`, as tau-bench's results do) are attempts at it, in the order in which
they stand; `reward` is their verdict. Without a task, all conversations of a file are one run's.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from backends.imports import CHAT, Asked, Attempt, Found, ImportedFileError, Told, Verdict
from backends.imports.jsonfile import Data, Span, digest_of, dumps, first, lines, members, opened, parsed, value
from store.domain.states import Ending

FORMAT = "openai"
TALKS = ("messages", "traj", "conversation")
"""Members of an object that hold its messages."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
LANES = 10_000
"""Conversations that one run may have."""

_NOTES = (
    "The model, the tools' definitions and the parameters are not in the file.",
    "It has no times: all calls stand at the time of the import, and have no length.",
)


def has_role(value: Any) -> bool:
    """Whether this is a message of somebody who is known."""
    return isinstance(value, dict) and isinstance(role := value.get("role"), str) and role in ROLES


def is_talk(value: Any) -> bool:
    """Whether this is a list of messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(has_role(one) for one in value)
        and any(one["role"] == "assistant" for one in value)
    )


def talk_of(value: Any) -> list[dict[str, Any]] | None:
    """The messages of a value that is a conversation, or has one."""
    if isinstance(value, dict):
        value = next((value[name] for name in TALKS if is_talk(value.get(name))), None)
    return value if is_talk(value) else None


def in_json(path: Path, spans: Sequence[Span]) -> Found:
    """A file of JSON whose conversations stand there."""
    return _found(path, [(f"conversation {n + 1} at byte {s[0]:,}", s) for n, s in enumerate(spans)])


def in_lines(path: Path) -> Found:
    """A file of a conversation a line."""
    return _found(path, [(f"line {n:,}", (at, at + len(text))) for n, at, text in lines(path)])


def spans_of(data: Data) -> list[Span]:
    """Where the conversations of a list stand; of a file that is one itself, that."""
    at = first(data)
    found = [(name, span) for name, span in members(data, at)]
    last, whole = found.pop()
    assert last is None
    head = value(data, found[0][1]) if found else None
    if data[at : at + 1] == b"{" or has_role(head):
        return [whole]
    return [span for _, span in found]


def _found(path: Path, places: Sequence[tuple[str, Span]]) -> Found:
    """Look at each conversation, and sort them by their tasks."""
    tasks: dict[str, list[tuple[str, Span, str]]] = {}
    goals: dict[str, str] = {}
    with opened(path) as data:
        for where, span in places:
            one = value(data, span, where)
            talk = talk_of(one)
            if talk is None:
                raise ImportedFileError(f"{where} is no conversation: it has no list of messages with an answer in it")
            task, name = _said(one)
            tasks.setdefault(task, []).append((where, span, name))
            goals.setdefault(task, goal_of(talk))
            if len(tasks[task]) > LANES:
                raise ImportedFileError(f"it has more than {LANES:,} conversations about one task")
    told = []
    for task, ones in tasks.items():
        attempts = [
            Attempt(
                name or f"conversation {number}",
                CHAT,
                partial(_calls, path, span, where),
                partial(_verdict, path, span, where),
            )
            for number, (where, span, name) in enumerate(ones, 1)
        ]
        title = f"{path.stem}: task {task}" if task else path.stem
        told.append(Told(f"task {task}" if task else path.stem, title, goals[task], attempts, notes=_NOTES))
    return Found(FORMAT, digest_of(path), told)


def _said(one: Any) -> tuple[str, str]:
    """What an object says of its task, and of its attempt."""
    if not isinstance(one, dict):
        return "", ""
    task, trial, name = one.get("task_id", one.get("instance_id")), one.get("trial"), one.get("id")
    called = f"trial {trial}" if type(trial) in (int, str) else name if isinstance(name, str) else ""
    return str(task) if type(task) in (int, str) else "", called


def goal_of(talk: Sequence[dict[str, Any]]) -> str:
    """What the user said first."""
    for message in talk:
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: Any) -> str:
    """The words of a message's content."""
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def _read(path: Path, span: Span, where: str) -> Any:
    with path.open("rb") as file:
        file.seek(span[0])
        return parsed(file.read(span[1] - span[0]), where)


def _calls(path: Path, span: Span, where: str) -> Iterator[Asked]:
    one = _read(path, span, where)
    model = one.get("model") if isinstance(one, dict) else None
    tools = one.get("tools") if isinstance(one, dict) else None
    yield from calls_of(talk_of(one) or [], model if isinstance(model, str) else "", tools)


def calls_of(talk: Sequence[dict[str, Any]], model: str = "", tools: Any = None) -> Iterator[Asked]:
    """A call for each answer of a conversation."""
    parts: list[bytes] = []
    news: list[dict[str, Any]] = []
    for message in talk:
        if message["role"] == "assistant" and parts:
            yield answered(parts, message, news, model=model, tools=tools)
            news = []
        else:
            news.append(message)
        parts.append(dumps(message))


def answered(
    parts: Sequence[bytes], message: dict[str, Any], news: Sequence[dict[str, Any]], *, model: str, tools: Any = None
) -> Asked:
    """A call that asked with these messages and was answered with that one."""
    reason = "tool_calls" if message.get("tool_calls") else "function_call" if message.get("function_call") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    response = {"object": "chat.completion", **({"model": model} if model else {}), "choices": [choice]}
    return Asked(body_of(parts, model, tools), [message], dumps(response), model, news=tuple(news), stop_reason=reason)


def body_of(parts: Sequence[bytes], model: str, tools: Any = None, member: bytes = b"messages") -> bytes:
    """A request's body from its messages' JSON."""
    head = b'"model":%b,' % dumps(model) if model else b""
    tail = b',"tools":%b' % dumps(tools) if tools else b""
    return b'{%b"%b":[%b]%b}' % (head, member, b",".join(parts), tail)


def after_last(talk: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages after the last answer."""
    last = max(at for at, message in enumerate(talk) if message["role"] == "assistant")
    return list(talk[last + 1 :])


def _verdict(path: Path, span: Span, where: str) -> Verdict:
    one = _read(path, span, where)
    rest = after_last(talk_of(one) or [])
    detail = "; ".join(
        f"{one['role']}: {text_of(one.get('content'))}" for one in rest if one["role"] not in ("tool", "function")
    )
    reward = one.get("reward") if isinstance(one, dict) else None
    if not isinstance(reward, int | float):
        return Verdict(Ending.SILENT, detail, news=rest)
    solved = reward >= 1
    word = f"{'solved' if solved else 'not solved'} by the file's word: reward {reward:g}"
    return Verdict(Ending.SILENT, detail, solved, word, news=rest)
