"""The process that records calls: in order, each told alone, and what happens when one of the two processes dies, or
both."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from backends.proxy import Proxy, Upstream, serve
from store import tapes, wire
from store.database import Store, open_store
from store.errors import StoreError
from store.journal import LARGEST
from store.scribe import BEHIND, TROUBLE, Scribe
from store.tapes import CallEnd, CallStart, new_call_id
from tests.proxyrig import (
    KEY,
    LAST_CHUNK,
    PRICES,
    STREAM,
    SUBAGENT,
    Asked,
    Client,
    Rig,
    chunk,
    prepared,
    provided,
    recorded,
    split,
    streamed,
    until,
)
from tests.test_proxy_disk import all_is_kept, locked_by_another
from tests.test_proxy_end import what_comes

TEXT = recorded("text.sse")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with prepared(tmp_path / "store.sqlite3") as store:
        yield store


@asynccontextmanager
async def scribe_of(store: Store, *, journal: bool = True) -> AsyncIterator[Scribe]:
    scribe = Scribe(store.path, journal=journal)
    try:
        yield scribe
    finally:
        await scribe.close()


def start_of(number: int, size: int = 10) -> CallStart:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "%d %s"}]}' % (number, b"x" * size)
    id = new_call_id(1000.0 + number, number.to_bytes(5))  # noqa: A001 - the word of the record
    return CallStart(id, 1000.0 + number, SUBAGENT.run, SUBAGENT, "anthropic", "POST", "/v1/messages", body)


def end_of(start: CallStart) -> CallEnd:
    said = {"role": "assistant", "content": [{"type": "text", "text": f"answer to {start.id}"}]}
    return CallEnd(start.id, start.at + 1, 200, complete=True, messages=[said], response=b"said")


def journals(store: Store) -> list[Path]:
    return sorted(store.path.parent.glob("*-calls-*"))


async def test_what_it_says_is_recorded_is_there(store: Store) -> None:
    async with scribe_of(store) as scribe:
        one, two = start_of(1), start_of(2)
        await scribe.record(one, None)
        assert tapes.call(store, one.id).ended is None
        await scribe.record(one, end_of(one), opened=True)
        await scribe.record(two, end_of(two))
        await until(lambda: [call.complete for call in tapes.calls(store)] == [True, True] or None)
        answer = tapes.answer(store, tapes.call(store, two.id))
        assert answer is not None and answer.message["content"][0]["text"] == f"answer to {two.id}"
    assert tapes.verify(store, SUBAGENT.run) == []


async def test_calls_are_written_in_the_order_in_which_they_were_given(store: Store) -> None:
    async with scribe_of(store) as scribe:
        # Also before the process is there, and when more is given than a socket takes at once.
        starts = [start_of(number, 20_000) for number in range(200)]
        futures = [scribe.record(start, None) for start in starts]
        futures += [scribe.record(start, end_of(start), opened=True) for start in starts]
        await asyncio.gather(*futures)
        await until(lambda: all(call.complete for call in tapes.calls(store)) or None)
        with closing(sqlite3.connect(store.path)) as driver:
            inserted = [name for (name,) in driver.execute("SELECT id FROM calls ORDER BY rowid")]
        assert inserted == [start.id for start in starts]


async def test_one_that_fails_fails_alone(store: Store) -> None:
    async with scribe_of(store) as scribe:
        starts = [start_of(number) for number in range(5)]
        await scribe.record(starts[2], None)
        done = await asyncio.gather(*(scribe.record(s, None) for s in starts), return_exceptions=True)
        assert [result is None for result in done] == [True, True, False, True, True]
        assert isinstance(done[2], StoreError)


async def test_an_end_is_safe_before_it_is_on_the_tape_and_the_next_waits_for_a_tape_in_trouble(store: Store) -> None:
    async with scribe_of(store) as scribe:
        one, two = start_of(1), start_of(2)
        await scribe.record(start_of(0), None)
        with locked_by_another(store.path):
            await asyncio.wait_for(scribe.record(one, end_of(one)), 5)
            assert len(journals(store)) == 1
            await asyncio.sleep(TROUBLE)
            future = scribe.record(two, end_of(two))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(future), 0.3)
        await future
        assert tapes.call(store, one.id).complete and tapes.call(store, two.id).complete
    assert journals(store) == []


async def test_what_is_not_for_the_journal_waits_for_its_commit(store: Store) -> None:
    for durability, with_journal, size in (("full", True, 10), ("process", True, LARGEST), ("process", False, 11)):
        scribe = Scribe(store.path, durability=durability, journal=with_journal)  # type: ignore[arg-type] # one of the two words
        try:
            call = start_of(size, size)
            await scribe.record(call, end_of(call))
            assert tapes.call(store, call.id).complete
            assert journals(store) == []
        finally:
            await scribe.close()


async def test_without_a_journal_calls_wait_for_their_commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError("no room")

    async with scribe_of(store) as scribe:
        await scribe.record(start_of(0), None)
        with monkeypatch.context() as patch:
            patch.setattr("store.journal.os.open", refused)
            one = start_of(1)
            await scribe.record(one, end_of(one))
        assert tapes.call(store, one.id).complete and journals(store) == []


async def test_the_tape_is_never_far_behind(store: Store) -> None:
    async with scribe_of(store) as scribe:
        await scribe.record(start_of(0), None)
        assert scribe.pid is not None
        os.kill(scribe.pid, signal.SIGSTOP)
        futures = [scribe.record(start_of(n), end_of(start_of(n))) for n in range(1, BEHIND + 11)]
        assert [future.done() for future in futures] == [True] * BEHIND + [False] * 10
        os.kill(scribe.pid, signal.SIGCONT)
        await asyncio.wait_for(asyncio.gather(*futures), 30)
    assert len(tapes.calls(store)) == BEHIND + 11


async def test_when_it_dies_who_waits_is_told_and_what_is_safe_is_given_to_the_next(store: Store) -> None:
    async with scribe_of(store) as scribe:
        one, two, three = (start_of(number) for number in (1, 2, 3))
        await scribe.record(one, None)
        pid = scribe.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # so that it surely has not answered
        await scribe.record(one, end_of(one), opened=True)
        waits = scribe.record(two, None)
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StoreError, match="ended before it had recorded"):
            await asyncio.wait_for(waits, 30)
        await asyncio.wait_for(scribe.record(three, end_of(three)), 30)
        await until(lambda: tapes.call(store, one.id).complete or None)
        assert scribe.pid not in (None, pid)
        assert tapes.call(store, three.id).complete
    assert len(tapes.calls(store)) == 2 and journals(store) == []


async def test_closing_waits_for_what_was_given(store: Store) -> None:
    async with scribe_of(store) as scribe:
        starts = [start_of(number) for number in range(50)]
        for start in starts:
            scribe.record(start, end_of(start))
    assert len(tapes.calls(store)) == 50 and scribe.pid is None


ENGINE = """
import asyncio, os, sys
from pathlib import Path
import store.scribe
from store.scribe import Scribe
from tests.test_scribe import end_of, start_of

