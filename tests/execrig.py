"""`multitrack exec` as a process, in front of a provider on loopback."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from store import runs, tapes
from store.database import open_store
from store.domain.tape import Call
from store.home import Home
from store.runs import RunRow
from tests.proxyrig import Asked, Handler, Provider, provided, recorded, streamed, until, whole

OWN = "sk-ant-" + "real" * 8
PROVIDERS = ("anthropic", "openai", "gemini")
_OURS = ("_API_KEY", "_BASE_URL", "_API_BASE", "_AUTH_TOKEN")


async def answers(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answers as each provider does, with what was recorded of it; 404 where nothing was."""
    path = asked.line.split()[1].partition(b"?")[0]
    stream = b'"stream":true' in asked.body.replace(b" ", b"")
    if path.endswith(b"/v1/messages"):
        body = "text.sse" if stream else "message.json"
    elif path.endswith(b"/responses"):
        body = "responses-text.sse" if stream else "response.json"
    elif path.endswith(b"/chat/completions"):
        body = "chat-text.sse" if stream else "chat.json"
    elif path.endswith(b":generateContent"):
        body = "gemini.json"
    else:
        return await whole(b"404 Not Found", b'{"type":"error","error":{"type":"not_found_error","message":"no"}}')(
            asked, writer
        )
    handler = streamed(recorded(body)) if body.endswith(".sse") else whole(b"200 OK", recorded(body))
    return await handler(asked, writer)


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would lead a client anywhere."""
    return {name: value for name, value in os.environ.items() if not name.endswith(_OURS)} | more


def line(home: Path, *options: str) -> list[str]:
    """The command line of `multitrack exec`."""
    return [sys.executable, "-P", "-E", "-m", "app", "--home", str(home), "exec", *options]


def _hearing() -> None:
    """What ignores signals passes that on to what it starts, as a shell's job in the background does."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@asynccontextmanager
async def executed(
    home: Path, options: Sequence[str], command: Sequence[str], *, environ: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """It, running a command; it is gone at the end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *line(home, *options),
        "--",
        *command,
        env=environment(**environ or {}),
        preexec_fn=_hearing,
        **{"stdin": asyncio.subprocess.DEVNULL, "stdout": pipe, "stderr": pipe} | more,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def finished(process: asyncio.subprocess.Process, given: bytes | None = None) -> tuple[int, bytes, str]:
    """Its exit code, its standard output, its standard error."""
    out, err = await asyncio.wait_for(process.communicate(given), 120)
    assert process.returncode is not None
    return process.returncode, out, err.decode()


async def run(
    home: Path, options: Sequence[str], *command: str, environ: dict[str, str] | None = None
) -> tuple[int, bytes, str]:
    """Run a command to its end: exit code, standard output, standard error."""
    async with executed(home, options, command, environ=environ) as process:
        return await finished(process)


@asynccontextmanager
async def upstream(handler: Handler = answers) -> AsyncIterator[tuple[Provider, list[str]]]:
    """A provider that stands for all, and the options that lead to it."""
    async with provided(handler) as provider:
        yield provider, [f"--upstream={name}={provider.base_url}" for name in PROVIDERS]


def recordings(home: Path) -> list[RunRow]:
    if not Home(home).store.exists():
        return []
    with open_store(Home(home).store) as store:
        return runs.runs(store)


def calls(home: Path, run: str | None = None) -> list[Call]:
    if not Home(home).store.exists():
        return []
    with open_store(Home(home).store) as store:
        return tapes.calls(store, run=run)


def on_disk(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


def recorders(home: Path) -> list[int]:
    """The recorders' processes, by the store that they have open. What one of them begins is for a moment a copy of it,
    and is none."""
    found, inside = dict[int, int](), str(home)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"app.attached" not in (folder / "cmdline").read_bytes():
                continue
            if any(str(each.readlink()).startswith(inside) for each in (folder / "fd").iterdir()):
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return [number for number, parent in found.items() if parent not in found]


async def no_recorder(home: Path) -> None:
    """Wait until no recorder is left."""
    await until(lambda: True if not recorders(home) else None)


def summary(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told
