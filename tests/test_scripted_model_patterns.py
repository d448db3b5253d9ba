"""What the scripted model sees in code, and what it makes of it; all of it on code that no practice task has."""

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.practice.model.faults import Fault
from backends.practice.model.hunks import Hunk, edit, edits, once, render
from backends.practice.model.suspects import suspects

CLASS = '''"""A file."""

from somewhere import base


class Thing(base.Part):
    def __init__(self, other):
        super().__init__(other)
        self.room = 3
        self.guests = {}

'''


def found(body: str, fault: Fault, **more: str) -> list[str]:
    """What the file becomes with each repair of that kind."""
    text = CLASS + textwrap.indent(textwrap.dedent(body), "    ")
    files = {"x/thing.py": text, **more}
    made = []
    for each in suspects(files).hypotheses:
        if each.fault is fault:
            after = {p: render(t, frozenset(h for h in each.hunks if h.path == p)) for p, t in files.items()}
            for changed in after.values():
                ast.parse(changed)
            made.append("".join(after[path] for path in sorted(each.paths)))
    return made


def test_check_then_act_over_an_await() -> None:
    narrow, whole = found(
        """
        async def enter(self, who):
            if self.room < 1:
                return False
            await self.door.open()
            self.room -= 1
            return True
        """,
        Fault.RACE,
    )
    assert "import asyncio\n\nfrom somewhere import base" in whole
    assert "self.room = 3\n        self._enter_lock = asyncio.Lock()\n" in whole
    locked = "        async with self._enter_lock:\n            if self.room < 1:\n                return False\n"
    assert locked in whole
    assert "            self.room -= 1\n        return True" in whole
    assert "        async with self._enter_lock:\n            self.room -= 1\n" in narrow


FULL = "async def enter(self):\n    if not self.room:\n        return\n"


@pytest.mark.parametrize(
    "body",
    [
        f"{FULL}    self.room -= 1\n    await self.door.open()\n",
        FULL.replace("        return", "        await self.say()\n        return") + "    self.room -= 1\n",
        FULL.removeprefix("async ") + "    self.room -= 1\n",
        f"{FULL}    await self.door.open()\n    return self.guests\n",
    ],
)
def test_claimed_before_the_wait_is_no_race(body: str) -> None:
    assert found(body, Fault.RACE) == []


def test_lost_update_through_a_stale_read() -> None:
    narrow, whole, again = found(
        """
        async def add(self, n):
            before = self.room
            await self.log(n)
            self.room = before + n
        """,
        Fault.LOST_UPDATE,
    )
    assert "self.room = self.room + n" in again
    assert "async with self._add_lock:\n            before = self.room\n" in whole
    assert "async with self._add_lock:\n            self.room = before + n" in narrow


def test_lock_made_for_each_call_is_made_once() -> None:
    (once,) = found(
        """
        async def add(self, n):
            mutex = asyncio.Lock()
            async with mutex:
                if self.room:
                    await self.log(n)
                    self.room = 0
        """,
        Fault.PRIVATE_LOCK,
    )
    assert "mutex" not in once
    assert "async with self._add_lock:" in once


def test_lock_let_go_of_too_early() -> None:
    body = """
    def __init__(self):
        self.lock = asyncio.Lock()
        self.room = 1

    async def add(self, n):
        async with self.lock:
            free = self.room
        await self.log(n)
        self.room = free - n
    """
    text = "import asyncio\n\n\nclass Thing:\n" + textwrap.indent(textwrap.dedent(body), "    ")
    (each,) = (h for h in suspects({"t.py": text}).hypotheses if h.fault is Fault.EARLY_RELEASE)
    after = render(text, each.hunks)
    assert "            free = self.room\n            await self.log(n)\n            self.room = free - n" in after


def test_key_made_anew_for_each_attempt() -> None:
    (made,) = found(
        """
        async def pay(self):
            for attempt in range(3):
                ticket = uuid4().hex
                try:
                    return await self.ask("pay", {"ticket": ticket})
                except ConnectionError:
                    continue
        """,
        Fault.NEW_KEY,
    )
    assert "        ticket = uuid4().hex\n        for attempt in range(3):\n            try:" in made


def test_retry_after_a_timeout_and_without_a_pause() -> None:
    body = """
        async def pay(self):
            while True:
                try:
                    return await self.ask("pay")
                except (ConnectionError, asyncio.TimeoutError) as error:
                    log(error)
        """
    (blind,) = found(body, Fault.BLIND_RETRY)
    assert "except ConnectionError as error:" in blind
    (storm,) = found(body, Fault.STORM)
    assert "                log(error)\n                await asyncio.sleep(0.05)" in storm
    (endless,) = found(body, Fault.ENDLESS)
    assert "for _ in range(5):" in endless


