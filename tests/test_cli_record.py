"""`calls`, `nodes` and `search`: the record as JSON, as tables, and to the byte."""

import io
import json
import subprocess
import sys
import time
from functools import partial
from hashlib import blake2b
from typing import Any

import pytest

from app.calls import listed as table_of
from app.cli import main
from app.failure import Exit
from store import runs, tapes
from store.database import open_store
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.recording import CallEnd, CallStart, close_call, open_call
from tests.shop import NOW, OTHER, RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]

SECRET = "sk-ant-api03-" + "Secret0" * 8
CALL = "0000000000000000c2"
BODY = b'{ "model":"m\xc3\xa9", "messages":[{"role":"user","content":"Begin with the ledger. \\u001b[31m ' + (
    SECRET.encode() + b'"}], "n": 1e2, "n": 3}'
)
"""With a key twice: it is kept as it came."""


@pytest.fixture
def more(here: Here) -> Here:
    """The home with another call, of no subagent, in the other run."""
    start = CallStart(
        CALL,
        NOW + 9,
        OTHER,
        None,
        "openai",
        "POST",
        "/v1/x?y=1&y=2",
        BODY,
        headers=[("accept", "a"), ("accept", "b\x1b[31m")],
    )
    end = CallEnd(
        CALL,
        NOW + 10,
        529,
        error="overloaded\x1b[31m",
        response=b"\xff\x00raw",
        usage=Usage(1, 2, 3, 4, 1),
        headers=[("content-encoding", "br")],
        notes=["a note"],
    )
    with open_store(here.home.store) as store:
        store.write(lambda connection: open_call(connection, start))
        store.write(lambda connection: close_call(connection, end))
    return here


def listed(here: Here, *arguments: str) -> list[dict[str, Any]]:
    code, out, _ = here(*arguments, "--json")
    assert code == Exit.FINE
    assert out.isascii()
    found: list[dict[str, Any]] = json.loads(out)
    return found


def raw(here: Here, *arguments: str) -> bytes:
    program = [sys.executable, "-P", "-E", "-m", "app", "--home", str(here.home.root), *arguments]
    return subprocess.run(program, capture_output=True, check=True).stdout


def test_calls_of_everything_of_a_run_of_a_subagent_and_one(more: Here) -> None:
    assert [call["id"] for call in listed(more, "calls")] == ["c1", CALL]
    assert [call["id"] for call in listed(more, "calls", "--store", str(more.home.store))] == ["c1", CALL]
    assert [call["id"] for call in listed(more, "calls", RUN)] == ["c1"]
    assert [call["id"] for call in listed(more, "calls", RUN[:2], "1.1")] == ["c1"]
    assert [call["id"] for call in listed(more, "calls", f"{RUN}.1.1")] == ["c1"]
    assert listed(more, "calls", RUN, "1.2") == []
    assert [call["id"] for call in listed(more, "calls", CALL)] == [CALL]
    assert [call["id"] for call in listed(more, "calls", "--limit", "1")] == [CALL]


def test_a_call_as_json(more: Here) -> None:
    (call,) = listed(more, "calls", CALL)
    assert {name: call[name] for name in ("time", "first_byte", "ended", "seconds")} == {
        "time": NOW + 9,
        "first_byte": None,
        "ended": NOW + 10,
        "seconds": 1.0,
    }
    assert (call["provider"], call["method"], call["path"]) == ("openai", "POST", "/v1/x?y=1&y=2")
    assert (call["model"], call["status"], call["error"]) == ("mé", 529, "overloaded\x1b[31m")
    assert (call["stream"], call["complete"]) == (False, False)
    kinds = {"input": 1, "output": 2, "cache_read": 3, "cache_write": 4, "reasoning": 1, "total": 10}
    assert (call["tokens"], call["cost"]) == (kinds, None)
    assert call["response_size"] == 5
    assert call["response_digest"] == blake2b(b"\xff\x00raw", digest_size=20).hexdigest()
    assert (call["run"], call["subagent"], call["parent"], call["thread"], call["source"]) == (
        OTHER,
        None,
        None,
        "",
        "",
    )
    assert call["notes"] == ["a note"]
    assert listed(more, "calls", RUN)[0]["subagent"] == "1.1"


def test_calls_as_a_table(more: Here) -> None:
    code, out, _ = more("calls")
    head, first, second = out.splitlines()
    assert code == Exit.FINE
    assert head.split()[:3] == ["CALL", "RUN", "TIME"]
    assert first.split()[0] == "c1" and second.split()[0] == CALL
    assert "\x1b" not in out
    assert "1 earlier call not shown: --limit 2 lists all." in more("calls", "--limit", "1")[1]


