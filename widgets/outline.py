"""A tree whose rows are counted, not listed: cheap to grow, to fold and to draw, however large it is.

Each item knows how many rows are under it while it is open, and its parent which of its children are open. So a row is
found, and an item's row, by a search through the open ones alone. Children that are in the record are known by their
number (`Range`), and made when somebody looks at them.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload
from weakref import WeakValueDictionary

from widgets.ink import Line

RECENT = 1024
"""Children of a range that are kept though nobody holds them: more than any screen shows."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What an item and all under it used: tokens, US dollars, seconds. Not `priced`, the dollars are a lower bound."""

    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    priced: bool = True


@dataclass(eq=False, slots=True, weakref_slot=True)
class Item:
    """One node. `line` is what it shows; `leaf` has nothing under it; `bad` counts the errors in and under it.

    `data` is the owner's. `loaded` is false while something of its children is still to be read from the record,
    `blank` is true while all of it is. `place` is its place among its parent's children, `span` the rows under it when
    it is open.
    """

    key: str
    line: Line
    parent: "Item | None" = None
    leaf: bool = False
    open: bool = False
    loaded: bool = True
    bad: int = 0
    data: object = None
    depth: int = 0
    figures: Figures | None = None
    children: list["Item"] = field(default_factory=list)
    """Those that are held; they come after those of the range."""
    range: "Range | None" = None
    blank: bool = False
    place: int = 0
    span: int = 0
    opened: list["Item"] = field(default_factory=list)
    """Its children that are open, in order."""
    sums: list[int] = field(default_factory=list)
    """On which row under it each of those is; a beginning of the list, the rest is yet to be summed up."""

    @property
    def count(self) -> int:
        """Children, held or not."""
        return len(self.children) + (self.range.count if self.range else 0)


class Range:
    """Children that are in the record: so many of them, made by `make` when somebody looks. `keep` holds all that were
    made, where there is no record to read them from again."""

    def __init__(self, make: Callable[[int], Item], count: int = 0, *, keep: bool = False) -> None:
        self.count = count
        self._make = make
        self._keep = keep
        self._known: WeakValueDictionary[int, Item] = WeakValueDictionary()
        self._recent: OrderedDict[int, Item] = OrderedDict()

    def held(self) -> list[Item]:
        """The children that are there."""
        return list(self._known.values())

    def known(self, place: int) -> Item | None:
        """The child of a place, when it is there."""
        return self._known.get(place)

    def take(self, place: int) -> tuple[Item, bool]:
        """The child of a place, and whether it was made now."""
        item = self._known.get(place)
        fresh = item is None
        if item is None:
            item = self._known[place] = self._make(place)
        self._recent[place] = item
        if not self._keep:
            self._recent.move_to_end(place)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return item, fresh


class Rows(Sequence[Item]):
    """The visible items, in order."""

    def __init__(self, outline: "Outline") -> None:
        self._outline = outline

    def __len__(self) -> int:
        return self._outline.top.span

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._outline.at(row) for row in range(*index.indices(len(self)))]
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(index)
        return self._outline.at(row)

    def __iter__(self) -> Iterator[Item]:
        return (self._outline.at(row) for row in range(len(self)))


