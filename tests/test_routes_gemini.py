"""Google's SDK, answered by models of other protocols: what it gets, what reaches the provider, and what is on the
tape of both."""

import asyncio
import json
from typing import Any

import pytest
from google.genai import errors, types

from store import tapes
from tests.proxyrig import KEY, SUBAGENT, Client, recorded, split, streamed, whole
from tests.routesrig import Rigged, chunks, completion, failed, tool_call

pytestmark = pytest.mark.asyncio(loop_scope="session")

READ = types.FunctionDeclaration(
    name="read",
    description="Read a file.",
    parameters=types.Schema(
        type=types.Type.OBJECT,
        properties={"path": types.Schema(type=types.Type.STRING, nullable=True)},
        required=["path"],
    ),
)
TOOLS = [types.Tool(function_declarations=[READ])]
WHY = "Why does the check fail?"


async def said(r: Rigged, model: str, contents: Any, *, stream: bool, **config: Any) -> Any:
    """The parts of the answer, in order, and the last chunk (or the whole answer)."""
    asked: Any = {"model": model, "contents": contents, "config": types.GenerateContentConfig(**config)}
    models = r.gemini().models
    if not stream:
        answer = await models.generate_content(**asked)
        return list(answer.candidates[0].content.parts), answer
    parts, last = [], None
    async for last in await models.generate_content_stream(**asked):
        parts += [part for part in last.candidates[0].content.parts or [] if part != types.Part(text="")]
    return parts, last


@pytest.mark.parametrize("stream", [True, False])
async def test_an_openai_model_that_uses_tools(r: Rigged, stream: bool) -> None:
    calls = [tool_call(0, "read", '{"path": "a.py"}'), tool_call(1, "read", '{"path": "b.py"}')]
    if stream:
        pieces = [{"role": "assistant", "content": "Let me "}, {"content": "look."}, *calls]
        r.answers("openai", chunks(*pieces, finish="tool_calls"), chunks({"role": "assistant", "content": "Sold."}))
    else:
        both = [{k: v for k, v in call["tool_calls"][0].items() if k != "index"} for call in calls]
        r.answers(
            "openai",
            completion({"content": "Let me look.", "tool_calls": both}, "tool_calls"),
            completion({"content": "Sold."}),
        )
    config: Any = {"system_instruction": "You repair code.", "tools": TOOLS, "max_output_tokens": 500}
    first, answer = await said(r, "claude-by-openai", WHY, stream=stream, **config)
    assert "".join(part.text or "" for part in first) == "Let me look."
    used = [part.function_call for part in first if part.function_call]
    assert [(one.id, one.name, one.args) for one in used] == [
        ("call_0", "read", {"path": "a.py"}),
        ("call_1", "read", {"path": "b.py"}),
    ]
    usage = answer.usage_metadata
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (110, 40)
    assert (usage.candidates_token_count, usage.total_token_count) == (7, 117)
    assert answer.model_version.startswith("gpt-5.1") and answer.response_id

    # Results come back in another order; one without the id of its call, as the SDK's own helper makes them.
    results = [
        types.Part(function_response=types.FunctionResponse(id="call_1", name="read", response={"output": "text b"})),
        types.Part.from_function_response(name="read", response={"lines": ["text a", 7]}),
    ]
    turns = [
        types.UserContent(WHY),
        *([types.Content(role="model", parts=[part]) for part in first] if stream else [answer.candidates[0].content]),
        types.Content(role="user", parts=[types.Part(text="Go on."), *results]),
    ]
    second, _ = await said(r, "claude-by-openai", turns, stream=stream, **config)
    assert "".join(part.text or "" for part in second) == "Sold."

    sent = r.asked("openai", 1)
    assert (sent["model"], sent.get("stream", False), sent["max_completion_tokens"]) == ("gpt-5.1", stream, 500)
    system, user, assistant, one, other, more = sent["messages"]
    assert (system["role"], system["content"], user["content"]) == ("system", "You repair code.", WHY)
    assert assistant["content"] == "Let me look." and [each["id"] for each in assistant["tool_calls"]] == [
        "call_0",
        "call_1",
    ]
    assert (one["tool_call_id"], one["content"]) == ("call_1", "text b")
    assert (other["tool_call_id"], json.loads(other["content"])) == ("call_0", {"lines": ["text a", 7]})
    assert more == {"role": "user", "content": "Go on."}
    function = sent["tools"][0]["function"]
    assert function["parameters"]["type"] == "object"
    assert function["parameters"]["properties"] == {"path": {"type": ["string", "null"]}}

    (call, _), made = r.calls()
    assert [each.parent for each in made] == [each.id for each in r.calls()[0]]
    assert (call.protocol, call.model, call.complete, call.usage.total) == ("gemini", "claude-by-openai", True, 0)
    assert (made[0].protocol, made[0].usage.input, made[0].usage.cache_read) == ("openai-chat", 70, 40)
    assert call.notes == ("openai/gpt-5.1 answered for claude-by-openai",)
    assert tapes.verify(r.store, SUBAGENT.run) == []


