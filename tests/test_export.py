"""Runs as OpenTelemetry spans: what is in them, in a file and on the wire, to a collector that parses every byte."""

import asyncio
import gzip
import json
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from app.failure import Exit
from backends.export import Exporter, batches, endpoint_of, exported, json_line, spans_of
from backends.export.endpoint import Endpoint, EndpointError, pause_before
from backends.export.genai import call_span, error_type
from backends.export.span import Span, of_call, of_run, of_subagent, trace_id
from store import runs
from store.database import Store, open_store
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.tape import Call
from store.home import Home
from store.recording import CallEnd, CallStart, close_call, open_call
from tests import record
from tests import runs as engines
from tests.shop import NOW, RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]

SECRET = "sk-ant-api03-" + "Secret0" * 8
TOOL_USE = {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a.py"}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": f"key = {SECRET}", "is_error": True}


class Collector(ThreadingHTTPServer):
    """Takes spans as a collector does. `answers` are statuses, with Retry-After, for the next requests; then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, str]] = []
        self.rejects = 0
        self.spans: list[Sent] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.resources: list[dict[str, str]] = []
        self.came = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def until(self, enough: Callable[[list[Sent]], bool]) -> None:
        with self.came:
            assert self.came.wait_for(lambda: enough(self.spans), 60), [span.name for span in self.spans]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        batch = ExportTraceServiceRequest()
        batch.ParseFromString(body)
        status, retry = self.server.answers.pop(0) if self.server.answers else (200, "")
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = self.server.rejects
        data = answer.SerializeToString() if status == 200 else b"no"
        with self.server.came:
            self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            if status == 200:
                (of_resource,) = batch.resource_spans
                self.server.resources.append(
                    {attribute.key: attribute.value.string_value for attribute in of_resource.resource.attributes}
                )
                self.server.spans += of_resource.scope_spans[0].spans
            self.server.came.notify_all()
        # Whoever has the answer finds it here.
        self.send_response(status)
        if retry:
            self.send_header("Retry-After", retry)
        if status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def attributes(span: Sent) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in span.attributes:
        value = attribute.value
        kind = value.WhichOneof("value")
        assert kind is not None
        if kind == "array_value":
            found[attribute.key] = [item.string_value for item in value.array_value.values]
        else:
            found[attribute.key] = getattr(value, kind)
    return found


def encoded(spans: Iterator[Span]) -> list[Sent]:
    return [span for batch in batches(spans) for span in batch.resource_spans[0].scope_spans[0].spans]


def read_back(line: str) -> list[Sent]:
    """A line of OTLP's JSON as protobuf: its ids are hexadecimal, where protobuf's own JSON has base64."""
    value = json.loads(line)
    for span in value["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = b64encode(bytes.fromhex(span[name])).decode()
    return list(ParseDict(value, ExportTraceServiceRequest()).resource_spans[0].scope_spans[0].spans)


def put(
    store: Store, name: str, messages: list[Any], answer: Any, *, at: float, subagent: SubagentId | None = None
) -> None:
    body = json.dumps({"model": "m-1", "max_tokens": 9, "system": f"Be {SECRET}", "messages": messages}).encode()
    start = CallStart(name, at, RUN, subagent, "anthropic", "POST", "/v1/messages", body)
    end = CallEnd(name, at + 1, 200, complete=True, messages=[answer], usage=Usage(10, 5), usd=0.5, response=b"{}")
    store.write(lambda connection: open_call(connection, start))
    store.write(lambda connection: close_call(connection, end))


@contextmanager
def recording(folder: Path) -> Iterator[Store]:
    """A bare recording with a tool call between two calls."""
    home = Home(folder).create()
    with open_store(home.store) as store:
        store.write(lambda connection: runs.create(connection, RUN, "Recording", at=NOW))
        asked = [{"role": "user", "content": "Look."}]
        answer = {"role": "assistant", "content": [TOOL_USE]}
        put(store, "c1", asked, answer, at=NOW)
        said = {"role": "assistant", "content": [{"type": "text", "text": "\ud83d done"}]}
        put(store, "c2", [*asked, answer, {"role": "user", "content": [TOOL_RESULT]}], said, at=NOW + 5)
        yield store


# A run.


def test_every_span_of_a_run_has_its_place(tmp_path: Path) -> None:
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        for run in runs.runs(store):
            spans = encoded(spans_of(store, run.id))
            by_id = {span.span_id: span for span in spans}
            assert len(by_id) == len(spans)
            assert {span.trace_id for span in spans} == {trace_id(run.id)}
            (root,) = (span for span in spans if not span.parent_span_id)
            assert root.span_id == of_run(run.id)
            assert attributes(root)["gen_ai.operation.name"] == "invoke_workflow"
            for span in spans:
                assert span is root or span.parent_span_id in by_id
                assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
                assert span.end_time_unix_nano < 2_000_000_000 * 10**9
                parent = by_id.get(span.parent_span_id)
                expected = {"chat": "invoke_agent", "execute_tool": "invoke_agent", "invoke_agent": "generation"}
                name = span.name.partition(" ")[0]
                if name in expected:
                    assert parent is not None and parent.name.startswith(expected[name]), span.name
                assert span.kind == (Sent.SPAN_KIND_CLIENT if name == "chat" else Sent.SPAN_KIND_INTERNAL)
            names = {span.name.partition(" ")[0] for span in spans}
            if len(spans) > 1:
                assert names == {"invoke_workflow", "generation", "invoke_agent", "chat", "execute_tool"}


def test_calls_and_tools_of_a_bare_recording(tmp_path: Path) -> None:
    with recording(tmp_path) as store:
        spans = {span.name: span for span in encoded(spans_of(store, RUN))}
    assert set(spans) == {"chat m-1", "execute_tool read", "invoke_workflow multitrack"}
    tool, root = spans["execute_tool read"], spans["invoke_workflow multitrack"]
    assert (tool.start_time_unix_nano, tool.end_time_unix_nano) == (int(NOW + 1) * 10**9, int(NOW + 5) * 10**9)
    assert tool.parent_span_id == root.span_id
    assert tool.status.code == Status.STATUS_CODE_ERROR
    told = attributes(tool)
    assert (told["gen_ai.tool.name"], told["gen_ai.tool.call.id"], told["error.type"]) == ("read", "t1", "tool_error")
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (int(NOW) * 10**9, int(NOW + 6) * 10**9)
    assert attributes(root)["multitrack.state"] == "recording"


def test_what_was_said_is_in_it_only_when_asked_for_and_without_keys(tmp_path: Path) -> None:
    with recording(tmp_path) as store:
        plain = "".join(json_line(batch) for batch in batches(spans_of(store, RUN)))
        spans = encoded(spans_of(store, RUN, content=True))
    for word in ("Look.", "done", "a.py", "key =", SECRET):
        assert word not in plain
    told = [attributes(span) for span in spans]
    assert SECRET not in repr(told)
    call = next(one for one in told if one.get("multitrack.call.id") == "c2")
    asked = json.loads(call["gen_ai.input.messages"])
    assert [message["role"] for message in asked] == ["user", "assistant", "tool"]
    assert asked[1]["parts"] == [{"type": "tool_call", "id": "t1", "name": "read", "arguments": {"path": "a.py"}}]
    assert asked[2]["parts"][0]["response"].startswith("key = sk-ant-api03-***")
    (answer,) = json.loads(call["gen_ai.output.messages"])
    assert (answer["role"], answer["parts"][0]["content"]) == ("assistant", "? done")
    assert json.loads(call["gen_ai.system_instructions"])[0]["content"].startswith("Be sk-ant-api03-***")
    tool = next(one for one in told if one["gen_ai.operation.name"] == "execute_tool")
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"path": "a.py"}
    assert tool["gen_ai.tool.call.result"].startswith("key = sk-ant-api03-***")


CHAT = {
    "messages": [
        {"role": "system", "content": "Be."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "read", "arguments": '{"p":1}'}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "res"},
    ],
}
RESPONSES = {
    "instructions": "Be.",
    "max_output_tokens": 5,
    "input": [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "t1", "name": "read", "arguments": '{"p":1}'},
        {"type": "function_call_output", "call_id": "t1", "output": "res"},
    ],
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be."}]},
    "generationConfig": {"maxOutputTokens": 5},
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "t1", "name": "read", "args": {"p": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "t1", "name": "read", "response": {"r": "res"}}}]},
    ],
}


@pytest.mark.parametrize(
    ("provider", "protocol", "conversation", "path", "body", "answer"),
    [
        ("openai", "openai-chat", "messages", "/v1/chat/completions", CHAT, {"role": "assistant", "content": "done"}),
        (
            *("openai", "openai-responses", "input", "/v1/responses", RESPONSES),
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
        ),
        (
            *("gemini", "gemini", "contents", "/v1beta/models/m-1:generateContent", GEMINI),
            {"role": "model", "parts": [{"text": "done"}]},
        ),
    ],
)
def test_every_protocol_is_told_in_the_same_words(
    tmp_path: Path, provider: str, protocol: str, conversation: str, path: str, body: Any, answer: Any
) -> None:
    home = Home(tmp_path).create()
    with open_store(home.store) as store:
        data = json.dumps(body).encode()
        start = CallStart(
            "c1",
            NOW,
            RUN,
            None,
            provider,
            "POST",
            path,
            data,
            model="m-1",
            protocol=protocol,
            conversation=conversation,
        )
        end = CallEnd("c1", NOW + 1, 200, complete=True, messages=[answer], stop_reason="stop", usage=Usage(1, 1))
        store.write(lambda connection: open_call(connection, start))
        store.write(lambda connection: close_call(connection, end))
        call, tool, _ = (attributes(span) for span in encoded(spans_of(store, RUN, content=True)))
    asked = json.loads(call["gen_ai.input.messages"])
    if conversation == "messages":
        assert asked.pop(0) == {"role": "system", "parts": [{"type": "text", "content": "Be."}]}
    else:
        assert json.loads(call["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be."}]
        assert call["gen_ai.request.max_tokens"] == 5
    assert asked == [
        {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "read", "arguments": {"p": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "res"}]},
    ]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "done"}], "finish_reason": "stop"}]
    assert json.loads(call["gen_ai.output.messages"]) == said
    assert (tool["gen_ai.tool.name"], tool["gen_ai.tool.call.id"]) == ("read", "t1")


# A call.


def call_of(**changes: Any) -> Call:
    plain = Call(
        id="c1",
        run=RUN,
        subagent=SubagentId(RUN, 2, 3),
        provider="anthropic",
        method="POST",
        path="/v1/messages?beta=true",
        model="claude-x",
        stream=True,
        started=NOW,
        first_byte=NOW + 0.25,
        ended=NOW + 2,
        status=200,
        complete=True,
        stop_reason="end_turn",
        usage=Usage(10, 20, 300, 4000, 7),
        usd=0.25,
        protocol="anthropic",
        response_id="msg_1",
    )
    return Call(**{**{name: getattr(plain, name) for name in plain.__dataclass_fields__}, **changes})


def sent(call: Call, request: dict[str, Any] | None = None, model: str = "") -> Sent:
    (span,) = encoded(iter([call_span(call, request or {}, {}, model)]))
    return span


def test_a_call_by_the_conventions() -> None:
    span = sent(call_of(), {"max_tokens": 64, "temperature": 1, "top_k": 3, "stop_sequences": ["x"]}, "claude-x-2025")
    assert (span.name, span.kind) == ("chat claude-x", Sent.SPAN_KIND_CLIENT)
    assert (span.span_id, span.parent_span_id) == (of_call("c1"), of_subagent(SubagentId(RUN, 2, 3)))
    assert span.end_time_unix_nano - span.start_time_unix_nano == 2 * 10**9
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-x",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_k": 3.0,
        "gen_ai.request.stop_sequences": ["x"],
        "gen_ai.conversation.id": f"{RUN}.2.3",
        "gen_ai.response.id": "msg_1",
        "gen_ai.response.model": "claude-x-2025",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 4310,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 4000,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/v1/messages",
        "multitrack.call.id": "c1",
        "multitrack.cost.usd": 0.25,
        "multitrack.run": RUN,
        "multitrack.generation": 2,
        "multitrack.lane": 3,
    }


@pytest.mark.parametrize(
    ("changes", "name", "provider"),
    [
        ({"provider": "openai", "protocol": "openai-chat", "path": "/v1/chat/completions"}, "chat claude-x", "openai"),
        (
            {"provider": "openai", "protocol": "openai-responses", "path": "/v1/responses", "conversation": "input"},
            "chat claude-x",
            "openai",
        ),
        ({"protocol": "openai", "path": "/v1/embeddings", "conversation": ""}, "embeddings claude-x", "openai"),
        ({"protocol": "openai", "path": "/v1/completions"}, "text_completion claude-x", "openai"),
        (
            {"provider": "gemini", "protocol": "gemini", "path": "/v1beta/models/g:x", "conversation": "contents"},
            "generate_content claude-x",
            "gcp.gemini",
        ),
        ({"provider": "ollama", "protocol": "openai-chat"}, "chat claude-x", "ollama"),
        ({"path": "/v1/messages/count_tokens"}, "POST", "anthropic"),
        ({"path": "/v1/models", "method": "GET", "model": "", "conversation": ""}, "GET", "anthropic"),
    ],
)
def test_what_a_call_is_by_its_protocol(changes: dict[str, Any], name: str, provider: str) -> None:
    span = sent(call_of(**changes))
    assert (span.name, attributes(span)["gen_ai.provider.name"]) == (name, provider)


def test_a_translated_call_is_under_the_one_that_it_was_made_for() -> None:
    assert sent(call_of(id="c2", parent="c1")).parent_span_id == of_call("c1")
    assert sent(call_of(subagent=None)).parent_span_id == of_run(RUN)
    assert attributes(sent(call_of(thread="t9")))["gen_ai.conversation.id"] == f"{RUN}.2.3/t9"
    assert "gen_ai.conversation.id" not in attributes(sent(call_of(subagent=None)))


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (529, "overloaded_error: Overloaded", "overloaded_error"),
        (429, "HTTP 429", "429"),
        (400, "insufficient_quota", "insufficient_quota"),
        (200, "overloaded_error: Overloaded", "overloaded_error"),
        (None, "the provider could not be reached: refused", "connection_error"),
        (None, "the provider did not answer in time: 15 s", "timeout"),
        (200, "the provider's answer broke off: eof", "connection_error"),
        (200, "the client hung up", "client_disconnected"),
        (200, "the answer ended before its end", "incomplete"),
        (None, "engine died", "engine_died"),
        (200, "the subagent was killed", "cancelled"),
        (500, "who knows what", "500"),
        (None, "who knows what", "_OTHER"),
        (200, "", None),
    ],
)
def test_a_call_that_failed_has_a_status_and_one_of_few_words(status: int | None, error: str, kind: str | None) -> None:
    call = call_of(status=status, error=error)
    assert error_type(call) == kind
    span = sent(call)
    assert span.status.code == (Status.STATUS_CODE_ERROR if kind else Status.STATUS_CODE_UNSET)
    assert span.status.message == error
    assert attributes(span).get("error.type") == kind


def test_an_error_shows_no_key() -> None:
    span = sent(call_of(status=401, error=f"authentication_error: {SECRET}"))
    assert SECRET not in span.status.message


@given(st.text(alphabet=st.characters(), max_size=30), st.floats(0, 2e9), st.integers(-(2**63), 2**63 - 1))
def test_any_text_and_number_goes_through(text: str, at: float, number: int) -> None:
    span = Span(
        b"t" * 16, b"s" * 8, b"", text, at, at - 1, attributes={"a": text, "n": number, "l": [text]}, error=text
    )
    (batch,) = batches([span])
    (back,) = read_back(json_line(batch))
    assert back == batch.resource_spans[0].scope_spans[0].spans[0]
    assert back.end_time_unix_nano == back.start_time_unix_nano, "no span ends before it began"
    assert attributes(back)["n"] == number


def test_batches_are_bounded() -> None:
    def spans(size: int) -> Iterator[Span]:
        for number in range(1000):
            yield Span(b"t" * 16, number.to_bytes(8), b"", "x", 1.0, 2.0, attributes={"a": "x" * size})

    assert [len(batch.resource_spans[0].scope_spans[0].spans) for batch in batches(spans(1))] == [200] * 5
    assert all(batch.ByteSize() < 1_200_000 for batch in batches(spans(50_000)))


# Files.


def test_a_run_is_written_as_lines_of_otlp(here: Here, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    code, out, err = here("export", RUN, "--format", "otlp", "--output", str(file))
    assert (code, out) == (Exit.FINE, "")
    assert f"spans of run {RUN} in {file}." in err
    spans = [span for line in file.read_text().splitlines() for span in read_back(line)]
    assert len(spans) == len({span.span_id for span in spans}) == int(err.split()[0])
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    here("export", RUN, "--format", "otlp", "--output", str(file))
    assert file.read_bytes() == before, "the same ids each time"
    assert here("export", RUN, "--format", "otlp", "--output", "-")[1] == before.decode()
    assert list(tmp_path.glob(".out*")) == []


def test_a_run_is_written_as_lines_of_calls(here: Here, tmp_path: Path) -> None:
    with open_store(here.home.store) as store:
        body = {"role": "user", "content": f"hide {SECRET}"}
        put(store, "c7", [body], {"role": "assistant", "content": "Hidden."}, at=NOW + 50)
    file = tmp_path / "out.jsonl"
    code, _, err = here("export", RUN, "--format", "jsonl", "--output", str(file))
    assert (code, err) == (Exit.FINE, f"2 calls of run {RUN} in {file}.\n")
    first, second = map(json.loads, file.read_text().splitlines())
    assert first["id"] == "c1" and first["tokens"]["input"] == 10
    assert first["request"]["messages"][0]["content"][0]["text"] == "Begin with the ledger."
    assert first["answers"][0]["content"][1]["name"] == "run"
    assert SECRET not in json.dumps(second)
    assert second["request"]["messages"][0]["content"].startswith("hide sk-ant-api03-***")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ((), Exit.USAGE, "say where it goes"),
        (("--output", "a", "--endpoint", "http://x"), Exit.USAGE, "say where it goes"),
        (("--format", "jsonl", "--endpoint", "http://x"), Exit.USAGE, "takes --format otlp alone"),
        (("--output", "no/such/folder/a"), Exit.ENVIRONMENT, "there is no folder no/such/folder"),
        (("--endpoint", "ftp://x"), Exit.ENVIRONMENT, "is no http:// or https:// address"),
        (("--endpoint", "http://127.0.0.1:1"), Exit.ENVIRONMENT, "could not be reached"),
    ],
)
def test_what_is_wrong_is_said(
    here: Here, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: Exit, part: str
) -> None:
    monkeypatch.setattr("app.commands.export.ATTEMPTS", 1)
    told = here("export", RUN, *arguments)
    assert (told[0], part in told[2]) == (code, True), told


# To a collector.


def test_a_run_is_sent_with_a_key_compressed_and_again_after_a_503(
    here: Here, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc, x-project=p")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab,service.name=other")
    collector.answers = [(503, "0"), (429, "0")]
    code, _, err = here("export", RUN, "--endpoint", collector.url)
    assert (code, err) == (Exit.FINE, f"{len(collector.spans)} spans of run {RUN} sent to {collector.url}/v1/traces.\n")
    assert [path for path, _ in collector.asked] == ["/v1/traces"] * 3
    headers = collector.asked[0][1]
    assert (headers["authorization"], headers["x-project"]) == ("Basic abc", "p")
    assert (headers["content-type"], headers["content-encoding"]) == ("application/x-protobuf", "gzip")
    assert collector.resources[0]["service.name"] == "mine"
    assert collector.resources[0]["deployment.environment.name"] == "lab"
    with open_store(here.home.store) as store:
        assert collector.spans == encoded(spans_of(store, RUN))


def test_what_a_collector_refuses_is_said(here: Here, collector: Collector) -> None:
    collector.rejects = 2
    code, _, err = here("export", RUN, "--endpoint", f"{collector.url}/api/otel")
    assert (code, "2 spans were refused there." in err) == (Exit.UNSOLVED, True)
    collector.answers = [(401, "")]
    code, _, err = here("export", RUN, "--endpoint", collector.url)
    assert (code, "answered 401" in err) == (Exit.ENVIRONMENT, True)
    collector.answers = [(302, "")]
    code, _, err = here("export", RUN, "--endpoint", collector.url)
    assert (code, "answered 302" in err) == (Exit.ENVIRONMENT, True)
    assert "/elsewhere" not in [path for path, _ in collector.asked], "a key goes to nobody else"


def test_an_endpoint_is_what_the_variables_say() -> None:
    base, traces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    assert endpoint_of({}) is None
    assert endpoint_of({base: "http://a:4318/", "OTEL_SDK_DISABLED": "true"}) is None
    assert endpoint_of({base: "http://a:4318/", "OTEL_TRACES_EXPORTER": "none"}) is None
    found = endpoint_of({base: "http://a:4318/x/", "OTEL_EXPORTER_OTLP_TIMEOUT": "2500"})
    assert found == Endpoint("http://a:4318/x/v1/traces", {}, 2.5)
    found = endpoint_of({base: "http://a", traces: "https://u:p@b/t", "OTEL_EXPORTER_OTLP_COMPRESSION": "none"})
    assert found == Endpoint("https://u:p@b/t", {}, 10.0, compressed=False)
    assert found.name == "https://b/t"
    own = {"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2%2C3,c"}
    found = endpoint_of({base: "http://a", **own})
    assert found is not None and found.headers == {"b": "2,3"}
    assert "2,3" not in repr(found)
    for wrong in ({base: "a:4318"}, {base: "http://a", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}):
        with pytest.raises(EndpointError):
            endpoint_of(wrong)
    with pytest.raises(EndpointError, match="control characters"):
        endpoint_of({base: "http://a", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%0D%0Ac"})


def test_pauses_grow_and_are_bounded() -> None:
    assert [0.5 * 2**n <= pause_before(n, None) <= 2**n for n in range(6)] == [True] * 6
    assert pause_before(50, None) <= 60
    assert (pause_before(0, 7.0), pause_before(0, 7000.0)) == (7.0, 60.0)


# Live.


def test_calls_are_sent_as_they_end_also_after_the_collector_was_down(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers = [(503, "0")] * 3
    with recording(tmp_path) as store:
        endpoint = endpoint_of({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
        assert endpoint is not None
        exporter = Exporter(store, RUN, endpoint, environ={}, every=0.01)
        with caplog.at_level(logging.WARNING, "multitrack.export"):
            exporter.start()
            for number in range(3):
                began = time.monotonic()
                put(
                    store,
                    f"d{number}",
                    [{"role": "user", "content": "x"}],
                    {"role": "assistant", "content": "y"},
                    at=NOW,
                )
                assert time.monotonic() - began < 30
            collector.until(lambda spans: len(spans) >= 3)
            exporter.close()
    told = sorted(attributes(span)["multitrack.call.id"] for span in collector.spans)
    assert told == ["d0", "d1", "d2"], "what ended before it began is not sent, and nothing twice"
    assert (exporter.sent, exporter.dropped) == (3, 0)
    said = [entry.getMessage() for entry in caplog.records]
    assert [line.split(":")[0] for line in said] == ["spans can't be sent", "spans are sent again to http"], said


def test_an_endpoint_that_is_gone_holds_nobody_up_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with recording(tmp_path) as store:
        exporter = Exporter(store, RUN, Endpoint("http://127.0.0.1:1/v1/traces"), environ={}, every=0.01)
        exporter.start()
        put(store, "d1", [{"role": "user", "content": "x"}], {"role": "assistant", "content": "y"}, at=NOW)
        with caplog.at_level(logging.WARNING, "multitrack.export"):
            exporter.close(0.2)
    assert (exporter.sent, exporter.dropped) == (0, 1)
    assert "1 spans were not taken by http://127.0.0.1:1/v1/traces" in caplog.text
    assert caplog.text.count("spans can't be sent") == 1


def test_a_wrong_endpoint_is_said_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with recording(tmp_path) as store, exported(store, RUN, {"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}):
        pass
    assert "no spans are sent: the endpoint for spans is no http:// or https:// address" in caplog.text


async def test_an_engine_sends_the_whole_run(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    home = Home(tmp_path).create()
    run = await asyncio.to_thread(engines.order, home, generations=1)
    await asyncio.to_thread(engines.finish, home, run)
    with open_store(home.store) as store:
        expected = encoded(spans_of(store, run))
    assert sorted(span.span_id for span in collector.spans) == sorted(span.span_id for span in expected)
    live = {span.span_id: span for span in collector.spans}
    for span in expected:
        assert live[span.span_id].name == span.name
        assert live[span.span_id].parent_span_id == span.parent_span_id
        assert attributes(live[span.span_id]) == attributes(span)
