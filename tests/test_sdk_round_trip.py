"""What SDKs make of recorded streams, and what they and agents send back of it: one node with the answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from backends.proxy.anthropic import AnthropicMessages
from backends.proxy.gemini import Gemini
from backends.proxy.openai import OpenAI as OpenAIProtocol
from backends.proxy.protocol import Answer, ProviderProtocol
from backends.proxy.sse import EventReader
from store import tapes
from store.database import Store, open_store
from store.domain.blocks import BlockKind, blocks
from store.domain.tape import Call
from tests.jsonvalues import as_json, same
from tests.taping import closed, count, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


RECORDED = Path(__file__).parent / "recorded"


@contextmanager
def provider(stream: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A provider that answers every request with the stream; its URL, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.wfile.write(stream)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def assembled(stream: bytes, protocol: ProviderProtocol, path: str) -> Answer:
    """The answer as the proxy puts it together."""
    reader, read = protocol.reader("POST", path, lambda kind, text: None), EventReader()
    for item in read.feed(stream):
        reader.event(item)
    return reader.answer()


@pytest.mark.parametrize("name", ["text", "thinking", "tools", "tools-crlf", "server-tools"])
def test_what_the_sdk_sends_back_is_the_node_of_the_answer(store: Store, name: str) -> None:
    from anthropic import Anthropic

    stream = (RECORDED / f"{name}.sse").read_bytes()
    with provider(stream) as (url, bodies):
        client = Anthropic(base_url=url, api_key="k", max_retries=0)
        first: Any = {"role": "user", "content": "fix it"}
        with client.messages.stream(model="m", max_tokens=9, messages=[first]) as streaming:
            final = streaming.get_final_message()
        dumps: list[Any] = [
            final.content,
            final.model_dump()["content"],
            final.model_dump(exclude_none=True)["content"],
            final.model_dump(mode="json", exclude_unset=True)["content"],
            [json.loads(block.to_json()) for block in final.content],
        ]
        whole: list[Any] = [final.model_dump(), final.model_dump(exclude_none=True)]
        answers = [{"role": "assistant", "content": content} for content in dumps]
        came = assembled(stream, AnthropicMessages(), "/v1/messages")
        call = closed(store, opened(store, bodies[0]), [*came.messages], response=stream)
        assert call.answer is not None
        for answer in answers + whole:
            next_message: Any = {"role": "user", "content": "go on"}
            client.messages.create(model="m", max_tokens=9, messages=[first, answer, next_message])
            again = opened(store, bodies[-1])
            assert [message.node for message in tapes.messages(store, again)][:2] == [call.tail, call.answer]
            assert same(tapes.request(store, again), as_json(json.loads(bodies[-1])))
        client.close()
    assert tapes.verify(store, "abcde") == []


def one_with(store: Store, call: Call, body: bytes, conversation: str) -> None:
    """The request goes on with the answer's own nodes, and is rebuilt."""
    again = opened(store, body, conversation=conversation)
    wanted = [message.node for message in [*tapes.messages(store, call), *tapes.answers(store, call)]]
    assert [message.node for message in tapes.messages(store, again)][: len(wanted)] == wanted
    assert again.tail not in wanted
    assert same(tapes.request(store, again), as_json(json.loads(body)))


def by_litellm(message: Any) -> dict[str, Any]:
    """As LiteLLM dumps its own message of it."""
    calls = [
        {
            "function": {"arguments": call.function.arguments, "name": call.function.name},
            "id": call.id,
            "type": "function",
        }
        for call in message.tool_calls or ()
    ]
    return {
        "content": message.content,
        "role": "assistant",
        "tool_calls": calls or None,
        "function_call": None,
        "annotations": [],
        "provider_specific_fields": {"refusal": message.refusal},
    }