class Outline:
    """The tree. `rows` are the visible items in order, what a widget draws."""

    def __init__(self) -> None:
        self.top = Item("", [], open=True, depth=-1)
        """What all roots are under; never shown."""
        self.rows = Rows(self)
        self.version = 0
        """Changes with every change of the rows."""
        self._items: WeakValueDictionary[str, Item] = WeakValueDictionary()

    def __len__(self) -> int:
        """Items that are held."""
        return len(self._items)

    @property
    def roots(self) -> list[Item]:
        return self.top.children

    def find(self, key: str) -> Item | None:
        """The item of a key, among those that are held."""
        return self._items.get(key)

    def add(self, item: Item, parent: Item | None = None, at: int | None = None) -> int | None:
        """Add an item as the last child of `parent` (or at an index of those that are held); the row where it became
        visible, if it did. ValueError when the key is taken."""
        if item.key in self._items:
            raise ValueError(f"two items called {item.key}")
        above = parent or self.top
        at = len(above.children) if at is None else at
        before = above.range.count if above.range else 0
        item.parent, item.depth, item.place = parent, above.depth + 1, before + at
        above.children.insert(at, item)
        for later in above.children[at + 1 :]:
            later.place += 1
        self._items[item.key] = item
        if item.bad:
            self._count(parent, item.bad)
        first = bisect_left(above.opened, item.place, key=_place)
        if at + 1 < len(above.children):
            del above.sums[first:]
        if item.open:
            above.opened.insert(first, item)
            del above.sums[first:]
        self._grow(above, 1)
        return self.row(item)

    def remove(self, item: Item) -> None:
        """Take an item out that is held, with all under it."""
        above = item.parent or self.top
        at = above.children.index(item)
        if item.bad:
            self._count(item.parent, -item.bad)
        first = bisect_left(above.opened, item.place, key=_place)
        if item.open:
            del above.opened[first]
        del above.sums[first:]
        del above.children[at]
        for later in above.children[at:]:
            later.place -= 1
        self._grow(above, -1 - (item.span if item.open else 0))
        stack = [item]
        while stack:
            one = stack.pop()
            self._items.pop(one.key, None)
            stack += [*one.children, *(one.range.held() if one.range else ())]

    def extend(self, parent: Item, by: int = 1) -> None:
        """More children came to a range."""
        assert parent.range is not None
        first = bisect_left(parent.opened, parent.range.count, key=_place)
        parent.range.count += by
        for item in parent.children:
            item.place += by
        del parent.sums[first:]
        self._grow(parent, by)

    def child(self, parent: Item, place: int) -> Item:
        """A child by its place, made when it is in the record alone."""
        if parent.range is None:
            return parent.children[place]
        if place >= parent.range.count:
            return parent.children[place - parent.range.count]
        item, fresh = parent.range.take(place)
        if fresh:
            item.parent, item.depth, item.place = parent, parent.depth + 1, place
            self._items[item.key] = item
        return item

    def blame(self, item: Item, errors: int = 1) -> None:
        """Count errors at an item, and at all above it as far as they are held: who has a range counts by itself."""
        item.bad += errors
        self._count(item.parent, errors)

    def at(self, row: int) -> Item:
        """The item of a visible row."""
        item = self.top
        while True:
            sums = self._summed(item)
            nearest = bisect_right(sums, row) - 1
            if nearest < 0:
                return self.child(item, row)
            child = item.opened[nearest]
            inside = row - sums[nearest]
            if inside == 0:
                return child
            if inside > child.span:
                return self.child(item, child.place + inside - child.span)
            item, row = child, inside - 1

    def row(self, item: Item) -> int | None:
        """Where an item is among the visible rows; None when it is folded away."""
        row = -1
        one: Item | None = item
        while one is not None:
            above = one.parent or self.top
            if not above.open:
                return None
            row += 1 + self._before(above, one.place)
            one = one.parent
        return row

    def row_of(self, parent: Item, place: int) -> int | None:
        """Where a child of `parent` is, whether it has been made or not; None when it is folded away."""
        above = self.row(parent)
        return None if above is None or not parent.open else above + 1 + self._before(parent, place)

    def open(self, item: Item) -> int:
        """Unfold an item; how many rows came."""
        if item.leaf or item.open:
            return 0
        item.open = True
        above = item.parent or self.top
        first = bisect_left(above.opened, item.place, key=_place)
        above.opened.insert(first, item)
        del above.sums[first:]
        self._grow(above, item.span)
        return item.span if self.row(item) is not None else 0

    def close(self, item: Item) -> int:
        """Fold an item; how many rows went."""
        if not item.open:
            return 0
        seen = self.row(item) is not None
        item.open = False
        above = item.parent or self.top
        first = bisect_left(above.opened, item.place, key=_place)
        del above.opened[first], above.sums[first:]
        self._grow(above, -item.span)
        return item.span if seen else 0

    def reveal(self, item: Item) -> None:
        """Unfold everything above an item."""
        chain: list[Item] = []
        above = item.parent
        while above is not None:
            chain.append(above)
            above = above.parent
        for each in reversed(chain):
            self.open(each)

    def _before(self, parent: Item, place: int) -> int:
        """Rows between an open parent and its child of that place."""
        earlier = bisect_left(parent.opened, place, key=_place)
        if not earlier:
            return place
        last = parent.opened[earlier - 1]
        return place - last.place + self._summed(parent, earlier)[earlier - 1] + last.span

    @staticmethod
    def _summed(item: Item, most: int | None = None) -> list[int]:
        """On which row under an item each of its open children is; at least of the first `most`."""
        opened, sums = item.opened, item.sums
        for number in range(len(sums), len(opened) if most is None else most):
            last = number - 1
            spans = sums[last] - opened[last].place + opened[last].span if number else 0
            sums.append(opened[number].place + spans)
        return sums

    def _grow(self, item: Item, rows: int) -> None:
        """More rows are under an item, and under all that show it."""
        self.version += 1
        while True:
            item.span += rows
            if not item.open or item is self.top:
                return
            above = item.parent or self.top
            del above.sums[bisect_right(above.opened, item.place, key=_place) :]
            item = above

    @staticmethod
    def _count(item: Item | None, errors: int) -> None:
        while item is not None and item.range is None:
            item.bad += errors
            item = item.parent


def _place(item: Item) -> int:
    return item.place


def within(item: Item, other: Item) -> bool:
    """Whether an item is the other one, or under it."""
    above: Item | None = item
    while above is not None and above is not other:
        above = above.parent
    return above is other
