from backends.observer.attempt import Said, Step
from backends.observer.changes import Change, Workspace, excerpt, mark, parts, patch_changes, places, without
from tests.observer_tapes import numbered

STOCK = """\
import asyncio


class Stock:
    def __init__(self, count):
        self.count = count
        self.held = {}

    async def reserve(
        self, n
    ):
        held = self.count
        await asyncio.sleep(0)
        self.count = held - n

    async def release(self, n):
        self.count += n
"""


def step(name: str, result: str = "", **given: str) -> Step:
    return Step(name, given, Said("", 1), Said(result, 1), ok=True)


def changed(*steps: Step, root: str = "") -> tuple[Change, ...]:
    space = Workspace(root)
    for each in steps:
        (space.read if each.name == "read" else space.edit)(each)
    return space.changes()


def read(path: str = "shop/stock.py", text: str = STOCK) -> Step:
    return step("read", numbered(text), path=path)


def edit(old: str, new: str, path: str = "shop/stock.py") -> Step:
    return step("edit", path=path, old=old, new=new)


def test_a_change_knows_its_lines_and_its_place() -> None:
    (change,) = changed(read(), edit("self.count += n", "self.count = min(10, self.count + n)"))
    assert change.removed == ("        self.count += n",)
    assert change.added == ("        self.count = min(10, self.count + n)",)
    assert change.symbol == "Stock.release"
    assert places([change]) == "`shop/stock.py`, `Stock.release`"


def test_a_definition_over_several_lines_is_found() -> None:
    (change,) = changed(read(), edit("self.count = held - n", "self.count -= n"))
    assert change.symbol == "Stock.reserve"


def test_an_edit_that_is_taken_back_leaves_nothing() -> None:
    there, back = (
        edit("        self.held = {}\n", ""),
        edit("count\n\n    async", "count\n        self.held = {}\n\n    async"),
    )
    assert len(changed(read(), there)) == 1
    assert changed(read(), there, back) == ()
    # Also where the file was never read.
    assert changed(edit("a = 1", "a = 2"), edit("a = 2", "a = 1")) == ()
    assert changed(edit("a = 1", "a = 2"), edit("x\na = 2\n", "x\na = 1\n")) == ()


def test_edits_of_one_place_fold_together() -> None:
    (change,) = changed(edit("a = 1", "a = 2"), edit("a = 2", "a = 3"))
    assert (change.removed, change.added) == (("a = 1",), ("a = 3",))
    (change,) = changed(read(), edit("held - n", "held"), edit("self.count = held\n", "self.count = 0\n"))
    assert (change.removed, change.added) == (("        self.count = held - n",), ("        self.count = 0",))


def test_how_an_edit_was_cut_makes_no_difference() -> None:
    narrow = changed(read(), edit("+= n", "+= int(n)"))
    wide = changed(read(), edit(STOCK[-60:], STOCK[-60:].replace("+= n", "+= int(n)")))
    assert mark(narrow) == mark(wide)


def test_insertions_of_the_same_line_in_two_places_differ() -> None:
    one = changed(
        read(), edit("        held = self.count\n", "        held = self.count\n        await asyncio.sleep(1)\n")
    )
    two = changed(
        read(), edit("        self.count += n\n", "        self.count += n\n        await asyncio.sleep(1)\n")
    )
    assert one[0].added == two[0].added
    assert mark(one) != mark(two)
    assert one[0].excerpt() == ["          held = self.count", "+         await asyncio.sleep(1)"]


def test_a_moved_line_is_one_change() -> None:
    (change,) = changed(
        read(),
        edit(
            "        held = self.count\n        await asyncio.sleep(0)\n",
            "        await asyncio.sleep(0)\n        held = self.count\n",
        ),
    )
    assert len(change.removed) == len(change.added) == 2


def test_a_file_that_was_made() -> None:
    (change,) = changed(edit("", "x = 1\ny = 2\n", "new.py"))
    assert (change.path, change.removed, change.added) == ("new.py", (), ("x = 1", "y = 2"))


def test_reading_again_after_an_edit_keeps_what_was_there_at_first() -> None:
    after = STOCK.replace("+= n", "+= int(n)")
    once = changed(read(), edit("+= n", "+= int(n)"))
    assert changed(read(), edit("+= n", "+= int(n)"), read(text=after)) == once
    part = step("read", numbered("\n".join(after.split("\n")[-4:]), 13, 17), path="shop/stock.py")
    assert changed(read(), edit("+= n", "+= int(n)"), part) == once
    assert changed(edit("+= n", "+= int(n)"), read(text=after))[0].removed == ("        self.count += n",)


def test_a_file_that_changed_by_itself_is_noticed() -> None:
    space = Workspace()
    space.read(read())
    space.read(read(text=STOCK.replace("+= n", "+= 2")))
    assert "shop/stock.py" in space.uncertain


def test_a_read_that_was_cut_is_used_as_far_as_it_goes() -> None:
    text = numbered("a = 1\nb = 2", 1, 90) + "\n… lines 3 to 90 left out: read from line 3 …"
    (change,) = changed(step("read", text, path="x.py"), edit("b = 2", "b = 3", "x.py"))
    assert change.above == "a = 1"


def test_what_cat_printed_is_as_good_as_a_read() -> None:
    space = Workspace("/w/1.1")
    space.shown(step("run", f"exit code 0\n{STOCK.rstrip()}", command="cat /w/1.1/shop/stock.py"))
    space.edit(edit("self.count += n", "pass"))
    assert space.changes()[0].symbol == "Stock.release"


def test_paths_are_the_projects_own() -> None:
    (change,) = changed(edit("a", "b", "/w/1.1/./x.py"), root="/w/1.1")
    assert change.path == "x.py"


def test_parts_tell_neighbours_apart() -> None:
    lock = edit("        self.held = {}\n", "        self.held = {}\n        self.lock = asyncio.Lock()\n")
    more = edit("        self.lock = asyncio.Lock()\n", "        self.lock = asyncio.Lock()\n        self.bell = 1\n")
    one, both = changed(read(), lock), changed(read(), lock, more)
    assert parts(one) < parts(both)
    (left,) = without(both, parts(one))
    assert left.added == ("        self.bell = 1",)
    assert without(one, parts(both)) == ()
    # What was rewritten is not a part of how it was rewritten further.
    body = STOCK[STOCK.index("        held =") : STOCK.index("\n    async def release")]
    wrap = "        if n:\n" + "".join(f"    {line}\n" for line in body.rstrip().split("\n"))
    first = changed(
        read(), edit("        self.count = held - n\n", "        if n:\n            self.count = held - n\n")
    )
    second = changed(read(), edit(body, wrap))
    assert not parts(first) < parts(second)


PATCH = """\
diff --git a/shop/stock.py b/shop/stock.py
index 1..2 100644
--- a/shop/stock.py
+++ b/shop/stock.py
@@ -14,4 +14,5 @@ async def reserve(
         self.count = held - n

     async def release(self, n):
-        self.count += n
+        self.count = min(10, self.count + n)
+        return self.count
diff --git a/new.py b/new.py
new file mode 100644
--- /dev/null
+++ b/new.py
@@ -0,0 +1,2 @@
+--- x
+y = 2
"""


def test_a_patch_is_read() -> None:
    first, second = patch_changes(PATCH)
    assert (first.path, first.removed, len(first.added)) == ("shop/stock.py", ("        self.count += n",), 2)
    assert (second.path, second.added) == ("new.py", ("--- x", "y = 2"))
    assert excerpt([first, second])[0::4] == ("@ shop/stock.py", "@ new.py")