def by_ai_sdk(message: Any) -> dict[str, Any]:
    """As agents on Vercel's AI SDK send it: arguments read and written again, a text in any case."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {
                "name": call.function.name,
                "arguments": json.dumps(json.loads(call.function.arguments), ensure_ascii=False, separators=(",", ":")),
            },
        }
        for call in message.tool_calls or ()
    ]
    return {"role": "assistant", "content": message.content or "", **({"tool_calls": calls} if calls else {})}


@pytest.mark.parametrize("name", ["chat-text", "chat-tools", "chat-reasoning"])
def test_a_completion_sent_back_is_the_node_of_the_answer(store: Store, name: str) -> None:
    from openai import OpenAI

    stream = (RECORDED / f"{name}.sse").read_bytes()
    with provider(stream) as (url, bodies):
        client = OpenAI(base_url=url, api_key="k", max_retries=0)
        first: Any = {"role": "user", "content": "fix it"}
        with client.chat.completions.stream(model="m", messages=[first]) as streaming:
            message: Any = streaming.get_final_completion().choices[0].message
        came = assembled(stream, OpenAIProtocol(), "/v1/chat/completions")
        call = closed(store, opened(store, bodies[0]), [*came.messages], response=stream)
        dumped = message.model_dump(exclude={"parsed"}, exclude_none=True)
        dumped["tool_calls"] = [
            {**one, "function": {k: v for k, v in one["function"].items() if k != "parsed_arguments"}}
            for one in dumped.get("tool_calls", ())
        ]
        sent: list[Any] = [
            message,
            {**message.model_dump(exclude={"parsed"}), "tool_calls": dumped["tool_calls"] or None},
            dumped,
            by_litellm(message),
            by_ai_sdk(message),
        ]
        results: list[Any] = [
            {"role": "tool", "tool_call_id": one["id"], "content": "ok"} for one in dumped["tool_calls"]
        ] or [{"role": "user", "content": "go on"}]
        for answer in sent:
            client.chat.completions.create(model="m", messages=[first, answer, *results], stream=True).close()
            one_with(store, call, bodies[-1], "messages")
        client.close()
    found = tapes.answer(store, call)
    assert found is not None
    if name == "chat-reasoning":
        assert blocks(found.message)[0].kind is BlockKind.REASONING
    assert tapes.verify(store, "abcde") == []


def by_codex(items: Any) -> list[Any]:
    """As codex sends items back: no ids of the provider's, no states, content that isn't there as null."""
    sent = []
    for item in items:
        one = item.model_dump(exclude_none=True)
        one.pop("id", None)
        one.pop("status", None)
        if one["type"] == "reasoning":
            one["content"] = None
        if one["type"] == "message":
            one["content"] = [{"type": "output_text", "text": part["text"]} for part in one["content"]]
        sent.append(one)
    return sent


@pytest.mark.parametrize("name", ["responses-text", "responses-tools", "responses-reasoning"])
def test_items_sent_back_are_the_nodes_of_the_answer(store: Store, name: str) -> None:
    from openai import OpenAI

    stream = (RECORDED / f"{name}.sse").read_bytes()
    with provider(stream) as (url, bodies):
        client = OpenAI(base_url=url, api_key="k", max_retries=0)
        events = client.responses.create(model="m", input="fix it", stream=True)
        (response,) = [event.response for event in events if event.type == "response.completed"]
        came = assembled(stream, OpenAIProtocol(), "/v1/responses")
        call = opened(store, bodies[0], conversation="input")
        call = closed(store, call, [*came.messages], response=stream, response_id=came.response_id)
        sent: list[Any] = [
            response.output,
            [item.model_dump() for item in response.output],
            [item.model_dump(exclude_unset=True) for item in response.output],
            [item.model_dump(exclude_none=True) for item in response.output],
            [json.loads(item.to_json()) for item in response.output],
            by_codex(response.output),
        ]
        first: Any = {"role": "user", "content": "fix it"}
        told: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]}
        for items in sent:
            client.responses.create(model="m", input=[first, *items, told], stream=True).close()
            one_with(store, call, bodies[-1], "input")
        client.responses.create(model="m", input="go on", previous_response_id=response.id, stream=True).close()
        one_with(store, call, bodies[-1], "input")
        client.close()
    assert count(store, "nodes") == 1 + len(came.messages) + 1
    assert tapes.verify(store, "abcde") == []


def by_gemini_cli(contents: list[Any]) -> Any:
    """As gemini-cli keeps a stream: one content without thoughts, texts that follow one another joined."""
    parts: list[dict[str, Any]] = []
    for part in (part for content in contents for part in content.get("parts", ()) if not part.get("thought")):
        if parts and "text" in part and parts[-1].keys() == {"text"}:
            parts[-1]["text"] += part["text"]
        elif part.get("text") != "":
            parts.append(dict(part))
    return {"role": "model", "parts": parts}


@pytest.mark.parametrize("name", ["gemini-text", "gemini-poem", "gemini-tool", "gemini-thoughts"])
def test_contents_sent_back_are_the_node_of_the_answer(store: Store, name: str) -> None:
    from google import genai
    from google.genai import types

    stream = (RECORDED / f"{name}.sse").read_bytes()
    with provider(stream) as (url, bodies):
        client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
        chat = client.chats.create(model="gemini-x")
        for _ in chat.send_message_stream("fix it"):
            pass
        came = assembled(stream, Gemini(), "/v1beta/models/gemini-x:streamGenerateContent")
        call = opened(store, bodies[0], conversation="contents")
        call = closed(store, call, [*came.messages], response=stream)
        # The SDK's own chat keeps each chunk as a content.
        for _ in chat.send_message_stream("go on"):
            pass
        one_with(store, call, bodies[-1], "contents")
        first, *said = chat.get_history()[:-1]
        said = said[: next(index for index, content in enumerate(said) if content.role == "user")]
        whole = types.Content(role="model", parts=[part for content in said for part in content.parts or ()])
        told = types.Content(role="user", parts=[types.Part(text="go on")])
        raw = [content.model_dump(mode="json", by_alias=True, exclude_none=True) for content in said]
        for contents in ([whole], [types.Content.model_validate(by_gemini_cli(raw))]):
            list(client.models.generate_content_stream(model="gemini-x", contents=[first, *contents, told]))
            one_with(store, call, bodies[-1], "contents")
        client.close()
    assert tapes.verify(store, "abcde") == []
