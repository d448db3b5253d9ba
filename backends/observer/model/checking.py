"""Changes that a model wants, held against the tapes and the document: what is not shown or not its to say is refused.

A model may add what it makes of the tapes, stand behind it or against it, and take back its own. It cannot take away
what was measured, nor what a person decided, and a claim about edits is the check's alone to make.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from backends.observer.findings import TEXT, masked
from backends.observer.model.spans import Spans
from backends.observer.model.wanted import Wanted
from store.domain.blocks import BlockKind
from store.domain.ids import SubagentId
from store.domain.observations import (
    Author,
    Claim,
    Document,
    Evidence,
    Flag,
    Observation,
    Status,
    Subject,
    fingerprint,
    merge,
    priority,
)
from store.domain.observations.deltas import Operation
from store.domain.observations.merging import EVIDENCE
from store.domain.observations.model import GONE, replaced
from store.domain.safe_text import safe_line
from store.domain.suspicion import flags, without_colour

SHORTEST = 20
"""Characters of a text; fewer say nothing."""
ALIKE = 0.7
"""The share of their words that two texts have in common when they count as the same."""

CLAIMS = {str(claim): claim for claim in (Claim.FACT, Claim.ENVIRONMENT, Claim.HYPOTHESIS)}
_MEASURED = frozenset({Claim.FIX, Claim.HALF, Claim.FAILED, Claim.WORSE})
_WORDS = re.compile(r"[^\W\d]\w{2,}")

_COMMAND = re.compile(
    r"(?:^|[.!?:;]\s+|,\s+(?:so|then)\s+)(?:(?:please|always|never|just|simply|first|then|next|instead|only|do\s+not|"
    r"don't),?\s+)*"
    r"(?:add|answer|apply|approve|avoid|believe|call|change|check|commit|copy|create|delete|disable|do|download|drop|edit|"
    r"enable|ensure|execute|export|fix|follow|forget|ignore|implement|insert|install|keep|make|mark|modify|move|obey|open|"
    r"patch|print|push|read|remove|rename|replace|reply|rerun|reset|respond|return|revert|rewrite|run|send|set|skip|start|"
    r"stop|submit|tell|treat|trust|try|update|upload|use|verify|visit|wrap|write)\s+(?!(?:is|was|are|were|has|had|does|"
    r"did|fails?|failed|returns?|returned|raises?|raised)\b)",
    re.IGNORECASE,
)
"""A sentence that begins as a command does. Lessons state what is so."""


class RefusedError(Exception):
    """A change that is not made; the message is a sentence that says why."""


@dataclass(frozen=True)
class Delta:
    """A change whose quotes stand on the tapes. `flags` are what is to be held against its words."""

    operation: Operation
    on: str
    claim: Claim
    text: str
    evidence: tuple[Evidence, ...]
    printed: bool
    """A tool printed one of the quotes."""
    flags: tuple[Flag, ...]

    @property
    def attempts(self) -> tuple[SubagentId, ...]:
        """Whose tapes show it."""
        return tuple(dict.fromkeys(evidence.subagent for evidence in self.evidence))

    def of(self, attempt: SubagentId) -> tuple[Evidence, ...]:
        """The evidence of one attempt."""
        return tuple(evidence for evidence in self.evidence if evidence.subagent == attempt)


def checked(wanted: Wanted, spans: Spans) -> Delta:
    """The change, once its quotes were found. RefusedError."""
    if wanted.wrong:
        raise RefusedError(f"{wanted.wrong[0].upper()}{wanted.wrong[1:]}.")
    if wanted.operation not in Operation.__members__:
        raise RefusedError(f"There are {', '.join(Operation)}.")
    operation = Operation(wanted.operation)
    says = operation in (Operation.ADD, Operation.REFINE)
    text = safe_line(without_colour(wanted.text)) if says else ""
    if says and not SHORTEST <= len(text) <= TEXT:
        raise RefusedError(f"Its text has {len(text)} characters; it may have {SHORTEST} to {TEXT}.")
    if operation is Operation.ADD and wanted.claim not in CLAIMS:
        raise RefusedError(f"Its claim may be {', '.join(CLAIMS)}; what edits do is measured by the check.")
    evidence: list[Evidence] = []
    printed, around, said = False, [], []
    for name, quote in wanted.evidence:
        span = spans.find(name)
        if span is None:
            raise RefusedError(f"There is no node {safe_line(name, 40) or '“”'}.")
        if not (found := span.quote(quote)):
            raise RefusedError(f"The node {safe_line(name, 40)} does not say “{safe_line(quote, 80)}” to the letter.")
        evidence += found
        printed = printed or span.printed
        around.append(span.said.text)
        if span.kind is not BlockKind.TOOL_CALL:
            # A tool is told what to do: that orders no reader.
            said.append(quote)
    return Delta(
        operation,
        wanted.id.strip(),
        CLAIMS.get(wanted.claim, Claim.HYPOTHESIS),
        text,
        tuple(dict.fromkeys(evidence)),
        printed,
        _flags(wanted.text, [found.quote for found in evidence], said, around) if says else (),
    )


def _flags(text: str, quotes: Collection[str], said: Iterable[str], around: Iterable[str]) -> tuple[Flag, ...]:
    """What is to be held against a model's words, what they quote, and what that stands `around`: who plants an order
    counts on its being read, not on its being quoted. `said` are the quotes that are no tool's input."""
    found = set(flags("\n".join(map(without_colour, (text, *quotes)))))
    if any(map(_COMMAND.search, (text, *said))) or any(Flag.INSTRUCTION in flags("", words) for words in around):
        found.add(Flag.INSTRUCTION)
    return tuple(flag for flag in Flag if flag in found)


