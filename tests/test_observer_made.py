"""Files, refactorings, and where the solved ones worked, on tapes that were recorded through the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Store, open_store
from store.domain.observations import Claim, Priority, Subject
from store.domain.states import Ending
from tests.observer_tapes import BANK, LOCK, SEEN, Asked, Recorder, about, begun, check, edit, read, run, seen


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


@pytest.fixture
def recorder(store: Store) -> Recorder:
    recorder = Recorder(store)
    recorder.begin()
    recorder.design(1, ["race first", "retry first", "time first"])
    return recorder


def done(recorder: Recorder, *asked: Asked, lane: int = 1, solved: bool = False, patch: str = "") -> None:
    tape = begun(recorder, lane)
    tape.turn("", *asked)
    tape.turn("", check(0 if solved else 12))
    tape.turn("I stop.")
    tape.end(Ending.SUBMITTED, solved=solved, patch=patch)


def test_files_however_they_were_written(store: Store, recorder: Recorder) -> None:
    done(
        recorder,
        edit("shop/new.py", "", "x = 1\n"),
        ("Write", {"file_path": "shop/whole.py", "content": "y"}, "File created successfully at: shop/whole.py"),
        ("Write", {"file_path": "shop/again.py", "content": "y"}, "The file shop/again.py has been updated."),
        ("apply_patch", {"input": "*** Begin Patch\n*** Add File: shop/added.py\n+z\n*** End Patch"}, "Done!"),
        run("cat > repro.py <<'EOF'\nimport shop\nEOF", 0, ""),
        run("cat <<EOF > /tmp/aside.py\nimport shop\nEOF", 0, ""),
    )
    files = about(seen(store), Subject.FILE)
    assert [o.text for o in files] == [
        "The file `shop/new.py` was created.",
        "The file `shop/whole.py` was created.",
        "The file `shop/again.py` was written whole.",
        "The file `shop/added.py` was created.",
        "The file `repro.py` was written by a command.",
    ]
    assert {o.priority for o in files} == {Priority.POSSIBLE}


BODY = "        held = self.count\n        await asyncio.sleep(0)\n        self.count = held - n\n"


def test_code_that_was_moved(store: Store, recorder: Recorder) -> None:
    done(
        recorder,
        edit("shop/stock.py", BODY, "        await self.take(n)\n"),
        edit(
            "shop/bank.py",
            "        return self.balance\n",
            f"        return self.balance\n\n    async def take(self, n):\n{BODY}",
        ),
    )
    (moved,) = about(seen(store), Subject.REFACTORING)
    assert moved.text == "3 lines were moved from `shop/stock.py`, `Stock.reserve` to `shop/bank.py`, `take`."
    assert (moved.claim, moved.priority) == (Claim.FACT, Priority.POSSIBLE)


def test_a_name_that_was_changed_throughout(store: Store, recorder: Recorder) -> None:
    done(
        recorder,
        edit("shop/stock.py", "    async def reserve(self, n):", "    async def hold(self, n):"),
        edit("shop/bank.py", "        return self.balance", "        return self.worth"),
        run("true", 0, ""),
    )
    assert about(seen(store), Subject.REFACTORING) == [], "one line is no renaming"


def test_a_definition_and_its_uses(store: Store, recorder: Recorder) -> None:
    text = BANK + "\n\nasync def pay(bank):\n    await bank.debit(1, 2)\n"
    tape = recorder.tape(1, 1)
    tape.turn("", read("shop/bank.py", text))
    tape.turn("", edit("shop/bank.py", "    async def debit(", "    async def charge("))
    tape.turn("", edit("shop/bank.py", "    await bank.debit(1, 2)", "    await bank.charge(1, 2)"))
    tape.turn("I stop.")
    tape.end(Ending.SUBMITTED)
    (renamed,) = about(seen(store), Subject.REFACTORING)
    assert renamed.text == "`debit` was renamed `charge` in `shop/bank.py`."


def test_where_the_solved_one_worked_and_no_other(store: Store, recorder: Recorder) -> None:
    done(recorder, LOCK, SEEN, lane=1, solved=True)
    done(recorder, LOCK, lane=2)
    (place,) = about(seen(store), Subject.PLACE)
    assert place.text == "The solved attempt changed `shop/bank.py`, `Bank.debit`; no unsolved one did."
    assert (place.claim, place.priority) == (Claim.HYPOTHESIS, Priority.POSSIBLE)
    assert "self.seen" in place.evidence[0].quote


def test_nothing_is_held_against_nothing(store: Store, recorder: Recorder) -> None:
    done(recorder, LOCK, lane=1)
    done(recorder, SEEN, lane=2)
    assert about(seen(store), Subject.PLACE) == []
