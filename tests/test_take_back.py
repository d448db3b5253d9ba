"""A run of which nothing was recorded can be taken back; what failed on a tape is counted by what it said."""

from functools import partial
from pathlib import Path

from store import runs, tapes
from store.database import open_store
from store.recording import CallEnd, CallStart

ASK = b'{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"Why?"}]}'


def test_only_a_run_without_anything_can_be_taken_back(tmp_path: Path) -> None:
    start = CallStart("c1", 1.0, "r2", None, "anthropic", "POST", "/v1/messages", ASK)
    with open_store(tmp_path / "store.sqlite3") as store:
        store.write(lambda connection: runs.create(connection, "r1", "empty", at=1.0))
        store.write(lambda connection: runs.create(connection, "r2", "not empty", at=2.0))
        store.write(lambda connection: tapes.record_call(connection, start, CallEnd("c1", 2.0, 200)))
        store.write(lambda connection: runs.take_back(connection, "r1"))
        store.write(lambda connection: runs.take_back(connection, "r2"))
        assert [row.id for row in runs.runs(store)] == ["r2"]
        assert tapes.verify(store, "r2") == []


def test_errors_are_those_of_calls_of_a_model_tries_aside(tmp_path: Path) -> None:
    told = [  # model, parent, error
        ("m", None, "overloaded_error: Overloaded"),
        ("m", None, "overloaded_error: Overloaded"),
        ("m", None, "the client hung up"),
        ("m", None, ""),
        ("", None, "HTTP 404: Not Found"),
        ("m", "c0", "HTTP 500"),
    ]
    with open_store(tmp_path / "store.sqlite3") as store:
        store.write(lambda connection: runs.create(connection, "r1", "a test", at=1.0))
        for number, (model, parent, error) in enumerate(told):
            name, end = f"c{number}", CallEnd(f"c{number}", 2.0, 200, error=error)
            body = ASK if model else b""
            start = CallStart(name, 1.0, "r1", None, "p", "POST", "/v1/messages", body, model=model, parent=parent)
            store.write(partial(tapes.record_call, start=start, end=end))
        assert tapes.errors(store, "r1") == {"overloaded_error: Overloaded": 2, "the client hung up": 1}
        assert tapes.errors(store, "r2") == {}