def applied(document: Document, delta: Delta, valid: Collection[SubagentId]) -> tuple[Document, str]:
    """The document with the change, and the id of what it is about. `valid` are the attempts that can teach.
    RefusedError."""
    return _HOW[delta.operation](document, delta, valid)


def _add(document: Document, delta: Delta, valid: Collection[SubagentId]) -> tuple[Document, str]:
    _teach(delta, delta.claim, valid)
    _new(document, delta.text)
    if delta.claim is Claim.FACT and not delta.printed:
        raise RefusedError("No tool printed what it quotes: what subagents say makes a hypothesis, not a fact.")
    mark = fingerprint(Subject.INSIGHT, masked(delta.text.lower()))
    after = merge(document, [_finding(delta, attempt, mark) for attempt in delta.attempts])
    return after, next(o.id for o in after.observations if o.fingerprint == mark)


def _finding(delta: Delta, attempt: SubagentId, mark: str) -> Observation:
    return Observation(
        id="",
        fingerprint=mark,
        subject=Subject.INSIGHT,
        priority=priority(Subject.INSIGHT, delta.claim, 1),
        claim=delta.claim,
        text=delta.text,
        evidence=delta.of(attempt),
        attempts=(attempt,),
        first=attempt.generation,
        last=attempt.generation,
        author=Author.MODEL,
        flags=delta.flags,
    )


def _support(document: Document, delta: Delta, valid: Collection[SubagentId]) -> tuple[Document, str]:
    old = _unmeasured(document, delta)
    _teach(delta, old.claim, valid)
    if old.claim is Claim.FACT and not delta.printed:
        raise RefusedError("No tool printed what it quotes.")
    return merge(document, _backing(old, delta)), old.id


def _backing(old: Observation, delta: Delta) -> list[Observation]:
    """The observation as each attempt that is not counted yet would have it."""
    fresh = _uncounted(old, delta)
    return [
        replace(
            old,
            attempts=(attempt,),
            contradicted_by=(),
            evidence=delta.of(attempt),
            first=attempt.generation,
            last=attempt.generation,
        )
        for attempt in fresh
    ]


def _contradict(document: Document, delta: Delta, valid: Collection[SubagentId]) -> tuple[Document, str]:
    old = _unmeasured(document, delta)
    _teach(delta, old.claim, valid)
    if not delta.printed:
        raise RefusedError("No tool printed what it quotes.")
    fresh = _uncounted(old, delta)
    shown = tuple(evidence for evidence in delta.evidence if evidence.subagent in fresh)
    new = replace(
        old,
        contradicted_by=tuple(sorted({*old.contradicted_by, *fresh})),
        # What speaks against it has room, however much speaks for it.
        evidence=(*old.evidence[: EVIDENCE - len(shown)], *shown),
        last=max(old.last, *(attempt.generation for attempt in fresh)),
    )
    return replaced(document, new), old.id


