"""What people do to the observations while a run goes on, and afterwards: in `observations.md`, in an editor of ours,
on the command line. Each makes a new version; two of them made from one version are merged, and nothing is lost."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from backends.harness.journal import Journal
from store import commands, observations
from store.database import Store
from store.domain.commands import ChangeObservations, EditObservations
from store.domain.events import Alert
from store.domain.ids import SubagentId
from store.domain.observations import Document, parse, render
from store.domain.observations.changes import Redo, Undo, apply_all, takes_back
from store.domain.observations.describing import described
from store.domain.observations.threeway import merge_three, take_over
from store.domain.safe_text import safe_line
from store.face import Face, sweep
from store.home import RunFolder
from store.observations import OPERATOR

log = logging.getLogger("multitrack.harness")

QUIET = 0.25
"""Seconds since the last write, after which a file that a person saves counts as whole: editors write in one go."""
PATIENCE = 3.0
"""The most seconds to wait for that."""
FILE = "observations.md"
"""The rule of alerts about the file."""
TRIES = 20
"""Times to try to write a file that somebody else writes at the same time."""

Settling = Callable[[Connection, bool, str], None]
"""Answers a command inside the transaction that carries it out."""


async def carry_out(
    journal: Journal, folder: RunFolder, command: EditObservations | ChangeObservations, settles: Settling
) -> tuple[bool, str]:
    """Make the new version that a person ordered, and answer the order in the same transaction. False, and why, with
    the order unanswered, when it can't be done."""
    async with journal.editing:
        document = observations.load(journal.store, journal.run)
        if isinstance(command, EditObservations):
            refused = await _edit(journal, document, command, settles)
        else:
            refused = await _change(journal, document, command, settles)
        if not refused:
            # What was changed in the file at the same time stays as well.
            await _match(journal, Face(folder.observations))
    return not refused, refused


async def _edit(journal: Journal, document: Document | None, edit: EditObservations, settles: Settling) -> str:
    if document is None:
        return "There are no observations yet."
    base = observations.load(journal.store, journal.run, edit.base)
    if base is None:
        return f"There is no version {edit.base} of the observations. Reload and edit again."
    merged = take_over(document, base, _text(journal, edit.base), edit.text)
    await _save(journal, document, merged.document, "Edited the text.", settles, conflicts=len(merged.conflicts))
    return ""


async def _change(journal: Journal, document: Document | None, asked: ChangeObservations, settles: Settling) -> str:
    past = observations.Past(journal.store, journal.run)
    document = document or Document(journal.run)
    base: Document | None = document
    turned = any(isinstance(change, Undo | Redo) for change in asked.changes)
    if asked.base != document.version and not turned:
        base = past.document(asked.base)
    if base is None:
        return f"There is no version {asked.base} of the observations. Reload and change it again."
    undoes = takes_back(asked.changes, past)
    try:
        changed = apply_all(base, asked.changes, past)
    except ValueError as error:
        return str(error)
    conflicts = 0
    if base is not document:
        merged = merge_three(base, document, changed, said=f"A change of version {base.version} has it otherwise.")
        changed, conflicts = merged.document, len(merged.conflicts)
    await _save(
        journal, document, changed, described(asked.changes, undoes), settles, conflicts=conflicts, undoes=undoes
    )
    return ""


async def match_face(journal: Journal, folder: RunFolder, *, last: bool = False) -> None:
    """Bring `observations.md` and the store together: what a person has changed in the file since the version that it
    was written from becomes the latest version, which the file then says. An empty file is one that is just being
    written, or was lost: it changes nothing. The `last` one leaves nothing beside the file. StoreError."""
    async with journal.editing:
        face = Face(folder.observations)
        await _match(journal, face)
        if last:
            await _match(journal, face)


async def watch_face(journal: Journal, folder: RunFolder) -> None:
    """Take over what a person saves in the file as soon as they have, until cancelled."""
    async for _ in _saved(folder.observations):
        # An editor may have taken the old file away, and not yet written the new one.
        await asyncio.sleep(QUIET)
        await match_face(journal, folder)


async def _saved(path: Path) -> AsyncIterator[None]:
    """Once for each time that the file was saved, where it is and where a link there leads."""
    from watchfiles import awatch

    face = Face(path)
    names = {path.name, *face.names}

    def ours(change: object, path: str) -> bool:
        return Path(path).name in names

    for polling in (None, True):
        try:
            async for _ in awatch(
                *{path.parent, face.path.parent},
                watch_filter=ours,
                debounce=200,
                force_polling=polling,
                recursive=False,
            ):
                yield
        except (OSError, RuntimeError) as error:
            # The system may have no more watches to give, or none for this file system: then it is looked at in turn.
            log.warning("observations.md can't be watched%s: %s", "" if polling is None else " by looking", error)


async def repeat_edits(journal: Journal, recorded: str, up_to: int) -> None:
    """What the operator changed in a recorded run, up to that version of its observations, and not yet in this one."""
    store, run = journal.store, journal.run
    edits = [each for each in observations.versions(store, recorded) if each.author == OPERATOR]
    done = sum(each.author == OPERATOR for each in observations.versions(store, run))
    async with journal.editing:
        for edit in [each for each in edits if each.version <= up_to][done:]:
            document = observations.load(store, run)
            before = observations.load(store, recorded, edit.version - 1) or Document(recorded)
            after = observations.load(store, recorded, edit.version)
            if document is None or after is None:
                continue
            base, theirs = (_of_run(one, recorded, run) for one in (before, after))
            merged = merge_three(base, document, theirs, said=f"Run {recorded} has it otherwise.").document
            # A version also where it changes nothing here: they are counted.
            await _save(journal, document, merged, edit.what, always=True)


