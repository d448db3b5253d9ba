"""One observation in full: its text, its evidence, what it did, and what disagrees about it. Pure."""

from collections.abc import Sequence

from app.learned import Entry
from app.learned_lines import effect_span, state_span
from store.domain import effect_words
from store.domain.observations import Author, Evidence, Observation, Status
from store.domain.observations.comparing import Difference, in_words
from store.domain.observations.conflicts import Conflict
from store.domain.observations.model import support
from store.domain.secrets import shown, shown_line
from widgets import paint
from widgets.ink import Line
from widgets.words import count

QUOTED = 400
"""Characters of a quote."""


def heading(entry: Entry) -> Line:
    """Which one it is, in a line."""
    o = entry.observation
    line: Line = [(f" {o.id}", "strong"), (f" · {o.claim}  ", "text")]
    if o.status is not Status.PROPOSED:
        line.append(state_span(o))
    if o.flags:
        line.append((f" ⚠ {', '.join(o.flags)}", "warn"))
    return [*line, (f"  {shown_line(support(o))}", "faint")]


def lines(
    entry: Entry,
    run: str,
    chosen: int,
    conflicts: Sequence[Conflict],
    since: Difference | None,
    keys: tuple[str, str],
) -> tuple[list[Line], int]:
    """What there is to read, and the line on which the chosen piece of evidence stands. `keys` opens the evidence, and
    settles a conflict."""
    o = entry.observation
    found: list[Line] = [*paint.prose(shown(o.text))]
    if o.excerpt:
        found += [[], *_excerpt(o)]
    for conflict in conflicts:
        found += [[], [(f"◇ Its {conflict.field} is in conflict. ", "warn"), (shown_line(conflict.said), "text"),
                       (f"  {keys[1]}", "key"), (" settles it", "faint")]]  # fmt: skip
        found += [[("  ", "text"), *line] for line in paint.plain(shown(conflict.value), "faint")]
    at = len(found) + 2
    if o.evidence:
        found += [[], [(f"Evidence  {count(len(o.evidence), 'span')}", "strong"), (f"  {keys[0]}", "key"),
                       (" opens the trace at it", "faint")]]  # fmt: skip
        for number, evidence in enumerate(o.evidence):
            here = number == min(chosen, len(o.evidence) - 1)
            at = len(found) if here else at
            found.append(_evidence(evidence, o, run, here=here))
    else:
        found += [[], [("No evidence on a tape: ", "faint"), (_whose(o), "faint")]]
    found += [[], [("Effect  ", "strong"), effect_span(entry.effect)]]
    told = effect_words.told(entry.effect) if entry.effect is not None else ["No lane has been told it yet."]
    found += [[(sentence, "warn" if sentence.startswith("Proposed") else "text")] for sentence in told]
    found += [[], [(_history(entry, since), "faint")]]
    return found, at if o.evidence else 0


def _excerpt(o: Observation) -> list[Line]:
    return [
        [(shown_line(line) if line.startswith("@") else shown(line).replace("\n", "␊"), _ink(line))]
        for line in o.excerpt
    ]


def _ink(line: str) -> str:
    return {"+": "added", "-": "removed", "@": "accent"}.get(line[:1], "text")


def _evidence(evidence: Evidence, o: Observation, run: str, *, here: bool) -> Line:
    who = evidence.subagent
    label = who.label if who.run == run else str(who)
    turn = f" turn {evidence.turn}" if evidence.turn else ""
    line: Line = [("› " if here else "  ", "accent"), (f"{label}{turn} ", "strong" if here else "text")]
    if who in o.contradicted_by:
        line.append(("measured otherwise ", "bad"))
    return [*line, (f"“{shown_line(evidence.quote, QUOTED)}”", "code-string")]


def _whose(o: Observation) -> str:
    return "your own words." if o.author is Author.OPERATOR else f"it is the {o.author}'s."


def _history(entry: Entry, since: Difference | None) -> str:
    o = entry.observation
    seen = f"generation {o.first}" if o.first == o.last else f"generations {o.first} to {o.last}"
    said = [f"Found in {seen}" if o.attempts else "Written by hand", f"words of the {o.author}"]
    if since is not None:
        said.append(f"since the latest generation was told: {in_words(since)}")
    if o.given_to:
        said.append(f"given to {', '.join(who.label for who in o.given_to[:12])}")
    if o.cited_by:
        said.append(f"cited by {', '.join(who.label for who in o.cited_by[:12])}")
    if o.merged_into:
        said.append(f"went into {', '.join(o.merged_into)}")
    return "; ".join(said) + "."
