"""The flat outline against a plain tree: whatever is done to it, its rows are those of the tree."""

import random

from hypothesis import given
from hypothesis import strategies as st

from widgets.outline import Item, Outline


def item(key: str, **more: object) -> Item:
    return Item(key, [(key, "text")], **more)  # type: ignore[arg-type]  # fields by name


def expected(outline: Outline, shown: object = None) -> list[str]:
    keys: list[str] = []

    def walk(items: list[Item]) -> None:
        for one in items:
            if callable(shown) and not shown(one):
                continue
            keys.append(one.key)
            if one.open:
                walk(one.children)

    walk(outline.roots)
    return keys


def everything(outline: Outline) -> list[Item]:
    found: list[Item] = []
    stack = list(outline.roots)
    while stack:
        one = stack.pop()
        found.append(one)
        stack += one.children
    return found


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_rows_are_those_of_the_tree(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    outline = Outline()
    for number in range(steps):
        items = everything(outline)
        match chance.choice(("add", "add", "add", "at", "open", "close", "remove")) if items else "add":
            case "add":
                parent = chance.choice([None, *items])
                row = outline.add(item(str(number), open=chance.random() < 0.5), parent)
                assert row is None or outline.rows[row].key == str(number)
            case "at":
                parent = chance.choice(items)
                outline.add(item(str(number)), parent, chance.randint(0, len(parent.children)))
            case "open":
                before = len(outline.rows)
                assert outline.open(chosen := chance.choice(items)) == len(outline.rows) - before or chosen.leaf
            case "close":
                before = len(outline.rows)
                assert outline.close(chance.choice(items)) == before - len(outline.rows)
            case "remove":
                outline.remove(chance.choice(items))
        assert [row.key for row in outline.rows] == expected(outline)
        assert all(outline.row(row) == index for index, row in enumerate(outline.rows))
        assert len(outline) == len(everything(outline))


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
    outline.only(lambda one: one.bad > 0)
    assert [row.key for row in outline.rows] == ["root", "lane", "turn", "failed"]
    outline.only(None)
    outline.remove(failed)
    assert [each.bad for each in (root, lane, turn)] == [0, 0, 0]


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