@pytest.mark.parametrize("stream", [True, False])
async def test_claude_gets_its_thinking_back(r: Rigged, stream: bool) -> None:
    """It refuses to go on without; and a Gemini client gives back what it was signed with, unread."""
    if stream:
        r.answers("anthropic", streamed(recorded("thinking.sse")), streamed(recorded("text.sse")))
    else:
        content: list[dict[str, Any]] = [
            {"type": "thinking", "thinking": "It is the lock.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.py"}},
        ]
        answer = json.loads(recorded("message.json")) | {"content": content, "stop_reason": "tool_use"}
        r.answers("anthropic", whole(b"200 OK", json.dumps(answer).encode()))
    thinking = types.ThinkingConfig(thinking_budget=2048, include_thoughts=True)
    config: Any = {"tools": TOOLS, "max_output_tokens": 9000, "thinking_config": thinking}
    parts, _ = await said(r, "gpt-by-claude", WHY, stream=stream, **config)
    (made,) = r.calls()[1]
    wanted = tapes.answer(r.store, made)
    assert wanted is not None
    blocks = [block for block in wanted.message["content"] if "thinking" in block["type"]]
    thoughts = "".join(part.text for part in parts if part.thought)
    assert thoughts == "".join(block.get("thinking", "") for block in blocks) != ""
    turns = [types.UserContent(WHY), types.ModelContent(parts), types.UserContent("Go on.")]
    r.answers("anthropic", streamed(recorded("text.sse")) if stream else whole(b"200 OK", recorded("message.json")))
    await said(r, "gpt-by-claude", turns, stream=stream, **config)
    first, second = r.asked("anthropic", 0), r.asked("anthropic", 1)
    assert first["thinking"]["type"] == second["thinking"]["type"] == "enabled"
    assert [block for block in second["messages"][1]["content"] if "thinking" in block["type"]] == blocks
    assert not any(note.startswith("signature") for call in r.calls()[0] for note in call.notes)


async def test_thinking_that_nobody_gave_back_is_not_asked_for_again(r: Rigged) -> None:
    r.answers("anthropic", whole(b"200 OK", recorded("message.json")))
    call = types.Part(function_call=types.FunctionCall(name="read", args={"path": "a"}))
    given = types.Part.from_function_response(name="read", response={"result": "text"})
    turns = [types.UserContent(WHY), types.ModelContent([call]), types.UserContent([given])]
    thinking = types.ThinkingConfig(thinking_budget=2048)
    await said(r, "gpt-by-claude", turns, stream=False, tools=TOOLS, thinking_config=thinking)
    assert "thinking" not in r.asked("anthropic")
    used, result = (message["content"][0] for message in r.asked("anthropic")["messages"][1:])
    assert used["id"] == result["tool_use_id"] == "call_1"
    assert "thinkingConfig was not passed on" in r.calls()[0][0].notes


@pytest.mark.parametrize("stream", [True, False])
async def test_ollama(r: Rigged, stream: bool) -> None:
    head = {"model": "qwen3:8b", "created_at": "2026-11-01T00:00:00Z"}
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": 31, "eval_count": 9}
    call = {"function": {"name": "read", "arguments": {"path": "a.py"}}}
    texts: list[dict[str, Any]] = [{"content": "Let me "}, {"content": "look."}, {"content": "", "tool_calls": [call]}]
    if stream:
        lines = [{**head, "message": {"role": "assistant", **each}, "done": False} for each in texts]
        lines.append({**head, "message": {"role": "assistant", "content": ""}, **end})
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        r.answers("ollama", whole(b"200 OK", body, b"content-type: application/x-ndjson\r\n"))
    else:
        message = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
        r.answers("ollama", whole(b"200 OK", json.dumps({**head, "message": message, **end}).encode()))
    parts, answer = await said(r, "claude-by-ollama", WHY, stream=stream, tools=TOOLS)
    assert "".join(part.text or "" for part in parts) == "Let me look."
    assert [part.function_call.args for part in parts if part.function_call] == [{"path": "a.py"}]
    assert answer.usage_metadata.prompt_token_count == 31


