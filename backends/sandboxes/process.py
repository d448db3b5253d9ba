"""Running one command with a time limit, keeping the head and the tail of its output, and leaving nothing behind."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from backends.sandboxes.protocol import Executed

_CHUNK = 64 * 1024
_FREE = 16 * 1024 * 1024
"""Bytes that a command may print at full speed; after that it is read 64 KiB a millisecond."""

_LIMITS = (
    "ulimit -c 0; ulimit -S -n 4096 2>/dev/null; "
    # When memory runs out, the kernel should take the command and not the engine.
    "{ echo 500 >/proc/self/oom_score_adj; } 2>/dev/null; "
)


class Excerpt:
    """The first and the last half of a stream of bytes, in bounded memory."""

    def __init__(self, cap: int) -> None:
        self._head_size = cap // 2
        self._tail_size = cap - cap // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.total += len(data)
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_size + _CHUNK:
            del self._tail[: len(self._tail) - self._tail_size]

    def kept(self) -> tuple[bytes, int, int]:
        """What is kept, where in it the cut is, and how many bytes were cut out there."""
        tail = bytes(self._tail[max(len(self._tail) - self._tail_size, 0) :])
        return bytes(self._head) + tail, len(self._head), self.total - len(self._head) - len(tail)


class Pipe:
    """The reading end of a command's output. It keeps an excerpt until `detach`, then throws away what still comes:
    a server left in the background must be able to go on printing."""

    def __init__(self, cap: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd, self.writing_end = os.pipe()
        os.set_blocking(self._fd, False)
        self._excerpt = Excerpt(cap)
        self._keeping = True
        self._resumption: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._fd, self._read)

    @property
    def open(self) -> bool:
        """Whether somebody can still write to it."""
        return self._fd >= 0

    def close_writing_end(self) -> None:
        """To be called when the child has its copy."""
        if self.writing_end >= 0:
            os.close(self.writing_end)
            self.writing_end = -1

    def detach(self) -> tuple[bytes, int, int]:
        """Read what lies in the pipe, then stop keeping; what was kept, as of `Excerpt.kept`."""
        # A background process may write faster than we read; one pipe's worth is what the command itself left.
        for _ in range(16):
            if not self.open or not self._read():
                break
        self._keeping = False
        kept = self._excerpt.kept()
        self._excerpt = Excerpt(0)
        return kept

    def close(self) -> None:
        """Close both ends. Safe to call twice."""
        self.close_writing_end()
        if self._resumption is not None:
            self._resumption.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        if self._keeping:
            self._excerpt.add(data)
        if not self._keeping or self._excerpt.total > _FREE:
            self._loop.remove_reader(self._fd)
            if self._resumption is not None:
                self._resumption.cancel()
            self._resumption = self._loop.call_later(0.001, self._resume)
        return True

    def _resume(self) -> None:
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._read)


async def execute(
    command: str, *, cwd: Path, environment: Mapping[str, str], seconds: float, cap: int, memory: int | None = None
) -> tuple[Executed, Pipe]:
    """Run a shell command in a session of its own, until its shell ends, the time is up, or the caller is cancelled;
    in the last two cases its process group is killed. `memory` limits the address space of each process, in bytes.

    Processes that the command left in the background live on, and the pipe, which the caller must close, is theirs.
    OSError when no shell could be started.
    """
    pipe = Pipe(cap)
    started = time.monotonic()
    try:
        limits = _LIMITS + (f"ulimit -v {memory // 1024}; " if memory else "")
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            limits + 'exec "$0" -c "$1"',
            shutil.which("bash", path=environment.get("PATH")) or "/bin/sh",
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=pipe.writing_end,
            stderr=pipe.writing_end,
            start_new_session=True,
        )
        pipe.close_writing_end()
    except BaseException:
        pipe.close()
        raise
    code: int | None = None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                code = await process.wait()
    except BaseException:
        kill_group(process.pid)
        pipe.close()
        await process.wait()
        raise
    if code is None:
        kill_group(process.pid)
        await process.wait()
    output, cut, left_out = pipe.detach()
    exit_code = code if code is None or code >= 0 else 128 - code
    return Executed(exit_code, output, left_out, time.monotonic() - started, cut), pipe


def kill_group(group: int) -> None:
    """Kill a process group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def end(variable: str, value: str) -> int:
    """Kill every process that has this variable in its environment, or whose ancestor has; their number.

    The value is compared whole, or as a beginning when it ends with a dot. Returns when they are gone.
    """
    entry = f"{variable}={value}".encode()
    ended: set[int] = set()
    foreign: set[int] = set()
    deadline = time.monotonic() + 10
    clean = 0
    # Until nothing is found twice: a process may fork while we look, and shows no environment while it starts another.
    while clean < 2 and time.monotonic() < deadline:
        pids = set(_marked(entry)) - foreign
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                ended.add(pid)
            except ProcessLookupError:
                continue
            except PermissionError:
                foreign.add(pid)
        clean = 0 if pids else clean + 1
        if pids:
            time.sleep(0.005)
    return len(ended)


def _matches(environment: bytes, entry: bytes) -> bool:
    if entry.endswith(b"."):
        return environment.startswith(entry) or b"\0" + entry in environment
    return b"\0" + entry + b"\0" in b"\0" + environment + b"\0"


def _marked(entry: bytes) -> list[int]:
    """The living processes with the entry in their environment, and their descendants; never ourselves."""
    parents: dict[int, int] = {}
    marked: set[int] = set()
    for pid, parent, environment in _processes_linux() if sys.platform == "linux" else _processes_ps():
        parents[pid] = parent
        if _matches(environment, entry):
            marked.add(pid)
    found = [pid for pid in parents if any(ancestor in marked for ancestor in _line(pid, parents))]
    return [pid for pid in found if pid != os.getpid()]


def _line(pid: int, parents: Mapping[int, int]) -> list[int]:
    line: list[int] = []
    while pid in parents and pid not in line:
        line.append(pid)
        pid = parents[pid]
    return line


def _processes_linux() -> list[tuple[int, int, bytes]]:
    """Process, parent, environment of every living process of ours."""
    processes = []
    for folder in os.scandir("/proc"):
        if not folder.name.isdecimal():
            continue
        try:
            stat = Path(folder.path, "stat").read_bytes()
            # The name in parentheses may hold anything, so count from its end: state, then parent.
            state, parent = stat[stat.rindex(b")") + 1 :].split(None, 2)[:2]
            environment = b"" if state in {b"Z", b"X"} else Path(folder.path, "environ").read_bytes()
        except (OSError, ValueError):
            continue
        if state not in {b"Z", b"X"}:
            processes.append((int(folder.name), int(parent), environment))
    return processes


def _processes_ps() -> list[tuple[int, int, bytes]]:
    # `-E` appends the environment to the command, separated by spaces.
    listing = subprocess.run(["ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,command="], capture_output=True, check=False)
    processes = []
    for line in listing.stdout.splitlines():
        pid, parent, *rest = line.split(None, 2)
        processes.append((int(pid), int(parent), rest[0].replace(b" ", b"\0") if rest else b""))
    return processes
