"""The tools of the built-in subagent, over the real local sandbox."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.agents import Recalled
from backends.agents.tools import (
    RESULT_CAP,
    Result,
    Tools,
    capped,
    changed_lines,
    definitions,
    describe,
    found,
    malformed,
    numbered,
)
from backends.sandboxes.git import mirror_repository
from backends.sandboxes.local import LocalSandbox, LocalSandboxes
from store.domain.ids import SubagentId
from store.domain.task import Dirt

HITS: list[Recalled] = []


async def recall(query: str) -> Sequence[Recalled]:
    return HITS


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("repository")
    (folder / "source" / "lib").mkdir(parents=True)
    (folder / "source" / "shop.py").write_text("import time\n\ndef total(a, b):\n    return a - b\n")
    (folder / "source" / "lib" / "stock one.py").write_text("def stock(a):\n    return [a]  # (total)\n")
    (folder / "source" / "lib" / "crlf.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    (folder / "source" / ".gitignore").write_text("*.log\n")
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=folder / "source", check=True)
    return folder / "m.git", mirror_repository(folder / "source", folder / "m.git", "HEAD", Dirt.REFUSE)


@pytest.fixture
async def sandbox(tmp_path: Path, mirror: tuple[Path, str]) -> AsyncIterator[LocalSandbox]:
    sandboxes = LocalSandboxes("abcde", tmp_path / "sandboxes", mirror[0], os.environ)
    yield await sandboxes.create("1.1", mirror[1])
    await sandboxes.remove()


@pytest.fixture
def tools(sandbox: LocalSandbox) -> Tools:
    return Tools(sandbox, recall, 20.0)


async def test_run_says_how_it_ended(tools: Tools) -> None:
    assert await tools.call("run", {"command": "echo out; echo err >&2"}) == Result("exit code 0\nout\nerr")
    failed = await tools.call("run", {"command": "echo 3 failed; exit 2"})
    # The command was run, so the tool did its work.
    assert (failed.text, failed.ok, failed.summary) == ("exit code 2\n3 failed", True, "exit code 2 · 3 failed")
    assert (await tools.call("run", {"command": "true"})).text == "exit code 0"
    late = await tools.call("run", {"command": "echo so far; sleep 60", "seconds": 1.5})
    assert (late.text, late.ok) == ("timed out after 1.5 s, and was killed\nso far", False)
    capped_time = Tools(tools.sandbox, recall, 0.2)
    assert "timed out after 0.2 s" in (await capped_time.call("run", {"command": "sleep 60", "seconds": 99})).text


async def test_run_keeps_the_ends_of_long_output(tools: Tools) -> None:
    text = (await tools.call("run", {"command": "seq 1 100000"})).text
    assert len(text.encode()) <= RESULT_CAP
    assert text.startswith("exit code 0\n1\n2\n")
    assert "bytes left out …\n" in text
    assert text.endswith("\n99999\n100000")


async def test_read_numbers_lines(tools: Tools) -> None:
    whole = await tools.call("read", {"path": "shop.py"})
    assert whole.text == (
        "(lines 1 to 4 of 4)\n     1\timport time\n     2\t\n     3\tdef total(a, b):\n     4\t    return a - b"
    )
    part = await tools.call("read", {"path": "shop.py", "first": 3, "last": 99})
    assert part.text.startswith("(lines 3 to 4 of 4)\n     3\tdef")
    for wrong, said in (
        ({"path": "nosuch.py"}, "there is no file nosuch.py"),
        ({"path": "lib"}, "lib: is a folder"),
        ({"path": "../../keep/revision"}, "leads out of the repository"),
        ({"path": "shop.py", "first": 9}, "has only 4 lines"),
        ({"path": "shop.py", "first": 3, "last": 2}, "is before first"),
    ):
        result = await tools.call("read", wrong)
        assert not result.ok
        assert said in result.text
    await tools.sandbox.write("bin", b"\x7fELF\0\0")
    assert "binary file of 6 bytes" in (await tools.call("read", {"path": "bin"})).text
    await tools.sandbox.write("empty", b"")
    assert (await tools.call("read", {"path": "empty"})).text == "(lines 0 to 0 of 0)"


async def test_search_finds_in_order(tools: Tools) -> None:
    await tools.sandbox.write("a new.py", b"total = 1\n")
    await tools.sandbox.write("x.log", b"total = 1\n")
    result = await tools.call("search", {"pattern": "tot(al|em)"})
    assert result.text.splitlines() == [
        "a new.py:1: total = 1",
        "lib/stock one.py:2:     return [a]  # (total)",
        "shop.py:3: def total(a, b):",
    ]
    for path in ("lib", "lib/stock one.py", "*one.py", str(Path(tools.sandbox.handle, "work", "lib"))):
        there = await tools.call("search", {"pattern": "total", "path": path})
        assert there.text == "lib/stock one.py:2:     return [a]  # (total)"
    assert await tools.call("search", {"pattern": "nowhere to be found"}) == Result("no match")
    assert await tools.call("search", {"pattern": "-e x -- $(touch hacked)"}) == Result("no match")
    assert not Path(tools.sandbox.handle, "work", "hacked").exists()
    for wrong, said in (
        ({"pattern": "total("}, "the search failed"),
        ({"pattern": "x", "path": "nosuch"}, "there is no file or folder nosuch"),
        ({"pattern": "x", "path": "../.."}, "the search failed"),
        ({"pattern": "\0"}, "NUL"),
    ):
        result = await tools.call("search", wrong)
        assert not result.ok
        assert said in result.text


async def test_search_is_capped_and_says_so(tools: Tools) -> None:
    await tools.sandbox.write("many.txt", b"needle " * 3 + b"\n" + b"needle\n" * 100_000)
    await tools.sandbox.write("long.txt", b"needle " * 1000)
    text = (await tools.call("search", {"pattern": "needle"})).text
    assert len(text.encode()) <= RESULT_CAP
    assert text.splitlines()[0].endswith("…")
    assert "more matches left out: narrow the pattern" in text.splitlines()[-1]


async def test_edit_replaces_the_one_place(tools: Tools) -> None:
    done = await tools.call("edit", {"path": "shop.py", "old": "return a - b", "new": "# sum\n    return a + b"})
    assert done == Result("edited shop.py (+2 −1 lines)")
    assert await tools.sandbox.read("shop.py") == b"import time\n\ndef total(a, b):\n    # sum\n    return a + b\n"
    assert (await tools.call("edit", {"path": "shop.py", "old": "import time\n", "new": ""})).text.endswith(
        "(+0 −1 lines)"
    )
    made = await tools.call("edit", {"path": "new/deep.py", "old": "", "new": "a\nb\n"})
    assert made.text == "edited new/deep.py (+2 −0 lines)"
    assert await tools.sandbox.read("new/deep.py") == b"a\nb\n"
    crlf = await tools.call("edit", {"path": "lib/crlf.txt", "old": "one\ntwo", "new": "one\n2"})
    assert crlf.ok
    assert await tools.sandbox.read("lib/crlf.txt") == b"one\r\n2\r\nthree\r\n"


async def test_edit_says_why_not(tools: Tools) -> None:
    await tools.sandbox.write("twice.py", b"x = 1\ny\nx = 1\n")
    for wrong, said in (
        ({"path": "twice.py", "old": "x = 1", "new": "z"}, "more than once (from lines 1, 3)"),
        ({"path": "twice.py", "old": "x  = 1\ny", "new": "z"}, "other white space"),
        ({"path": "twice.py", "old": "nothing", "new": "z"}, "the old text is not there"),
        ({"path": "twice.py", "old": "y", "new": "y"}, "the same"),
        ({"path": "twice.py", "old": "", "new": "z"}, "exists and is not empty"),
        ({"path": "nosuch", "old": "y", "new": "z"}, "there is no file nosuch"),
        ({"path": "../x", "old": "", "new": "z"}, "leads out"),
        ({"path": ".git/config", "old": "", "new": "z"}, "Git's own"),
        ({"path": "twice.py/x", "old": "", "new": "z"}, "twice.py/x: "),
    ):
        before = await tools.sandbox.read("twice.py")
        result = await tools.call("edit", wrong)
        assert not result.ok
        assert said in result.text
        assert await tools.sandbox.read("twice.py") == before


async def test_recall_and_submit(tools: Tools) -> None:
    HITS[:] = []
    assert await tools.call("recall", {"query": "lock"}) == Result("nothing found")
    HITS[:] = [
        Recalled(SubagentId("abcde", 2, 3), 4, "tool", "deadlock"),
        Recalled(SubagentId("abcde", 1, 1), 1, "user", "x"),
    ]
    assert (await tools.call("recall", {"query": "lock"})).text == "[2.3 turn 4 tool] deadlock\n\n[1.1 turn 1 user] x"
    # One of an earlier run is named with it.
    other = replace(tools, run="k3m9t")
    assert "[abcde.2.3 turn 4 tool] deadlock" in (await other.call("recall", {"query": "lock"})).text
    assert (await tools.call("submit", {"summary": "done"})).submitted


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Tools over a sandbox that only reads and writes, for many examples."""
    folder = tmp_path_factory.mktemp("still")
    (folder / "1.1" / "work").mkdir(parents=True)
    sandbox = LocalSandbox("abcde", "1.1", folder / "1.1", folder, {}, None)
    return Tools(sandbox, recall, 1.0)