def test_items_of_a_collection_are_no_attempts() -> None:
    body = """
        async def all(self):
            for guest in self.guests:
                try:
                    await self.ask(guest)
                except ConnectionError:
                    continue
        """
    assert found(body, Fault.STORM) == []


def test_slot_kept_by_an_exception() -> None:
    (made,) = found(
        """
        async def serve(self, who):
            self.room -= 1
            try:
                await self.cook(who)
            except TimeoutError:
                self.room += 1
                return None
            self.room += 1
            return who
        """,
        Fault.LEAK,
    )
    tail = made[made.index("self.room -= 1") :]
    assert tail.count("self.room += 1") == 1
    assert "        finally:\n            self.room += 1" in tail


def test_acquired_and_not_released_on_error() -> None:
    (made,) = found(
        """
        async def serve(self, who):
            await self.gate.acquire()
            await self.cook(who)
            self.gate.release()
        """,
        Fault.LEAK,
    )
    assert "try:\n            await self.cook(who)\n        finally:\n            self.gate.release()" in made


def test_inner_timeout_outlasts_the_outer() -> None:
    outer = (
        "import limits\n\n\nclass Front:\n    async def visit(self):\n"
        '        await self.ask("kitchen", "cook", timeout=limits.FRONT)\n'
    )
    inner = (
        'import limits\n\n\nclass Kitchen:\n    def __init__(self):\n        self.does = {"cook": self.cook}\n\n'
        "    async def cook(self):\n        await self.fetch()\n\n"
        '    async def fetch(self):\n        await self.ask("shed", "wood", timeout=limits.SHED)\n'
    )
    files = {"front.py": outer, "kitchen.py": inner, "limits.py": "FRONT = 2.0\nSHED = 5\n"}
    lower, longer = (h for h in suspects(files).hypotheses if h.fault is Fault.BUDGET)
    assert render(files["limits.py"], lower.hunks) == "FRONT = 2.0\nSHED = 1.0\n"
    assert render(files["limits.py"], longer.hunks) == "FRONT = 7.5\nSHED = 5\n"
    calm = {**files, "limits.py": "FRONT = 6.0\nSHED = 5\n"}
    assert [h for h in suspects(calm).hypotheses if h.fault is Fault.BUDGET] == []


def test_told_before_it_is_kept() -> None:
    (made,) = found(
        """
        async def take(self, order):
            await self.bus.publish(order)
            await self.store.save(order)
        """,
        Fault.ORDER,
    )
    assert made.index("save") < made.index("publish")


def test_code_that_cannot_be_read_is_left_alone() -> None:
    assert suspects({"a.py": "def broken(:\n", "b.txt": "async def"}).hypotheses == ()


LINES = st.lists(st.sampled_from(["a", "b", "    c", "", "d = 1", "a"]), min_size=1, max_size=12)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, frozenset[Hunk], frozenset[Hunk]]:
    """A file, and two sets of changes to it that don't clash."""
    lines = draw(LINES)
    hunks: list[Hunk] = []
    at = 0
    while at < len(lines):
        first = draw(st.integers(at, len(lines)))
        end = draw(st.integers(first, min(first + 3, len(lines))))
        added = tuple(draw(st.lists(st.sampled_from(["x", "    y", "a"]), max_size=3)))
        if added != tuple(lines[first:end]):
            hunks.append(Hunk("f", first, tuple(lines[first:end]), added))
        at = end + 1
    some = draw(st.sets(st.sampled_from(hunks))) if hunks else set()
    others = draw(st.sets(st.sampled_from(hunks))) if hunks else set()
    return "\n".join(lines) + "\n", frozenset(some), frozenset(others)


@given(changes())
def test_edits_lead_from_one_state_to_another_and_back(case: tuple[str, frozenset[Hunk], frozenset[Hunk]]) -> None:
    base, some, others = case
    text = render(base, some)
    for wanted, present in ((others, some), (some, others)):
        for each in edits("f", base, present, wanted):
            assert once(text, each.old)
            text = text.replace(each.old, each.new)
            assert once(text, each.new) or len(text) == len(each.new)
        assert text == render(base, wanted)


def test_an_edit_and_the_one_that_takes_it_back_are_mirror_images() -> None:
    before, after = "a\nb\nc\n", "a\nx\nc\n"
    there, back = edit("f", before, after), edit("f", after, before)
    assert (there.old, there.new) == (back.new, back.old) == ("b", "x")