def _refine(document: Document, delta: Delta, valid: Collection[SubagentId]) -> tuple[Document, str]:
    old = _own(document, delta)
    _teach(delta, old.claim, valid)
    _new(document, delta.text, but=old.id)
    if any(attempt in old.contradicted_by for attempt in delta.attempts):
        raise RefusedError(f"The attempt shows otherwise than {old.id} says.")
    if any(attempt not in (*old.attempts, *old.contradicted_by) for attempt in delta.attempts):
        document = merge(document, _backing(old, delta))
        old = _find(document, delta)
    # Once an order was near it, it takes a person to say that it is harmless.
    held = tuple(flag for flag in Flag if flag in {*old.flags, *delta.flags})
    return replaced(document, replace(old, text=delta.text, flags=held)), old.id


def _expire(document: Document, delta: Delta, valid: Collection[SubagentId]) -> tuple[Document, str]:
    old = _own(document, delta)
    _teach(delta, old.claim, valid)
    shown = delta.evidence
    new = replace(old, status=Status.EXPIRED, evidence=(*old.evidence[: EVIDENCE - len(shown)], *shown))
    return replaced(document, new), old.id


_HOW: dict[Operation, Callable[[Document, Delta, Collection[SubagentId]], tuple[Document, str]]] = {
    Operation.ADD: _add,
    Operation.SUPPORT: _support,
    Operation.CONTRADICT: _contradict,
    Operation.REFINE: _refine,
    Operation.EXPIRE: _expire,
}


def _teach(delta: Delta, claim: Claim, valid: Collection[SubagentId]) -> None:
    """What is missing on the machine is so whatever became of the attempt; everything else takes a valid one."""
    if claim is not Claim.ENVIRONMENT:
        for attempt in delta.attempts:
            if attempt not in valid:
                raise RefusedError(f"The attempt {attempt.label} is not valid, and teaches nothing.")


def _find(document: Document, delta: Delta) -> Observation:
    old = next((o for o in document.observations if o.id == delta.on), None)
    if old is None or old.status in GONE:
        gone = "is no longer there" if old is not None else "is no observation's id"
        raise RefusedError(f"{safe_line(delta.on, 40) or '“”'} {gone}.")
    return old


def _unmeasured(document: Document, delta: Delta) -> Observation:
    old = _find(document, delta)
    if old.claim in _MEASURED:
        raise RefusedError(f"{old.id} says what edits did: the check alone measures that.")
    return old


def _own(document: Document, delta: Delta) -> Observation:
    old = _find(document, delta)
    if old.author is not Author.MODEL:
        whose = "a person's" if old.author is Author.OPERATOR else "of what the rules found"
        raise RefusedError(f"{old.id} is {whose}: no model changes it.")
    if old.status is not Status.PROPOSED:
        raise RefusedError(f"{old.id} is {old.status}: a person has decided on it.")
    return old


def _uncounted(old: Observation, delta: Delta) -> list[SubagentId]:
    fresh = [attempt for attempt in delta.attempts if attempt not in (*old.attempts, *old.contradicted_by)]
    if not fresh:
        raise RefusedError(f"{delta.attempts[0].label} is counted in {old.id} already.")
    return fresh


def _new(document: Document, text: str, *, but: str = "") -> None:
    """RefusedError when an observation says that already, in these words or nearly so, or did until it was dropped."""
    words = _words(text)
    for old in document.observations:
        others = _words(old.text)
        if old.id != but and words and len(words & others) >= ALIKE * len(words | others):
            gone = " and was dropped" if old.status is Status.DROPPED else ""
            raise RefusedError(f"{old.id} says that already{gone}.")


def _words(text: str) -> set[str]:
    return set(_WORDS.findall(masked(text.lower())))