CODE = st.text(st.sampled_from("ab \n\t\ré"), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=CODE, old=CODE, new=CODE)
def test_an_edit_does_it_once_or_not_at_all(still: Tools, before: str, old: str, new: str) -> None:
    async def edit() -> tuple[Result, bytes]:
        await still.sandbox.write("f", before.encode())
        result = await still.call("edit", {"path": "f", "old": old, "new": new})
        return result, await still.sandbox.read("f")

    result, after = asyncio.run(edit())
    places = sum(before.startswith(old, at) for at in range(len(before))) if old else 0
    if not result.ok:
        assert after == before.encode()
        assert places != 1 or old == new
    elif old and "\r\n" not in before:
        assert places == 1
        assert after == before.replace(old, new).encode()
    elif not old:
        assert (before, after) == ("", new.encode())


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_changed_lines_add_up(before: bytes, after: bytes) -> None:
    added, removed = changed_lines(before, after)
    assert added - removed == len(after.splitlines()) - len(before.splitlines())
    assert (added, removed) == (0, 0) or before.splitlines() != after.splitlines()


@given(st.text(), st.integers(100, 300))
def test_a_capped_text_keeps_its_beginning(text: str, cap: int) -> None:
    result = capped(text, cap)
    assert len(result.encode(errors="replace")) <= cap
    assert result == text or "bytes left out" in result


