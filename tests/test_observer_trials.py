"""What the observer learns of edits, on tapes that were recorded through the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Store, open_store
from store.domain.observations import Claim, Priority, Subject, select
from store.domain.states import Ending
from tests.observer_tapes import (
    CHECK,
    CLAMP,
    LOCK,
    SEEN,
    STOCK,
    UNLOCK,
    Recorder,
    about,
    begun,
    check,
    edit,
    read,
    run,
    save,
    seen,
)


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


def test_each_edit_is_held_against_the_largest_part_that_was_measured(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("A race.", LOCK, check(7))
    tape.turn("A retry.", SEEN, check(7))
    tape.turn("More.", CLAMP, check(9))
    tape.end(Ending.TURNS)
    tried = about(seen(store), Subject.EDITS)
    assert [o.claim for o in tried] == [Claim.HALF, Claim.FAILED, Claim.WORSE]
    on, the, numbers = "on top of other edits", "the edit below", "from 7 failures to 9"
    assert [o.text.removeprefix("In `shop/").removesuffix(".") for o in tried] == [
        "stock.py`, `Stock.reserve`: the edit below brought the check from 12 failures to 7; not enough alone",
        f"bank.py`, `Bank.debit`: {on} (in `shop/stock.py`), {the} left the check failing (7 failures before, 7 after)",
        f"stock.py`, `Stock.release`: {on} (in `shop/bank.py`, `shop/stock.py`), {the} made the check worse, {numbers}",
    ]
    assert all(o.priority is Priority.IMPORTANT for o in tried)
    assert tried[2].excerpt == (
        "@ shop/stock.py",
        "-         self.count += n",
        "+         self.count = min(10, self.count + n)",
    )
    assert [e.quote for e in tried[1].evidence][-1] == "7 broken"
    assert "self.seen.add(key)" in tried[1].evidence[0].quote


def test_what_was_taken_back_is_measured_alone(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, SEEN, check(7))
    tape.turn("", UNLOCK, check(12))
    tape.end(Ending.TURNS)
    tried = {o.claim: o for o in about(seen(store), Subject.EDITS)}
    assert "`shop/bank.py`, `Bank.debit`: the edit below left" in tried[Claim.FAILED].text
    # The two together are held against the one that was measured later.
    assert tried[Claim.HALF].excerpt[0] == "@ shop/stock.py"
    assert "from 12 failures to 7" in tried[Claim.HALF].text


def test_nothing_is_claimed_when_nothing_was_changed(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, UNLOCK, check(12))
    tape.end(Ending.TURNS)
    assert about(seen(store), Subject.EDITS) == []


def test_an_edit_that_was_refused_was_not_tried(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", edit("shop/bank.py", "nope", "x", "!shop/bank.py: the old text is not there"), check(12))
    tape.turn("", ("recall", {"query": "x"}, "!recall is not for you"))
    tape.end(Ending.TURNS)
    observed = seen(store)
    assert about(observed, Subject.EDITS) == []
    refused, last = about(observed, Subject.TOOL)
    assert "`edit` on `shop/bank.py` was refused" in refused.text
    assert refused.evidence[0].quote == "shop/bank.py: the old text is not there"
    # The last answer went to no model: the call is quoted instead.
    assert "`recall` was refused: `recall is not for you`" in last.text
    assert "x" in last.evidence[0].quote


@pytest.mark.parametrize(
    "command", ["sed -i 's/a/b/' shop/bank.py", "git checkout shop/stock.py", "patch -p1 < fix.diff", "echo 1 > x.py"]
)
def test_nothing_is_put_down_to_edits_after_a_shell_command_that_changed_files(
    store: Store, recorder: Recorder, command: str
) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, check(7))
    tape.turn("", run(command, 0, ""), SEEN, check(3))
    tape.end(Ending.TURNS)
    observed = seen(store)
    assert [o.claim for o in about(observed, Subject.EDITS)] == [Claim.HALF]
    assert any(f"Unknown edit by shell command `{command}`" in o.text for o in observed.document.observations)


def test_nothing_is_put_down_to_an_edit_that_was_interrupted(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    old, new = "        return self.balance\n", "        return 0\n"
    tape.turn("", edit("shop/bank.py", old, new, "!interrupted: the engine died while this ran"))
    tape.turn("", LOCK, check(7))
    tape.end(Ending.TURNS)
    observed = seen(store)
    assert about(observed, Subject.EDITS) == []
    assert about(observed, Subject.TOOL) == []


def test_a_check_behind_a_pipe_tells_by_what_it_counts(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, run(f"{CHECK} 2>&1 | tail -1", 0, "7 broken"))
    tape.turn("", SEEN, run(f"{CHECK} | head -1", 0, "oversold stock: 4 orders"))
    tape.end(Ending.TURNS)
    (half,) = about(seen(store), Subject.EDITS)
    assert half.claim is Claim.HALF


def test_a_check_that_no_longer_ends_is_worse(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, ("run", {"command": CHECK}, "!timed out after 30 s, and was killed\noversold"))
    tape.end(Ending.TURNS)
    (worse,) = about(seen(store), Subject.EDITS)
    assert worse.claim is Claim.WORSE
    assert "kept the check from ending within 30 s (12 failures before)" in worse.text


def test_a_check_that_broke_off_is_no_half_fix(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    crash = (
        'Traceback (most recent call last):\n  File "tools/check.py", line 1, in <module>\nSyntaxError: invalid syntax'
    )
    tape.turn("", LOCK, run(CHECK, 1, crash))
    tape.end(Ending.TURNS)
    (failed,) = about(seen(store), Subject.EDITS)
    assert failed.claim is Claim.FAILED
    assert failed.text.endswith("left the check failing (12 failures before, not counted after).")


def test_changes_to_protected_files_teach_nothing(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", edit("tests/test_shop.py", "", "def test(): pass\n"), check(0))
    tape.end(Ending.SUBMITTED, left_out=("tests/test_shop.py",))
    assert about(seen(store), Subject.EDITS) == []


def test_a_pass_that_the_harness_did_not_confirm_is_no_fix(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, check(0))
    tape.turn("", ("submit", {"summary": "done"}, "submitted"))
    tape.end(Ending.SUBMITTED)
    (half,) = about(seen(store), Subject.EDITS)
    assert half.claim is Claim.HALF
    assert "in the subagent's own sandbox, but not in a clean one" in half.text


PATCH = """\
diff --git a/shop/stock.py b/shop/stock.py
--- a/shop/stock.py
+++ b/shop/stock.py
@@ -8,4 +8,4 @@ async def reserve(self, n):
         self.count = held - n

     async def release(self, n):
