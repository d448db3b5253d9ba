"""What a recorder that is gone left in its journal, onto the tape. Doing it twice, or while its scribe still does the
same, changes nothing."""

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from store import journal, wire
from store.commits import GROUP, Committer, Failed, Plain
from store.connecting import connect
from store.gathering import Gathering
from store.recording import ensure

log = logging.getLogger("multitrack.store")


def recover(path: Path) -> None:
    """Put on the tape what the journals beside a store have whose owners are gone, and remove them. One that can't be
    put there now stays, and is tried again the next time."""
    for left in journal.left(path):
        committer: Committer[Gathering] = Committer(path, lambda: Plain(connect(path)))
        calls, failed = left.calls(), list[BaseException]()
        while jobs := [_job(call) for call in islice(calls, GROUP)]:
            failed += [outcome.error for outcome in committer.commit(jobs) if isinstance(outcome, Failed)]
        committer.close()
        if failed:
            log.error("%d calls of a recorder that is gone could not be put on the tape: %s", len(failed), failed[0])
        else:
            left.remove()


def _job(call: bytes) -> Callable[[Gathering], None]:
    def job(connection: Gathering) -> None:
        start, end, _ = wire.unpacked(call)
        ensure(connection, start, end)

    return job
