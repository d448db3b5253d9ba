"""Ollama's own protocol, as LiteLLM speaks it to local models: a JSON object a line, or one in all. Its servers speak
OpenAI's as well."""

from typing import Any

from backends.proxy.openai import OpenAI
from backends.proxy.protocol import Answer, AnswerReader, Live, OpaqueReader, loads
from backends.proxy.values import items, members, number, text
from store.domain.limits import Usage


class Ollama(OpenAI):
    """`/api/chat`; what it has of OpenAI's protocol is under that one's paths."""

    name = "ollama"

    def endpoint(self, method: str, path: str) -> str:
        return self.name if _is_chat(method, path) else super().endpoint(method, path)

    def conversation(self, method: str, path: str) -> str:
        return "messages" if _is_chat(method, path) else super().conversation(method, path)

    def reader(self, method: str, path: str, live: Live) -> AnswerReader:
        return LinesReader() if _is_chat(method, path) else super().reader(method, path, live)


def _is_chat(method: str, path: str) -> bool:
    return method == "POST" and path.rstrip("/").endswith("/api/chat")


class LinesReader(OpaqueReader):
    """Puts the message together from lines, once they are all there."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: dict[str, list[str]] = {}
        self._calls: list[Any] = []
        self._last: dict[str, Any] = {}
        self._role = ""
        self._error = ""
        self._failed = False
        """The server said what went wrong."""

    def body(self, data: bytes) -> None:
        for line in data.splitlines():
            if not line.strip():
                continue
            try:
                value = loads(line)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict):
                self._error = self._error or "a line is no JSON object"
                continue
            self._read(value)

    def _read(self, value: dict[str, Any]) -> None:
        if said := value.get("error"):
            self._error, self._failed = text(said) or text(members(said).get("message")) or "error", True
        message = members(value.get("message"))
        self._role = self._role or text(message.get("role"))
        for name in ("content", "thinking"):
            if piece := text(message.get(name)):
                self._pieces.setdefault(name, []).append(piece)
        self._calls.extend(items(message.get("tool_calls")))
        if text(value.get("model")):
            self._last = value

    def answer(self) -> Answer:
        last = self._last
        message: dict[str, Any] = {"role": self._role, "content": ""}
        message |= {name: "".join(pieces) for name, pieces in self._pieces.items()}
        if self._calls:
            message["tool_calls"] = self._calls
        return Answer(
            messages=(message,) if self._role else (),
            model=text(last.get("model")),
            usage=Usage(input=number(last.get("prompt_eval_count")), output=number(last.get("eval_count"))),
            stop_reason=text(last.get("done_reason")),
            whole=last.get("done") is True or self._failed,
            error=self._error,
        )
