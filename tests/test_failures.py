"""The closing lines here are those that the runners themselves print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.failures import count, find

PYTEST = """\
tests/test_stock.py F.F                                                  [100%]
=========================== short test summary info ============================
FAILED tests/test_stock.py::test_reserve - assert 3 == 2
FAILED tests/test_stock.py::test_release - assert 3 == 2
========================= 2 failed, 1 passed in 0.12s ==========================
"""
UNITTEST = """\
======================================================================
FAIL: test_a (test_u.T.test_a)
----------------------------------------------------------------------
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 5 tests in 0.001s

FAILED (failures=2, errors=1)
"""
GO = """\
=== RUN   TestStock
--- FAIL: TestStock (0.00s)
    --- FAIL: TestStock/empty (0.00s)
    --- FAIL: TestStock/full (0.00s)
--- FAIL: TestBank (0.01s)
--- PASS: TestLedger (0.01s)
FAIL
exit status 1
FAIL\texample.com/shop\t0.004s
"""
CARGO = """\
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: test failed, to rerun pass `--lib`
     Running tests/api.rs (target/debug/deps/api-1f)
test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
error: 2 targets failed:
    `-p shop --lib`
    `-p shop --test api`
"""
JEST = """\
Test Suites: 1 failed, 1 passed, 2 total
Tests:       2 failed, 3 passed, 5 total
Snapshots:   0 total
Time:        0.5 s
"""
MOCHA = """\

  3 passing (12ms)
  2 failing

  1) stock reserves once:
"""
TAP = """\
TAP version 13
1..4
ok 1 - first
not ok 2 - second
not ok 3 - later # TODO not yet
not ok 4 - fourth
"""
NODE = """\
# Subtest: bank
not ok 1 - bank
# tests 4
# suites 0
# pass 1
# fail 3
# duration_ms 51
"""
MAVEN = """\
[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! -- in StockTest
[INFO] Results:
[ERROR] Tests run: 8, Failures: 2, Errors: 1, Skipped: 0
[ERROR] There are test failures.
"""
GTEST = """\
[  PASSED  ] 3 tests.
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] Stock.Reserve
[  FAILED  ] Stock.Release

 2 FAILED TESTS
"""
PRACTICE = """\
oversold stock: 4 orders too many
paid twice: 3 customers
12 broken
make: *** [Makefile:3: check] Error 1
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (PYTEST, 2),
        ("2 failed, 1 passed, 3 warnings in 0.12s", 2),
        ("=== 1 failed, 2 passed, 1 error in 62.01s (0:01:02) ===", 2),
        (UNITTEST, 3),
        ("Ran 3 tests in 0.1s\n\nFAILED (failures=1)", 1),
        (GO, 3),
        (CARGO, 3),
        (JEST, 2),
        (" Test Files  1 failed (1)\n      Tests  1 failed | 3 passed (4)\n   Start at  10:00:00", 1),
        (MOCHA, 2),
        (TAP, 2),
        ("not ok 1 - a\n# Looks like you failed 1 test of 3.", 1),
        (NODE, 3),
        (MAVEN, 3),
        ("5 tests completed, 2 failed\n\nFAILURE: Build failed with an exception.", 2),
        ("\n75% tests passed, 1 tests failed out of 4\n\nTotal Test time (real) =   0.01 sec", 1),
        (GTEST, 2),
        ("Failed!  - Failed:     1, Passed:     3, Skipped:     0, Total:     4, Duration: 5 ms - a.dll (net8.0)", 1),
        ("10 examples, 2 failures, 1 pending\n\nFailed examples:\n", 2),
        ("5 runs, 7 assertions, 1 failures, 1 errors, 0 skips", 2),
        ("Finished in 0.03 seconds\n5 tests, 1 failure", 1),
        ("FAILURES!\nTests: 5, Assertions: 7, Errors: 1, Failures: 1.", 2),
        ("\t Executed 5 tests, with 2 failures (0 unexpected) in 0.002 (0.004) seconds", 2),
        ("     Summary [   0.011s] 5 tests run: 3 passed, 2 failed, 0 skipped", 2),
        ("FAILED | 3 passed | 2 failed (10ms)", 2),
        (" 3 pass\n 2 fail\n 4 expect() calls", 2),
        ("Found 3 errors in 2 files (checked 5 source files)", 3),
        ("✖ 5 problems (3 errors, 2 warnings)", 3),
        (PRACTICE, 12),
        ("3 failures", 3),
        ("1 error", 1),
        ("7 violations found.", 7),
        ("2 failures, 1 error", 3),
        ("3 of 10 tests failed", 3),
        ("5 checks, 3 failed", 3),
        ("12 invariants broken", 12),
        ("\x1b[31m===== \x1b[1m3 failed\x1b[0m, 1 passed in 0.3s =====\x1b[0m", 3),
    ],
)
def test_counts_what_the_closing_line_counts(output: str, expected: int) -> None:
    assert count(output, 1) == expected
    assert count(output, None) == expected


@pytest.mark.parametrize(
    "output",
    [
        "5 passed in 0.01s",
        "Ran 5 tests in 0.001s\n\nOK",
        "Tests:       5 passed, 5 total",
        "  3 passing (12ms)",
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "ok  \texample.com/shop\t0.004s",
        "OK (5 tests, 7 assertions)",
        "0 broken",
        "no failures",
    ],
)
def test_counts_none_when_all_passed(output: str) -> None:
    assert count(output, None) == 0
    # It failed all the same: whatever failed was not counted.
    assert count(output, 1) is None


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Segmentation fault",
        "make: *** [Makefile:3: check] Error 1",
        "Traceback (most recent call last):\n  ...\nKeyError: 3",
        "sh: 1: pytst: not found",
        "listening on port 8080 after 3 failed attempts to bind, retrying",
    ],
)
def test_counts_nothing_in_other_outputs(output: str) -> None:
    assert count(output, 1) is None


@pytest.mark.parametrize(
    "output",
    [
        "ERROR collecting tests/test_stock.py\n!!! Interrupted: 1 error during collection !!!\n= 1 error in 0.05s =",
        "ImportError: Failed to import test module: test_u\nRan 1 test in 0.000s\n\nFAILED (errors=1)",
        "error: could not compile `shop` (lib) due to 2 previous errors",
        "FAIL\texample.com/shop [build failed]\n--- FAIL: TestX (0.0s)",
        "  ● Test suite failed to run\nTests:       0 total",
    ],
)
def test_a_run_that_broke_off_counts_nothing(output: str) -> None:
    assert count(output, 1) is None


def test_passed_is_zero_whatever_it_prints() -> None:
    assert count(PYTEST, 0) == 0


def test_the_last_runner_counts() -> None:
    assert count(f"{UNITTEST}\n{PYTEST}", 1) == 2
    assert count(f"{PYTEST}\n{UNITTEST}", 1) == 3


def test_says_which_line_it_was() -> None:
    found = find(PRACTICE)
    assert found is not None
    assert PRACTICE[found.start : found.end] == "12 broken"


@given(st.text(alphabet="0123456789 ,nofailures()=-\n\x1b[#okTAP:", max_size=400))
def test_any_output_is_read(output: str) -> None:
    found = find(output)
    if found is not None:
        assert 0 <= found.start < found.end <= len(output)
        assert "\n" not in output[found.start : found.end]
        assert found.count >= 0
