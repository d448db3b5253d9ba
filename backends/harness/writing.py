"""What the harness writes besides events: the observations and their file, the report, the patches."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from sqlalchemy import Connection

from backends.harness.journal import Journal
from backends.harness.ports import Consulted, Observed, Ports
from backends.harness.report import report
from store import blobs, observations
from store.database import StoreError
from store.domain.board import best_lane
from store.domain.effect import given_and_cited
from store.domain.events import Alert, GenerationObserved, SubagentCited, SubagentJudged
from store.domain.lane import Lane
from store.domain.observations import Document, apply_edit, live, parse, render
from store.domain.safe_text import safe_line
from store.domain.states import RunState
from store.home import RunFolder

log = logging.getLogger("multitrack.harness")

OPERATOR = "operator"
"""Who edits, as versions of the observations say it."""
MODEL = "model"

Settling = Callable[[Connection, bool, str], None]
"""Answers a command inside the transaction that carries it out."""


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
    document = given_and_cited(observed.document, lanes)

    def save(connection: Connection) -> None:
        at = journal.clock()
        for subagent, (validity, reason) in observed.judged.items():
            journal.append(connection, [SubagentJudged(validity, reason)], subagent=subagent)
        for lane in lanes:
            if lane.cited:
                journal.append(connection, [SubagentCited(lane.cited)], subagent=lane.id)
        version = observations.save(connection, document, author="observer", at=at)
        known = len(live(observed.document))
        payload = GenerationObserved(version=version, known=known, added=observed.added, supported=observed.supported)
        if consult is None:
            journal.append(connection, [payload], generation=number)

    await journal.record(also=save)
    if consult is not None:
        await _save_consulted(journal, number, observed, await consult(number))


async def _with_citations(journal: Journal, ports: Ports, number: int, document: Document) -> list[Lane]:
    """The lanes of a generation, with what they say of the observations that they were given."""
    lanes = list(journal.board.generations[number].lanes.values())
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
                    said = (
                        f"The observer's model brought its work to no end: {told.failed}. What the rules found stands."
                    )
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


async def match_face(journal: Journal, folder: RunFolder) -> None:
    """Bring `observations.md` and the store together: what a person has changed in the file since the version that it
    was written from becomes the latest version, which the file then says. An empty file is one that is just being
    written, or was lost: it changes nothing."""
    async with journal.editing:
        await _match_face(journal, folder)


async def _match_face(journal: Journal, folder: RunFolder) -> None:
    document = observations.load(journal.store, journal.run)
    if document is None:
        return
    try:
        text = folder.observations.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    if text.strip():
        base = _text(journal, parse(text).version)
        if text != base:
            document = await _save_edit(journal, apply_edit(document, base, text))
    if (latest := render(document)) != text:
        observations.write_face(folder.observations, latest)


async def repeat_edits(journal: Journal, recorded: str, up_to: int) -> None:
    """What the operator changed in a recorded run, up to that version of its observations, and not yet in this one."""
    store = journal.store
    edits = [each for each in observations.versions(store, recorded) if each.author == OPERATOR]
    done = sum(each.author == OPERATOR for each in observations.versions(store, journal.run))
    async with journal.editing:
        for version in [each.version for each in edits if each.version <= up_to][done:]:
            document = observations.load(store, journal.run)
            if document is not None:
                before, after = (observations.text(store, recorded, number) or "" for number in (version - 1, version))
                await _save_edit(journal, apply_edit(document, before, after))


async def save_edit(
    journal: Journal, folder: RunFolder, text: str, base: int, *, settles: Settling
) -> tuple[bool, str]:
    """Replace the observations by a person's edit of version `base`, and answer the command for it in the same
    transaction. False, and why, with the command unanswered, when there is a newer version."""
    async with journal.editing:
        document = observations.load(journal.store, journal.run)
        if document is None:
            return False, "There are no observations yet."
        if base != document.version:
            latest = f"version {document.version}, yours is from {base}"
            return False, f"The observations have changed since ({latest}). Reload and edit again."
        await _save_edit(journal, apply_edit(document, _text(journal, base), text), settles)
        # What was changed in the file at the same time stays as well.
        await _match_face(journal, folder)
    return True, ""


async def _save_edit(journal: Journal, document: Document, settles: Settling | None = None) -> Document:
    def save(connection: Connection) -> None:
        version = observations.save(connection, document, author=OPERATOR, at=journal.clock())
        if settles is not None:
            settles(connection, True, f"The observations are kept as version {version}.")

    await journal.record(also=save)
    return observations.load(journal.store, journal.run) or document


def _text(journal: Journal, version: int | None) -> str:
    """The text of a version; that of the latest when there is none of that number."""
    text = observations.text(journal.store, journal.run, version)
    return text if text is not None else observations.text(journal.store, journal.run) or ""


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
