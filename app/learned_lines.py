"""The lines of the list of what was learned. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence

from app.learned import Entry, difference
from store.domain.effect import Effect, Verdict
from store.domain.observations import Claim, Observation, Priority, Status
from store.domain.secrets import shown_line
from widgets.ink import Line, Span, cut, width
from widgets.picklist import Row

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
    """What it made of a difference, as `learned.difference` says it."""
    said = difference(effect)
    if effect is None or said in ("–", "told"):
        return (said, "faint")
    if effect.quarantine:
        return (said, "warn")
    return (said, {Verdict.HELPS: "good", Verdict.HARMS: "bad"}.get(effect.best.verdict, "text"))


def state_span(o: Observation) -> Span:
    """Where it stands between the observer and the operator, in a word."""
    if o.merged_into:
        return ("merged" if len(o.merged_into) == 1 else "split", "faint")
    if o.flags and o.status is Status.PROPOSED:
        return ("⚠ flagged", "warn")
    inks = {Status.PINNED: "accent", Status.KEPT: "good", Status.EDITED: "good", Status.QUARANTINED: "warn"}
    return (str(o.status), inks.get(o.status, "faint"))
