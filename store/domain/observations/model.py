"""The words in which observations are written down."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b

from store.domain.ids import SubagentId


class Priority(StrEnum):
    """How much an observation matters; decided by outcome and recurrence, or by the operator, never by keywords."""

    IMPORTANT = "important"
    POSSIBLE = "possible"
    INFORMATIONAL = "informational"


class Claim(StrEnum):
    """What an observation says about its subject."""

    FIX = "fix"
    """Together these edits made the check pass, by the harness's own word."""
    HALF = "half-working fix"
    """The check counted fewer failures than before, but it is not the whole fix."""
    FAILED = "failed attempt"
    """The check was no better for it."""
    WORSE = "worse"
    """The check counted more failures than before."""
    FACT = "fact"
    ENVIRONMENT = "environment"
    HYPOTHESIS = "hypothesis"
    DEAD_END = "dead end"
    GOAL = "goal"


class Subject(StrEnum):
    """What an observation is about. Two observations of one subject and fingerprint are the same."""

    EDITS = "edits"
    """A set of edits, and what the check said to them."""
    ERROR = "error"
    """A crash or an error that a command of the project printed."""
    TOOL = "tool"
    """A tool that refused what it was asked."""
    ENVIRONMENT = "environment"
    ACTIONS = "actions"
    """All calls of an attempt that changed something elsewhere than in files, and whether that solved it."""
    LOOKUP = "look-up"
    """What was looked up: in vain, or by those alone that were solved."""
    FILE = "file"
    REFACTORING = "refactoring"
    """Code that was moved or renamed."""
    PLACE = "place"
    """Where in the code solved attempts worked, and no unsolved one."""
    LOOP = "loop"
    """The same call with the same result, again and again."""
    LIMIT = "limit"
    """An approach that used up its limits and got nowhere."""
    GOAL = "goal"
    USAGE = "usage"
    INSIGHT = "insight"
    """What a model makes of the tapes."""
    NOTE = "note"
    """Whatever the operator has to say."""


class Status(StrEnum):
    """Where an observation stands between the observer who proposes it and the operator who decides."""

    PROPOSED = "proposed"
    KEPT = "kept"
    EDITED = "edited"
    PINNED = "pinned"
    """Goes into every prompt, first."""
    QUARANTINED = "quarantined"
    """Stays in the file, goes into no prompt."""
    DROPPED = "dropped"
    """Out of the file. It is still known, so that it doesn't come back when it is found again."""
    EXPIRED = "expired"
    """Out of the file, for it has been overtaken."""


class Author(StrEnum):
    """Whose words an observation has. Neither the observer nor its model changes the operator's."""

    OBSERVER = "observer"
    """The rules' words."""
    MODEL = "model"
    """Words of a model, whose quotes were held against the tapes."""
    OPERATOR = "operator"


class Flag(StrEnum):
    """Why an observation goes into no prompt unless the operator approves it."""

    INSTRUCTION = "instruction"
    """It quotes something that reads like an order to its reader."""
    SECRET = "secret"  # noqa: S105
    ESCAPE = "escape"
    """It quotes something that would act on a terminal."""


@dataclass(frozen=True)
class Evidence:
    """Where a tape shows it. `start` and `end` are code points in the text of the node's block; `quote` is that text,
    verbatim. A node may be on several tapes: the subagent and the call say whose it was. `turn` is 0 when unknown."""

    subagent: SubagentId
    call: str
    node: str
    block: int
    start: int
    end: int
    quote: str
    turn: int = 0


@dataclass(frozen=True)
class Observation:
    """One prioritised lesson.

    `id` is "o-" and the beginning of the fingerprint, as much of it as the document needs. `text` states facts, never
    orders. `excerpt` are the lines of a diff: "@ path", then "- removed" and "+ added". `attempts` support the claim,
    `contradicted_by` measured otherwise. `first` and `last` are generations. `merged_into` are the ids of those that
    it became part of when the operator merged or split it: it is dropped then, and what is found for it counts for
    them. `given_to` are the attempts that had it in their prompt, `cited_by` those that said they used it. All
    attempts are sorted.
    """

    id: str
    fingerprint: str
    subject: Subject
    priority: Priority
    claim: Claim
    text: str
    excerpt: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    attempts: tuple[SubagentId, ...] = ()
    contradicted_by: tuple[SubagentId, ...] = ()
    first: int = 0
    last: int = 0
    status: Status = Status.PROPOSED
    author: Author = Author.OBSERVER
    flags: tuple[Flag, ...] = ()
    merged_into: tuple[str, ...] = ()
    given_to: tuple[SubagentId, ...] = ()
    cited_by: tuple[SubagentId, ...] = ()


