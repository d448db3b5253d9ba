"""What attempts say of the observations in their prompts, held against what their tapes show.

A word costs nothing: a citation counts as shown only where the tape has what using the observation would leave behind.
Edits that helped leave their lines in what the attempt wrote; a fact leaves the name of its subject in a tool call.
Edits that failed are used by not making them, which no tape can show; making them again is shown, and is the opposite.
"""

import json
import re
from collections.abc import Collection, Iterator

from backends.observer.attempt import Attempt, Said
from backends.observer.evidence import span
from store.domain.observations import Claim, Document, Observation
from store.domain.observations.citing import Citation
from store.domain.safe_text import safe_line

HALF = 0.5
"""The share of an observation's added lines that an attempt must have written."""
LEAST = 4
"""Characters of a name that says something when it stands in a tool call."""

_ID = re.compile(r"\bo-[0-9a-z]{4,32}\b")
_SPAN = re.compile(r"`([^`\n]+)`")
_AROUND = 60
"""Characters quoted before an id, and after it."""


def citations(attempt: Attempt, document: Document, given: Collection[str]) -> tuple[Citation, ...]:
    """The observations of its prompt that an attempt names, each once, where it first did, and whether its tape bears
    that out. What it was not given it can't have used: such a name is no citation."""
    known = {o.id: o for o in document.observations}
    found: dict[str, Citation] = {}
    for said in _words(attempt):
        for match in _ID.finditer(said.text):
            name = match[0]
            if name in found or name not in given or name not in known:
                continue
            start, end = _line(said.text, match.start(), match.end())
            for evidence in span(attempt.subagent, said, start, end):
                shown, why = _borne_out(attempt, known[name])
                found[name] = Citation(name, evidence, shown, why)
    return tuple(found[name] for name in sorted(found))


def _words(attempt: Attempt) -> Iterator[Said]:
    yield from attempt.said
    for step in attempt.steps:
        if step.name == "submit":
            yield step.asked


def _line(text: str, start: int, end: int) -> tuple[int, int]:
    """The line around a name, as far as it is to be quoted."""
    first = max(text.rfind("\n", 0, start) + 1, start - _AROUND)
    stop = text.find("\n", end)
    return first, min(stop if stop >= 0 else len(text), end + _AROUND)


def _borne_out(attempt: Attempt, observation: Observation) -> tuple[bool | None, str]:
    added = [line[1:].strip() for line in observation.excerpt if line.startswith("+") and line[1:].strip()]
    if observation.claim in (Claim.FAILED, Claim.WORSE):
        if added and _share(attempt, added) == 1.0:
            return False, "it made the same edits again"
        return None, "it is used by not making those edits, which no tape can show"
    if added:
        written = round(_share(attempt, added) * len(added))
        said = f"{written} of {len(added)} added lines are in what it wrote"
        return written >= HALF * len(added), said
    names = list(_names(observation))
    if not names:
        return None, "it names nothing that a tool call could show"
    calls = [step.asked.text for step in attempt.steps if step.name not in ("submit", "recall")]
    if observation.claim is Claim.ENVIRONMENT:
        # What is missing is used by doing without it.
        return None, "it is used by doing without, which no tape can show"
    # A tool call is JSON on the tape: so is the name, to be found in it.
    met = next((name for name in names if any(json.dumps(name)[1:-1] in call or name in call for call in calls)), None)
    if met is None:
        return False, "no tool call has any of what it names in it"
    return True, f"a tool call has `{safe_line(met, 60)}` in it"


def _share(attempt: Attempt, added: Collection[str]) -> float:
    """The share of these lines that it wrote: in its patch, or in an edit that was carried out."""
    wrote = {line[1:].strip() for line in attempt.patch.splitlines() if line.startswith("+")}
    for step in attempt.steps:
        if step.name in ("edit", "write") and step.ok:
            wrote.update(line.strip() for line in step.argument("new").splitlines())
    return sum(line in wrote for line in added) / len(added)


def _names(observation: Observation) -> Iterator[str]:
    """What an observation is about, as a tool call may name it: what stands in code spans, and the last part of a path
    or a dotted name."""
    for match in _SPAN.finditer(observation.text):
        for name in (match[1], re.split(r"[./]", match[1].rstrip("()"))[-1]):
            if len(name.strip()) >= LEAST:
                yield name.strip()
