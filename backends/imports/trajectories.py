"""Trajectories of mini-swe-agent (`.traj.json`) and SWE-agent (`.traj`)."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from backends.imports import CHAT, RESPONSES, Asked, Attempt, Done, Found, ImportedFileError, Told, Verdict
from backends.imports.chat import answered, body_of, goal_of, has_role, text_of
from backends.imports.jsonfile import Data, Span, digest_of, dumps, members, opened, value
from store.domain.limits import Spend, Usage
from store.domain.states import Ending

MINI, SWE = "mini-swe-agent", "swe-agent"

_ENDINGS = {
    "submitted": Ending.SUBMITTED,
    "limitsexceeded": Ending.COST,
    "timeexceeded": Ending.TIME,
    "exit_cost": Ending.COST,
    "exit_total_cost": Ending.COST,
    "exit_context": Ending.TOKENS,
    "exit_total_execution_time": Ending.TIME,
    "exit_command_timeout": Ending.TIME,
    "exit_api": Ending.PROVIDER,
    "ratelimiterror": Ending.RATE_LIMITED,
    "authenticationerror": Ending.LOGIN_LOST,
}
_MINI_NOTES = ("The tools' definitions that were sent are not in the file.",)
_SWE_NOTES = (
    "It has no times: all calls stand at the time of the import, and have no length.",
    "Tokens and cost are known of all calls together, not of each.",
)
_SHORTENED = "What was sent is put together from the history: SWE-agent may have shortened older observations in it."

_ANSWER = ("id", "created", "model", "object", "choices", "usage", "system_fingerprint", "service_tier")


# mini-swe-agent.


def mini(path: Path, data: Data, found: dict[str, Span]) -> Found:
    """A trajectory of mini-swe-agent."""
    info = value(data, found["info"], "`info`") if "info" in found else {}
    if "messages" not in found or not isinstance(info, dict):
        raise ImportedFileError("it is a trajectory without messages")
    model = _at(info, "config", "model", "model_name") or ""
    goal, times, kind, answers = "", list[float](), CHAT, 0
    for index, message in _messages(data, found["messages"]):
        kind = RESPONSES if message.get("object") == "response" else kind
        goal = goal or (text_of(message.get("content")) if message.get("role") == "user" else "")
        answers += _is_answer(message) or _failed(message) is not None
        if (at := _number(message.get("extra"), "timestamp")) is not None:
            times.append(at)
        if not (has_role(message) or message.get("role") == "exit" or _is_item(message)):
            raise ImportedFileError(f"message {index} of it has a role that is not known")
    if not answers:
        raise ImportedFileError("it has no answer of a model in it")
    calls = partial(_mini_calls, path, found["messages"], str(model))
    attempt = Attempt(MINI, kind, calls, partial(_mini_verdict, info, path, found["messages"]), str(model))
    name = str(_at(info, "instance_id") or path.name.removesuffix(".json").removesuffix(".traj"))
    told = Told(name, name, goal, [attempt], min(times, default=None), _MINI_NOTES)
    return Found(MINI, digest_of(path), [told])


def _messages(data: Data, span: Span) -> Iterator[tuple[int, dict[str, Any]]]:
    if data[span[0] : span[0] + 1] != b"[":
        raise ImportedFileError(f"its messages, at byte {span[0]:,}, are no list")
    for index, at in members(data, span[0]):
        if index is None:
            return
        message = value(data, at, f"message {index}")
        if not isinstance(message, dict):
            raise ImportedFileError(f"message {index}, at byte {at[0]:,}, is no object")
        yield index, message


def _is_answer(message: dict[str, Any]) -> bool:
    return message.get("role") == "assistant" or message.get("object") == "response"


def _is_item(message: dict[str, Any]) -> bool:
    """An item of OpenAI's Responses, which has no role."""
    return message.get("object") == "response" or (message.get("role") is None and isinstance(message.get("type"), str))


