"""The process that a `store.scribe.Scribe` begins: it writes each group of calls that comes in one transaction, and
says so when that is committed.

Where its engine was killed it also puts on the tape what is in the engine's journal, and ends.

It loads what recording needs and nothing more: a third of what a process with SQLAlchemy and an event loop takes.

    python -m store.scribe_process STORE DURABILITY DESCRIPTOR
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from store import recovering, wire
from store.checkpoints import BACKSTOP, Checkpoints
from store.commits import Committer, Failed, Plain
from store.connecting import Durability, connect
from store.errors import StoreError
from store.gathering import Gathering
from store.recording import ensure, put
from store.settling import settle

log = logging.getLogger("multitrack.store")


def main(path: Path, durability: Durability, descriptor: int) -> None:
    """Write what comes until nothing more does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settle()
    engine = os.getppid()
    checkpoints = Checkpoints(path)

    def link() -> Plain:
        return Plain(connect(path, durability=durability, checkpoint_pages=BACKSTOP))

    committer: Committer[Gathering] = Committer(path, link)
    with socket.socket(fileno=descriptor) as line:
        while (data := _frame(line)) is not None:
            again, calls = wire.group(data)
            outcomes = committer.commit([_job(call, again=again) for call in calls])
            if os.getppid() != engine:
                # Whoever opened the store since may have put on the tape what is in the engine's journal.
                for place, outcome in enumerate(outcomes):
                    if isinstance(outcome, Failed):
                        outcomes[place : place + 1] = committer.commit([_job(calls[place], again=True)])
            # Who asked may be gone; what it asked for is written all the same.
            with suppress(OSError):
                line.sendall(wire.frame([_reply(outcome) for outcome in outcomes]))
            checkpoints.wrote(len(outcomes), len(data))
    checkpoints.close()
    committer.close()
    recovering.recover(path)


def _frame(line: socket.socket) -> bytearray | None:
    """The next frame; None when no more come, or the last is torn."""
    size = _exactly(line, wire.SIZE.size)
    return None if size is None else _exactly(line, wire.SIZE.unpack(size)[0])


def _exactly(line: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view, came = memoryview(data), 0
    # Who dies before it has read all replies resets the line.
    with suppress(ConnectionError):
        while came < size and (count := line.recv_into(view[came:])):
            came += count
    return data if came == size else None


def _job(call: bytes, *, again: bool) -> Callable[[Gathering], None]:
    def job(connection: Gathering) -> None:
        start, end, opened = wire.unpacked(call)
        if again:
            ensure(connection, start, end)
        else:
            put(connection, start, end, opened=opened)

    return job


def _reply(outcome: object) -> wire.Reply:
    if not isinstance(outcome, Failed):
        return None
    if isinstance(outcome.error, StoreError):
        return str(outcome.error), outcome.error.reason
    log.error("a call could not be recorded", exc_info=outcome.error)
    return repr(outcome.error), "a fault of the recorder's own"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))  # type: ignore[arg-type] # one of the two words