@dataclass(frozen=True)
class Note:
    """Lines of the operator's file that the grammar doesn't know, kept where they stand.

    `anchor` is what they follow: "top" (the title), a priority (its heading), an observation's id, or "end " and a
    priority (the last observation under it).
    """

    anchor: str
    text: str


@dataclass(frozen=True)
class Document:
    """All observations of a run, in the order of the file. `version` counts what has been saved, `generation` is the
    last that was observed; both from 1, 0 is none yet."""

    run: str
    version: int = 0
    generation: int = 0
    observations: tuple[Observation, ...] = ()
    notes: tuple[Note, ...] = ()


GONE = frozenset({Status.DROPPED, Status.EXPIRED})
"""Statuses that are not in the file."""


def live(document: Document) -> tuple[Observation, ...]:
    """What counts as known: everything in the file except what is quarantined."""
    out = GONE | {Status.QUARANTINED}
    return tuple(o for o in document.observations if o.status not in out)


def replaced(document: Document, observation: Observation) -> Document:
    """The document with an observation as it is now, by its id."""
    there = (observation if o.id == observation.id else o for o in document.observations)
    return replace(document, observations=tuple(there))


def approvable(observation: Observation) -> bool:
    """Whether any change of a person's approves it. What is flagged has to be kept, pinned or reworded for that, lest
    it be let in by whoever only sorts the list."""
    return not observation.flags or observation.status is not Status.PROPOSED


def heirs(document: Document, name: str) -> tuple[str, ...]:
    """The ids of the observations that stand for one now: those that it was merged or split into, to the last, or
    itself. None when there is no such observation."""
    known = {o.id: o for o in document.observations}
    found: dict[str, None] = {}
    waiting, seen = [name], set[str]()
    while waiting:
        here = waiting.pop(0)
        if here in seen or here not in known:
            continue
        seen.add(here)
        if known[here].merged_into:
            waiting += known[here].merged_into
        else:
            found[here] = None
    return tuple(found)


def fingerprint(subject: Subject, *parts: str) -> str:
    """What makes two findings the same, in hexadecimal. The parts name the thing, not what was said of it."""
    digest = blake2b(digest_size=16)
    for part in (subject, *parts):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def free_id(mark: str, taken: set[str]) -> str:
    """The shortest id of a fingerprint, of four digits or more, that is not taken."""
    for length in range(4, len(mark) + 1):
        if (name := f"o-{mark[:length]}") not in taken:
            return name
    raise ValueError(f"the fingerprint {mark} is already in the document")


def fresh(there: Iterable[Observation], text: str, excerpt: Sequence[str]) -> tuple[str, str]:
    """Id and fingerprint of a new observation of a person's, whatever is there already."""
    there = tuple(there)
    return fresh_beside({o.id for o in there}, {o.fingerprint for o in there}, text, excerpt)


def fresh_beside(taken: set[str], marks: set[str], text: str, excerpt: Sequence[str]) -> tuple[str, str]:
    """The same beside these ids and fingerprints."""
    count = 0
    while (mark := fingerprint(Subject.NOTE, text, *excerpt, str(count))) in marks:
        count += 1
    return free_id(mark, taken), mark


def support(observation: Observation) -> str:
    """Who stands behind it, in the words of the file and of the prompt."""
    count = len(observation.attempts)
    if not count:
        return f"from the {observation.author}"
    words = "1 attempt" if count == 1 else f"seen in {count} attempts"
    if observation.contradicted_by:
        words += f", {len(observation.contradicted_by)} measured otherwise"
    if observation.author is Author.MODEL:
        words += ", a model's words"
    return words
