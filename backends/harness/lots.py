"""Who is told what: where a generation has enough lanes with memory, one observation is kept from one of them, by lot.

Of every four lanes with memory one is a probe, and each probe lacks another observation. So a lane without it stands
beside lanes with it in the same generation, told the same in everything else, which is what `store.domain.effect`
compares. More than one at a time would be quicker and wrong: what is kept from a lane together with something that
helps would look as if it helped. The lots hang on the run's seed, the generation and the observation alone: whoever
draws again draws the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from store.domain.observations import Document, Observation, Status, select
from store.domain.strategy import LanePlan

LANES_A_PROBE = 4
"""Lanes with memory for each that is told less."""
LEAST = 2
"""Observations that may be kept from somebody, from which on it is done: a probe is told some."""

_SAID = "To compare, by lot,"


def dealt(
    plans: Sequence[LanePlan],
    document: Document | None,
    cap: int,
    *,
    seed: int,
    generation: int,
    before: Mapping[str, int] | None = None,
) -> tuple[LanePlan, ...]:
    """The lanes with what is kept from each, drawn by lot, and why. `before` counts from how many lanes of this run an
    observation was kept already: those with the fewest come first. What is pinned is kept from nobody."""
    fresh = [replace(plan, without=(), why=plan.why.partition(_SAID)[0].rstrip()) for plan in plans]
    remembering = [plan.lane for plan in fresh if not plan.clean]
    told = _loose(document, cap)
    probes = min(len(remembering) // LANES_A_PROBE, len(told))
    if not probes or len(told) < LEAST:
        return tuple(fresh)
    kept = before or {}
    lanes = sorted(remembering, key=lambda lane: _lot(seed, generation, f"lane {lane}"))[:probes]
    drawn = sorted(told, key=lambda o: (kept.get(o.id, 0), _lot(seed, generation, o.fingerprint)))
    lacks = {lane: o.id for lane, o in zip(lanes, drawn, strict=False)}
    return tuple(_with(plan, lacks.get(plan.lane), len(told)) for plan in fresh)


def _with(plan: LanePlan, without: str | None, told: int) -> LanePlan:
    if without is None:
        return plan
    why = f"{plan.why} {_SAID} it is not told {without}, one of {told} observations."
    return replace(plan, without=(without,), why=why.strip())


def _loose(document: Document | None, cap: int) -> list[Observation]:
    """What a lane would be told and may be kept from one, in the order of a prompt."""
    if document is None:
        return []
    known = {o.id: o for o in document.observations}
    return [known[name] for name in select(document, cap).ids if known[name].status is not Status.PINNED]


def _lot(seed: int, generation: int, what: str) -> bytes:
    return blake2b(f"{seed} {generation} {what}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
