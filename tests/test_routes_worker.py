"""The worker's process by itself: what it asks the network for, and that it never outlives the proxy."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from backends.proxy.translation.environment import worker_environment
from backends.proxy.translation.process import Worker
from tests.proxyrig import until

ROOT = Path(__file__).parents[1]

QUIET = """
import sys
asked = []
def look(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        asked.append((event, arguments[-1] if event == "socket.connect" else arguments[0]))
sys.addaudithook(look)
import backends.proxy.translation.translate as translate
request = {"messages": [{"role": "user", "content": "Why does it fail?"}], "system": "Be brief."}
assert 5 < translate.count("anthropic-count", request, "openai/gpt-5.1")["input_tokens"] < 30
assert 5 < translate.count("anthropic-count", request, "ollama_chat/qwen3:8b")["input_tokens"] < 30
assert asked == [], asked
"""

WALL = """
import asyncio, os, socket, subprocess, urllib.request
from backends.proxy.translation.worker import Wall

with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as other:
    wall = Wall()
    wall.open(f"http://127.0.0.1:{ours.getsockname()[1]}/openai/v1")
    import sys
    sys.addaudithook(wall)

    async def connected(port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    asyncio.run(connected(ours.getsockname()[1]))
    for attempt in (
        lambda: asyncio.run(connected(other.getsockname()[1])),
        lambda: socket.create_connection(other.getsockname()),
        lambda: socket.getaddrinfo("example.com", 80),
        lambda: socket.gethostbyname("example.com"),
        lambda: urllib.request.urlopen("http://example.com"),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", other.getsockname()),
        lambda: subprocess.run(["true"]),
        lambda: os.system("true"),
    ):
        try:
            attempt()
        except OSError as error:
            assert "asks nobody but the proxy" in str(error), error
        else:
            raise AssertionError("it was let out")
"""

ORPHAN = """
import asyncio, sys, tempfile
from pathlib import Path
from tests.routesrig import completion, routed

async def main():
    async with routed(Path(sys.argv[1])) as r:
        r.answers("openai", completion({"content": "Hello."}))
        asked = {"model": "claude-by-openai", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
        await r.anthropic().messages.create(**asked)
        print(r.proxy.routing.worker, flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_litellm_asks_the_network_for_nothing_of_its_own(tmp_path: Path) -> None:
    environ = worker_environment(os.environ, tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-E", "-c", QUIET], env=environ, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_worker_connects_to_the_proxy_and_to_nobody_else(tmp_path: Path) -> None:
    environ = worker_environment(os.environ, tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-E", "-c", WALL], env=environ, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_worker_ends_with_its_proxy_even_if_that_is_killed(tmp_path: Path) -> None:
    proxy = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHAN, str(tmp_path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert proxy.stdout is not None
        pid = int(await proxy.stdout.readline())
        assert alive(pid)
        folder = Path(f"/proc/{pid}/cwd").readlink()
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        proxy.kill()
        await proxy.wait()
    await until(lambda: None if alive(pid) else True)
    assert not folder.exists()


async def test_closing_what_never_began_does_nothing() -> None:
    worker = Worker(1.0)
    assert worker.pid is None
    await worker.close()
    await worker.close()
