"""`multitrack exec`: a command as it is, and what it asks its models on a tape."""

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.failure import Exit
from store import tapes
from store.database import open_store
from store.home import Home
from store.lock import holder
from tests.execrig import (
    OWN,
    answers,
    calls,
    environment,
    executed,
    finished,
    line,
    no_recorder,
    on_disk,
    recorders,
    recordings,
    run,
    summary,
    upstream,
)
from tests.proxyrig import Asked, provided, recorded, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes through /proc")

ASK = """
import json, os, sys, urllib.request
body = json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]})
url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
key = os.environ.get("ANTHROPIC_API_KEY", "none")
for _ in range(int(os.environ.get("TIMES", "1"))):
    request = urllib.request.Request(url, body.encode(), {"x-api-key": key, "content-type": "application/json"})
    print(len(urllib.request.urlopen(request).read()), flush=True)
"""
"""Asks a model once, with nothing but the standard library: it is there at once."""

PYTHON = [sys.executable, "-I", "-c", ASK]


async def test_what_a_command_asks_is_on_a_tape_of_its_own(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    async with upstream() as (provider, options):
        first = await run(tmp_path / "home", options, *PYTHON, environ={"ANTHROPIC_API_KEY": OWN, "TIMES": "2"})
        named = ["--name", "the second", "--json", str(told)]
        second = await run(tmp_path / "home", [*options, *named], *PYTHON, environ={"ANTHROPIC_API_KEY": OWN})
    size = b"%d\n" % len(recorded("message.json"))
    assert (first[0], first[1]) == (0, 2 * size)
    assert (second[0], second[1]) == (0, size)
    newest, oldest = recordings(tmp_path / "home")
    assert newest.title == "the second"
    program = Path(sys.executable).name
    assert oldest.title.startswith(f"{program} in {Path.cwd().name}, 20")
    assert "multitrack: 2 calls, " in first[2] and f"`multitrack calls {oldest.id}` lists them" in first[2]
    assert first[2].count("\n") == 1, "one line, and nothing before it"
    # Each has its own, with the client's key at the provider and nowhere else.
    assert [len(calls(tmp_path / "home", row.id)) for row in (newest, oldest)] == [1, 2]
    assert [dict(asked.headers)[b"x-api-key"] for asked in provider.asked] == [OWN.encode()] * 3
    assert OWN.encode() not in on_disk(tmp_path / "home")
    with open_store(Home(tmp_path / "home").store) as store:
        assert tapes.verify(store, newest.id) == tapes.verify(store, oldest.id) == []
    (call,) = calls(tmp_path / "home", newest.id)
    facts = summary(told)
    assert (facts["run"], facts["exit"], facts["calls"], facts["errors"], facts["tries"]) == (newest.id, 0, 1, 0, 0)
    assert (facts["tokens"], facts["cost"], facts["priced"]) == (call.usage.total, call.usd, True)
    assert facts["began"] <= call.started <= facts["ended"]
    await no_recorder(tmp_path / "home")
    assert holder(Home(tmp_path / "home").folder(newest.id).lock) is None


async def test_it_is_found_like_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "elsewhere" / "mine.sqlite3"
    async with upstream() as (_, options):
        _, _, said = await run(tmp_path / "home", [*options, "--store", str(store)], *PYTHON)
    home = ["--home", str(tmp_path / "home"), "--store", str(store)]
    assert f"`multitrack calls {_name(said)} --store {store}`" in said
    assert main([*home, "runs", "--json"]) == 0
    assert '"state": "recorded"' in capsys.readouterr().out
    assert main([*home, "search", "Why?"]) == 0
    assert _name(said) in capsys.readouterr().out
    assert main([*home, "trace", _name(said)]) == 0
    assert "claude-sonnet-4-5" in capsys.readouterr().out
    assert main([*home, "delete", _name(said), "--yes"]) == 0


def _name(said: str) -> str:
    return said.partition("`multitrack calls ")[2].partition("`")[0].split()[0]


async def test_an_address_that_the_environment_has_is_where_it_asks(tmp_path: Path) -> None:
    async with provided(answers) as provider:
        environ = {"ANTHROPIC_BASE_URL": provider.base_url + "/gateway/", "http_proxy": "http://192.0.2.1:1"}
        code, _, said = await run(tmp_path, [], *PYTHON, environ=environ)
    assert (code, "1 call" in said) == (0, True), "and no proxy of the network was asked for loopback"
    assert [asked.line for asked in provider.asked] == [b"POST /gateway/v1/messages HTTP/1.1"]


async def test_a_proxy_of_the_network_that_is_not_taken_is_said_where_calls_fail(tmp_path: Path) -> None:
    options = ["--upstream", "anthropic=http://127.0.0.1:1"]
    _, _, said = await run(tmp_path, options, *PYTHON, environ={"HTTPS_PROXY": "http://192.0.2.1:1"})
    assert ", 1 error. " in said
    assert "HTTPS_PROXY is set, but the recorder asks providers without that proxy" in said


async def test_errors_are_counted(tmp_path: Path) -> None:
    async with upstream() as (_, options):
        script = ASK.replace("/v1/messages", "/v1/nowhere")
        code, _, said = await run(tmp_path, options, sys.executable, "-I", "-c", script)
    assert (code, "1 call, 0 tokens, $0.00, 1 error." in said) == (1, True)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 5"], 5),
        (["sh", "-c", 'test "$*" = "-- --json --debug"', "sh", "--", "--json", "--debug"], 0),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["./no-first-line", "7"], 7),
        (["./not-executable"], 126),
        (["./bad-interpreter"], 127),
        (["./not-there"], 127),
        (["not-there-at-all"], 127),
        (["./"], 126),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
