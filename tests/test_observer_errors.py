import pytest

from backends.observer.errors import crashes, missing
from backends.observer.findings import masked
from backends.observer.telling import telling_line

TRACEBACK = """\
oversold
Traceback (most recent call last):
  File "/sandboxes/1.2/tools/check.py", line 30, in <module>
    main()
  File "/sandboxes/1.2/shop/stock.py", line 12, in reserve
    self.bank.debit(order)
  File "/usr/lib/python3.11/asyncio/base.py", line 12, in debit
    raise KeyError(order)
KeyError: 'order-17'
make: *** [Makefile:3: check] Error 1
"""
NODE = """\
Uncaught TypeError: Cannot read properties of undefined (reading 'id')
    at node:internal/process:3:1
    at Stock.reserve (/w/1.1/src/stock.js:12:9)
    at main (/w/1.1/x.js:1:1)
"""
JAVA = """\
Exception in thread "main" java.lang.IllegalStateException: sold out
\tat java.base/java.util.Objects.x(Objects.java:1)
\tat shop.Stock.reserve(Stock.java:12)
"""
GO = """\
panic: assignment to entry in nil map

goroutine 1 [running]:
main.(*Stock).Reserve(...)
\t/w/1.1/shop/stock.go:12 +0x1d
exit status 2
"""


def test_a_python_traceback_gives_the_projects_innermost_frame() -> None:
    (crash,) = crashes(TRACEBACK, "/sandboxes/1.2")
    assert (crash.name, crash.message, crash.path, crash.function) == (
        "KeyError",
        "'order-17'",
        "shop/stock.py",
        "reserve",
    )
    assert TRACEBACK[crash.start :].startswith(crash.quote)


def test_every_traceback_counts_also_chained_and_grouped_ones() -> None:
    chained = (
        TRACEBACK
        + "\nDuring handling of the above exception, another exception occurred:\n\n"
        + TRACEBACK.replace("KeyError: 'order-17'", "shop.errors.Refused")
    )
    assert [crash.name for crash in crashes(chained)] == ["KeyError", "shop.errors.Refused"]
    group = "\n".join(f"  | {line}" for line in TRACEBACK.split("\n"))
    assert [crash.name for crash in crashes(group)] == ["KeyError"]


@pytest.mark.parametrize(
    ("output", "name", "message", "path", "function"),
    [
        (
            "shop/test_stock.py:12: in test\nE   KeyError: 'x'\n\nshop/stock.py:7: KeyError\n= 1 failed in 0.1s =",
            "KeyError",
            "'x'",
            "shop/stock.py",
            "",
        ),
        (
            NODE,
            "TypeError",
            "Cannot read properties of undefined (reading 'id')",
            "src/stock.js",
            "Stock.reserve",
        ),
        (
            JAVA,
            "java.lang.IllegalStateException",
            "sold out",
            "Stock.java",
            "shop.Stock.reserve",
        ),
        (
            GO,
            "panic",
            "assignment to entry in nil map",
            "shop/stock.go",
            "main.(*Stock).Reserve",
        ),
        (
            "thread 'main' panicked at src/stock.rs:12:5:\nindex out of bounds\nnote: run with RUST_BACKTRACE=1",
            "panic",
            "index out of bounds",
            "src/stock.rs",
            "",
        ),
    ],
)
def test_crashes_of_other_kinds(output: str, name: str, message: str, path: str, function: str) -> None:
    (crash,) = crashes(output)
    assert (crash.name, crash.message, crash.path, crash.function) == (name, message, path, function)
    assert output[crash.start :].startswith(crash.quote)


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("sh: 1: pytst: not found", "pytst"),
        ("bash: line 1: /usr/bin/jq: command not found", "jq"),
        ("make: uv: No such file or directory\nmake: *** [check] Error 127", "uv"),
        ("ModuleNotFoundError: No module named 'aiohttp.web'", "aiohttp.web"),
        ("Error: Cannot find module 'express'", "express"),
    ],
)
def test_what_is_missing_is_named(output: str, name: str) -> None:
    found = missing(output)
    assert found is not None
    assert found[0] == name
    assert output[found[2] :].startswith(found[1])


def test_an_order_that_is_not_found_is_no_missing_program() -> None:
    assert missing("lookup of order 17: not found") is None


def test_the_telling_line_names_the_error() -> None:
    output = "reading\nfatal: not a git repository\n(see git help)\n"
    assert telling_line(output, 128) == ("fatal: not a git repository", output.index("fatal"))
    # Exit code 1 with nothing that looks like an error is a plain no.
    assert telling_line("some\ndiff\n", 1) is None
    assert telling_line("some\nwords\n", 2) == ("words", 5)


MAVEN = """\
[INFO] compiling
[ERROR] /w/A.java:[12,5] cannot find symbol
[INFO] BUILD FAILURE
[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.
Finished: FAILURE"""
NPM = """\
src/a.ts(3,7): error TS2322: Type 'string' is not assignable
npm ERR! code 2
npm ERR! A complete log of this run can be found in: /root/x.log"""
CI = """\
2022-05-19T22:22:36.7230713Z fatal: No tags can describe '60a1'.
2022-05-19T22:22:36.7667501Z ##[error]Process completed with exit code 1."""
RUST = """\
error[E0382]: use of moved value: `lock`
error: aborting due to 1 previous error"""


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("a.c:12:5: error: 'lck' undeclared\nmake: *** [Makefile:3: all] Error 1", "a.c:12:5: error: 'lck' undeclared"),
        (MAVEN, "[ERROR] /w/A.java:[12,5] cannot find symbol"),
        (NPM, "src/a.ts(3,7): error TS2322: Type 'string' is not assignable"),
        (CI, "fatal: No tags can describe '60a1'."),
        (RUST, "error[E0382]: use of moved value: `lock`"),
        ("\x1b[31mError: \x1b[0mFailed to install it\nexit status 1", "\x1b[31mError: \x1b[0mFailed to install it"),
    ],
)
def test_a_line_that_says_only_that_it_failed_tells_nothing(output: str, told: str) -> None:
    assert telling_line(output, 2) == (told, output.index(told))


def test_masks_take_out_what_differs_and_leave_words() -> None:
    assert (
        masked("order 17 at 0x7f3a of 9f8e7d6c5b4a at 2026-11-23T10:00:00Z") == "order <n> at <hex> of <hex> at <time>"
    )
    assert masked("facade deadbeef bad cafe") == "facade deadbeef bad cafe"
    assert masked("/tmp/pytest-3/x.sock is gone") == "<tmp> is gone"


@pytest.mark.parametrize("text", ["panic: x\n", "a.a:1: ", "Traceback (most recent call last):\n", "A.B.CError: x\n"])
def test_an_output_without_end_is_read_in_time_to_its_length(text: str) -> None:
    output = text * (300_000 // len(text)) + " error"
    list(crashes(output))
    missing(output)
    telling_line(output, 2)
