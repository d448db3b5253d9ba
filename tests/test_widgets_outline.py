"""The counted outline against a plain tree: whatever is done to it, its rows are those of the tree."""

import gc
import random

from hypothesis import given
from hypothesis import strategies as st

from widgets.outline import RECENT, Item, Outline, Range


def item(key: str, **more: object) -> Item:
    return Item(key, [(key, "text")], **more)  # type: ignore[arg-type]  # fields by name


def expected(outline: Outline) -> list[str]:
    keys: list[str] = []

    def walk(parent: Item) -> None:
        for place in range(parent.count):
            one = outline.child(parent, place)
            keys.append(one.key)
            if one.open:
                walk(one)

    walk(outline.top)
    return keys


def everything(outline: Outline) -> list[Item]:
    found: list[Item] = []
    stack = list(outline.roots)
    while stack:
        one = stack.pop()
        found.append(one)
        stack += [outline.child(one, place) for place in range(one.count)]
    return found


def ranged(key: str, count: int) -> Item:
    return item(key, range=Range(lambda place: item(f"{key}/{place}", blank=True), count), span=count)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_rows_are_those_of_the_tree(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    outline = Outline()
    for number in range(steps):
        items = everything(outline)
        match (
            chance.choice(("add", "add", "range", "at", "open", "open", "close", "remove", "extend")) if items else ""
        ):
            case "add" | "":
                parent = chance.choice([None, *items])
                row = outline.add(item(str(number), open=chance.random() < 0.5), parent)
                assert row is None or outline.rows[row].key == str(number)
            case "range":
                outline.add(ranged(str(number), chance.randint(0, 5)), chance.choice([None, *items]))
            case "at":
                parent = chance.choice(items)
                outline.add(item(str(number)), parent, chance.randint(0, len(parent.children)))
            case "open":
                before = len(outline.rows)
                assert outline.open(chance.choice(items)) == len(outline.rows) - before
            case "close":
                before = len(outline.rows)
                assert outline.close(chance.choice(items)) == before - len(outline.rows)
            case "remove":
                outline.remove(chance.choice([one for one in items if not one.blank]))
            case "extend":
                for one in items:
                    if one.range is not None:
                        outline.extend(one, 2)
                        break
        assert [row.key for row in outline.rows] == expected(outline)
        assert all(outline.row(row) == index for index, row in enumerate(outline.rows))
        assert all(
            outline.row_of(one.parent, one.place) == outline.row(one) for one in outline.rows if one.parent is not None
        )
        held = everything(outline)
        assert len(outline) == len(held)


def test_errors_count_in_all_that_is_above() -> None:
    outline = Outline()
    root, lane, turn = item("root", open=True), item("lane", open=True), item("turn", open=True)
    outline.add(root)
    outline.add(lane, root)
    outline.add(turn, lane)
    outline.add(item("fine"), turn)
    failed = item("failed", leaf=True, bad=1)
    outline.add(failed, turn)
    assert [each.bad for each in (root, lane, turn)] == [1, 1, 1]
    outline.remove(failed)
    assert [each.bad for each in (root, lane, turn)] == [0, 0, 0]


def test_who_has_a_range_counts_errors_by_itself() -> None:
    outline = Outline()
    lane = ranged("lane", 3)
    outline.add(lane)
    turn = outline.child(lane, 1)
    outline.add(item("failed", leaf=True, bad=1), turn)
    assert (turn.bad, lane.bad) == (1, 0)
    outline.blame(lane, 2)
    assert lane.bad == 2


def test_revealing_unfolds_what_is_above() -> None:
    outline = Outline()
    root, lane, turn = item("root"), item("lane"), item("turn")
    outline.add(root)
    outline.add(lane, root)
    outline.add(turn, lane)
    assert outline.row(turn) is None
    outline.reveal(turn)
    assert outline.row(turn) == 2


def test_a_hundred_thousand_items_are_no_matter() -> None:
    outline = Outline()
    root = item("root", open=True)
    outline.add(root)
    parent = root
    for number in range(100_000):
        if number % 100 == 0:
            parent = item(f"p{number}", open=True)
            outline.add(parent, root)
        outline.add(item(str(number), leaf=True), parent)
    assert len(outline.rows) == 101_001
    outline.close(root)
    assert len(outline.rows) == 1
    outline.open(root)
    assert len(outline.rows) == 101_001


def test_a_million_rows_take_the_memory_of_those_that_are_looked_at() -> None:
    outline = Outline()
    lane = ranged("lane", 1_000_000)
    outline.add(lane)
    outline.open(lane)
    assert len(outline.rows) == 1_000_001
    opened = outline.at(500_001)
    assert opened.key == "lane/500000"
    outline.add(item("inside"), opened)
    outline.open(opened)
    for row in range(0, 1_000_000, 100):
        outline.at(row)
    gc.collect()
    assert len(outline) <= RECENT + 5
    # What is open, and what somebody holds, stays the same item.
    assert outline.at(500_001) is opened
    assert outline.at(500_002).key == "inside"
    assert outline.at(500_003).key == "lane/500001"
    assert outline.row(outline.at(999_999)) == 999_999