def test_a_request_is_what_was_sent(more: Here) -> None:
    assert raw(more, "calls", CALL, "--request") == BODY, "kept as it came, and so printed"
    sent = json.loads(raw(more, "calls", "c1", "--request"))
    assert sent["messages"][0]["content"][0]["text"] == "Begin with the ledger."
    assert raw(more, "calls", CALL, "--response") == b"\xff\x00raw"
    assert raw(more, "calls", "c1", "--response") == b"bytes"
    assert raw(more, "calls", CALL, "--headers").decode() == (
        "POST /v1/x?y=1&y=2\naccept: a\naccept: b\x1b[31m\n\n529\ncontent-encoding: br\n"
    )


def test_a_terminal_is_given_it_safe_and_without_keys(more: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", screen)
    for part in ("--request", "--headers", "--response"):
        assert main(["calls", CALL, part]) == Exit.FINE
    shown = screen.getvalue()
    assert "\x1b" not in shown
    assert SECRET not in shown and "sk-ant-api03-***" in shown
    assert "5 bytes that are no text (br): send them to a file or a program." in shown


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("calls", "zz"), "no run 'zz'"),
        (("calls", "0000000000000000zz"), "no run"),
        (("calls", "000000000000000000"), "no call '000000000000000000'"),
        (("calls", RUN, "two"), "'two' is no subagent"),
        (("calls", "--request"), "name a call"),
        (("calls", RUN, "--response"), f"no call '{RUN}'"),
        (("calls", CALL, "--request", "--headers"), "not allowed with"),
        (("nodes", "--limit", "0"), "no whole number from 1"),
    ],
)
def test_what_is_not_there(more: Here, arguments: tuple[str, ...], part: str) -> None:
    code, out, err = more(*arguments)
    assert (code, out) == (Exit.USAGE, "")
    assert part in err


def test_nodes_are_those_of_the_dag(more: Here) -> None:
    first, answer = listed(more, "nodes", RUN)
    assert (first["parent"], first["depth"], first["role"]) == (None, 0, "user")
    assert (answer["parent"], answer["depth"], answer["role"]) == (first["key"], 1, "assistant")
    assert first["tapes"] == [f"{RUN}.1.1"]
    assert [block["kind"] for block in answer["blocks"]] == ["text", "tool_call"]
    assert answer["blocks"][1]["name"] == "run"
    assert answer["blocks"][0]["text"] == "I look \x1b[31mred at it", "JSON has it all"
    assert listed(more, "nodes", "c1") == [first, answer]
    assert listed(more, "nodes", f"{RUN}.1.1") == [first, answer]
    assert listed(more, "nodes", RUN, "1.2") == []
    everything = listed(more, "nodes")
    assert [node["tapes"] for node in everything] == [[OTHER], [f"{RUN}.1.1"], [f"{RUN}.1.1"]]
    assert SECRET not in json.dumps(everything)
    shown = more("nodes")[1]
    assert SECRET not in shown and "\x1b" not in shown
    assert shown.splitlines()[0].split() == ["NODE", "PARENT", "DEPTH", "ROLE", "TAPES", "SAYS"]


def test_a_node_that_two_subagents_share_is_one(more: Here) -> None:
    (body,) = [json.loads(raw(more, "calls", "c1", "--request"))]
    start = CallStart(
        "c3", NOW + 20, RUN, SubagentId(RUN, 1, 2), "anthropic", "POST", "/v1/messages", json.dumps(body).encode()
    )
    with open_store(more.home.store) as store:
        store.write(lambda connection: open_call(connection, start))
    nodes = listed(more, "nodes", RUN)
    assert [node["tapes"] for node in nodes] == [[f"{RUN}.1.1", f"{RUN}.1.2"], [f"{RUN}.1.1"]]
    assert [node["key"] for node in listed(more, "nodes", RUN, "1.2")] == [nodes[0]["key"]]


