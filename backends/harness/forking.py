"""The conversation that a forked subagent starts with, out of the record."""

from collections.abc import Mapping
from typing import Any

from store import events, tapes
from store.database import Store
from store.domain.events import CallStarted, ForkedFrom, TurnStarted
from store.domain.ids import SubagentId
from store.domain.tape import Call

Message = dict[str, Any]


def call_of(store: Store, call_id: str, run: str) -> Call:
    """The call of a subagent of this run's by its id; of a try, the call that it was made for. ValueError that says
    what is wrong."""
    try:
        call = tapes.call(store, call_id)
        while call.parent is not None:
            call = tapes.call(store, call.parent)
    except KeyError:
        raise ValueError(f"There is no call {call_id}.") from None
    if call.run != run or call.subagent is None:
        raise ValueError(f"Call {call_id} is none of a subagent of run {run}.")
    return call


def conversation(store: Store, start: ForkedFrom) -> list[Message]:
    """The messages that it starts with. ValueError that says what is wrong."""
    try:
        call = tapes.call(store, start.call)
        nodes = [*tapes.messages(store, call), *tapes.answers(store, call)]
    except KeyError as error:
        raise ValueError(f"Call {start.call} is no longer on record, or what it said is not.") from error
    if call.protocol != "anthropic" or call.conversation != "messages" or call.base is not None or not nodes:
        raise ValueError(f"Call {start.call} has no conversation that the built-in agent could go on with.")
    if not start.node and call.answer is None:
        raise ValueError(f"Call {start.call} has no answer: name the node up to which its conversation is wanted.")
    last = start.node or call.answer
    found = next((index for index, node in enumerate(nodes) if node.node == last), None)
    if found is None:
        raise ValueError(f"The conversation of call {start.call} has no node {start.node}.")
    messages = [node.message for node in nodes[: found + 1]]
    if start.text is not None:
        messages[-1] = edited(messages[-1], start.text)
    if not messages[-1].get("content"):
        raise ValueError("The last message of that conversation is empty.")
    return messages


def edited(message: Mapping[str, Any], text: str) -> Message:
    """A message whose words are others: its text, or that of its one tool result. ValueError where it has neither."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": text}
    kinds = [block.get("type") for block in content]
    if "text" in kinds:
        place = kinds.index("text")
        kept = [block for block in content[place + 1 :] if block.get("type") != "text"]
        words = [{"type": "text", "text": text}] if text else []
        return {**message, "content": [*content[:place], *words, *kept]}
    if kinds.count("tool_result") == 1:
        place = kinds.index("tool_result")
        result = {**content[place], "content": [{"type": "text", "text": text}]}
        return {**message, "content": [*content[:place], result, *content[place + 1 :]]}
    raise ValueError(f"That node has no words that could be replaced: it holds {', '.join(map(str, kinds))}.")


def turn_of(store: Store, subagent: SubagentId, call_id: str) -> int:
    """The turn that a call was made in; 0 where nothing says."""
    turn = 0
    for event in events.read(store, run=subagent.run):
        if event.subagent == subagent:
            match event.payload:
                case TurnStarted():
                    turn = event.payload.turn
                case CallStarted(call=call) if call == call_id:
                    return turn
    return 0
