"""Responses that go on from an earlier answer by its name (`previous_response_id`), where another provider is asked
than the one that knows that name: the tape knows what was said."""

import json
from typing import Any

import openai
import pytest

from store import keys, tapes
from store.domain.ids import SubagentId
from store.earlier import said_before
from store.keys import new_secret
from tests.proxyrig import SUBAGENT, recorded, streamed, whole
from tests.routesrig import Rigged, failed

pytestmark = pytest.mark.asyncio(loop_scope="session")

BECAME = "previous_response_id became what was said there:"
READ: Any = [{"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}, "strict": False}]


def claude(*blocks: dict[str, Any]) -> Any:
    answer = json.loads(recorded("message.json")) | {"content": list(blocks)}
    return whole(b"200 OK", json.dumps(answer).encode())


def gpt(identity: str, *output: dict[str, Any]) -> Any:
    answer = json.loads(recorded("response.json")) | {"id": identity, "output": list(output)}
    return whole(b"200 OK", json.dumps(answer).encode())


def text_item(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}


USE = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.py"}}


async def test_a_conversation_goes_on_with_claude(r: Rigged) -> None:
    """Three turns, each sent as what is new in it."""
    r.answers(
        "anthropic",
        claude({"type": "text", "text": "Let me look."}, USE),
        claude({"type": "text", "text": "It sells twice."}),
        streamed(recorded("text.sse")),
    )
    client = r.openai()
    asked: Any = {"model": "gpt-by-claude", "tools": READ}
    first = await client.responses.create(input="Why does it fail?", instructions="You repair code.", **asked)
    (used,) = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": used.call_id, "output": "the text of a.py"}
    second = await client.responses.create(input=[result], previous_response_id=first.id, **asked)
    async with client.responses.stream(input="And now?", previous_response_id=second.id, **asked) as stream:
        assert (await stream.get_final_response()).output_text
    sent = r.asked("anthropic", 2)
    # Instructions are each request's own, by the protocol.
    assert "system" not in sent
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    why, look, given, twice, now = (message["content"] for message in sent["messages"])
    assert (why[0]["text"], look[0]["text"], look[1]["id"]) == ("Why does it fail?", "Let me look.", used.call_id)
    assert (given[0]["tool_use_id"], given[0]["content"]) == (used.call_id, "the text of a.py")
    assert (twice[0]["text"], now[0]["text"]) == ("It sells twice.", "And now?")
    calls, made = r.calls()
    assert [call.notes[0] for call in calls[1:]] == [
        f"{BECAME} 3 items out of 1 calls of this tape",
        f"{BECAME} 5 items out of 2 calls of this tape",
    ]
    assert not any("not passed on" in note for call in calls for note in call.notes)
    # What the client sent is on its call, and the whole on the other; and readers see one conversation.
    assert tapes.request(r.store, calls[2])["previous_response_id"] == second.id
    assert [message.role for message in tapes.messages(r.store, calls[2])][-1] == "user"
    assert calls[2].base == calls[1].answer
    assert tapes.request(r.store, made[2]) == sent
    assert tapes.verify(r.store, SUBAGENT.run) == []


async def test_an_answer_that_is_not_on_this_tape_is_refused(r: Rigged) -> None:
    r.answers("anthropic", claude({"type": "text", "text": "Hello."}))
    client = r.openai()
    asked: Any = {"model": "gpt-by-claude", "input": "And now?"}
    words = "previous_response_id names an answer that is not whole on this tape"
    with pytest.raises(openai.BadRequestError, match=words):
        await client.responses.create(previous_response_id="resp_unknown", **asked)
    first = await client.responses.create(model="gpt-by-claude", input="Hi")
    # Another subagent's tape is another tape.
    other, secret = SubagentId(SUBAGENT.run, 2, 8), new_secret()
    r.store.write(lambda connection: keys.mint(connection, other, secret, at=1.0))
    with pytest.raises(openai.BadRequestError, match=words):
        await client.with_options(api_key=secret).responses.create(previous_response_id=first.id, **asked)
    # What goes on from one that goes on from nothing known is as unknown.
    r.answers("openai", gpt("resp_b", text_item("Sure.")))
    await client.responses.create(model="gpt-then-claude", input="So?", previous_response_id="resp_elsewhere")
    assert r.asked("openai")["previous_response_id"] == "resp_elsewhere"
    with pytest.raises(openai.BadRequestError, match=words):
        await client.responses.create(previous_response_id="resp_b", **asked)
    assert len(r.providers["anthropic"].asked) == 1


async def test_whoever_knows_the_name_gets_the_name(r: Rigged) -> None:
    r.answers("openai", gpt("resp_1", text_item("Hello.")), gpt("resp_2", text_item("Here.")))
    client = r.openai()
    first = await client.responses.create(model="gpt-then-claude", input="Hi")
    await client.responses.create(model="gpt-then-claude", input="And now?", previous_response_id=first.id)
    assert r.asked("openai", 1) == {"model": "gpt-5.1", "input": "And now?", "previous_response_id": "resp_1"}
    assert r.calls()[0][1].notes == ("openai/gpt-5.1 answered for gpt-then-claude",)


async def test_who_comes_in_for_another_gets_what_was_said(r: Rigged) -> None:
    """From OpenAI to Anthropic, when that fails; and back, to a server that never gave that name."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    r.answers(
        "openai",
        gpt("resp_3", reasoning, search, text_item("Hello.")),
        failed(500, {"error": {"message": "Oh."}}),
        gpt("resp_5", text_item("Back.")),
    )
    r.answers("anthropic", claude({"type": "text", "text": "Here."}))
    client = r.openai()
    first = await client.responses.create(model="gpt-then-claude", input=[{"role": "user", "content": "Hi"}])
    second = await client.responses.create(model="gpt-then-claude", input="Well?", previous_response_id=first.id)
    assert second.output_text == "Here."
    assert [message["content"][0]["text"] for message in r.asked("anthropic")["messages"]] == ["Hi", "Hello.", "Well?"]
    await client.responses.create(model="gpt-then-claude", input="And?", previous_response_id=second.id, store=False)
    sent = r.asked("openai", 2)
    assert "previous_response_id" not in sent and (sent["model"], sent["store"]) == ("gpt-5.1", False)
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user", "assistant", "user"]
    assert [item["content"] for item in sent["input"]][::2] == ["Hi", "Well?", "And?"]
    calls, _ = r.calls()
    assert calls[2].notes == (
        f"{BECAME} 4 items out of 2 calls of this tape, less its reasoning, web_search_call",
        "openai/gpt-5.1 answered for gpt-then-claude",
    )


async def test_what_was_said_before(r: Rigged) -> None:
    assert said_before(r.store, SUBAGENT, "") is None
    assert said_before(r.store, SUBAGENT.run, "resp_1") is None
    known = said_before(r.store, SUBAGENT, "resp_1")
    assert known is not None and (known.provider, known.calls, known.left_out) == ("openai", 1, ())
    assert [item["role"] for item in known.items] == ["user", "assistant"]