def test_nodes_that_only_a_routes_tries_have_are_marked(more: Here) -> None:
    """The client spoke Anthropic's protocol; one try OpenAI's, one the same, which was on the tape before it."""
    me = SubagentId(RUN, 1, 3)
    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Is it the ledger?"}]}
    there = {**asked, "messages": [{"role": "system", "content": "Be brief."}, *asked["messages"]]}
    said = {"role": "assistant", "content": [{"type": "text", "text": "It is."}]}
    calls = (
        ("t1", "/v1/chat/completions", there, "c9"),
        ("t2", "/v1/messages", asked, "c9"),
        ("c9", "/v1/messages", asked, None),
    )
    with open_store(more.home.store) as store:
        for number, (call, path, body, parent) in enumerate(calls):
            data = json.dumps(body).encode()
            start = CallStart(call, NOW + 30 + number, RUN, me, "p", "POST", path, data, parent=parent)
            answer = {"role": "assistant", "content": "It is."} if call == "t1" else said
            end = CallEnd(call, NOW + 40, 200, complete=True, messages=[answer])
            store.write(lambda connection, start=start, end=end: tapes.record_call(connection, start, end))  # type: ignore[misc] # mypy can't infer a lambda with defaults
    marks = [(node["role"], node["try"]) for node in listed(more, "nodes", RUN, "1.3")]
    assert sorted(marks) == [
        ("assistant", False),
        ("assistant", True),
        ("system", True),
        ("user", False),
        ("user", True),
    ]
    assert [node["try"] for node in listed(more, "nodes", "c9")] == [False, False]
    assert [node["try"] for node in listed(more, "nodes", "t1")] == [True, True, True]
    assert [node["try"] for node in listed(more, "nodes", "t2")] == [False, False]
    assert sum(node["try"] for node in listed(more, "nodes")) == 3
    head, first, *_ = more("nodes", "t1")[1].splitlines()
    assert head.split() == ["NODE", "PARENT", "DEPTH", "ROLE", "TRY", "TAPES", "SAYS"]
    assert first.split()[2:4] == ["system", "try"]
    assert "TRY" not in more("nodes", RUN, "1.1")[1].splitlines()[0]


def test_search_hides_keys(more: Here) -> None:
    _, out, _ = more("search", "ledger", "--run", OTHER)
    assert SECRET not in out and "ledger" in out
    assert f"{OTHER}  call {CALL}  " in out
    assert [hit["run"] for hit in listed(more, "search", "ledger")] == [OTHER, RUN]
    assert SECRET not in more("search", "ledger", "--json")[1]


def test_a_table_of_calls_leaves_out_what_says_nothing(more: Here) -> None:
    heads = more("calls", RUN)[1].splitlines()[0].split()
    assert "RUN" not in heads and "PARENT" not in heads and "SUBAGENT" in heads
    assert "SUBAGENT" not in more("calls", OTHER)[1].splitlines()[0].split()
    with open_store(more.home.store) as store:
        calls = tapes.calls(store, run=RUN)
    clock, date = time.strftime("%H:%M:%S", time.localtime(NOW)), time.strftime("%Y-%m-%d", time.localtime(NOW))
    for now, told in ((NOW, clock), (NOW + 200_000, f"{date} {clock}")):
        heads, (row,), _ = table_of(calls, now)
        assert row[heads.index("TIME")] == told


def test_nodes_show_what_tools_are_given_and_json_has_it_whole(more: Here) -> None:
    assert "tool_call run command make check" in more("nodes", RUN)[1]
    answer = listed(more, "nodes", RUN)[1]
    assert json.loads(answer["blocks"][1]["text"]) == {"command": "make check"}


def test_verify_as_json(more: Here) -> None:
    told = json.loads(more("verify", RUN, "--json")[1])
    assert (told["run"], told["calls"], told["problems"]) == (RUN, 1, [])
    assert [len(blob["digest"]) for blob in told["unnamed"]] == [40] * len(told["unnamed"])
    assert "1 call, and every request can be rebuilt" in more("verify", RUN)[1]
    with open_store(more.home.store) as store:
        store.write(lambda connection: connection.exec_driver_sql("UPDATE calls SET request_digest = 'x'").close())
    code, out, _ = more("verify", RUN, "--json")
    assert code == Exit.UNSOLVED and len(json.loads(out)["problems"]) == 1


def test_a_recording_has_no_report_and_says_what_it_has(more: Here) -> None:
    with open_store(more.home.store) as store:
        store.write(partial(runs.create, run="r2c2d", title="Recording", at=NOW))
    code, _, err = more("report", "r2c2d")
    assert code == Exit.USAGE and "`multitrack calls r2c2d` lists what it has" in err
    code, out, _ = more("observations", "r2c2d")
    assert code == Exit.FINE and "`multitrack calls r2c2d` lists what it has" in out


def test_an_option_that_is_not_there_names_the_help_that_lists_them(more: Here) -> None:
    code, _, err = more("calls", "--bogus")
    assert (code, err) == (Exit.USAGE, "multitrack: there is no --bogus here. See `multitrack calls --help`.\n")
    assert "See `multitrack --help`." in more("--bogus")[2]


def test_where_nothing_is_recorded_that_is_said(more: Here) -> None:
    assert more("calls", RUN, "1.2")[1] == "No calls are recorded there.\n"
    assert more("nodes", RUN, "1.2")[1] == "No messages are recorded there.\n"
    assert more("calls", RUN, "1.2", "--json")[1] == more("nodes", RUN, "1.2", "--json")[1] == "[]\n"
