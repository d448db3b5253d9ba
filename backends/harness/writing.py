"""What the harness writes besides events: the observations and their file, the report, the patches."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy import Connection

from backends.harness.curating import match_face
from backends.harness.journal import Journal
from backends.harness.ports import Consulted, Observed, Ports
from backends.harness.report import report
from store import blobs, observations
from store.database import Store, StoreError
from store.domain.board import best_lane
from store.domain.effect import given_and_cited
from store.domain.events import Alert, GenerationObserved, ModelObserved, SubagentCited, SubagentJudged
from store.domain.lane import Lane
from store.domain.observations import Document, live
from store.domain.observations.threeway import merge_three
from store.domain.safe_text import safe_line
from store.domain.states import RunState
from store.domain.task import Memory
from store.home import RunFolder

log = logging.getLogger("multitrack.harness")

MODEL = "model"


async def save_observed(
    journal: Journal, ports: Ports, number: int, consult: Callable[[int], Awaitable[Consulted | None]] | None = None
) -> None:
    """Run the observer over a generation and commit what it found in one transaction; then what comes of asking its
    model, where there is one, in another.

    An observer that fails costs what could have been learned from this generation, not the run.
    """
    try:
        observed = await asyncio.to_thread(ports.observe, number, journal.clock())
    except StoreError:
        raise
    except Exception as error:
        log.warning("the observer failed", exc_info=error)
        said = safe_line(f"The observer failed, so generation {number} taught nothing: {error!r}", 400)
        board = journal.board
        nothing = GenerationObserved(version=board.observations, known=board.known, added=0, supported=0)
        await journal.record(Alert("observer", said), nothing, generation=number)
        return

    lanes = await _with_citations(journal, ports, number, observed.document)
    observing = given_and_cited(observed.document, lanes)
    async with journal.editing:
        document = _with_latest(journal, observing)

        def save(connection: Connection) -> None:
            at = journal.clock()
            for subagent, (validity, reason) in observed.judged.items():
                journal.append(connection, [SubagentJudged(validity, reason)], subagent=subagent)
            for lane in lanes:
                if lane.cited:
                    journal.append(connection, [SubagentCited(lane.cited)], subagent=lane.id)
            version = observations.save(connection, document, author=observations.OBSERVER, at=at)
            known = len(live(document))
            payload = GenerationObserved(
                version=version, known=known, added=observed.added, supported=observed.supported
            )
            if consult is None:
                journal.append(connection, [payload], generation=number)

        await journal.record(also=save)
    if consult is not None:
        await _save_consulted(journal, number, observed, await consult(number))


async def keep_observed(store: Store, run: str, folder: RunFolder, document: Document) -> tuple[Document, bool]:
    """Keep what the observer made of the version that `document` says it is, where no engine works on the run; whoever
    calls holds the run's lock. The latest version then, and whether it is a new one. StoreError, OSError."""
    journal = Journal(store, run, time.time)
    # What a person has changed in the file was there before.
    await match_face(journal, folder)
    before = observations.load(store, run)
    found = _with_latest(journal, document)
    await journal.record(
        also=lambda connection: observations.save(connection, found, author=observations.OBSERVER, at=journal.clock())
    )
    await match_face(journal, folder, last=True)
    latest = observations.load(store, run) or document
    return latest, before is None or latest.version != before.version


async def keep_consulted(store: Store, run: str, folder: RunFolder, number: int, consulted: Consulted) -> ModelObserved:
    """Keep what came of asking the observer's model about a generation, where no engine works on the run; whoever calls
    holds the run's lock. What became of each change. StoreError, OSError."""
    journal = Journal(store, run, time.time)
    # What a person has changed in the file was there before.
    await match_face(journal, folder)
    document, told = consulted.apply(observations.load(store, run) or Document(run))

    def save(connection: Connection) -> None:
        journal.append(connection, [told], generation=number)
        observations.save(connection, document, author=MODEL, at=journal.clock())

    await journal.record(also=save)
    await match_face(journal, folder, last=True)
    if folder.report.exists():
        # It is on the run's bill.
        await write_results(journal, folder)
    return told


def _with_latest(journal: Journal, observed: Document) -> Document:
    """What the observer made of a version, in the latest one: a person may have changed it while the observer read."""
    base = observations.load(journal.store, journal.run, observed.version) or Document(journal.run)
    latest = observations.load(journal.store, journal.run) or base
    return merge_three(base, latest, observed, said="The observer has it otherwise.").document


async def _with_citations(journal: Journal, ports: Ports, number: int, document: Document) -> list[Lane]:
    """The lanes of a generation, with what they say of the observations that they were given."""
    lanes = list(journal.board.generations[number].lanes.values())
    if journal.board.task.memory is not Memory.OWN:
        # What they were told is of another run, whatever ids it has.
        return []
    if ports.cited is None:
        return lanes
    given = {lane.id: lane.injected for lane in lanes}
    try:
        found = await asyncio.to_thread(ports.cited, number, document, given)
    except StoreError:
        raise
    except Exception as error:
        # What was learned counts more than who says they used it.
        log.warning("citations could not be read", exc_info=error)
        return lanes
    return [replace(lane, cited=found.get(lane.id, ())) for lane in lanes]


async def _save_consulted(journal: Journal, number: int, observed: Observed, consulted: Consulted | None) -> None:
    """Commit what the model wants changed, and that the generation is observed."""
    async with journal.editing:
        # A person may have edited it while the model thought.
        before = observations.load(journal.store, journal.run) or observed.document
        document, told = consulted.apply(before) if consulted is not None else (before, None)
        attempts = {o.id: o.attempts for o in before.observations}
        added = sum(o.id not in attempts for o in document.observations)
        supported = sum(o.id in attempts and o.attempts != attempts[o.id] for o in document.observations)

        def save(connection: Connection) -> None:
            if told is not None:
                if told.failed:
                    said = f"The observer's model did not finish: {told.failed}. What the rules found stands."
                    journal.append(connection, [Alert("observer", safe_line(said, 600))], generation=number)
                journal.append(connection, [told], generation=number)
            version = observations.save(connection, document, author=MODEL, at=journal.clock())
            payload = GenerationObserved(
                version=version,
                known=len(live(document)),
                added=observed.added + added,
                supported=observed.supported + supported,
            )
            journal.append(connection, [payload], generation=number)

        await journal.record(also=save)


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