-        self.count += n
+        self.count = min(10, self.count + n)
"""


def test_a_solved_attempt_teaches_its_patch(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", CLAMP, check(0))
    tape.end(Ending.SUBMITTED, solved=True, patch=PATCH)
    (fix,) = about(seen(store), Subject.EDITS)
    assert fix.claim is Claim.FIX
    assert fix.text == "In `shop/stock.py`, `Stock.release`: the edit below made the check pass."
    assert fix.excerpt[1:] == ("-         self.count += n", "+         self.count = min(10, self.count + n)")


def test_a_solved_attempt_that_used_the_shell_teaches_what_the_harness_checked(
    store: Store, recorder: Recorder
) -> None:
    tape = begun(recorder)
    tape.turn("", run("sed -i 's/+= n/= 3/' shop/stock.py", 0, ""), check(0))
    tape.end(Ending.SUBMITTED, solved=True, patch=PATCH)
    (fix,) = about(seen(store), Subject.EDITS)
    assert (fix.claim, fix.excerpt[0]) == (Claim.FIX, "@ shop/stock.py")
    assert fix.evidence[0].quote == "sed -i 's/+= n/= 3/' shop/stock.py"


def test_a_fix_in_two_steps_says_what_each_gave(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, check(7))
    tape.turn("", CLAMP, check(0))
    tape.end(Ending.SUBMITTED, solved=True, patch=PATCH)
    tried = about(seen(store), Subject.EDITS)
    assert [o.claim for o in tried] == [Claim.FIX, Claim.HALF, Claim.HALF]
    assert "from 7 failures to 0; not enough alone." in tried[2].text
    assert select(seen(store).document, 3000).ids[0] == tried[0].id


def test_the_last_results_count_though_no_model_was_sent_them(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, check(7))
    tape.end(Ending.TURNS)
    (half,) = about(seen(store), Subject.EDITS)
    assert "from 12 failures to 7" in half.text
    # What is on no node is not quoted.
    assert all("broken" not in e.quote for e in half.evidence)


def test_two_attempts_support_one_observation(store: Store, recorder: Recorder) -> None:
    for lane in (1, 2):
        tape = begun(recorder, lane)
        tape.turn("", LOCK, check(12))
        tape.turn("", SEEN, check(12))
        tape.end(Ending.TURNS)
    observed = seen(store)
    assert [len(o.attempts) for o in about(observed, Subject.EDITS)] == [2, 2]
    save(store, observed)
    recorder.design(2, ["race first"])
    tape = recorder.tape(2, 1)
    tape.turn("", read("shop/stock.py", STOCK), LOCK, check(12))
    tape.turn("stop")
    tape.end(Ending.SUBMITTED)
    observed = seen(store, 2)
    assert observed.supported == 2  # the edit, and the goal
    assert observed.document.generation == 2
    assert max(len(o.attempts) for o in about(observed, Subject.EDITS)) == 3


def test_identical_prompts_of_two_subagents_stay_two_tapes(store: Store, recorder: Recorder) -> None:
    for lane in (1, 2):
        tape = begun(recorder, lane)
        tape.turn("", LOCK, check(7))
        tape.turn("I stop.")
        tape.end(Ending.SUBMITTED)
    (half,) = about(seen(store), Subject.EDITS)
    assert {e.subagent.lane for e in half.evidence} == {1, 2}
