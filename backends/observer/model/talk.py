"""The conversation with the model: it searches the tapes, answers, and may mend its answer once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from backends.observer.model.prompt import MOST_TOKENS, SEARCH, SYSTEM, TOOL, again, left, mend
from backends.observer.model.wanted import UnreadableError, Wanted, read

Message = dict[str, Any]


class ToolCall(Protocol):
    """A tool call of an answer; `input` is None when its JSON was cut off or broken."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def input(self) -> Any: ...


class Answer(Protocol):
    """A whole answer. `message` is what goes back in the next request; `stop_reason` is in Anthropic's words, and
    `explanation` the provider's for a refusal."""

    @property
    def stop_reason(self) -> str: ...

    @property
    def explanation(self) -> str: ...

    @property
    def message(self) -> Message: ...

    @property
    def tool_calls(self) -> Sequence[ToolCall]: ...

    @property
    def text(self) -> str: ...


Ask = Callable[[Mapping[str, Any]], Awaitable[Answer | str]]
"""Asks the model: the request in Anthropic's form. Its answer, or why there is none."""
Search = Callable[[str, str], Awaitable[str]]
"""Looks words up in the tapes, of one attempt where its label is given."""
Take = Callable[[Wanted], str]
"""Takes a change; why it is refused, "" when it is not."""


class Diary(Protocol):
    """Puts on record what happens beside the calls."""

    async def turn(self) -> None:
        """The model is about to be asked."""

    async def tool(self, call: ToolCall, query: str, result: str, *, ok: bool) -> None:
        """A tool call was answered."""


async def converse(
    ask: Ask, model: str, first: str, search: Search, take: Take, turns: int | None, diary: Diary
) -> str:
    """Ask until the model has said what it wants changed. Why it didn't come to that, "" when it did.

    What was taken before that counts. `turns` is how many answers there may be, for the model to know: whoever passes
    its calls on holds it to that.
    """
    messages: list[Message] = [{"role": "user", "content": [_text(first)]}]
    mended = False
    count = 0
    while True:
        await diary.turn()
        answer = await ask(_request(model, messages))
        count += 1
        if isinstance(answer, str):
            return answer
        if answer.stop_reason == "refusal":
            return f"the model refused: {answer.explanation or answer.text or 'no reason given'}"
        said = answer.message
        if said["content"]:
            messages.append(said)
        if answer.tool_calls:
            results = [await _result(call, search, diary) for call in answer.tool_calls]
            told = [_text(left(turns - count))] if turns is not None else []
            messages.append({"role": "user", "content": [*results, *told]})
            continue
        try:
            refused = _taken(read(answer.text), take)
        except UnreadableError as error:
            cut = " It was cut off, for it was too long." if answer.stop_reason == "max_tokens" else ""
            if mended:
                return f"what the model answered {error}.{cut}"
            messages.append({"role": "user", "content": [_text(again(str(error)) + cut)]})
        else:
            if mended or not refused:
                return ""
            messages.append({"role": "user", "content": [_text(mend(refused))]})
        mended = True


def _taken(wanted: Sequence[Wanted], take: Take) -> list[str]:
    """Take the changes; those that are refused, by their place, and why."""
    refused = []
    for number, one in enumerate(wanted, start=1):
        if why := take(one):
            refused.append(f"{number}. {why}")
    return refused


def _request(model: str, messages: list[Message]) -> dict[str, Any]:
    """The request, with a marker up to which the provider may keep it in its cache."""
    *earlier, last = messages
    *blocks, block = last["content"]
    marked = {**last, "content": [*blocks, {**block, "cache_control": {"type": "ephemeral"}}]}
    return {
        "model": model,
        "max_tokens": MOST_TOKENS,
        "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "tools": [TOOL],
        "messages": [*earlier, marked],
    }


async def _result(call: ToolCall, search: Search, diary: Diary) -> Message:
    """What a tool call gives back."""
    given = call.input if isinstance(call.input, dict) else {}
    query, attempt = given.get("query"), given.get("attempt") or ""
    wrong = ""
    if call.name != SEARCH:
        wrong = f"there is no such tool: the one there is is {SEARCH}"
    elif not isinstance(query, str) or not isinstance(attempt, str) or not given.keys() <= {"query", "attempt"}:
        wrong = 'malformed: right is {"query": "words"}, and "attempt" if you want to'
    words = wrong or await search(str(query), attempt)
    await diary.tool(call, str(query or ""), words, ok=not wrong)
    result: Message = {"type": "tool_result", "tool_use_id": call.id, "content": [_text(words)]}
    return {**result, "is_error": True} if wrong else result


def _text(words: str) -> Message:
    return {"type": "text", "text": words}
