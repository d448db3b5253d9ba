"""The client's side of the proxy's benchmarks: how long calls take, how late events come, what a process uses."""

import asyncio
import itertools
import os
import statistics
import time
from dataclasses import dataclass, fields
from pathlib import Path

from bench.traffic import STAMP, Case, asking, asking_at_a_pace, request

LONGEST = 60.0
"""Seconds that a call may take; one that takes longer has failed."""
_LIMIT = 1 << 22


@dataclass(frozen=True)
class Result:
    """One round of a case on one way: how many calls, calls a second, milliseconds to the end of an answer, CPU
    milliseconds a call of what stands between (0 for nothing)."""

    calls: int
    per_second: float
    median_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Pace:
    """How many milliseconds after they were said the events of many streams came, and CPU microseconds an event of what
    stands between."""

    median_ms: float
    p99_ms: float
    worst_ms: float
    cpu_us: float


@dataclass(frozen=True)
class Way:
    """Where calls go: the port, the key to show, and the process that stands between (None for nothing)."""

    name: str
    port: int
    key: str
    pid: int | None = None

    def used(self) -> float:
        """CPU seconds of that process and those that it has begun, so far."""
        return 0.0 if self.pid is None else sum(map(cpu_seconds, family(self.pid)))


def family(pid: int) -> list[int]:
    """A process and all that it has begun."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid, *(one for child in children for one in family(child))]


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    # The scheduler counts nanoseconds; the fields of `stat` count hundredths of a second.
    seconds = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        seconds += int((task / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def resident_mb(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read an answer to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(f"not answered: {head!r} {await reader.read(400)!r}")
    if b"transfer-encoding: chunked" in head:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    else:
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))


_numbers = itertools.count()

_SETTLING = 0.25
"""Seconds for what a way does behind its answers: it costs that way, and not the next one."""


async def measure(case: Case, way: Way, seconds: float) -> Result:
    """One round of a case: as many clients as are at once, each asking again and again, at least once, until the time
    is over."""
    taken: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port, limit=_LIMIT)
        while True:
            wire = request(way.key, asking(case, next(_numbers)))
            at = time.perf_counter()
            writer.write(wire)
            await asyncio.wait_for(_answer(reader), LONGEST)
            taken.append(time.perf_counter() - at)
            if time.perf_counter() > until:
                break
        writer.close()

    used, begin = way.used(), time.perf_counter()
    until = begin + seconds
    await asyncio.gather(*(client() for _ in range(case.at_once)))
    passed = time.perf_counter() - begin
    await asyncio.sleep(_SETTLING)
    used = way.used() - used
    taken.sort()
    return Result(
        len(taken),
        len(taken) / passed,
        1000 * statistics.median(taken),
        1000 * taken[int(len(taken) * 0.99)],
        1000 * used / len(taken),
    )


async def measure_pace(way: Way, streams: int, seconds: int) -> Pace:
    """So many streams at once, each at a steady pace for so long."""
    late: list[float] = []

    async def client(number: int) -> None:
        await asyncio.sleep(number / streams / 10)
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port, limit=_LIMIT)
        writer.write(request(way.key, asking_at_a_pace(number, seconds)))
        await writer.drain()
        came = b""
        while not came.endswith(b"0\r\n\r\n"):
            piece = await asyncio.wait_for(reader.read(1 << 16), LONGEST)
            if not piece:
                raise RuntimeError(f"{way.name}: a stream broke off")
            now = time.monotonic()
            came += piece
            read = 0
            for said in STAMP.finditer(came):
                late.append(now - float(said[1]))
                read = said.end()
            came = came[read:]
        writer.close()

    used = way.used()
    await asyncio.gather(*map(client, range(streams)))
    used = way.used() - used
    late.sort()
    return Pace(
        1000 * statistics.median(late), 1000 * late[int(len(late) * 0.99)], 1000 * late[-1], 1e6 * used / len(late)
    )


def median(results: list[Result]) -> Result:
    """Of each number the median."""
    return Result(*(statistics.median(getattr(result, field.name) for result in results) for field in fields(Result)))
