"""What the harness writes besides events: the observations and their file, the report, the patches."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection

from backends.harness.journal import Journal
from backends.harness.ports import Ports
from backends.harness.report import report
from store import blobs, observations
from store.domain.board import best_lane
from store.domain.events import GenerationObserved, SubagentJudged
from store.domain.observations import apply_edit, live, render
from store.domain.states import RunState
from store.home import RunFolder

Settling = Callable[[Connection, bool, str], None]
"""Answers a command inside the transaction that carries it out."""


async def save_observed(journal: Journal, ports: Ports, number: int) -> None:
    """Run the observer over a generation and commit what it found in one transaction."""
    observed = await asyncio.to_thread(ports.observe, number, journal.clock())

    def save(connection: Connection) -> None:
        at = journal.clock()
        for subagent, (validity, reason) in observed.judged.items():
            journal.append(connection, [SubagentJudged(validity, reason)], subagent=subagent)
        version = observations.save(connection, observed.document, author="observer", at=at)
        known = len(live(observed.document))
        payload = GenerationObserved(version=version, known=known, added=observed.added, supported=observed.supported)
        journal.append(connection, [payload], generation=number)

    await journal.record(also=save)
    write_face(journal, ports.folder)


async def fold_in_edits(journal: Journal, folder: RunFolder) -> None:
    """Take in what a person has changed in `observations.md` since it was written."""
    if not journal.board.observations or not folder.observations.exists():
        return
    text = folder.observations.read_bytes().decode("utf-8", "replace")
    if text != observations.text(journal.store, journal.run):
        await edited(journal, folder, text, journal.board.observations)


async def edited(
    journal: Journal, folder: RunFolder, text: str, base: int, *, settles: Settling | None = None
) -> tuple[bool, str]:
    """Replace the observations by a person's edit of version `base`. False, and why, when there is a newer one."""
    latest = journal.board.observations
    if base != latest:
        return (
            False,
            f"The observations have changed since (version {latest}, yours is from {base}). Reload and edit again.",
        )
    document = observations.load(journal.store, journal.run)
    before = observations.text(journal.store, journal.run)
    if document is None or before is None:
        return False, "There are no observations yet."
    after = apply_edit(document, before, text)
    outcome = f"Version {latest + 1} of the observations is kept."

    def save(connection: Connection) -> None:
        observations.save(connection, after, author="operator", at=journal.clock())
        if settles is not None:
            settles(connection, True, outcome)

    await journal.record(also=save)
    write_face(journal, folder)
    return True, outcome


def write_face(journal: Journal, folder: RunFolder) -> None:
    """Write `observations.md` from the store."""
    document = observations.load(journal.store, journal.run)
    if document is not None:
        observations.write_face(folder.observations, render(document))


async def write_results(journal: Journal, folder: RunFolder, *, ending: tuple[RunState, str] | None = None) -> None:
    """Write the report as it stands, and the best patch beside it."""
    board, store = journal.board, journal.store
    best = best_lane(board)
    patch = blobs.get(store, best.checked.patch) if best is not None and best.checked is not None else b""
    document = observations.load(store, journal.run)
    text = report(board, document, patch, ending=ending, now=journal.clock())
    await asyncio.to_thread(folder.report.write_text, text, "utf-8")
    if best is not None:
        folder.patches.mkdir(exist_ok=True)
        await asyncio.to_thread((folder.patches / "best.patch").write_bytes, patch)
