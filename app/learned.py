"""What was learned, as it is listed: what is known of each observation, and which of them a filter leaves. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from store.domain import effect_words
from store.domain.effect import Effect, Effects, Verdict
from store.domain.observations import Document, Observation, Priority, injectable, tokens
from store.domain.observations.comparing import compare
from store.domain.observations.conflicts import conflicts
from store.domain.observations.injection import item
from store.domain.observations.model import GONE


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

    @property
    def option(self) -> str:
        """The word for it on the command line."""
        return self.value.replace(" ", "-")


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


def difference(effect: Effect | None) -> str:
    """By how many percentage points more lanes solve it that were told it; `?` where that may be chance, `⚠` where it
    is proposed for quarantine, `told` where there is nothing to compare, `–` where nobody was told."""
    if effect is None or not effect.given.count.lanes:
        return "–"
    best = effect.best
    if best.solved is None:
        return "told"
    said = effect_words.points(best.solved.estimate)
    if effect.quarantine:
        return f"⚠{said}"
    return said if best.verdict in (Verdict.HELPS, Verdict.HARMS) else f"{said}?"