async def test_what_cannot_be_carried_is_on_the_call_and_what_can_arrives(r: Rigged) -> None:
    r.answers("openai", completion({"content": '{"a": 1}'}))
    safety = types.SafetySetting(
        category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
    )
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["read"])
    parts = [
        types.Part(text="What is this?"),
        types.Part.from_bytes(data=b"\x89PNG\xfb\xff", mime_type="image/png"),
        types.Part.from_bytes(data=b"%PDF-1", mime_type="application/pdf"),
        types.Part.from_bytes(data=b"line 1 of the log", mime_type="text/plain"),
    ]
    turns = [
        types.UserContent(WHY),
        types.ModelContent([types.Part(text="It must be the lock.", thought=True, thought_signature=b"of Gemini")]),
        types.UserContent(parts),
    ]
    await said(
        r,
        "claude-by-openai",
        turns,
        stream=False,
        safety_settings=[safety],
        response_mime_type="application/json",
        response_json_schema=schema,
        stop_sequences=["END"],
        temperature=0.5,
        top_k=5,
        seed=7,
        tools=[*TOOLS, types.Tool(google_search=types.GoogleSearch())],
        tool_config=types.ToolConfig(function_calling_config=calling),
    )
    sent = r.asked("openai")
    text, picture, document, log = sent["messages"][-1]["content"]
    assert (text["text"], log["text"]) == ("What is this?", "line 1 of the log")
    assert picture["image_url"]["url"] == "data:image/png;base64,iVBOR/v/"
    assert document["file"]["file_data"] == "data:application/pdf;base64,JVBERi0x"
    assert sent["response_format"]["json_schema"]["schema"] == schema and sent["tool_choice"] == "required"
    (call,), _ = r.calls()
    assert set(call.notes[1:]) >= {
        "safetySettings was not passed on",
        "topK was not passed on",
        "the tool googleSearch was not passed on",
        "signature: 1 of 1 were not passed on",
        'contents: a text of 20 characters was not passed on: "It must be the lock."',
    }
    assert not any(note.startswith(("response", "toolConfig", "generationConfig", "seed")) for note in call.notes)


@pytest.mark.parametrize(
    ("config", "part", "said_so"),
    [
        ({"cached_content": "cachedContents/1"}, None, "cachedContent names what another provider keeps"),
        ({}, types.Part.from_uri(file_uri="gs://b/a.mp4", mime_type="video/mp4"), "fileData names what another"),
        (
            {},
            types.Part(executable_code=types.ExecutableCode(code="1", language=types.Language.PYTHON)),
            "executableCode",
        ),
    ],
)
async def test_what_has_no_translation_is_refused(r: Rigged, config: Any, part: Any, said_so: str) -> None:
    with pytest.raises(errors.ClientError, match=said_so) as caught:
        await said(r, "claude-by-openai", [types.UserContent([WHY, part] if part else WHY)], stream=False, **config)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert r.calls()[1] == []


async def in_array(r: Rigged, model: str, query: str = "") -> tuple[int, str, bytes, bool]:
    """A stream as who doesn't ask for events gets it: status, content type, body, and whether that ended properly."""
    client = Client(*await asyncio.open_connection("127.0.0.1", int(r.base_url.rpartition(":")[2])))
    path = f"/gemini/v1beta/models/{model}:streamGenerateContent{query}"
    body = json.dumps({"contents": [{"parts": [{"text": WHY}]}]}).encode()
    await client.ask(path=path, body=body, headers=f"x-goog-api-key: {KEY}\r\n")
    status, headers, got, proper = await client.answer()
    client.close()
    return status, dict(headers).get(b"content-type", b"").decode(), got, proper


@pytest.mark.parametrize("query", ["", "?alt=json"])
async def test_a_stream_as_an_array(r: Rigged, query: str) -> None:
    calls = [tool_call(0, "read", '{"path": "a.py"}')]
    pieces = [{"role": "assistant", "content": "Let me "}, {"content": "look."}, *calls]
    r.answers("openai", chunks(*pieces, finish="tool_calls"))
    status, kind, body, proper = await in_array(r, "claude-by-openai", query)
    assert (status, kind, proper) == (200, "application/json; charset=UTF-8", True)
    elements = json.loads(body)
    assert len(elements) >= 3, "it comes as it is made"
    parts = [part for element in elements for part in element["candidates"][0]["content"]["parts"]]
    assert "".join(part.get("text", "") for part in parts) == "Let me look."
    assert [part["functionCall"]["args"] for part in parts if "functionCall" in part] == [{"path": "a.py"}]
    assert elements[-1]["candidates"][0]["finishReason"] == "STOP" and elements[-1]["usageMetadata"]
    (call,), (tried,) = r.calls()
    assert (call.error, call.complete, call.stop_reason, tried.complete) == ("", True, "STOP", True)
    assert tapes.response(r.store, call) == body
    assert call.answer is not None