async def main():
    store.scribe.TROUBLE = 60
    scribe = Scribe(Path(sys.argv[1]), journal=True)
    await scribe.record(start_of(0), None)
    if sys.argv[2] == "both":
        os.kill(scribe.pid, 19)
    for number in range(1, 200):
        await scribe.record(start_of(number), end_of(start_of(number)))
    print(scribe.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def killed(store: Store, who: str) -> None:
    """An engine that has been told that 199 calls are safe, and is killed in that moment; its scribe too, if it says
    so."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENGINE, str(store.path), who),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert child.stdout is not None
    pid = int(await child.stdout.readline())
    child.kill()
    if who == "both":
        os.kill(pid, signal.SIGKILL)
    await child.wait()

    def gone() -> bool | None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # Nobody here is its parent: it may be left as a zombie.
        return " Z " in Path(f"/proc/{pid}/stat").read_text() or None

    await until(gone)


async def test_when_its_engine_is_killed_it_writes_what_came_and_ends(store: Store) -> None:
    await killed(store, "engine")
    calls = tapes.calls(store)
    assert len(calls) == 200 and all(call.complete for call in calls[1:])
    assert tapes.verify(store, SUBAGENT.run) == [] and journals(store) == []


async def test_when_both_are_killed_who_opens_the_store_finds_what_was_safe(store: Store) -> None:
    await killed(store, "both")
    assert len(tapes.calls(store)) < 200 and len(journals(store)) == 1
    with open_store(store.path) as opened:
        calls = tapes.calls(opened)
        assert len(calls) == 200 and all(call.complete for call in calls[1:])
        assert tapes.verify(opened, SUBAGENT.run) == [] and journals(store) == []


async def test_it_ends_quietly_when_nobody_reads_what_it_says(store: Store) -> None:
    """An engine that is killed under load has replies before it that it never reads."""
    ours, theirs = socket.socketpair()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "store.scribe_process", str(store.path), "process", str(theirs.fileno())),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    ours.sendall(wire.frame((False, [wire.packed(start_of(0), end_of(start_of(0)), opened=False)])))
    await asyncio.to_thread(ours.recv, 1, socket.MSG_PEEK)
    ours.close()
    assert (await child.communicate())[1] == b"" and child.returncode == 0
    assert len(tapes.calls(store)) == 1


# Behind the proxy.


@asynccontextmanager
async def up(store: Store, *, journal: bool = True) -> AsyncIterator[tuple[Rig, Scribe]]:
    async def answers(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if b"?slow" not in asked.line:
            await streamed(TEXT)(asked, writer)
            return
        first, *rest = split(TEXT)
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first))
        await asyncio.sleep(0.1)
        writer.write(b"".join(map(chunk, rest)) + LAST_CHUNK)

    async with provided(answers) as provider, scribe_of(store, journal=journal) as scribe:
        proxy = Proxy(store, upstreams={"anthropic": Upstream(provider.base_url, "real")}, prices=PRICES, scribe=scribe)
        async with serve(proxy) as address:
            yield Rig(store, proxy, provider, address.port, None), scribe  # type: ignore[arg-type] # no live text here


async def one(rig: Rig, path: str = "/v1/messages") -> tuple[int, bytes, bool]:
    client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, limit=1 << 20))
    await client.ask(path=path, headers=f"x-api-key: {KEY}\r\n")
    status, _, body, proper = await client.answer()
    client.close()
    return status, body, proper


async def held_back(rig: Rig) -> tuple[Client, bytes]:
    """A client that gets no end, and what it has."""
    client = await rig.client()
    await client.ask()
    early = await what_comes(client)
    assert b"message_stop" not in early
    return client, early


async def let_go(client: Client, early: bytes) -> None:
    """It gets its end now."""
    rest = await asyncio.wait_for(client.reader.readuntil(LAST_CHUNK), 30)
    assert b"message_stop" in early + rest and b"message_stop" in rest
    client.close()


async def test_an_end_comes_when_it_is_safe_and_in_trouble_when_it_is_committed(store: Store) -> None:
    async with up(store) as (rig, _):
        assert await one(rig) == (200, TEXT, True)
        with locked_by_another(store.path):
            assert await one(rig) == (200, TEXT, True)
            await asyncio.sleep(TROUBLE)
            held = await held_back(rig)
        await let_go(*held)
    all_is_kept(store, [TEXT, TEXT, TEXT])


async def test_without_a_journal_every_end_waits_for_its_commit(store: Store) -> None:
    async with up(store, journal=False) as (rig, _):
        assert await one(rig) == (200, TEXT, True)
        with locked_by_another(store.path):
            held = await held_back(rig)
        await let_go(*held)
    all_is_kept(store, [TEXT, TEXT])


async def test_calls_go_on_after_its_death_and_none_that_was_seen_whole_is_missing(store: Store) -> None:
    async with up(store) as (rig, scribe):
        seen = [(await one(rig))[1], (await one(rig, "/v1/messages?slow"))[1]]
        for _ in range(3):
            assert scribe.pid is not None
            os.kill(scribe.pid, signal.SIGKILL)
            for path in ("/v1/messages", "/v1/messages?slow"):
                status, body, proper = await one(rig, path)
                if (status, proper) == (200, True):
                    seen.append(body)
                else:
                    # One that was on its way is told so, in one way or the other.
                    assert not proper or (status == 503 and b"the recorder ended" in body)
            assert await one(rig) == (200, TEXT, True)
            seen.append(TEXT)
    all_is_kept(store, seen)
