"""Which branches of a trace are open: noted by their keys, and opened again as they are read. No Textual."""

from collections.abc import Iterable, Iterator, Sequence

from app.trace import Trace
from app.whereabouts import BRANCHES
from store.domain.ids import SubagentId
from widgets.outline import Item, Outline

LOOKED = 2000
"""Open branches that are looked at to choose among them."""


def chain(item: Item | None) -> tuple[str, ...]:
    """The keys of an item and of all that it is in, from the inside out."""
    keys: list[str] = []
    while item is not None:
        keys.append(item.key)
        item = item.parent
    return tuple(keys)


def opened(outline: Outline, row: int) -> list[str]:
    """The open branches, nearest to a row first."""
    found: list[tuple[int, str]] = []
    for item in _open(outline.top):
        at = outline.row(item)
        # What is open in a closed branch comes last.
        found.append((2**62 if at is None else abs(at - row), item.key))
        if len(found) == LOOKED:
            break
    return [key for _, key in sorted(found, key=lambda one: one[0])][:BRANCHES]


def _open(item: Item) -> Iterator[Item]:
    for one in item.opened:
        yield one
        yield from _open(one)


def closed(outline: Outline) -> list[str]:
    """The branches that begin open, and are closed: the run, and its generations."""
    first = [one for root in outline.roots for one in (root, *root.children)]
    return [item.key for item in first if not item.leaf and not item.open][-BRANCHES:]


class Unfolding:
    """Branches that are to be open as soon as they are there, what is no more never; and an item that is to be at the
    top, by its `chain`."""

    def __init__(self, keys: Iterable[str] = (), top: Sequence[str] = ()) -> None:
        self.left = list(keys)
        self.shown: Item | None = None
        """What is at the top for now."""
        self._top = top

    def go_on(self, trace: Trace) -> bool:
        """Open what is there by now; whether something was."""
        left, self.left = self.left, []
        for key in left:
            item = find(trace, key)
            if item is None:
                self.left.append(key)
            else:
                trace.outline.open(item)
        return len(self.left) < len(left)

    def top(self, trace: Trace) -> Item | None:
        """What is to be at the top, or what it will be in, each once as it is there."""
        for number, key in enumerate(self._top):
            if (item := find(trace, key)) is not None:
                self._top, self.shown = self._top[:number], item
                return item
        return None


def find(trace: Trace, key: str) -> Item | None:
    """An item by its key; a turn also when it is yet to be read."""
    item = trace.outline.find(key)
    label, found, place = key.rpartition(" #")
    if item is not None or not found or not place.isdecimal() or len(place) > len(str(2**31)):
        return item
    generation, _, number = label.partition(".")
    if not (generation.isdecimal() and number.isdecimal() and len(label) < len(str(2**31))):
        return None
    lane = trace.lanes.get(SubagentId(trace.run, int(generation), int(number)))
    if lane is None or not 0 < int(place) <= lane.turns:
        return None
    return trace.outline.child(lane.item, int(place) - 1)