def _of_run(document: Document, recorded: str, run: str) -> Document:
    """The document of a recorded run with the attempts of this one. Its evidence stays evidence of that run."""

    def named(attempts: tuple[SubagentId, ...]) -> tuple[SubagentId, ...]:
        return tuple(replace(one, run=run) if one.run == recorded else one for one in attempts)

    there = (
        replace(
            o,
            attempts=named(o.attempts),
            contradicted_by=named(o.contradicted_by),
            given_to=named(o.given_to),
            cited_by=named(o.cited_by),
        )
        for o in document.observations
    )
    return replace(document, run=run, observations=tuple(there))


async def _match(journal: Journal, face: Face) -> None:
    """Bring both together. The store is the truth: a file that can't be read or written is no reason to stop a run, and
    is said once."""
    try:
        await _brought_together(journal, face)
    except OSError as error:
        log.warning("observations.md can't be read or written: %s", error)
        said = safe_line(f"observations.md can't be read or written ({error.strerror or error}): {face.path}", 400)
        said += " The run goes on without it, and what is written there is not seen until that is put right."
        if said not in journal.board.alerts:
            await journal.record(Alert(FILE, said))


async def _brought_together(journal: Journal, face: Face) -> None:
    sweep(face.path)
    for _ in range(TRIES):
        document = observations.load(journal.store, journal.run)
        if document is None:
            return
        if (aside := face.aside) is not None:
            # Somebody saved it while it was replaced, this time or under an engine that is dead.
            if not _written(journal, aside):
                aside = await _quiet(journal, lambda: face.aside, face.aside_age)
            document = await _taken_over(journal, document, aside)
            face.forget()
        text = await _quiet(journal, lambda: face.text, face.age)
        document = await _taken_over(journal, document, text)
        latest = render(document)
        if latest == text or face.replace(latest, text):
            return
    log.warning("observations.md is written by somebody else all the time, so it is left alone for now")


async def _quiet(journal: Journal, read: Callable[[], str | None], age: Callable[[float], float]) -> str | None:
    """What a file says once nobody writes it any more."""
    until = time.monotonic() + PATIENCE
    while True:
        text = read()
        if text is None or age(time.time()) >= QUIET or time.monotonic() > until or _written(journal, text):
            return text
        await asyncio.sleep(QUIET / 5)


def _written(journal: Journal, text: str) -> bool:
    """Whether this is what a version says: nobody has edited it."""
    version = parse(text).version
    return version is not None and observations.text(journal.store, journal.run, version) == text


async def _taken_over(journal: Journal, document: Document, text: str | None) -> Document:
    """The latest version after what a person wrote into a text of some version; `document` is the latest so far."""
    if text is None or not text.strip():
        return document
    base = _base(journal, document, parse(text).version)
    base_text = _text(journal, base.version)
    if text == base_text:
        return document
    merged = take_over(document, base, base_text, text).document
    return await _save(journal, document, merged, "Edited observations.md.")


def _base(journal: Journal, document: Document, version: int | None) -> Document:
    """The version that a text was written from; the latest when it doesn't say, or says one that there is not."""
    found = observations.load(journal.store, journal.run, version) if version is not None else None
    return found or document


async def _save(
    journal: Journal,
    before: Document,
    document: Document,
    what: str,
    settles: Settling | None = None,
    *,
    conflicts: int = 0,
    undoes: int = 0,
    always: bool = False,
) -> Document:
    """Keep a person's version, and answer their order. The latest version."""

    def save(connection: Connection) -> None:
        version = observations.save(
            connection, document, author=OPERATOR, at=journal.clock(), what=what, undoes=undoes, always=always
        )
        if settles is not None:
            settles(connection, True, _outcome(version, before.version, what, conflicts))

    await journal.record(also=save)
    return observations.load(journal.store, journal.run) or document


def _outcome(version: int, before: int, what: str, conflicts: int) -> str:
    if version == before:
        return f"Nothing was changed: version {version} says it already."
    said = f"{what} Kept as version {version}."
    if conflicts:
        many = "A conflict" if conflicts == 1 else f"{conflicts} conflicts"
        said += f" {many} with what was changed meanwhile: both sides are in the file."
    return said


def _text(journal: Journal, version: int) -> str:
    return observations.text(journal.store, journal.run, version) or ""


async def curate(
    store: Store, run: str, folder: RunFolder, order: int, command: EditObservations | ChangeObservations
) -> None:
    """Carry out an order where no engine works on the run; whoever calls holds the run's lock."""
    journal = Journal(store, run, time.time)

    def settles(connection: Connection, applied: bool, outcome: str) -> None:
        commands.settle(connection, order, applied=applied, outcome=outcome, at=time.time())

    # What a person changed in the file meanwhile goes before: it was there when they gave the order.
    await match_face(journal, folder, last=True)
    applied, outcome = await carry_out(journal, folder, command, settles)
    if not applied:
        await journal.record(also=lambda connection: settles(connection, False, outcome))
    await match_face(journal, folder, last=True)