@pytest.mark.parametrize("cut", [True, False])
async def test_an_array_that_breaks_off_has_no_end(r: Rigged, cut: bool) -> None:
    r.answers("openai", streamed(b"".join(split(recorded("chat-text.sse"))[:4]), cut=cut))
    status, _, body, proper = await in_array(r, "claude-by-openai")
    call, made = await r.ended()
    assert (proper, call.complete, made.complete) == (False, False, False) and call.error
    assert status == 502 or not body.endswith(b"]")


async def test_an_error_in_the_middle_is_an_arrays_last_element(r: Rigged) -> None:
    r.answers("anthropic", streamed(recorded("error.sse")))
    _, _, body, proper = await in_array(r, "gpt-by-claude")
    assert proper and "Overloaded" in json.loads(body)[-1]["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "error", "kind", "words"),
    [
        (429, {"message": "You are too quick.", "code": "rate_limit_exceeded"}, "RESOURCE_EXHAUSTED", "too quick"),
        (401, {"message": "Incorrect API key."}, "UNAUTHENTICATED", "Incorrect"),
        (529, {"message": "Busy"}, "UNAVAILABLE", "Busy"),
        (503, {"message": "Oh."}, "UNAVAILABLE", "Oh"),
        (400, {"message": "Too much.", "code": "context_length_exceeded"}, "INVALID_ARGUMENT", "input token count"),
    ],
)
async def test_a_providers_error_in_geminis_words(
    r: Rigged, status: int, error: Any, kind: str, words: str, stream: bool
) -> None:
    r.answers("openai", failed(status, {"error": error}))
    with pytest.raises(errors.APIError, match=words) as caught:
        await said(r, "claude-by-openai", WHY, stream=stream)
    assert (caught.value.code, caught.value.status) == (status, kind)
    assert len(r.providers["openai"].asked) == 1


@pytest.mark.parametrize("cut", [True, False])
async def test_a_stream_that_breaks_breaks(r: Rigged, cut: bool) -> None:
    """LiteLLM's adapter would end it as if it were whole."""
    part = b"".join(split(recorded("chat-text.sse"))[:4])
    r.answers("openai", streamed(part, cut=cut))
    with pytest.raises(Exception, match=r"incomplete|closed|peer|terminated|not completed|Not enough"):
        await said(r, "claude-by-openai", WHY, stream=True)
    call, made = await r.ended()
    assert (call.complete, made.complete) == (False, False) and tapes.response(r.store, made) == part
    assert b"finishReason" not in tapes.response(r.store, call)


async def test_an_error_in_the_middle_is_told(r: Rigged) -> None:
    r.answers("anthropic", streamed(recorded("error.sse")))
    with pytest.raises(errors.APIError, match="Overloaded"):
        async for _ in await r.gemini().models.generate_content_stream(model="gpt-by-claude", contents=WHY):
            pass


async def test_tokens_are_counted(r: Rigged) -> None:
    counted = await r.gemini().models.count_tokens(model="claude-by-openai", contents=WHY)
    assert 4 < counted.total_tokens < 30
    (call,), made = r.calls()
    assert made == [] and call.complete
    assert call.notes == ("counted by LiteLLM as for openai/gpt-5.1, not reported by a provider",)


async def test_the_sdks_own_loop_of_tool_calls(r: Rigged) -> None:
    """Automatic function calling: the SDK runs the function, and sends its result back."""

    def read(path: str) -> str:
        """Read a file."""
        return f"the text of {path}"

    used = {"id": "call_9", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}
    r.answers(
        "openai", completion({"content": None, "tool_calls": [used]}, "tool_calls"), completion({"content": "Ok"})
    )
    parts, _ = await asyncio.wait_for(said(r, "claude-by-openai", WHY, stream=False, tools=[read]), 60)
    assert parts[0].text == "Ok"
    *_, assistant, result = r.asked("openai", 1)["messages"]
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"] == "call_9"
    assert result["content"] == "the text of a.py"
