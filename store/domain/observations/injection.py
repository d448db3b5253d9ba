"""What the next generation is told: the most useful observations, in as many tokens as there is room for."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from store.domain.observations.model import (
    GONE,
    Claim,
    Document,
    Observation,
    Priority,
    Status,
    support,
)
from store.domain.safe_text import safe

BYTES_PER_TOKEN = 3.5
"""Anthropic's glossary gives 3.5 characters of English a token; counted in bytes, so that other scripts cost more."""

EXCERPT_LINES = 12
"""The most lines of an excerpt that an item may have."""
FIX_LINES = 60
"""The same for a fix: half of one is of no use."""
LINE = 160
"""Characters of a line of an excerpt."""

_APPROVED = frozenset({Status.KEPT, Status.EDITED, Status.PINNED})

_ORDER = (Claim.FIX, Claim.HALF, Claim.FAILED, Claim.WORSE, Claim.FACT, Claim.ENVIRONMENT, Claim.HYPOTHESIS)


@dataclass(frozen=True)
class Injection:
    """The text for a prompt, which observations are in it, and about how many tokens it takes."""

    text: str
    ids: tuple[str, ...]
    tokens: int


def tokens(text: str) -> int:
    """About how many tokens a text takes, rounded up: an estimate that needs no model's own tokeniser."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)


def injectable(observation: Observation) -> bool:
    """Whether a prompt may have it at all. What is flagged, and what is only informational (few items beat many), goes
    in on the operator's word alone."""
    if observation.status in GONE or observation.status is Status.QUARANTINED:
        return False
    proposed = not observation.flags and observation.priority is not Priority.INFORMATIONAL
    return proposed or observation.status in _APPROVED


def select(document: Document, cap: int, without: Collection[str] = ()) -> Injection:
    """The observations for the next prompt: pinned first, then by priority, by claim (fixes, half-working fixes, failed
    ones, the rest), by support and by how recent they are. One that has no room is left out; smaller ones still go in.

    Those that the lane is to be `without` are then taken out, and nothing comes in their place: what only lanes were
    told that lack something better would look as if it did harm.
    """
    chosen: list[Observation] = []
    text = ""
    for observation in sorted(filter(injectable, document.observations), key=_usefulness):
        longer = f"{text}\n{item(observation)}" if text else item(observation)
        if tokens(longer) <= cap:
            chosen.append(observation)
            text = longer
    told = [observation for observation in chosen if observation.id not in without]
    text = text if len(told) == len(chosen) else "\n".join(map(item, told))
    return Injection(text, tuple(observation.id for observation in told), tokens(text))


def item(observation: Observation) -> str:
    """One observation as a prompt has it. It cannot leave the fence that the prompt puts around it."""
    o = observation
    head = f"- [{o.priority}] ({o.id} · {o.claim} · {support(o)}) "
    first, *more = o.text.split("\n")
    lines = [head + first, *(f"  {line}" for line in more)]
    lines += [f"      {line}" for line in shortened(o.excerpt, FIX_LINES if o.claim is Claim.FIX else EXCERPT_LINES)]
    return safe("\n".join(lines)).replace("```", "'''")


def shortened(excerpt: Sequence[str], most: int) -> list[str]:
    """An excerpt within its bounds; what is left out is said."""
    lines = [line if len(line) <= LINE else line[: LINE - 1] + "…" for line in excerpt[:most]]
    if (left := len(excerpt) - most) > 0:
        lines.append(f"… {left} more {'line' if left == 1 else 'lines'} (recall can show the whole)")
    return lines


def _usefulness(observation: Observation) -> tuple[bool, int, int, int, int]:
    o = observation
    rank = _ORDER.index(o.claim) if o.claim in _ORDER else len(_ORDER)
    # Edits that made it no better and edits that made it worse rule out the same way.
    rank = min(rank, _ORDER.index(Claim.FAILED)) if o.claim is Claim.WORSE else rank
    return o.status is not Status.PINNED, list(Priority).index(o.priority), rank, -len(o.attempts), -o.last
