"""Calls of all protocols, with kills of the proxy, the provider and the clients: what a client has seen whole is in the
store, once, and as it was."""

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from store import keys, runs, tapes
from store.database import Store, open_store
from tests import soaking
from tests.soaking import Exchange

ROOT = Path(__file__).parent.parent
PROVIDER, PROXY, SCRIBE, BOTH, CLIENTS = "provider", "proxy", "scribe", "proxy and scribe", "clients"
BETWEEN = 1000
"""Calls between two kills, in the soak."""
STUCK = 120.0
"""Seconds without a new answer after which something hangs."""


class Soak:
    """The processes, and what has come of them so far."""

    def __init__(self, folder: Path, clients: int, way: str) -> None:
        """`way` is who records: the proxy itself, or a scribe."""
        self._folder = folder
        self._way = way
        self._ports = {PROVIDER: free_port(), PROXY: free_port()}
        self._clients = [f"{CLIENTS}{number}" for number in range(clients)]
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._waiting: list[str] = []
        self._begun = 0
        self.path = folder / "store.sqlite3"

    @contextmanager
    def up(self) -> Iterator[None]:
        try:
            for name in (PROVIDER, PROXY, *self._clients):
                self._start(name)
            self._wait()
            yield
        finally:
            for name in list(self._processes):
                self._end(name)

    def kill(self, kind: str) -> None:
        """Kill a process in the middle of whatever it does, and start it anew."""
        if kind in (SCRIBE, BOTH):
            # The proxy's one child; there is none before its first call.
            proxy = self._processes[PROXY].pid
            children = Path(f"/proc/{proxy}/task/{proxy}/children").read_text().split()
            if kind == BOTH:
                # Stopped, it can't begin another one.
                os.kill(proxy, signal.SIGSTOP)
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            if kind == SCRIBE:
                return
            kind = PROXY
        name = random.choice(self._clients) if kind == CLIENTS else kind
        self._end(name)
        self._start(name)
        self._wait()

    def seen(self) -> int:
        """How many answers the clients have seen whole."""
        return sum(log.read_bytes().count(b"\n") for log in self.logs())

    def logs(self) -> list[Path]:
        return sorted(self._folder.glob("*.log"))

    def _start(self, name: str) -> None:
        ports = {name: str(port) for name, port in self._ports.items()}
        match name:
            case "provider":
                arguments = [PROVIDER, ports[PROVIDER]]
            case "proxy":
                arguments = [self._way, str(self.path), ports[PROVIDER], ports[PROXY]]
            case _:
                # Each that begins has numbers of its own: no call is made twice.
                self._begun += 1
                log = self._folder / f"{self._begun}.log"
                arguments = [CLIENTS, ports[PROXY], str(log), str(self._begun * 1_000_000)]
        command = [sys.executable, "-m", soaking.__name__, *arguments]
        errors = (self._folder / f"{name}.err").open("a")
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        errors.close()
        self._processes[name] = process
        self._waiting.extend([name] if name in self._ports else [])

    def _wait(self) -> None:
        """Wait for those that listen."""
        while self._waiting:
            name = self._waiting.pop()
            output = self._processes[name].stdout
            assert output is not None
            assert output.readline() == "ready\n", (self._folder / f"{name}.err").read_text()[-4000:]

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def made(path: Path) -> None:
    def prepare(connection: object) -> None:
        runs.create(connection, soaking.RUN, "a soak", at=1.0)  # type: ignore[arg-type] # a job's
        for subagent in soaking.SUBAGENTS:
            keys.mint(connection, subagent, soaking.key(subagent), at=1.0)  # type: ignore[arg-type] # a job's

    with open_store(path) as store:
        store.write(prepare)


def soak(folder: Path, count: int, kills: list[str], clients: int, way: str = PROXY) -> None:
    """Make so many calls with these kills between them, and check."""
    made(folder / "store.sqlite3")
    soak = Soak(folder, clients, way)
    with soak.up():
        for at, kind in [*zip(sorted(random.sample(range(count), len(kills))), kills, strict=True), (count, "")]:
            before, since = -1, time.monotonic()
            while (seen := soak.seen()) < at:
                if seen != before:
                    before, since = seen, time.monotonic()
                assert time.monotonic() - since < STUCK, f"{seen} answers, and no more"
                time.sleep(0.02)
            if kind:
                soak.kill(kind)
    with open_store(soak.path) as store:
        check(store, soak.logs())


def check(store: Store, logs: list[Path]) -> None:
    seen = dict(entry for log in logs for entry in soaking.lines(log))
    calls = {call.id: call for call in tapes.calls(store, run=soaking.RUN)}
    numbers = {name: int(call.path.partition("?n=")[2]) for name, call in calls.items()}
    twice = [number for number, times in Counter(numbers.values()).items() if times > 1]
    assert not twice, f"{len(twice)} calls are in the store more than once"
    by_number = {numbers[name]: call for name, call in calls.items()}
    missing = [number for number in seen if number not in by_number]
    assert not missing, f"{len(missing)} of {len(seen)} answers that were seen whole are missing: {missing[:5]}"
    for number, digest in seen.items():
        call, exchange = by_number[number], Exchange.of(number)
        assert call.ended is not None, number
        kept, whole = tapes.response(store, call), b"".join(exchange.pieces)
        assert sha256(kept).hexdigest() == digest, number
        # Where the end of the connection is that of the body, nobody can see that it was cut.
        assert kept == whole or (exchange.framing == "end" and whole.startswith(kept)), number
        assert (call.subagent, call.status) == (exchange.subagent, exchange.recording.status), number
        assert kept != whole or call.complete == exchange.recording.complete, number
    for number in random.sample(sorted(seen), min(200, len(seen))):
        assert tapes.request_body(store, by_number[number]) in (None, Exchange.of(number).asked)
        assert tapes.request(store, by_number[number]) is not None
    assert tapes.verify(store, soaking.RUN) == []
    with closing(sqlite3.connect(store.path)) as driver:
        assert driver.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert driver.execute("SELECT key FROM nodes WHERE parent NOT IN (SELECT key FROM nodes)").fetchall() == []


@pytest.mark.parametrize(("way", "kills"), [(PROXY, [PROXY, PROVIDER, CLIENTS]), (SCRIBE, [PROXY, SCRIBE, BOTH])])
def test_what_was_seen_whole_is_in_the_store(tmp_path: Path, way: str, kills: list[str]) -> None:
    soak(tmp_path, 400, kills, clients=1, way=way)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("way", [PROXY, SCRIBE])
def test_a_hundred_thousand_calls(tmp_path: Path, way: str) -> None:
    count = 100_000
    kinds = [PROXY, PROVIDER, CLIENTS, *([SCRIBE, BOTH] if way == SCRIBE else [])]
    soak(tmp_path, count, [random.choice(kinds) for _ in range(count // BETWEEN)], clients=3, way=way)