def _failed(message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer that a message complains about: one that had no action in the right form was paid for too."""
    response = _at(message, "extra", "response")
    return response if message.get("role") == "user" and isinstance(response, dict) else None


def _mini_calls(path: Path, span: Span, model: str) -> Iterator[Asked]:
    parts: list[bytes] = []
    news: list[dict[str, Any]] = []
    before: float | None = None
    with opened(path) as data:
        for _, message in _messages(data, span):
            extra = message.get("extra")
            at = _number(extra, "timestamp")
            plain = {name: item for name, item in message.items() if name != "extra"}
            if (failed := _failed(message)) is not None:
                answer = _at(failed, "choices", 0, "message")
                if isinstance(answer, dict):
                    yield _mini_asked(parts, answer, news, failed, extra, model, before, at)
                    news = []
            if message.get("role") == "exit":
                continue
            if _is_answer(message):
                response = plain if message.get("object") == "response" else _at(extra, "response")
                yield _mini_asked(parts, plain, news, response, extra, model, before, at)
                news = []
            else:
                news.append(plain)
            parts += map(dumps, _items(plain))
            before = at if at is not None else before


def _items(message: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands for a message in the next request."""
    output = message.get("output") if message.get("object") == "response" else None
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else [message]


def _mini_asked(
    parts: Sequence[bytes],
    message: dict[str, Any],
    news: Sequence[dict[str, Any]],
    response: Any,
    extra: Any,
    model: str,
    before: float | None,
    at: float | None,
) -> Asked:
    told = response if isinstance(response, dict) else {}
    name = told.get("model") if isinstance(told.get("model"), str) else model
    made = _number(told, "created")
    ended = at if at is not None else made
    chat = answered(parts, message, news, model=name or "")
    if message.get("object") == "response":
        body = body_of(parts, name or "", member=b"input")
        messages, bytes_, reason = _items(message), dumps(message), str(message.get("status") or "")
    else:
        whole = {key: told[key] for key in _ANSWER if key in told}
        body, messages = chat.body, [message]
        bytes_ = dumps(whole) if whole.get("choices") else chat.response
        reason = str(_at(told, "choices", 0, "finish_reason") or chat.stop_reason)
    return Asked(
        body,
        messages,
        bytes_,
        name or "",
        started=before if before is not None else made,
        ended=ended,
        usage=usage_of(told.get("usage")),
        usd=_number(extra, "cost"),
        stop_reason=reason,
        response_id=str(told.get("id") or ""),
        news=tuple(news),
    )


def _mini_verdict(info: dict[str, Any], path: Path, span: Span) -> Verdict:
    rest: list[dict[str, Any]] = []
    with opened(path) as data:
        for _, message in _messages(data, span):
            if _is_answer(message):
                rest = []
            elif message.get("role") != "exit":
                rest.append({name: item for name, item in message.items() if name != "extra"})
    return _verdict(info, rest)


# SWE-agent.


def swe(path: Path, data: Data, found: dict[str, Span]) -> Found:
    """A trajectory of SWE-agent, or several attempts at a task in one."""
    tries = [found]
    if "trajectory" not in found:
        spans = [span for index, span in members(data, found["attempts"][0]) if index is not None]
        tries = [{str(name): at for name, at in members(data, span[0]) if name is not None} for span in spans]
    attempts, goal = [], ""
    shortened = False
    for number, one in enumerate(tries, 1):
        if "trajectory" not in one:
            raise ImportedFileError(f"attempt {number} of it has no trajectory")
        info = value(data, one["info"], "`info`") if "info" in one else {}
        history = value(data, one["history"], "`history`") if "history" in one else []
        if not isinstance(info, dict) or not _is_history(history):
            raise ImportedFileError(f"the history or the info of attempt {number} is not what SWE-agent writes")
        steps = 0
        for index, step in _steps(data, one["trajectory"]):
            if not isinstance(step.get("response"), str):
                raise ImportedFileError(f"step {index} of attempt {number} has no response")
            steps, shortened = steps + 1, shortened or not isinstance(step.get("query"), list)
        goal = goal or goal_of([item for item in history if not item.get("is_demo")])
        name = f"attempt {number}" if len(tries) > 1 else SWE
        model = _model(data, found)
        attempts.append(Attempt(name, CHAT, partial(_swe_calls, path, one, model), partial(_verdict, info, ()), model))
    name = path.name.removesuffix(".traj")
    notes = (*_SWE_NOTES, *([_SHORTENED] if shortened else []))
    return Found(SWE, digest_of(path), [Told(name, name, goal, attempts, notes=notes)])


def _is_history(history: Any) -> bool:
    return isinstance(history, list) and all(map(has_role, history))


def _model(data: Data, found: dict[str, Span]) -> str:
    """The model, where the file's own configuration names it."""
    if "replay_config" not in found:
        return ""
    config = value(data, found["replay_config"], "`replay_config`")
    if isinstance(config, str):
        from json import loads

        try:
            config = loads(config)
        except (ValueError, RecursionError):
            return ""
    return str(_at(config, "agent", "model", "name") or "")


def _steps(data: Data, span: Span) -> Iterator[tuple[int, dict[str, Any]]]:
    if data[span[0] : span[0] + 1] != b"[":
        raise ImportedFileError(f"its trajectory, at byte {span[0]:,}, is no list")
    for index, at in members(data, span[0]):
        if index is None:
            return
        step = value(data, at, f"step {index}")
        if not isinstance(step, dict):
            raise ImportedFileError(f"step {index}, at byte {at[0]:,}, is no object")
        yield index, step


def _swe_calls(path: Path, one: dict[str, Span], model: str) -> Iterator[Asked]:
    with opened(path) as data:
        history = value(data, one["history"], "`history`") if "history" in one else []
        at = 0
        for _, step in _steps(data, one["trajectory"]):
            response = step["response"]
            place = _place(history, at, response)
            query = step.get("query")
            if _is_history(query) and query:
                asked = list(map(_message, query))
            else:
                asked = [_message(item) for item in history[: _next_answer(history, at) if place is None else place]]
            answer: dict[str, Any] = {"role": "assistant", "content": response}
            if place is not None:
                answer, at = {**_message(history[place]), "content": response}, place + 1
            news = [message for message in asked if message["role"] == "tool"][-1:]
            done = []
            if isinstance(step.get("action"), str) and step["action"].strip() and not answer.get("tool_calls"):
                seconds = _number(step, "execution_time") or 0.0
                done = [Done(step["action"], str(step.get("observation") or ""), seconds)]
            call = answered(list(map(dumps, asked)), answer, news, model=model)
            yield Asked(
                call.body, call.messages, call.response, model, stop_reason=call.stop_reason, news=news, done=done
            )


def _next_answer(history: list[dict[str, Any]], at: int) -> int:
    """Where the next answer of the history stands: what was asked before it was asked again."""
    places = range(at, len(history))
    return next(
        (p for p in places if history[p]["role"] == "assistant" and not history[p].get("is_demo")), len(history)
    )


def _place(history: list[dict[str, Any]], at: int, response: str) -> int | None:
    """Where the history has an answer, from a place on; None where it was not kept."""
    for place in range(at, len(history)):
        item = history[place]
        if item["role"] == "assistant" and not item.get("is_demo") and text_of(item.get("content")) == response:
            return place
    return None


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """An item of the history as SWE-agent sends it."""
    message: dict[str, Any] = {"role": item["role"], "content": item.get("content")}
    if item.get("tool_calls"):
        message["tool_calls"] = item["tool_calls"]
    ids = item.get("tool_call_ids")
    if item["role"] == "tool" and isinstance(ids, list) and ids:
        message["tool_call_id"] = ids[0]
    return message


# Both.


def _verdict(info: dict[str, Any], news: Sequence[dict[str, Any]]) -> Verdict:
    status = str(info.get("exit_status") or "")
    word = status.lower().partition(" ")[0]
    ending = _ENDINGS.get(word, Ending.SUBMITTED if word.startswith("submitted") else Ending.SILENT)
    patch = info.get("submission")
    patch = patch if isinstance(patch, str) and "diff --git" in patch else ""
    said = "It submitted a patch" if patch else "It submitted nothing"
    verdict = f"{said}; the file does not say whether that solved it ({status or 'no exit status'})."
    stats = info.get("model_stats")
    spend = None
    if isinstance(stats, dict):
        usage = Usage(int(_number(stats, "tokens_sent") or 0), int(_number(stats, "tokens_received") or 0))
        cost = _number(stats, "instance_cost")
        spend = Spend(int(_number(stats, "api_calls") or 0), usage, cost or 0.0, 0.0, cost is not None)
    return Verdict(ending, f"exit status: {status}" if status else "", False, verdict, patch, spend, news)


def usage_of(usage: Any) -> Usage:
    """OpenAI's usage, of either API. Cached tokens are part of the prompt's, reasoning of the answer's."""
    if not isinstance(usage, dict):
        return Usage()
    asked = _number(usage, "prompt_tokens") or _number(usage, "input_tokens") or 0
    given = _number(usage, "completion_tokens") or _number(usage, "output_tokens") or 0
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = min(_number(details, "cached_tokens") or 0, asked)
    reasoning = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return Usage(int(asked - cached), int(given), int(cached), 0, int(_number(reasoning, "reasoning_tokens") or 0))


def _at(value: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _number(value: Any, name: str) -> float | None:
    found = _at(value, name)
    return float(found) if type(found) in (int, float) and 0 <= found < 1e15 else None
