"""The worker behind routes: it starts when it is needed, has nothing of the operator's, and is begun anew when it dies
or says nothing any more."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
import pytest_asyncio

from backends.proxy.translation.process import Pace
from tests.proxyrig import until
from tests.routesrig import FIRST, REAL, Rigged, completion, routed, stalling

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOLE_HELLO = completion({"content": "Hello."})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rigged]:
    async with routed(tmp_path_factory.mktemp("routes")) as rigged:
        yield rigged


@pytest.fixture
def r(shared: Rigged) -> Rigged:
    shared.begin()
    return shared


async def ask(r: Rigged) -> Any:
    messages: Any = [{"role": "user", "content": "Why?"}]
    return await r.anthropic().messages.create(model="claude-by-openai", max_tokens=50, messages=messages)


async def begun(r: Rigged) -> Any:
    """A client's stream that has said something, and whose provider says no more."""
    r.answers("openai", stalling(FIRST))
    messages: Any = [{"role": "user", "content": "Why?"}]
    stream = await r.anthropic().messages.create(
        model="claude-by-openai", max_tokens=50, messages=messages, stream=True
    )
    async for event in stream:
        if event.type == "content_block_delta":
            break
    return stream


ALONE = """
import asyncio, sys, tempfile
from pathlib import Path
import backends.engine
from tests.proxyrig import recorded, streamed
from tests.routesrig import routed

async def main():
    async with routed(Path(tempfile.mkdtemp())) as r:
        r.answers("anthropic", streamed(recorded("text.sse")))
        for model in ("claude-sonnet-4-5", "same", "renamed"):
            asked = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
            async with r.anthropic().messages.stream(**asked) as stream:
                await stream.get_final_message()
        assert r.proxy.routing.worker is None
        assert len(r.providers["anthropic"].asked) == 3
    assert "litellm" not in sys.modules

asyncio.run(main())
"""


async def test_a_worker_that_says_nothing_any_more_is_begun_anew(tmp_path: Path) -> None:
    async with routed(tmp_path) as r:
        r.proxy.routing._worker._pace = Pace(look=0.2, deaf=1.0)
        stream = await begun(r)
        pid = r.proxy.routing.worker
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Exception, match=r"incomplete|closed|peer"):
            async for _ in stream:
                pass
        r.begin()
        r.answers("openai", WHOLE_HELLO)
        assert (await ask(r)).content[0].text == "Hello."
        assert r.proxy.routing.worker not in (None, pid)


async def test_a_client_that_leaves_while_the_worker_starts(tmp_path: Path) -> None:
    """The next one has it, and is told on its call that it had to wait."""
    async with routed(tmp_path) as r:
        r.answers("openai", WHOLE_HELLO)
        first = asyncio.create_task(ask(r))
        await until(lambda: r.proxy.routing.worker)
        first.cancel()
        await asyncio.wait({first})
        pid = r.proxy.routing.worker
        assert (await ask(r)).content[0].text == "Hello."
        assert r.proxy.routing.worker == pid

        def left() -> Any:
            calls, _ = r.calls()
            return calls if all(call.ended is not None for call in calls) else None

        gone, call = await until(left)
        assert gone.error == "the client hung up"
        assert call.notes[0].startswith("LiteLLM's worker had to start first, which took ")


async def test_a_worker_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with routed(tmp_path) as r:
        with pytest.raises(anthropic.APIStatusError, match="it ended as it started, with exit code 1") as caught:
            await ask(r)
        assert caught.value.status_code == 502


async def test_a_worker_that_dies_is_begun_anew(r: Rigged) -> None:
    stream = await begun(r)
    pid = r.proxy.routing.worker
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Exception, match=r"incomplete|closed|peer"):
        async for _ in stream:
            pass
    call, _ = await r.ended()
    assert call.error == "the worker that translates broke off"
    r.begin()
    r.answers("openai", WHOLE_HELLO)
    # Many at once, and one worker for them all.
    answers = await asyncio.gather(*(ask(r) for _ in range(5)))
    assert [answer.content[0].text for answer in answers] == ["Hello."] * 5
    assert r.proxy.routing.worker not in (None, pid) and len(r.calls()[1]) == 5


async def test_the_worker_has_no_key_and_nothing_of_the_operators(r: Rigged) -> None:
    r.answers("openai", WHOLE_HELLO)
    await ask(r)
    environ = Path(f"/proc/{r.proxy.routing.worker}/environ").read_bytes()
    names = {entry.partition(b"=")[0] for entry in environ.split(b"\0") if entry}
    assert not any(b"KEY" in name or b"TOKEN" in name for name in names) and REAL.encode() not in environ
    # What it may ask is over with its try.
    assert r.providers["openai"].asked and r.proxy.routing.attempts.find([(b"x-multitrack-attempt", b"mt-x")]) is None


async def test_no_worker_is_started_while_no_call_needs_one_and_nothing_else_imports_litellm() -> None:
    root = Path(__file__).parents[1]
    alone = await asyncio.create_subprocess_exec(sys.executable, "-c", ALONE, cwd=root, stderr=asyncio.subprocess.PIPE)
    _, errors = await alone.communicate()
    assert alone.returncode == 0, errors.decode()
