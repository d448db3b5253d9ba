"""The list of what was learned: what stands in each line, and which lines a filter leaves. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from store.domain import effect_words
from store.domain.effect import Effect, Effects, Verdict
from store.domain.observations import Claim, Document, Observation, Priority, Status, injectable, tokens
from store.domain.observations.comparing import compare
from store.domain.observations.conflicts import conflicts
from store.domain.observations.injection import item
from store.domain.observations.model import GONE
from store.domain.secrets import shown_line
from widgets.ink import Line, Span, cut, width
from widgets.picklist import Row

NEVER = Effects()


class Sort(StrEnum):
    """Which observations are listed. The value is the word that people see."""

    ALL = "all"
    NEW = "new"
    CONTRADICTED = "contradicted"
    FLAGGED = "flagged"
    WITHOUT_EFFECT = "without effect"
    DISPUTED = "in conflict"
    UNTOLD = "goes into no prompt"
    OUT = "out of the file"


MEANT: Mapping[Sort, str] = {
    Sort.ALL: "everything in the file",
    Sort.NEW: "not yet there for the latest generation",
    Sort.CONTRADICTED: "an attempt measured otherwise",
    Sort.FLAGGED: "quotes an order, a secret or an escape",
    Sort.WITHOUT_EFFECT: "told, and no difference is shown",
    Sort.DISPUTED: "two edits disagree",
    Sort.UNTOLD: "not approved, quarantined, no room",
    Sort.OUT: "dropped, merged or expired; keep undoes",
}


@dataclass(frozen=True)
class Entry:
    """An observation with what is known of it. `news` is `new`, `more` (support), `edit`, or "" since the latest
    generation was told; `told` is whether the next one is; `disputed` counts its conflicts."""

    observation: Observation
    tokens: int
    news: str
    effect: Effect | None
    told: bool
    room: bool
    disputed: int

    @property
    def gone(self) -> bool:
        return self.observation.status in GONE


def entries(document: Document, before: Document | None, effects: Effects, told: Collection[str]) -> tuple[Entry, ...]:
    """All of a document's observations, by priority, in the order of the file. `before` is what the latest generation
    was told; `told` are the ids that the next one is."""
    news = {one.id: _news(one.what) for one in compare(before, document).differences}
    disputed = [one.id for one in conflicts(document)]
    ordered = (o for priority in Priority for o in document.observations if o.priority is priority)
    return tuple(
        Entry(
            observation=o,
            tokens=tokens(item(o)),
            news=news.get(o.id, ""),
            effect=effects.of(o.id),
            told=o.id in told,
            room=o.id in told or not injectable(o),
            disputed=disputed.count(o.id),
        )
        for o in ordered
    )


def _news(what: str) -> str:
    return {"new": "new", "supported": "more"}.get(what, "edit")


def is_of(entry: Entry, sort: Sort) -> bool:
    """Whether a filter leaves an observation."""
    o, effect = entry.observation, entry.effect
    if sort is Sort.OUT or entry.gone:
        return sort is Sort.OUT and entry.gone
    match sort:
        case Sort.NEW:
            return entry.news == "new"
        case Sort.CONTRADICTED:
            return bool(o.contradicted_by)
        case Sort.FLAGGED:
            return bool(o.flags)
        case Sort.WITHOUT_EFFECT:
            return (
                effect is not None
                and effect.given.count.lanes > 0
                and effect.best.verdict in (Verdict.OPEN, Verdict.NONE)
            )
        case Sort.DISPUTED:
            return entry.disputed > 0
        case Sort.UNTOLD:
            return not entry.told
    return True


def listed(all_of: Sequence[Entry], sort: Sort, words: str = "") -> list[Entry]:
    """Those that a filter leaves, and that have all of these words in their text, id or claim."""
    wanted = words.lower().split()
    return [
        entry for entry in all_of if is_of(entry, sort) and all(word in _searched(entry.observation) for word in wanted)
    ]


def _searched(o: Observation) -> str:
    return f"{o.id} {o.claim} {o.status} {o.text} {' '.join(o.excerpt)}".lower()


TAG_INKS: Mapping[Priority, str] = {
    Priority.IMPORTANT: "bad",
    Priority.POSSIBLE: "warn",
    Priority.INFORMATIONAL: "accent",
}
CLAIMS = 84
"""Cells from which there is room for the whole claim."""
_SHORT: Mapping[Claim, str] = {
    Claim.HALF: "half",
    Claim.FAILED: "failed",
    Claim.ENVIRONMENT: "env",
    Claim.HYPOTHESIS: "hypo",
    Claim.DEAD_END: "dead",
}
"""Claims in a word of up to six cells, where they aren't one."""
_FOLDERS = re.compile(r"(?:[\w.-]{1,100}/){1,40}(?=[\w.-]{1,100}\.\w)")
_ID, _CLAIM, _BRIEF, _SUPPORT, _NEWS, _TOKENS, _EFFECT = 7, 17, 7, 4, 5, 5, 7


