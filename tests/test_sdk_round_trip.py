"""What the anthropic SDK makes of recorded streams and sends back, in each way in which it can be dumped."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from backends.proxy.anthropic import MessageReader
from backends.proxy.sse import EventReader
from store import tapes
from store.database import Store, open_store
from tests.jsonvalues import as_json, same
from tests.taping import closed, opened


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


def assembled(stream: bytes) -> Any:
    """The answer as the proxy puts it together."""
    reader, read = MessageReader(lambda kind, text: None), EventReader()
    for item in read.feed(stream):
        reader.event(item)
    (message,) = reader.answer().messages
    return message


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
        call = closed(store, opened(store, bodies[0]), assembled(stream), response=stream)
        assert call.answer is not None
        for answer in answers + whole:
            next_message: Any = {"role": "user", "content": "go on"}
            client.messages.create(model="m", max_tokens=9, messages=[first, answer, next_message])
            again = opened(store, bodies[-1])
            assert [message.node for message in tapes.messages(store, again)][:2] == [call.tail, call.answer]
            assert same(tapes.request(store, again), as_json(json.loads(bodies[-1])))
        client.close()
    assert tapes.verify(store, "abcde") == []
