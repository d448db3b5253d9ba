"""What the recording proxy costs, beside others that record: the same calls, in turn and in one run, to the same
provider, directly, through a relay that records nothing, through the proxy, through LiteLLM's proxy server and through
mitmproxy.

    python -m bench.proxy [--seconds 2] [--rounds 3] [--only NAME,…] [--json]
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from bench import between, rivals
from bench.measuring import Pace, Result, Way, family, measure, measure_pace, median, resident_mb
from bench.traffic import EVENTS, PACE, Case

CASES = [
    Case(kind, stream, at_once, context)
    for kind, stream, context in (("small", False, 0), (f"{EVENTS} events", True, 0), ("500 messages", False, 500))
    for at_once in (1, 25, 100)
]
OURS = ("relay", "proxy", "scribe")
"""What records nothing, what records in its own process, and what lets a scribe record."""
RIVALS = (rivals.MITMPROXY, rivals.LITELLM)
STREAMS = 100
STREAM_SECONDS = 4


@dataclass
class Measured:
    """All of a run: by case and by way; `recorded` is how many calls each has on record, of how many that were made."""

    cases: dict[str, dict[str, Result]] = field(default_factory=dict)
    pace: dict[str, Pace] = field(default_factory=dict)
    recorded: dict[str, tuple[int, int]] = field(default_factory=dict)
    resident_mb: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@contextmanager
def process(*arguments: str) -> Iterator[tuple[int, int]]:
    """A process of ours that listens: its id and its port."""
    command = [sys.executable, "-m", between.__name__, *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    try:
        assert child.stdout is not None
        yield child.pid, int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()


async def run(names: list[str], rounds: int, seconds: float) -> Measured:
    """All cases on all ways of these names."""
    found = Measured()
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        _, provider = stack.enter_context(process("provider"))
        ways = [Way("direct", provider, "none")]
        for name in OURS:
            if name in names:
                pid, port = stack.enter_context(process(name, str(provider), temporary))
                ways.append(Way(name, port, between.KEY, pid))
        for name in RIVALS:
            if name in names:
                (own := folder / name).mkdir()
                try:
                    ways.append(stack.enter_context(rivals.rival(name, provider, own)))
                except rivals.MissingError as error:
                    found.missing[name] = str(error)
        made = dict.fromkeys((way.name for way in ways), 0)
        for case in CASES:
            results: dict[str, list[Result]] = {way.name: [] for way in ways}
            for number in range(rounds + 1):
                for way in ways:
                    print(f"\r{case.name}, round {number}, {way.name} \033[K", end="", file=sys.stderr)
                    result = await measure(case, way, seconds if number else seconds / 4)
                    # The first round warms up.
                    results[way.name] += [result] if number else []
                    made[way.name] += result.calls
            found.cases[case.name] = {name: median(of) for name, of in results.items()}
        for way in ways:
            print(f"\r{STREAMS} streams, {way.name} \033[K", end="", file=sys.stderr)
            found.pace[way.name] = await measure_pace(way, STREAMS, STREAM_SECONDS)
            made[way.name] += STREAMS
        print("\r\033[K", end="", file=sys.stderr)
        await asyncio.sleep(2)  # LiteLLM's callbacks come after the answers
        for way in ways:
            if way.pid is not None:
                found.resident_mb[way.name] = sum(map(resident_mb, family(way.pid)))
            if way.name in RIVALS:
                found.recorded[way.name] = rivals.recorded(way.name, folder / way.name), made[way.name]
            elif way.name in ("proxy", "scribe"):
                with closing(sqlite3.connect(folder / f"{way.name}.sqlite3")) as driver:
                    (calls,) = driver.execute("SELECT count(*) FROM calls WHERE complete").fetchone()
                found.recorded[way.name] = calls, made[way.name]
    return found


def table(found: Measured) -> Iterator[str]:
    """All of it as Markdown."""
    yield "| | way | calls/s | median ms | p99 ms | CPU ms a call | of the relay's calls/s |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for case, of in found.cases.items():
        for name, result in of.items():
            share = f"{result.per_second / of['relay'].per_second:.2f}" if "relay" in of else ""
            yield (
                f"| {case} | {name} | {result.per_second:,.0f} | {result.median_ms:,.2f} | {result.p99_ms:,.2f} "
                f"| {result.cpu_ms:.2f} | {share} |"
            )
    yield ""
    yield f"{STREAMS} streams at once, each of {PACE} events/s:"
    yield ""
    yield "| way | median ms an event | p99 ms | worst ms | CPU µs an event | on record | resident MB, after all |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, pace in found.pace.items():
        calls, made = found.recorded.get(name, (0, 0))
        record = f"{calls:,} of {made:,}" if made else ""
        memory = f"{found.resident_mb[name]:,.0f}" if name in found.resident_mb else ""
        yield (
            f"| {name} | {pace.median_ms:.2f} | {pace.p99_ms:,.2f} | {pace.worst_ms:,.2f} | {pace.cpu_us:,.0f} "
            f"| {record} | {memory} |"
        )
    for name, why in found.missing.items():
        yield f"\nNot measured: {name}: {why}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round of a case on a way")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(OURS + RIVALS), help="ways to measure beside the provider itself")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = uvloop.run(run(options.only.split(","), options.rounds, options.seconds))
    if options.json:
        print(json.dumps(asdict(found)))
        return
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}\n")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
