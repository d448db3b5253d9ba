"""Who is told what: where a generation has enough lanes with memory, some are told only a part, by lot.

Of every four lanes with memory one is a probe: half of the observations are kept from it, or as many parts as there are
probes, each from another. So lanes with an observation stand beside lanes without it in the same generation, which is
what `store.domain.effect` compares, at the cost of a quarter of the lanes knowing less. The lots hang on the run's
seed, the generation and the observation alone: whoever draws again draws the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from store.domain.observations import Document, Observation, Status, select
from store.domain.strategy import LanePlan

LANES_A_PROBE = 4
"""Lanes with memory for each that is told less."""
LEAST = 2
"""Observations that may be kept from somebody, from which on it is done: a probe is told some."""


def dealt(
    plans: Sequence[LanePlan], document: Document | None, cap: int, *, seed: int, generation: int
) -> tuple[LanePlan, ...]:
    """The lanes with what is kept from each, drawn by lot, and why. What is pinned is kept from nobody."""
    fresh = [replace(plan, without=(), why=plan.why.partition(_SAID)[0].rstrip()) for plan in plans]
    remembering = [plan.lane for plan in fresh if not plan.clean]
    probes = len(remembering) // LANES_A_PROBE
    told = _loose(document, cap)
    if not probes or len(told) < LEAST:
        return tuple(fresh)
    drawn = sorted(remembering, key=lambda lane: _lot(seed, generation, f"lane {lane}"))[:probes]
    shuffled = sorted(told, key=lambda o: _lot(seed, generation, o.fingerprint))
    parts = max(probes, 2)
    kept = {lane: {o.id for o in shuffled[at::parts]} for at, lane in enumerate(sorted(drawn))}
    return tuple(_with(plan, [o.id for o in told if o.id in kept.get(plan.lane, ())], len(told)) for plan in fresh)


_SAID = "To compare, by lot,"


def _with(plan: LanePlan, without: Sequence[str], told: int) -> LanePlan:
    if not without:
        return plan
    why = f"{plan.why} {_SAID} it is not told {len(without)} of {told} observations."
    return replace(plan, without=tuple(without), why=why.strip())


def _loose(document: Document | None, cap: int) -> list[Observation]:
    """What a lane would be told and may be kept from one, in the order of a prompt."""
    if document is None:
        return []
    known = {o.id: o for o in document.observations}
    return [known[name] for name in select(document, cap).ids if known[name].status is not Status.PINNED]


def _lot(seed: int, generation: int, what: str) -> bytes:
    return blake2b(f"{seed} {generation} {what}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
