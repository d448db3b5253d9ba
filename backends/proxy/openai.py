"""OpenAI's protocol, as it and many others speak it: which endpoint a path is, and what they have in common."""

import json
from typing import Any

import orjson

from backends.proxy.openai_chat import ChatReader
from backends.proxy.openai_responses import ResponseReader
from backends.proxy.openai_usage import error_of, usage_of
from backends.proxy.protocol import Answer, AnswerReader, Live, OpaqueReader, loads_quickly
from backends.proxy.sse import Event
from backends.proxy.values import text
from store.domain.limits import Usage

_KINDS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    504: ("timeout_error", "timeout"),
}
"""An error's type and code by HTTP status."""

_ENDPOINTS = {
    # end of the path: the endpoint's name in the record, and the member that holds the conversation
    "/chat/completions": ("openai-chat", "messages"),
    "/responses": ("openai-responses", "input"),
    "/embeddings": ("openai", ""),
}


class OpenAI:
    """Chat Completions, Responses and Embeddings, by the path's end; everything else passes through unread."""

    name = "openai"

    def is_call(self, method: str, path: str) -> bool:
        return bool(self.conversation(method, path))

    def endpoint(self, method: str, path: str) -> str:
        return _endpoint(method, path)[0]

    def conversation(self, method: str, path: str) -> str:
        return _endpoint(method, path)[1]

    def asked(self, path: str, model: str, stream: bool) -> tuple[str, bool]:
        # Azure names the model in the path.
        return model or path.partition("/deployments/")[2].partition("/")[0], stream

    def reader(self, method: str, path: str, live: Live) -> AnswerReader:
        match self.conversation(method, path):
            case "messages":
                return ChatReader(live)
            case "input":
                return ResponseReader(live)
        if method == "POST" and path.rstrip("/").endswith("/embeddings"):
            return EmbeddingsReader()
        return OpaqueReader()

    def credentials(self, api_key: str) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", b"Bearer " + api_key.encode())]

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        usual, code = _KINDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
        error = {"message": message, "type": kind or usual, "param": None, "code": kind or code}
        return orjson.dumps({"error": error})


class Azure(OpenAI):
    """The same on Azure, which takes its keys in a header of its own."""

    name = "azure"

    def credentials(self, api_key: str) -> list[tuple[bytes, bytes]]:
        return [(b"api-key", api_key.encode())]


class EmbeddingsReader(OpaqueReader):
    """Vectors are no message, and nearly all of the body: only what stands beside them is read."""

    def __init__(self) -> None:
        super().__init__()
        self._usage = Usage()
        self._model = ""
        self._error = ""
        self._whole = True

    def event(self, event: Event) -> bool:
        return super().event(event)

    def body(self, data: bytes) -> None:
        # Vectors have no names in them, so the last such name is the body's own.
        usage, end = _member(data, b'"usage"')
        if usage:
            self._usage, self._model = usage_of(usage), text(_member(data, b'"model"')[0])
            self._whole = _ends(data[end:])
            return
        try:
            value = loads_quickly(data)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._error, self._whole = "the body is no JSON object", False
        elif value.get("error"):
            self._error = error_of(value["error"])

    def answer(self) -> Answer:
        uncounted = not self._usage.total and not self._error
        return Answer(model=self._model, usage=self._usage, whole=self._whole, error=self._error, uncounted=uncounted)


def _endpoint(method: str, path: str) -> tuple[str, str]:
    path = path.rstrip("/")
    if method == "POST":
        for end, endpoint in _ENDPOINTS.items():
            if path.endswith(end):
                return endpoint
    return "openai", ""


def _member(data: bytes, name: bytes) -> tuple[Any, int]:
    """The value of the last member of that name, and where it ends; None when there is none."""
    at = data.rfind(name)
    if at < 0:
        return None, 0
    at += len(name)
    after = data[at : at + 4096].decode("latin-1")
    begin = len(after) - len(after.lstrip().removeprefix(":").lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(after, begin)
    except ValueError:
        return None, 0
    return value, at + end


def _ends(rest: bytes) -> bool:
    """What follows a member's value ends its object."""
    try:
        loads_quickly(b'{"":0' + rest)
    except (ValueError, RecursionError):
        return False
    return True