async def test_its_exit_code_is_the_commands(tmp_path: Path, command: list[str], code: int) -> None:
    _script(tmp_path / "no-first-line", 'exit "$1"\n')
    _script(tmp_path / "bad-interpreter", "#!/nowhere/at/all\n")
    _script(tmp_path / "not-executable", "#!/bin/sh\n").chmod(0o644)
    async with executed(tmp_path / "home", ["--quiet"], command, cwd=tmp_path) as process:
        got, out, said = await finished(process)
    assert (got, out) == (code, b"")
    assert (said.startswith("multitrack: "), said.count("\n")) == ((True, 1) if code in (126, 127) else (False, 0))
    assert command[0].strip("./") in said or code not in (126, 127)
    assert recordings(tmp_path / "home") == [], "what asked nothing leaves nothing"


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


async def test_its_descriptors_are_the_commands(tmp_path: Path) -> None:
    given = bytes(range(256)) * 4096
    reading, writing = os.pipe()
    try:
        script = f"cat; echo on the third > /dev/fd/{writing}; echo on the second >&2"
        pipe = asyncio.subprocess.PIPE
        async with executed(tmp_path, ["--quiet"], ["sh", "-c", script], stdin=pipe, pass_fds=(writing,)) as process:
            os.close(writing)
            code, out, said = await finished(process, given)
        assert (code, out == given, said) == (0, True, "on the second\n")
        with os.fdopen(reading, "rb", closefd=False) as file:
            assert file.read() == b"on the third\n", "and then its end: the recorder has none of them"
    finally:
        os.close(reading)


async def test_what_reads_its_output_sees_the_end_when_the_command_ends(tmp_path: Path) -> None:
    """Nothing of ours keeps a pipe open behind it."""
    async with upstream(_Slow().answer) as (_, options):
        command = " ".join(("exec 2>/dev/null;", *line(tmp_path, *options), "-- sh -c 'echo out' | cat"))
        process = await asyncio.create_subprocess_shell(command, env=environment(), stdout=asyncio.subprocess.PIPE)
        assert (await asyncio.wait_for(process.communicate(), 60))[0] == b"out\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGQUIT])
async def test_a_signal_that_only_we_get_is_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    script = f"trap 'echo trapped; exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.02; done"
    async with executed(tmp_path, ["--quiet"], ["sh", "-c", script]) as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        process.send_signal(number)
        code, out, said = await finished(process)
    assert (code, out, said) == (9, b"trapped\n", "")