def heading(cells: int) -> Line:
    """What the columns are."""
    words = [("id", _ID, False), ("claim", _CLAIM if cells >= CLAIMS else _BRIEF, False), ("seen", _SUPPORT, True)]
    words += [("tok", _TOKENS, True), ("effect", _EFFECT, True), ("since", _NEWS + 1, True)]
    line: Line = [("    ", "faint")]
    line += [(f"{word:>{size}}" if right else f"{word:<{size}}", "faint") for word, size, right in words]
    return [*line, ("  text", "faint")]


def rows(shown: Sequence[Entry], marked: Collection[str], cells: int) -> list[Row]:
    """The lines, under a heading for each priority."""
    found: list[Row] = []
    for priority in Priority:
        mine = [entry for entry in shown if entry.observation.priority is priority]
        if mine:
            found.append(Row("", ((f"[{priority}]", TAG_INKS[priority]), (f" {len(mine)}", "faint"))))
            found += (
                Row(entry.observation.id, tuple(_line(entry, entry.observation.id in marked, cells))) for entry in mine
            )
    return found


def _line(entry: Entry, marked: bool, cells: int) -> Line:
    o = entry.observation
    line: Line = [("●" if marked else " ", "accent"), _told(entry), (" ", "text")]
    line += _cell([(o.id, "strong")], _ID)
    whole = cells >= CLAIMS
    line += _cell([(o.claim if whole else _SHORT.get(o.claim, str(o.claim)), "text")], _CLAIM if whole else _BRIEF)
    support: Line = [(str(len(o.attempts)) if o.attempts else "–", "text")]
    if o.contradicted_by:
        support.append((f"−{len(o.contradicted_by)}", "bad"))
    line += _cell(support, _SUPPORT, right=True)
    line += _cell([(str(entry.tokens), "faint")], _TOKENS, right=True)
    line += _cell([effect_span(entry.effect)], _EFFECT, right=True)
    line += _cell([(entry.news, "good" if entry.news == "new" else "accent")], _NEWS + 1, right=True)
    line.append(("  ", "text"))
    if entry.disputed:
        line.append(("◇ conflict ", "warn"))
    if o.status is not Status.PROPOSED or o.flags:
        word, ink = state_span(o)
        line += [(word, ink), (" ", "text")]
    return [*line, (_brief(o.text, whole=whole), "faint" if entry.gone or not entry.told else "text")]


def _brief(text: str, *, whole: bool) -> str:
    """A text on one line, from where it begins to say something: most name their place in code first, of which the
    folders go where there is little room."""
    said = shown_line(text).replace("`", "").removeprefix("In ")
    return said if whole else said[found.end() :] if (found := _FOLDERS.match(said)) else said


def _told(entry: Entry) -> Span:
    """Whether the next generation is told it: yes, it has no room, no."""
    if entry.told:
        return ("▸", "accent")
    return (" ", "text") if entry.room or entry.gone else ("▏", "warn")


def _cell(line: Line, size: int, *, right: bool = False) -> Line:
    line = cut(line, size if right else size - 1)
    pad: Span = (" " * (size - width(line)), "text")
    return [pad, *line] if right else [*line, pad]


def effect_span(effect: Effect | None) -> Span:
    """By how many percentage points more lanes solve it that were told it; `?` where that may be chance, `told` where
    there is nothing to compare, `–` where nobody was told."""
    if effect is None or not effect.given.count.lanes:
        return ("–", "faint")
    best = effect.best
    if best.solved is None:
        return ("told", "faint")
    said = effect_words.points(best.solved.estimate)
    if effect.quarantine:
        return (f"⚠{said}", "warn")
    ink = {Verdict.HELPS: "good", Verdict.HARMS: "bad"}.get(best.verdict)
    return (said, ink) if ink else (f"{said}?", "text")


def state_span(o: Observation) -> Span:
    """Where it stands between the observer and the operator, in a word."""
    if o.merged_into:
        return ("merged" if len(o.merged_into) == 1 else "split", "faint")
    if o.flags and o.status is Status.PROPOSED:
        return ("⚠ flagged", "warn")
    inks = {Status.PINNED: "accent", Status.KEPT: "good", Status.EDITED: "good", Status.QUARANTINED: "warn"}
    return (str(o.status), inks.get(o.status, "faint"))