WORDS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))
LINES = st.lists(WORDS | st.integers(0, 40_000).map("x".__mul__), max_size=30)


@given(LINES, st.integers(1, 40), st.none() | st.integers(1, 40))
def test_read_shows_what_it_says(lines: list[str], first: int, last: int | None) -> None:
    text = "".join(f"{line}\n" for line in lines)
    result = numbered("f", text, first, last)
    if not result.ok or not lines:
        return
    assert len(result.text.encode()) <= RESULT_CAP
    head, *shown = result.text.split("\n")
    begin, end = int(head.split()[1]), int(head.split()[3])
    assert (begin, head.endswith(f" of {len(lines)})")) == (first, True)
    for number in range(begin, end + 1):
        line, here = lines[number - 1], shown[number - begin]
        assert here == f"{number:6d}\t{line}" or (len(line) > 10_000 and here.startswith(f"{number:6d}\txxx"))
    wanted = min(last or len(lines), len(lines))
    assert (end == wanted) == ("left out: read from line" not in result.text)


@given(st.lists(st.tuples(st.binary(min_size=1), st.integers(1, 9), st.binary())), st.booleans())
def test_found_is_capped_whatever_was_printed(rows: list[tuple[bytes, int, bytes]], more: bool) -> None:
    output = b"warning: odd\n" + b"".join(b"%s\0%d\0%s\n" % row for row in rows)
    result = found(output, more=more)
    assert result.ok
    assert 0 < len(result.text.encode()) <= RESULT_CAP


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("fly", {}, "there is no tool 'fly'"),
        ("recall", {"query": "x"}, "there is no tool 'recall'"),
        ("run", None, "cut off or is no JSON"),
        ("run", ["ls"], "must be an object"),
        ("run", {}, "command is missing; right is run {command: string, seconds?: number}"),
        ("run", {"command": 3}, "command must be a string, not 3"),
        ("run", {"command": "ls", "seconds": 0}, "seconds must be a number above 0"),
        ("run", {"command": "ls", "seconds": True}, "seconds must be a number"),
        ("run", {"command": "ls", "cwd": "/"}, "cwd is not known"),
        ("read", {"path": "x", "first": 0}, "first must be a whole number from 1"),
        ("read", {"path": "x", "last": 1.5}, "last must be a whole number"),
        ("edit", {"path": "x", "old": "a"}, "new is missing"),
    ],
)
def test_a_malformed_call_is_told_what_is_right(name: str, given: Any, said: str) -> None:
    assert said in malformed(name, given, recall=False)


def test_well_formed_calls_are_not_malformed() -> None:
    for name, right in (
        ("run", {"command": "ls", "seconds": 1.5}), ("read", {"path": "x", "first": 1, "last": 3.0}),
        ("search", {"pattern": "x"}), ("edit", {"path": "x", "old": "", "new": ""}), ("recall", {"query": ""}),
        ("submit", {"summary": ""}),
    ):  # fmt: skip
        assert malformed(name, right, recall=True) == ""


@given(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=3))
def test_whatever_a_model_sends_is_judged(name: str, given: Any) -> None:
    tool = definitions(recall=True)[len(name) % 6]["name"]
    for value in (given, {name: given}, {"command": given, "path": given}):
        assert isinstance(malformed(tool, value, recall=True), str)
        assert "\n" not in describe(tool, value)


def test_calls_are_described_in_a_line() -> None:
    assert describe("run", {"command": "make\ntest"}) == "make test"
    assert describe("read", {"path": "a.py", "first": 3, "last": 9}) == "a.py 3–9"
    assert describe("search", {"pattern": "lock", "path": "lib"}) == "lock in lib"
    assert describe("edit", {"path": "a.py", "old": "x", "new": "y"}) == "a.py"
