"""`multitrack proxy`: a recorder for any tool, as a process of its own in front of a provider."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cli import main
from app.failure import Exit
from store import runs, tapes
from store.database import open_store
from store.home import Home
from store.lock import RunLock, holder
from store.recording import CallEnd, CallStart
from tests.proxyrig import ASK, Handler, Provider, recorded, streamed, until, whole
from tests.shop import NOW, Here, here, nowhere
from tests.test_proxy_disk import locked_by_another

__all__ = ["here", "nowhere"]

OWN = "sk-ant-" + "real" * 8


@dataclass
class Recorder:
    """The command, its first line of JSON, and the lines after it."""

    process: asyncio.subprocess.Process
    listening: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.listening["base_urls"]["anthropic"])

    async def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 60))
        return told

    async def stop(self, number: signal.Signals = signal.SIGINT) -> list[dict[str, Any]]:
        """End it as an operator does; what it still said."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        left = await asyncio.wait_for(self.process.stdout.read(), 60)
        assert await self.process.wait() == Exit.FINE
        return [json.loads(line) for line in left.splitlines()]


@asynccontextmanager
async def provider(handler: Handler) -> AsyncIterator[Provider]:
    made = Provider(handler)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def recorder(
    home: Path, *arguments: str, environ: dict[str, str] | None = None, limit: int = 65_536
) -> AsyncIterator[Recorder]:
    """`limit` is half of what is taken of its output, in bytes, while nobody asks for a line."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-E", "-m", "app", "--home", str(home), "proxy", "--port", "0", "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**bare, **(environ or {})},
        limit=limit,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        first = await asyncio.wait_for(process.stdout.readline(), 60)
        assert first, (await process.stderr.read()).decode()
        yield Recorder(process, json.loads(first))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # `wait` waits for the end of output that nobody has read


async def ask(url: str, **headers: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/messages", data=ASK, headers=headers) as had,
    ):
        return had.status, await had.read()


def on_disk(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


async def test_an_answer_that_was_seen_is_found_though_recorder_and_scribe_are_killed_before_it_is_on_the_tape(
    tmp_path: Path,
) -> None:
    async with (
        provider(streamed(recorded("text.sse"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        assert await ask(proxy.url) == (200, recorded("text.sse"))
        await proxy.line()
        pid, path = proxy.process.pid, Home(tmp_path).store
        with locked_by_another(path):
            assert await ask(proxy.url) == (200, recorded("text.sse"))
            scribes = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for one in (pid, *map(int, scribes)):
                os.kill(one, signal.SIGKILL)
    assert len(scribes) == 1
    with open_store(path) as store:
        assert [tapes.response(store, call) for call in tapes.calls(store)] == 2 * [recorded("text.sse")]


async def test_a_client_goes_through_with_its_own_key_which_is_not_kept(tmp_path: Path) -> None:
    async with (
        provider(streamed(recorded("tools.sse"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        status, body = await ask(proxy.url, **{"x-api-key": OWN, "cookie": "session=sweet", "x-app": "cli"})
        assert (status, body) == (200, recorded("tools.sse"))
        call = await proxy.line()
        ended = await proxy.stop()
    sent = dict(upstream.asked[0].headers)
    assert sent[b"x-api-key"] == OWN.encode()
    assert sent[b"x-app"] == b"cli"
    assert b"cookie" not in sent
    assert call["kind"] == "call"
    assert (call["status"], call["model"], call["complete"], call["stream"]) == (200, "claude-sonnet-4-5", True, True)
    assert (call["subagent"], call["run"], call["response_size"]) == (None, proxy.listening["run"], len(body))
    assert call["tokens"]["output"] > 0 and call["cost"] > 0
    assert ended == [
        {
            "kind": "ended",
            "run": call["run"],
            "calls": 1,
            "tries": 0,
            "tokens": call["tokens"]["total"],
            **_cost(call),
            "priced": True,
        }
    ]
    home = Home(tmp_path)
    with open_store(home.store) as store:
        assert [row.title[:12] for row in runs.runs(store)] == ["Recording of"]
        assert tapes.verify(store, call["run"]) == []
        (kept,) = tapes.calls(store, run=call["run"])
        assert tapes.response(store, kept) == recorded("tools.sse")
    everything = on_disk(tmp_path)
    assert OWN.encode() not in everything
    assert b"sweet" not in everything


def _cost(call: dict[str, Any]) -> dict[str, float]:
    return {"cost": call["cost"]}


async def test_a_configured_key_takes_the_place_of_the_clients(tmp_path: Path) -> None:
    async with provider(streamed(recorded("text.sse"))) as upstream:
        arguments = ("--upstream", f"anthropic={upstream.base_url}")
        async with recorder(tmp_path, *arguments, environ={"ANTHROPIC_API_KEY": "sk-configured"}) as proxy:
            await ask(proxy.url, authorization=f"Bearer {OWN}")
            await proxy.stop()
    sent = dict(upstream.asked[0].headers)
    assert sent[b"x-api-key"] == b"sk-configured"
    assert b"authorization" not in sent
    assert b"sk-configured" not in on_disk(tmp_path)


async def test_a_virtual_key_that_is_not_known_goes_nowhere(tmp_path: Path) -> None:
    async with (
        provider(streamed(recorded("text.sse"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        virtual = "mt-" + "a" * 32
        assert (await ask(proxy.url, **{"x-api-key": virtual}))[0] == 401
        assert (await ask(proxy.listening["url"] + f"/k/{virtual}/anthropic"))[0] == 401
        assert (await ask(proxy.url, Origin="http://evil.example"))[0] == 403
        assert (await ask(proxy.url, Host="evil.example"))[0] == 403
        # Beside a key of its own, a virtual one is taken out.
        assert (await ask(proxy.url, **{"x-api-key": OWN, "authorization": f"Bearer {virtual}"}))[0] == 200
        await proxy.stop()
    (asked,) = upstream.asked
    assert virtual.encode() not in asked.head
    assert OWN.encode() in asked.head


async def test_a_clients_own_key_goes_to_no_provider_that_was_only_guessed(tmp_path: Path) -> None:
    async with (
        provider(whole(b"200 OK", b"{}")) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        root = proxy.listening["url"]
        for path in ("/v1/models", "/deepseek/v1/chat/completions"):
            async with aiohttp.ClientSession() as session, session.get(root + path, headers={"x-api-key": OWN}) as had:
                assert had.status == 404 and "/openai" in (await had.json())["error"]["message"]
        # Without a key there is nothing to lose, and agents try what is there.
        async with aiohttp.ClientSession() as session, session.get(root) as had:
            assert had.status == 200
        await proxy.stop()
    assert [asked.line for asked in upstream.asked] == [b"GET / HTTP/1.1"]


async def test_an_upstream_may_be_named_as_its_provider_writes_it(tmp_path: Path) -> None:
    async with (
        provider(whole(b"200 OK", recorded("chat.json"))) as upstream,
        recorder(
            tmp_path,
            *("--upstream", f"openai={upstream.base_url}/api/v1"),
            *("--upstream", f"glm={upstream.base_url}/paas/v4"),
        ) as proxy,
    ):
        urls, root = proxy.listening["base_urls"], proxy.listening["url"]
        assert (urls["openai"], urls["glm"]) == (f"{root}/openai/v1", f"{root}/glm/v4")
        for name in ("openai", "glm"):
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{urls[name]}/chat/completions", data=ASK) as had,
            ):
                assert had.status == 200
        calls = await proxy.stop()
    assert [asked.line.split()[1] for asked in upstream.asked] == [
        b"/api/v1/chat/completions",
        b"/paas/v4/chat/completions",
    ]
    assert [call["protocol"] for call in calls[:-1]] == ["openai-chat", "openai-chat"]


async def test_the_operators_own_price_wins(tmp_path: Path) -> None:
    async with (
        provider(streamed(recorded("text.sse"))) as upstream,
        recorder(
            tmp_path,
            *("--upstream", f"anthropic={upstream.base_url}"),
            *("--price", "other=1,1", "--price", "claude-sonnet-4-5=1e6,0,0,0"),
        ) as proxy,
    ):
        await ask(proxy.url, **{"x-api-key": OWN})
        call, ended = await proxy.stop()
    assert call["cost"] == ended["cost"] == call["tokens"]["input"] > 0


@pytest.mark.parametrize("price", ["m", "m=1", "m=a,b", "m=1,2,3,4,5", "m=-1,2", "m=nan,2", "=1,2"])
def test_a_price_that_is_none_is_said(here: Here, price: str) -> None:
    code, _, said = here("proxy", "--price", price)
    assert code == Exit.USAGE and said.startswith("multitrack: --price: ")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
async def test_calls_that_are_under_way_at_its_end_are_recorded(tmp_path: Path, ending: signal.Signals) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(asked: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: ping\ndata: {}\n\n")
        await writer.drain()
        begun.set()
        await go.wait()

    async with (
        provider(slow) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        asking = asyncio.create_task(ask(proxy.url))
        await begun.wait()
        call, ended = await proxy.stop(ending)
        with pytest.raises(aiohttp.ClientError):
            await asking
        go.set()
    assert (call["error"], call["complete"], call["status"]) == ("the proxy was stopped", False, 200)
    assert ended["calls"] == 1
    home = Home(tmp_path)
    assert holder(home.folder(ended["run"]).lock) is None


async def test_it_goes_on_when_whoever_reads_its_output_goes_away(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody, output = os.pipe()
    os.close(nobody)
    async with provider(streamed(recorded("text.sse"))) as upstream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-E", "-m", "app", "--home", str(tmp_path), "proxy", "--port", str(port)),
            *("--upstream", f"anthropic={upstream.base_url}"),
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(output)
        try:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    assert (await ask(f"http://127.0.0.1:{port}/anthropic", **{"x-api-key": OWN}))[0] == 200
                    break
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            _, said = await asyncio.wait_for(process.communicate(), 60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    assert (process.returncode, said) == (Exit.PIPE, b"")
    with open_store(Home(tmp_path).store) as store:
        (call,) = tapes.calls(store)
    assert (call.status, call.complete) == (200, True)


async def test_the_next_recorder_ends_the_calls_of_one_that_was_killed(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def never(asked: Any, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asked.gone.wait()

    home = Home(tmp_path)
    async with provider(never) as upstream:
        arguments = ("--upstream", f"anthropic={upstream.base_url}")
        async with recorder(tmp_path, *arguments) as proxy:
            asking = asyncio.create_task(ask(proxy.url))
            await begun.wait()
            with open_store(home.store) as store:
                while not tapes.calls(store):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.01)
            proxy.process.kill()
            with pytest.raises(aiohttp.ClientError):
                await asking
        async with recorder(tmp_path, *arguments) as proxy:
            await proxy.stop()
    with open_store(home.store) as store:
        (call,) = tapes.calls(store)
    assert (call.error, call.status) == (tapes.DIED, None)


async def test_the_base_urls_are_what_the_sdks_want(tmp_path: Path) -> None:
    bodies = {
        b"/v1/messages": recorded("message.json"),
        b"/v1/chat/completions": recorded("chat.json"),
        b"/models/gemini-x:generateContent": recorded("gemini.json"),
    }

    async def answer(asked: Any, writer: asyncio.StreamWriter) -> None:
        path = asked.line.split()[1].partition(b"?")[0]
        await whole(b"200 OK", next(body for end, body in bodies.items() if path.endswith(end)))(asked, writer)

    def speak(urls: dict[str, str]) -> None:
        import anthropic
        import openai
        from google import genai

        said: Any = [{"role": "user", "content": "Hi"}]
        with anthropic.Anthropic(api_key="own-anthropic", base_url=urls["anthropic"], max_retries=0) as claude:
            assert claude.messages.create(model="claude-x", max_tokens=9, messages=said).content
        with openai.OpenAI(api_key="own-openai", base_url=urls["openai"], max_retries=0) as gpt:
            assert gpt.chat.completions.create(model="gpt-x", messages=said).choices
        with genai.Client(api_key="own-gemini", http_options={"base_url": urls["gemini"]}) as gemini:
            assert gemini.models.generate_content(model="gemini-x", contents="Hi").candidates

    async with provider(answer) as upstream:
        everywhere = [f"--upstream={name}={upstream.base_url}" for name in ("anthropic", "openai", "gemini")]
        async with recorder(tmp_path, *everywhere) as proxy:
            await asyncio.to_thread(speak, proxy.listening["base_urls"])
            lines = await proxy.stop()
    assert [line["provider"] for line in lines[:-1]] == ["anthropic", "openai", "gemini"]
    assert all(line["complete"] and line["tokens"]["output"] > 0 for line in lines[:-1])
    sent = [b"own-" + name in asked.head for name, asked in zip(_NAMES, upstream.asked, strict=True)]
    assert sent == [True, True, True]
    assert b"own-" not in on_disk(tmp_path)


_NAMES = (b"anthropic", b"openai", b"gemini")


async def test_a_recording_answers_in_the_providers_place(tmp_path: Path) -> None:
    async with (
        provider(streamed(recorded("tools.sse"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        await ask(proxy.url)
        await proxy.stop()
    async with recorder(tmp_path, "--replay", "last", "--upstream", f"anthropic={upstream.base_url}") as proxy:
        assert await ask(proxy.url) == (200, recorded("tools.sse"))
        again = await proxy.line()
        assert again["source"].startswith("tape:")
        assert (await ask(proxy.url))[0] >= 400, "each call answers once, and no provider is asked"
        await proxy.stop()
    assert len(upstream.asked) == 1


async def test_many_lines_and_each_call_once(tmp_path: Path) -> None:
    async with (
        provider(whole(b"200 OK", recorded("message.json"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        await asyncio.gather(*(ask(proxy.url) for _ in range(60)))
        lines = await proxy.stop()
    assert lines[-1]["calls"] == 60
    assert len({line["id"] for line in lines[:-1]}) == len(lines[:-1]) == 60


async def test_it_ends_though_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    async with (
        provider(whole(b"200 OK", recorded("message.json"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}", limit=4096) as proxy,
    ):
        # More lines than a pipe holds, which is 64 KiB on Linux.
        for _ in range(8):
            await asyncio.gather(*(ask(proxy.url) for _ in range(25)))
        proxy.process.send_signal(signal.SIGTERM)
        assert await until(lambda: proxy.process.returncode) == Exit.FINE
        with open_store(Home(tmp_path).store) as store:
            assert tapes.count(store, proxy.listening["run"]) == (200, 0)


async def test_its_own_words_on_a_terminal(tmp_path: Path) -> None:
    """Without --json: the base URLs, a line a call, a summary."""
    async with provider(streamed(recorded("overloaded.json"))) as upstream:
        bare = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "--home", str(tmp_path), "proxy", "--port", "0"),
            *("--upstream", f"mine:anthropic={upstream.base_url}"),
            stdout=asyncio.subprocess.PIPE,
            env=bare,
        )
        try:
            assert process.stdout is not None
            head = (await asyncio.wait_for(process.stdout.readuntil(b"aider"), 60)).decode()
            (url,) = (word for word in head.split() if word.endswith("/mine"))
            assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in head
            assert "OPENAI_BASE_URL=http://127.0.0.1:" in head
            assert "GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:" in head
            assert (await ask(url))[0] == 200
            process.send_signal(signal.SIGINT)
            rest = (await asyncio.wait_for(process.stdout.read(), 60)).decode()
            assert await process.wait() == Exit.FINE
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    assert "claude-sonnet-4-5" in rest
    assert "1 call, 0 tokens" in rest


def test_what_stands_in_the_way_is_said(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["proxy", "--port", port]) == Exit.ENVIRONMENT
        assert f"127.0.0.1 port {port} is in use: end what listens there" in capsys.readouterr().err
    assert main(["proxy", "--port", "0", "--host", "192.0.2.1"]) == Exit.ENVIRONMENT
    assert "192.0.2.1 is no address of this machine" in capsys.readouterr().err
    assert main(["runs", "--json"]) == Exit.FINE
    assert json.loads(capsys.readouterr().out) == [], "what could not begin leaves no run"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--upstream", "openai"], "'openai' is no PROVIDER=URL"),
        (["--upstream", "a/b=http://x"], "is no PROVIDER=URL"),
        (["--upstream", "openai=ftp://x"], "is no http:// or https:// address"),
        (["--upstream", "openai=http://x?key=1"], "no query"),
        (["--upstream", "mine:klingon=http://x"], "the protocol 'klingon' is not known"),
        (["--host", "0.0.0.0"], "every interface"),
        (["--host", "::"], "every interface"),
        (["--route", "gpt"], "'gpt' is no route"),
        (["--route", "gpt=x"], "'x' is no deployment"),
        (["--port", "0", "--route", "gpt=nowhere/x"], "needs an upstream 'nowhere'"),
        (["--soft"], "name its run with --replay"),
        (["--replay", "last"], "nothing is recorded"),
        (["--host", "example.org"], "is no IP address"),
        (["--port", "70000"], "is no whole number from 0 to 65,535"),
    ],
)
def test_a_mistake_is_said(nowhere: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str) -> None:
    assert main(["proxy", *arguments]) == Exit.USAGE
    assert part in capsys.readouterr().err


def test_a_store_of_a_newer_version(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(nowhere / "home").create()
    open_store(home.store).close()
    with contextlib.closing(sqlite3.connect(home.store)) as driver:
        driver.execute("UPDATE alembic_version SET version_num = '9999'")
        driver.commit()
    assert main(["proxy", "--port", "0"]) == Exit.STORE
    assert "was made by a newer Multitrack" in capsys.readouterr().err


def test_a_recording_is_looked_at_like_a_run(here: Here) -> None:
    start = CallStart("c9", NOW, "r2c2d", None, "anthropic", "POST", "/v1/messages", ASK)
    end = CallEnd("c9", NOW + 1, 200, complete=True, messages=[{"role": "assistant", "content": "For want of a nail."}])
    with open_store(here.home.store) as store:
        store.write(lambda connection: runs.create(connection, "r2c2d", "Recording", at=1.0))
        store.write(lambda connection: tapes.record_call(connection, start, end))

    def told() -> dict[str, Any]:
        return next(run for run in json.loads(here("runs", "--json")[1]) if run["run"] == "r2c2d")

    with RunLock(here.home.folder("r2c2d").lock) as lock:
        assert lock.acquire()
        assert (told()["alive"], told()["state"]) == (True, "recording")
    assert (told()["alive"], told()["state"]) == (False, "recorded")
    trace = here("trace", "r2c2d")[1]
    assert "call 1  c9  claude-sonnet-4-5  200" in trace and "For want of a nail." in trace
    assert "claude-sonnet-4-5" in here("watch", "r2c2d")[1]
    assert json.loads(here("watch", "r2c2d", "--json")[1])["id"] == "c9"
    for order in ("stop", "launch"):
        code, _, err = here(order, "r2c2d")
        assert (code, "is a bare recording" in err) == (Exit.UNSOLVED, True)


async def test_a_recording_is_watched_until_its_end(tmp_path: Path) -> None:
    async with (
        provider(whole(b"200 OK", recorded("message.json"))) as upstream,
        recorder(tmp_path, "--upstream", f"anthropic={upstream.base_url}") as proxy,
    ):
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "--home", str(tmp_path), "watch", "last", "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await ask(proxy.url)
            assert watching.stdout is not None
            seen = json.loads(await asyncio.wait_for(watching.stdout.readline(), 60))
            await ask(proxy.url)
            await proxy.stop()
            rest = (await asyncio.wait_for(watching.stdout.read(), 60)).splitlines()
            assert await watching.wait() == Exit.FINE
        finally:
            with contextlib.suppress(ProcessLookupError):
                watching.kill()
    assert seen["status"] == 200
    assert [json.loads(line)["id"] != seen["id"] for line in rest] == [True]


async def test_a_routed_call_and_its_try_are_told_apart_and_summed_once(tmp_path: Path) -> None:
    async with (
        provider(streamed(recorded("text.sse"))) as upstream,
        recorder(
            tmp_path,
            *("--upstream", f"anthropic={upstream.base_url}"),
            *("--route", "claude-sonnet-4-5=anthropic/claude-haiku-4-5"),
        ) as proxy,
    ):
        assert (await ask(proxy.url, **{"x-api-key": OWN}))[0] == 200
        tried, call = await proxy.line(), await proxy.line()
        (ended,) = await proxy.stop()
    assert (call["parent"], tried["parent"]) == (None, call["id"])
    assert (call["source"], call["tokens"]["total"], call["cost"]) == ("route", 0, 0)
    assert (ended["calls"], ended["tries"]) == (1, 1)
    assert (ended["tokens"], ended["cost"]) == (tried["tokens"]["total"], tried["cost"])
    assert ended["tokens"] > 0 and ended["cost"] > 0
    with open_store(Home(tmp_path).store) as store:
        (run,) = runs.runs(store)
        assert tapes.count(store, run.id) == (1, 1)
