"""What the next generation reads of the observations: for each lane where lanes differ, against the cap. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.gate import AtGate
from store.domain.observations import Document, Injection, Observation, Status, injectable, select, tokens
from store.domain.observations.injection import item
from store.domain.observations.model import GONE
from store.domain.secrets import shown_line
from widgets import paint
from widgets.ink import Line


@dataclass(frozen=True)
class Reading:
    """Lanes that read the same. `without` is what is kept from them by lot; none of `lanes` is a prompt of nobody's
    yet."""

    lanes: tuple[int, ...]
    told: Injection
    clean: bool = False
    without: tuple[str, ...] = ()

    @property
    def named(self) -> str:
        """Whose it is."""
        if not self.lanes:
            return "a prompt"
        return f"lane {self.lanes[0]}" if len(self.lanes) == 1 else f"lanes {', '.join(map(str, self.lanes))}"


def readings(gate: AtGate, document: Document) -> tuple[Reading, ...]:
    """What the lanes of the next generation read, those that are told most first; what any prompt would get where there
    is no next one."""
    if not gate.lanes:
        return (Reading((), select(document, gate.cap)),)
    found: dict[tuple[bool, tuple[str, ...]], Reading] = {}
    for lane in gate.lanes:
        key = (lane.plan.clean, lane.told.ids)
        known = found.get(key)
        told = (*(known.lanes if known else ()), lane.plan.lane)
        missing = tuple(name for name in lane.plan.without if name not in lane.told.ids)
        found[key] = Reading(told, lane.told, lane.plan.clean, missing)
    return tuple(sorted(found.values(), key=lambda one: (one.clean, -len(one.told.ids), one.lanes)))


def no_room(document: Document, told: Injection) -> list[Observation]:
    """What would be told if the cap were higher; `told` is what is, with nothing kept back by lot."""
    return [o for o in document.observations if injectable(o) and o.id not in told.ids]


def withheld(document: Document) -> list[str]:
    """How many go into no prompt until the operator says so, by why."""
    there = [o for o in document.observations if o.status not in GONE and not injectable(o)]
    quarantined = sum(o.status is Status.QUARANTINED for o in there)
    flagged = sum(o.status is not Status.QUARANTINED and bool(o.flags) for o in there)
    rest = len(there) - quarantined - flagged
    said = [(quarantined, "quarantined"), (flagged, "flagged and not approved"), (rest, "only informational")]
    return [f"{number} {why}" for number, why in said if number]


METER = 70
"""Cells from which there is room for a longer meter, and more words."""


def meter(used: int, cap: int, room: int) -> Line:
    """How much of the cap is used, on a line of `room` cells."""
    cells = 10 if room >= METER else 5
    share = min(round(cells * used / max(cap, 1)), cells)
    said = f" {used:,}/{cap:,} {'tokens ' if cells >= 10 else ''}"
    return [("▰" * share, "accent"), ("▱" * (cells - share), "faint"), (said, "text")]


def lines(reading: Reading, document: Document, cap: int) -> list[Line]:
    """The text exactly as a prompt has it, and what is not in it and why."""
    found: list[Line] = []
    if reading.clean:
        found.append([("Nothing: a clean lane is the control, and has no memory.", "faint")])
    elif reading.told.text:
        found += paint.prose(reading.told.text)
    else:
        found.append([("Nothing: no observation goes in yet.", "faint")])
    names = {o.id: o for o in document.observations}
    if reading.without and not reading.clean:
        found += [[], [("Kept from it by lot, to see whether it helps", "strong")]]
        found += [_named(names[name]) for name in reading.without if name in names]
    whole = select(document, cap)
    left = no_room(document, whole)
    if left and not reading.clean:
        found += [[], [(f"No room under {cap:,} tokens", "warn"), ("  pin one to let it go first", "faint")]]
        found += map(_named, left)
    if not reading.clean and (kept_back := withheld(document)):
        found += [[], [(f"In no prompt until you approve it: {', '.join(kept_back)}.", "faint")]]
    return found


def _named(o: Observation) -> Line:
    return [(f"  {o.id}", "strong"), (f" {tokens(item(o)):>5} tokens  ", "faint"), (shown_line(o.text, 300), "faint")]


def heading(reading: Reading, number: int, known: int, cells: int) -> Line:
    """Whose text it is, and how much of what is known is in it."""
    said = f" generation {number} is told" if number and reading.lanes else " a prompt would get"
    told = len(reading.told.ids)
    return [(said, "strong"), (f"  {told} of {known} " if cells >= METER else f" {told}/{known} ", "faint")]


def whose(reading: Reading, all_of: Sequence[Reading], key: str) -> list[Line]:
    """Where lanes read different texts: which of them read this one. `key` shows the next text."""
    if len(all_of) < 2:
        return []
    at, named = all_of.index(reading) + 1, reading.named
    line: Line = [(f"{named[:1].upper()}{named[1:]}", "accent"), (f"  text {at} of {len(all_of)}, ", "faint")]
    return [[*line, (key, "key"), (" the next", "faint")], []]
