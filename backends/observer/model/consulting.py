"""The observer's model at work on one generation: through the proxy, with a key of its own that dies with it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.observer.attempt import Said
from backends.observer.model.checking import Delta, RefusedError, applied, checked
from backends.observer.model.diary import Log
from backends.observer.model.digest import digest, shown
from backends.observer.model.spans import Span, Spans
from backends.observer.model.talk import Ask, converse
from backends.observer.model.wanted import Wanted
from store.domain.allowance import Allowance
from store.domain.blocks import BlockKind, blocks
from store.domain.events import ModelObserved
from store.domain.ids import OBSERVER, SubagentId, parse_label
from store.domain.limits import Limits
from store.domain.observations import Document, Evidence
from store.domain.observations.deltas import DeltaTaken
from store.domain.safe_text import safe_line
from store.errors import StoreError

if TYPE_CHECKING:
    from store.database import Store

log = logging.getLogger("multitrack.observer")

HITS = 8
"""Pieces that a search returns."""
PIECE = 200
"""Code points to both sides of what a search found, beside what is shown around it anyway."""

Speaking = Callable[[str, str], AbstractAsyncContextManager[Ask]]
"""Opens a way to ask the proxy, by its base URL and a key."""


@dataclass(frozen=True)
class Consulted:
    """What came of asking the model about a generation: changes whose quotes stand on the tapes, and those that were
    refused, in order. Nothing is changed yet."""

    model: str
    wanted: tuple[Delta | DeltaTaken, ...]
    valid: frozenset[SubagentId]
    failed: str = ""

    def apply(self, document: Document) -> tuple[Document, ModelObserved]:
        """The document with the changes, and the event that tells of them. What a person has decided in the meantime
        stands: a change that no longer fits is refused."""
        told: list[DeltaTaken] = []
        for one in self.wanted:
            if isinstance(one, DeltaTaken):
                told.append(one)
                continue
            try:
                document, on = applied(document, one, self.valid)
                told.append(_told(one, on))
            except RefusedError as error:
                told.append(_told(one, one.on, str(error)))
        return document, ModelObserved(self.model, tuple(told), self.failed)


@dataclass(frozen=True)
class Consultant:
    """Asks one run's model. `cut` ends calls that are still open; `limits` are for each generation, however often it is
    observed."""

    store: "Store"
    run: str
    model: str
    limits: Limits
    base_url: str
    speaking: Speaking
    cut: Callable[[SubagentId], None]
    clock: Callable[[], float]

    async def ask(self, generation: int, valid: Collection[SubagentId]) -> Consulted:
        """Ask the model about a generation, whose attempts the rules have judged: `valid` are all of the run that can
        teach. What goes wrong with the model is told, not raised. StoreError."""
        from store import keys

        who = SubagentId(self.run, generation, OBSERVER)
        reading = _Reading(self.store, self.run, generation, frozenset(valid))
        secret = keys.new_secret()
        allowance = Allowance.of(self.limits, self.model)
        failed = ""
        try:
            first = await asyncio.to_thread(reading.first)
            await self.store.writer.write(
                lambda connection: keys.mint(connection, who, secret, at=self.clock(), allowance=allowance)
            )
            diary = await asyncio.to_thread(Log, self.store, who, self.clock)
            await diary.begin(self.model)
            async with asyncio.timeout(self.limits.seconds), self.speaking(self.base_url, secret) as ask:
                turns = self.limits.turns
                failed = await converse(ask, self.model, first, reading.search, reading.take, turns, diary)
        except StoreError:
            raise
        except TimeoutError:
            failed = f"it did not come to an end in {self.limits.seconds:g} s"
        except Exception as error:
            log.warning("the observer's model failed", exc_info=error)
            failed = f"{type(error).__name__}: {error}"
        finally:
            self.cut(who)
            await self.store.writer.write(lambda connection: keys.revoke(connection, who, at=self.clock()))
        return Consulted(self.model, tuple(reading.wanted), reading.valid, safe_line(failed, 400))


class _Reading:
    """The tapes as the model sees them, and what it wants."""

    def __init__(self, store: "Store", run: str, generation: int, valid: frozenset[SubagentId]) -> None:
        self._store, self._run, self._generation, self.valid = store, run, generation, valid
        self._spans = Spans()
        self._document = Document(run)
        self.wanted: list[Delta | DeltaTaken] = []

    def first(self) -> str:
        """The first message."""
        from backends.observer.observing import observe_attempts
        from backends.observer.reading import attempts
        from store import observations

        tapes = attempts(self._store, self._run, self._generation)
        known = observations.load(self._store, self._run) or Document(self._run)
        observed = observe_attempts(known, tapes, self._generation)
        self._document = observed.document
        return digest(tapes, observed.judged, observed.document, self._spans, self._quoted)

    def take(self, wanted: Wanted) -> str:
        """Look at a change; why it is refused, "" when it may be made."""
        try:
            delta = checked(wanted, self._spans)
            self._document, _ = applied(self._document, delta, self.valid)
        except RefusedError as error:
            words = wanted.text or next((quote for _, quote in wanted.evidence), "")
            operation, on = safe_line(wanted.operation, 20), safe_line(wanted.id, 40)
            self.wanted.append(DeltaTaken(operation, on, safe_line(words, 200), str(error)))
            return str(error)
        self.wanted.append(delta)
        return ""

    async def search(self, query: str, attempt: str) -> str:
        """Pieces of tapes that have the words."""
        subagent = None
        if attempt:
            try:
                subagent = SubagentId(self._run, *parse_label(attempt))
            except ValueError:
                return f"there is no attempt {safe_line(attempt, 20)}"
        found = await asyncio.to_thread(self._search, query, subagent)
        return "\n\n".join(found) or "nothing of that is on the tapes"

    def _search(self, query: str, subagent: SubagentId | None) -> Sequence[str]:
        from store import search

        hits = search.search(
            self._store,
            query,
            run=self._run,
            subagent=subagent,
            before_generation=self._generation + 1,
            prompts=False,
            limit=HITS,
        )
        pieces = []
        for hit in hits:
            if hit.subagent is None:
                continue
            span = self._span(hit.subagent, Said("", hit.turn, hit.call, hit.node, hit.block))
            if span is not None and (name := self._spans.name(span)):
                pieces.append(shown(name, span, max(0, hit.start - PIECE), hit.end + PIECE))
        return pieces

    def _quoted(self, evidence: Evidence) -> Span | None:
        said = Said("", evidence.turn, evidence.call, evidence.node, evidence.block)
        return self._span(evidence.subagent, said)

    def _span(self, subagent: SubagentId, at: Said) -> Span | None:
        """A block by its place on the tape, None when there is none."""
        from store import tapes

        try:
            block = blocks(tapes.node(self._store, at.node).message)[at.block]
        except (KeyError, IndexError):
            return None
        return Span(subagent, Said(block.text, at.turn, at.call, at.node, at.block), BlockKind(block.kind))


def _told(delta: Delta, on: str, refused: str = "") -> DeltaTaken:
    words = delta.text or delta.evidence[0].quote
    return DeltaTaken(str(delta.operation), on, safe_line(words, 200), refused)