class _Slow:
    """A provider that answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.go.wait()
        await answers(asked, writer)


async def test_nothing_is_lost_when_it_is_killed(tmp_path: Path) -> None:
    """The command goes on, and so does its recorder, until the command has ended."""
    slow = _Slow()
    async with upstream(slow.answer) as (_, options), executed(tmp_path, options, PYTHON) as process:
        await slow.asked.wait()
        (recorder,) = recorders(tmp_path)
        process.kill()
        await until(lambda: process.returncode)
        assert recorders(tmp_path) == [recorder]
        slow.go.set()
        assert process.stdout is not None
        assert int(await asyncio.wait_for(process.stdout.readline(), 60)) == len(recorded("message.json"))
        await no_recorder(tmp_path)
    (call,) = calls(tmp_path)
    assert (call.status, call.error, call.complete) == (200, "", True)
    (row,) = recordings(tmp_path)
    assert holder(Home(tmp_path).folder(row.id).lock) is None


async def test_a_command_that_is_killed_in_the_middle_of_a_call(tmp_path: Path) -> None:
    slow = _Slow()
    async with upstream(slow.answer) as (_, options), executed(tmp_path, options, PYTHON) as process:
        await slow.asked.wait()
        (child,) = [int(pid) for pid in _children(process.pid) if int(pid) not in recorders(tmp_path)]
        os.kill(child, signal.SIGKILL)
        code, _, said = await finished(process)
        slow.go.set()
    assert (code, "1 call, 0 tokens" in said, "error" in said) == (128 + signal.SIGKILL, True, False)
    (call,) = calls(tmp_path)
    assert call.error == "the client hung up"
    await no_recorder(tmp_path)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_a_call_that_outlives_its_command_is_recorded_to_its_end(tmp_path: Path) -> None:
    slow, told = _Slow(), tmp_path / "told.json"
    ask = _script(tmp_path / "ask.py", ASK)
    script = f"{sys.executable} -I {ask} >/dev/null 2>&1 & until [ -e {tmp_path}/asked ]; do sleep 0.02; done"
    async with upstream(slow.answer) as (_, options):
        options = [*options, "--json", str(told)]
        async with executed(tmp_path / "home", options, ["sh", "-c", script]) as process:
            await slow.asked.wait()
            (tmp_path / "asked").touch()
            code, _, said = await finished(process)
        (recorder,) = recorders(tmp_path / "home")
        assert (code, f"process {recorder} records them to the end" in said) == (0, True)
        assert (summary(told)["run"], summary(told)["calls"]) == (_name(said), None)
        slow.go.set()
        await no_recorder(tmp_path / "home")
    (call,) = calls(tmp_path / "home", _name(said))
    assert (call.status, call.complete) == (200, True)


async def test_a_recorder_that_dies_is_said_and_its_calls_are_closed_by_the_next(tmp_path: Path) -> None:
    slow = _Slow()
    async with upstream(slow.answer) as (_, options):
        async with executed(tmp_path, options, PYTHON) as process:
            await slow.asked.wait()
            await until(lambda: calls(tmp_path) or None)
            os.kill(recorders(tmp_path)[0], signal.SIGKILL)
            code, _, said = await finished(process)
            slow.go.set()
        assert (code, "the recorder died before the command ended" in said) == (1, True)
        await run(tmp_path, options, "true")
    (call,) = calls(tmp_path)
    assert call.error == tapes.DIED


async def test_where_nothing_was_recorded_it_says_why(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    code, out, said = await run(tmp_path / "home", ["--json", str(told)], "echo", "hello")
    assert (code, out) == (0, b"hello\n")
    assert said.startswith("multitrack: nothing was recorded: either echo asked no model, or it takes the address from")
    assert (summary(told)["run"], summary(told)["calls"]) == (None, 0)
    assert recordings(tmp_path / "home") == []
    assert [*(tmp_path / "home" / "runs").iterdir()] == []
    # What the proxy refused is something to look at.
    script = "import os, urllib.request as r; u = os.environ['ANTHROPIC_BASE_URL']; "
    script += "r.urlopen(r.Request(u + '/v1/models', headers={'Origin': 'http://evil.example'}))"
    _, _, said = await run(tmp_path / "home", [], sys.executable, "-I", "-c", script)
    assert "1 request refused; " in said
    log = Path(said.rpartition("refused; ")[2].partition(" says why")[0])
    assert "refused GET" in log.read_text()
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


async def test_a_name_may_be_answered_by_another_model(tmp_path: Path) -> None:
    async with upstream() as (provider, options):
        route = ["--route", "claude-sonnet-4-5=anthropic/claude-haiku-4-5"]
        environ = {"ANTHROPIC_API_KEY": OWN}
        code, _, said = await run(tmp_path, [*options, *route], *PYTHON, environ=environ)
    assert (code, "1 call" in said) == (0, True)
    assert b"claude-haiku-4-5" in provider.asked[0].body
    assert dict(provider.asked[0].headers)[b"x-api-key"] == OWN.encode()
    assert OWN.encode() not in on_disk(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([], Exit.USAGE, "name the command to run: multitrack exec -- claude"),
        (["--"], Exit.USAGE, "name the command to run"),
        (["--bogus", "true"], Exit.USAGE, "there is no --bogus here"),
        (["--upstream", "openai", "true"], Exit.USAGE, "'openai' is no PROVIDER=URL"),
        (["--upstream", "openai=ftp://x", "true"], Exit.USAGE, "--upstream openai: the upstream 'ftp://x'"),
        (["--route", "gpt", "true"], Exit.USAGE, "--route: 'gpt' is no route"),
        (["--route", "gpt=nowhere/x", "true"], Exit.USAGE, "needs an upstream 'nowhere'"),
        (["--json", "/nowhere/told.json", "true"], Exit.ENVIRONMENT, "/nowhere/told.json: No such file or directory"),
        (["--store", "/dev/null/x", "touch", "ran"], Exit.STORE, "The folder /dev/null cannot be made"),
    ],
)
def test_a_mistake_is_said_before_the_command_begins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: Exit,
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MULTITRACK_HOME", str(tmp_path / "home"))
    assert main(["exec", *arguments]) == code
    assert part in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert recordings(tmp_path / "home") == []


def test_a_variable_that_is_no_address_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTITRACK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000/v1")
    assert main(["exec", "true"]) == Exit.USAGE
    assert (
        "$OPENAI_BASE_URL: the upstream 'localhost:8000' is no http:// or https:// address" in capsys.readouterr().err
    )
