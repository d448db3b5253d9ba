"""The recorded answers of every protocol: what is asked for them, and where in each the end begins that a client may
not see before the record is committed."""

from dataclasses import dataclass
from typing import Any

from backends.proxy.listening import Listener
from backends.proxy.protocol import Answer
from backends.proxy.routes import PROTOCOLS
from tests.proxyrig import recorded, split

STREAM = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
GENERATE, STREAMED = (
    "/v1beta/models/gemini-2.5-pro:generateContent",
    "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
)


@dataclass(frozen=True)
class Recording:
    """An answer, the path that is asked for it, and the first bytes of its end (the last place where they are)."""

    name: str
    protocol: str
    path: str
    end: bytes
    status: int = 200
    complete: bool = True
    error: str = ""

    @property
    def body(self) -> bytes:
        return recorded(self.name)

    @property
    def streamed(self) -> bool:
        return self.name.endswith(".sse")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return STREAM if self.streamed else JSON

    @property
    def end_at(self) -> int:
        """Where the end begins: an event, or the last byte."""
        if not self.streamed:
            return len(self.body) - 1
        at = 0
        for event in split(self.body[: self.body.rindex(self.end)])[:-1]:
            at += len(event)
        return at


def chat(name: str, end: bytes, **more: Any) -> Recording:
    return Recording(name, "openai", CHAT, end, **more)


def responses(name: str, end: bytes = b'"response.completed"', **more: Any) -> Recording:
    return Recording(name, "openai", RESPONSES, end, **more)


def gemini(name: str, end: bytes = b'"finishReason"', **more: Any) -> Recording:
    return Recording(name, "gemini", STREAMED if name.endswith((".sse", "array.json")) else GENERATE, end, **more)


def anthropic(name: str, end: bytes = b'"message_stop"', **more: Any) -> Recording:
    return Recording(name, "anthropic", "/v1/messages", end, **more)


RECORDINGS = {
    recording.name: recording
    for recording in (
        anthropic("hello.sse"),
        anthropic("tools.sse"),
        anthropic("thinking.sse"),
        anthropic("error.sse", b'"error"', complete=False, error="overloaded_error: Overloaded"),
        anthropic("message.json"),
        anthropic("overloaded.json", status=529, error="overloaded_error: Overloaded"),
        chat("chat-text.sse", b'"finish_reason":"stop"'),
        chat("chat-tools.sse", b'"finish_reason":"tool_calls"'),
        chat("chat-no-usage.sse", b'"finish_reason":"stop"'),
        chat("chat-reasoning.sse", b'"finish_reason":"stop"'),
        chat("chat-choices.sse", b'"index":1,"delta":{},"logprobs":null,"finish_reason":"stop"'),
        chat("chat-error.sse", b'"reasoning":" to respond', error="400: Token limit reached", complete=False),
        chat("chat.json", b""),
        chat(
            "openai-429.json",
            b"",
            status=429,
            error="rate_limit_exceeded: Rate limit reached for gpt-4.1 in organization org-x on tokens per min (TPM): "
            "Limit 30000, Used 29000, Requested 4000.",
        ),
        responses("responses-text.sse"),
        responses("responses-reasoning.sse"),
        responses("responses-tools.sse"),
        responses("responses-incomplete.sse", b'"response.incomplete"'),
        responses(
            "responses-failed.sse",
            b'"response.failed"',
            complete=False,
            error="server_error: The model failed to generate a response.",
        ),
        responses("responses-error.sse", b'"error",', complete=False, error="rate_limit_exceeded: Rate limit reached."),
        responses("response.json", b""),
        Recording("embeddings.json", "openai", "/v1/embeddings", b""),
        Recording(
            "openai-404.json",
            "openai",
            "/v1/embeddings",
            b"",
            status=404,
            error="model_not_found: The model `non-existent-embedding-model` does not exist or you do not have access "
            "to it.",
        ),
        Recording("models.json", "openai", "/v1/models", b""),
        gemini("gemini-text.sse"),
        gemini("gemini-poem.sse"),
        gemini("gemini-tool.sse"),
        gemini("gemini-thoughts.sse"),
        gemini("gemini-blocked.sse", b'"blockReason"'),
        gemini(
            "gemini-error.sse",
            b'"error"',
            complete=False,
            error="UNAVAILABLE: The model is overloaded. Please try again later.",
        ),
        gemini("gemini-array.json"),
        gemini("gemini.json"),
        gemini("gemini-429.json", status=429, error="RESOURCE_EXHAUSTED: You exceeded your current quota."),
    )
}
STREAMS = [name for name, recording in RECORDINGS.items() if recording.streamed]


def listener(recording: Recording, *, coding: str = "") -> Listener:
    """What the proxy hears such an answer with."""
    reader = PROTOCOLS[recording.protocol].reader("POST", recording.path, lambda kind, text: None)
    coded = [(b"content-encoding", coding.encode())] if coding else []
    return Listener([*recording.headers, *coded], reader)


def understood(recording: Recording) -> Answer:
    """What is understood of it, in one piece."""
    heard = listener(recording)
    heard.take(recording.body)
    return heard.finish(recording.body)
