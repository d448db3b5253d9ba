"""The relay in a real container without a network: what is reached through it, what is not, and who can break it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.sandboxes import mirror_repository
from backends.sandboxes.docker import DockerSandbox
from backends.sandboxes.docker.inside import programs
from store.domain.task import Dirt
from tests.dockerrig import RUN, engine, sandboxes_of
from tests.harnessrig import make_repository
from tests.test_relay import descriptors, echo, serving

pytestmark = engine()

ECHO = """
import socket, sys, threading
def one(number):
    said = str(number).encode() * 60000
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
        threading.Thread(target=lambda: (sock.sendall(said), sock.shutdown(socket.SHUT_WR))).start()
        got = b"".join(iter(lambda: sock.recv(65536), b""))
    good.append(got == said)
good = []
threads = [threading.Thread(target=one, args=(number,)) for number in range(40)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(good.count(True))
"""

TRY = """
import socket, sys
def reached(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return f"{host}:{port} "
    except OSError:
        return ""
print("reached:", "".join(reached(host, int(port)) for host, _, port in (one.rpartition(":") for one in sys.argv[1:])))
"""


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[DockerSandbox]:
    repository = make_repository(tmp_path / "theirs")
    revision = mirror_repository(repository, tmp_path / "mirror.git", "HEAD", Dirt.REFUSE)
    async with sandboxes_of(tmp_path / "home", tmp_path / "mirror.git") as sandboxes:
        yield await sandboxes.create(f"{RUN}.1.1", revision)


async def python(sandbox: DockerSandbox, program: str, *arguments: str) -> str:
    await sandbox.write("x.py", program.encode())
    done = await sandbox.run(f"python3 x.py {' '.join(arguments)}", seconds=120)
    assert done.exit_code == 0, done.text()
    return done.text().strip()


async def test_many_connections_pass_and_nothing_else_does(sandbox: DockerSandbox) -> None:
    async with serving(echo) as port, serving(echo) as other:
        async with sandbox.reach(port) as url:
            inside = url.rpartition(":")[2]
            assert await python(sandbox, ECHO, inside) == "40"
            gateway = "172.17.0.1"
            tried = [
                f"127.0.0.1:{other}",
                f"{gateway}:{port}",
                f"{gateway}:{other}",
                "169.254.169.254:80",
                "1.1.1.1:443",
            ]
            assert await python(sandbox, TRY, f"127.0.0.1:{inside}", *tried) == f"reached: 127.0.0.1:{inside}"
        # It is closed with the block.
        assert await python(sandbox, TRY, f"127.0.0.1:{inside}") == "reached:"


async def test_an_agent_that_kills_it_has_it_back(sandbox: DockerSandbox) -> None:
    async with serving(echo) as port, sandbox.reach(port) as url:
        inside = url.rpartition(":")[2]
        kill = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q '^python3 -I' && kill -9 ${p#/proc/}; done"
        await sandbox.run(kill, seconds=30)
        connect = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {inside}))'"
        async with asyncio.timeout(60):
            while (await sandbox.run(connect, seconds=30)).exit_code:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        assert await python(sandbox, ECHO, inside) == "40"


async def test_without_python_it_is_perl(sandbox: DockerSandbox) -> None:
    from backends.sandboxes.docker import relay

    async def start(argv: object) -> object:
        return await sandbox.stream(["perl", "-e", programs()[2], "4242"])

    async with serving(echo) as port, relay.reach(start, port) as url:  # type: ignore[arg-type] # a program all the same
        assert url == "http://127.0.0.1:4242"
        assert await python(sandbox, ECHO, "4242") == "40"


async def test_it_leaves_nothing_running(sandbox: DockerSandbox) -> None:
    async def rounds(count: int) -> int:
        for _ in range(count):
            async with sandbox.reach(port):
                pass
        return descriptors()

    async with serving(echo) as port:
        # The SDK keeps a few connections to the engine in reserve.
        before = await rounds(3)
        assert await rounds(5) <= before + 2
    left = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done | grep -c '^python3 -I' || true"
    assert (await sandbox.run(left, seconds=30)).text().strip() == "0"
