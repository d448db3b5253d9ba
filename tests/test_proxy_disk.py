"""A disk that is full, a store that is locked or read-only: the client hears of it in its provider's words, nothing
hangs, nothing that was seen whole is missing, and calls go on as soon as they can."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import store.connecting
from backends.proxy import Proxy, Upstream, serve
from store import tapes
from store.database import Store, open_store
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
    whole,
)

TEXT, MESSAGE = recorded("text.sse"), recorded("message.json")
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/openai/v1/chat/completions",
    "gemini": "/gemini/v1beta/models/g:generateContent",
}
UNAVAILABLE: dict[str, Callable[[Any], bool]] = {
    "anthropic": lambda said: said["type"] == "error" and said["error"]["type"] == "overloaded_error",
    "openai": lambda said: {"message", "type", "param", "code"} == set(said["error"]),
    "gemini": lambda said: said["error"]["code"] == 503 and said["error"]["status"] == "UNAVAILABLE",
}
"""What each provider's own word for it looks like."""


async def answers(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A message; or, where the query says so, a stream whose first event comes by itself."""
    if b"?stream" not in asked.line:
        await whole(b"200 OK", MESSAGE)(asked, writer)
        return
    first, *rest = split(TEXT)
    writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(b"".join(map(chunk, rest)) + LAST_CHUNK)


@asynccontextmanager
async def up(store: Store) -> AsyncIterator[Rig]:
    """A proxy in front of one provider under three names."""
    async with provided(answers) as provider:
        upstreams = {name: Upstream(provider.base_url, "real", name) for name in PATHS}
        proxy = Proxy(store, upstreams=upstreams, prices=PRICES)
        async with serve(proxy) as address:
            rig = Rig(store, proxy, provider, address.port, None)  # type: ignore[arg-type] # no live text here
            try:
                yield rig
            finally:
                for client in rig.clients:
                    client.close()


def ask_of(size: int) -> bytes:
    """A request that compresses to about half of so many bytes."""
    content = os.urandom(size // 2).hex()
    return json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}).encode()


async def ask(client: Client, path: str, size: int = 100) -> tuple[int, bytes, bool]:
    """Status, body, and whether it ended properly."""
    await client.ask(path=path, body=ask_of(size))
    status, _, body, proper = await client.answer()
    return status, body, proper


async def refused_in_the_providers_words(rig: Rig, reason: str, size: int = 20_000) -> None:
    for name, path in PATHS.items():
        status, body, proper = await ask(await rig.client(), path, size)
        assert (status, proper) == (503, True), name
        said = json.loads(body)
        assert UNAVAILABLE[name](said), body
        assert reason in said["error"]["message"] and str(rig.store.path) not in said["error"]["message"]
    status, body, proper = await ask(await rig.client(), "/v1/messages?stream", size)
    assert not proper or status == 503
    assert b"message_stop" not in body


async def answered_again(rig: Rig) -> list[bytes]:
    seen = []
    for path in (*PATHS.values(), "/v1/messages?stream"):
        status, body, proper = await ask(await rig.client(), path)
        assert (status, proper) == (200, True), body
        seen.append(body)
    return seen


def all_is_kept(store: Store, seen: list[bytes]) -> None:
    """Whatever was seen whole is there; a call that is there beside it was kept from its client, and is whole too."""
    kept = Counter(tapes.response(store, call) for call in tapes.calls(store) if call.response is not None)
    assert not Counter(seen) - kept
    assert tapes.verify(store, SUBAGENT.run) == []
    with closing(sqlite3.connect(store.path)) as driver:
        assert driver.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Mounted:
    """A small disk of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder / "disk"
        self.folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(self.folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        stack.callback(subprocess.run, ["umount", "-l", str(self.folder)], check=True)

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass

    def free(self) -> None:
        (self.folder / "filler").unlink()


class Pages:
    """SQLite takes no more pages than there are: the error of a full disk, where none can be mounted."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.most = 0
        connect = store.database.connect

        def limited(path: Path, **options: Any) -> sqlite3.Connection:
            driver = connect(path, **options)
            drivers.append(driver)
            if self.most:
                driver.execute(f"PRAGMA max_page_count = {self.most}")
            return driver

        self._drivers = drivers = list[sqlite3.Connection]()
        patch.setattr(store.database, "connect", limited)

    def _limit(self, most: int) -> None:
        self.most = most
        for driver in self._drivers:
            with suppress(sqlite3.ProgrammingError):  # it is closed
                driver.execute(f"PRAGMA max_page_count = {most}")

    def fill(self) -> None:
        self._limit(1)  # SQLite takes it for the number that there are

    def free(self) -> None:
        self._limit(1_000_000)


@pytest.mark.parametrize("kind", ["mounted", "pages"])
async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with ExitStack() as stack:
        disk = Mounted(tmp_path, stack) if kind == "mounted" else Pages(tmp_path, monkeypatch)
        with prepared(disk.folder / "store.sqlite3") as opened:
            async with up(opened) as rig:
                seen = await answered_again(rig)
                disk.fill()
                # What is small may still find a place in pages that are there.
                for _ in range(40):
                    status, body, proper = await ask(await rig.client(), "/v1/messages", 50_000)
                    assert proper and status in (200, 503)
                    if status == 503:
                        break
                    seen.append(body)
                await refused_in_the_providers_words(rig, "the disk is full", 50_000)
                disk.free()
                seen += await answered_again(rig)
            all_is_kept(opened, seen)


LOCKS = """
import sqlite3, sys
driver = sqlite3.connect(sys.argv[1], isolation_level=None)
driver.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
driver.execute("COMMIT")
"""


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    """Another process writes, for as long as the block takes."""
    command = [sys.executable, "-c", LOCKS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        yield
        child.communicate("go on\n")


async def test_a_store_that_is_locked_for_a_moment_costs_a_moment(tmp_path: Path) -> None:
    with prepared(tmp_path / "store.sqlite3") as opened:
        async with up(opened) as rig:
            client = await rig.client()
            with locked_by_another(opened.path):
                await client.ask(body=ask_of(100))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.reader.read(1), 0.3)
            status, _, body, proper = await client.answer()
            assert (status, proper) == (200, True)
        all_is_kept(opened, [body])


async def test_a_store_that_is_locked_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.connecting, "BUSY_SECONDS", 0.2)
    with prepared(tmp_path / "store.sqlite3") as opened:
        async with up(opened) as rig:
            seen = await answered_again(rig)
            with locked_by_another(opened.path):
                await refused_in_the_providers_words(rig, "the store is locked")
            seen += await answered_again(rig)
        all_is_kept(opened, seen)


READ_ONLY = """
import asyncio, ctypes, os, sys
from pathlib import Path
from backends.proxy import Proxy, Upstream, serve
from store.database import open_store

async def main():
    store = open_store(Path(sys.argv[1]))
    async with serve(Proxy(store, upstreams={"anthropic": Upstream(sys.argv[2], "real")})) as address:
        print(address.port, flush=True)
        await asyncio.Event().wait()

if os.geteuid() == 0:
    # Root without its capabilities is held by permissions like everybody else: capset(2), version 3.
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, data):
        sys.exit("its capabilities cannot be dropped")
asyncio.run(main())
"""


async def test_a_store_that_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    prepared(path).close()
    async with provided(answers) as provider:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", READ_ONLY, str(path), provider.base_url, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            port = int(await child.stdout.readline())

            async def one(key: str) -> tuple[int, bytes, bool]:
                client = Client(*await asyncio.open_connection("127.0.0.1", port))
                await client.ask(body=ask_of(100), headers=f"x-api-key: {key}\r\n")
                status, _, body, proper = await client.answer()
                client.close()
                return status, body, proper

            # Keys are read; nothing is written yet.
            assert (await one("mt-nobody"))[0] == 401
            path.chmod(0o400)
            tmp_path.chmod(0o500)
            while (told := await one(KEY))[0] == 200:
                # Its head went out before anybody knew: then it breaks off.
                assert not told[2]
            status, body, proper = told
            assert (status, proper) == (503, True) and b"the store is read-only" in body
            tmp_path.chmod(0o700)
            for file in tmp_path.iterdir():  # SQLite gives the files beside it the store's own permissions
                file.chmod(0o600)
            status, body, proper = await one(KEY)
            assert (status, proper) == (200, True)
        finally:
            tmp_path.chmod(0o700)
            child.kill()
            await child.wait()
    with open_store(path) as opened:
        all_is_kept(opened, [body])
