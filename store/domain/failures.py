"""How many failures the output of a check counts, by the closing lines of common test runners.

A number is only worth comparing when it counts the same things before and after. So a run that broke off before its
tests (a file that can't be imported, code that doesn't compile) counts nothing, however few errors it names.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

_LINES = 4000
"""How many lines from the end are read: the closing line is near it."""
_WIDTH = 200
"""Characters of the longest line that can be a closing line."""

_NONE = "(?!)"


@dataclass(frozen=True)
class Found:
    """A count, and the line that gives it: `start` and `end` are code points in the output."""

    count: int
    start: int
    end: int


@dataclass(frozen=True)
class _Rule:
    """One form of closing line. The numbers that `number` finds in it are added up. `over` says what counts when there
    are several: the last line, all of them together, or each line as one failure by the name that follows the match of
    `number`, unless others are parts of it (`Suite`, `Suite/case`)."""

    runner: str
    line: str
    number: str
    over: Literal["last", "all", "each"] = "last"


_RULES = (
    _Rule(
        "pytest",
        r"=*\s*(?:\d+ (?:failed|passed|errors?|skipped|xfailed|xpassed|warnings?|deselected|rerun|subtests passed)"
        r"(?:, )?)+ in \d[\d.]*s(?: \([\d:]+\))?\s*=*",
        r"(\d+) (?:failed|errors?)\b",
    ),
    _Rule("unittest", r"FAILED \((?:[a-z ]+=\d+(?:, )?)+\)", r"(?:failures|errors|unexpected successes)=(\d+)"),
    _Rule("unittest", r"Ran \d+ tests? in .*", _NONE),
    _Rule("jest", r"Tests: +.*\b\d+ total", r"(\d+) failed"),
    _Rule("vitest", r"\s*Tests\s+.*\(\d+\)", r"(\d+) failed"),
    _Rule("mocha", r"\s*\d+ passing\b.*", _NONE),
    _Rule("mocha", r"\s*\d+ failing", r"(\d+) failing"),
    _Rule("node", r"(?:#|ℹ) fail \d+", r"fail (\d+)"),
    _Rule("bun", r"\s*\d+ fail", r"(\d+) fail"),
    _Rule("deno", r"(?:ok|FAILED) \| \d+ passed.* \| \d+ failed.*", r"(\d+) failed"),
    _Rule("rspec", r"\d+ examples?, \d+ failures?.*", r"(\d+) failures?"),
    _Rule("minitest", r"\d+ (?:runs|tests), \d+ assertions, \d+ failures, \d+ errors.*", r"(\d+) (?:failures|errors)"),
    _Rule("exunit", r"(?:\d+ doctests?, )?(?:\d+ propert(?:y|ies), )?\d+ tests?, \d+ failures?.*", r"(\d+) failures?"),
    _Rule("phpunit", r"Tests: \d+, Assertions: \d+.*", r"(?:Errors|Failures): (\d+)"),
    _Rule("phpunit", r"OK \(\d+ tests?, \d+ assertions?\)", _NONE),
    _Rule(
        "maven",
        r"(?:\[\w+\] )?Tests run: \d+, Failures: \d+, Errors: \d+(?:, Skipped: \d+)?",
        r"(?:Failures|Errors): (\d+)",
    ),
    _Rule("gradle", r"\d+ tests? completed, \d+ failed.*", r"(\d+) failed"),
    _Rule("ctest", r"\d+% tests passed, \d+ tests? failed out of \d+", r"(\d+) tests? failed"),
    _Rule("dotnet", r"(?:Failed|Passed)! +- Failed: +\d+.*", r"Failed: +(\d+)", "all"),
    _Rule("dotnet", r"Test summary: total: \d+, failed: \d+.*", r"failed: (\d+)"),
    _Rule("swift", r"\s*Executed \d+ tests?, with .*\d+ failures? \(.*", r"(\d+) failures? \("),
    _Rule("googletest", r"\s*\d+ FAILED TESTS?", r"(\d+) FAILED"),
    _Rule("googletest", r"\[  PASSED  \] \d+ tests?\.", _NONE),
    _Rule("cargo", r"test result: (?:ok|FAILED)\. .*", r"(\d+) failed", "all"),
    _Rule("nextest", r"\s*Summary \[.*\] +\d+(?:/\d+)? tests? run: .*", r"(\d+) (?:failed|timed out)"),
    _Rule("robot", r"\d+ tests?, \d+ passed, \d+ failed.*", r"(\d+) failed"),
    _Rule("go", r"\s*--- FAIL: .*", r"--- FAIL: ", "each"),
    _Rule("go", r"ok\s+\S+\s+(?:[\d.]+s|\(cached\)).*", _NONE, "all"),
    _Rule("tap", r"not ok\b(?!.*# *(?:TODO|SKIP|todo|skip)).*", r"not ok ", "each"),
    _Rule("tap", r"# (?:failed|fail) +\d+.*", r"(?:failed|fail) +(\d+)"),
    _Rule("tap", r"# Looks like you failed \d+ tests? of \d+\.?", r"failed (\d+)"),
    _Rule("linter", r"Found \d+ errors?\b.*", r"Found (\d+)"),
    _Rule("linter", r"✖ \d+ problems? \(.*", r"\((\d+) errors?"),
)
"""Runners by their closing lines, the more particular first. Of several lines the one furthest down counts."""

_LINE = re.compile("|".join(f"(?P<r{at}>{rule.line})" for at, rule in enumerate(_RULES)))
_NUMBERS = tuple(re.compile(rule.number) for rule in _RULES)

_THING = r"(?:[a-z]+[ -]){0,2}(?:broken|fail(?:ures?|ed|ing|s)?|errors?|violations?|problems?)(?: [a-z]+)?"
_NUMBER = r"(?:\d+(?:(?: of |/)\d+)?|no)"
_PLAIN = re.compile(
    r"[\s=*#✖✗!-]*(?:(?:found|total|result|summary|failed|check|tests?)[: ]+)?"
    rf"(?:{_NUMBER} (?:{_THING}|passed|ok|skipped|warnings?|checks?|tests?|holds?)(?:\s*[,;|/]\s*|\s+and\s+|))+"
    r"(?: (?:in|of|out of) \d[\w .]*)?[\s.=*!-]*",
    re.IGNORECASE,
)
_PLAIN_NUMBER = re.compile(rf"(\d+|no)(?:(?: of |/)\d+)? {_THING}", re.IGNORECASE)
"""A line that is nothing but counts, at least one of them of something bad: `12 broken`, `2 failures, 1 error`."""

_BROKEN_OFF = re.compile(
    r"ERROR collecting |Interrupted: \d+ errors? during collection|Error while loading conftest|"
    r"Failed to import test module|Test suite failed to run|\[(?:build|setup) failed\]|could not compile `|"
    r"COMPILATION ERROR|errors? occurred outside of examples"
)


def count(output: str, exit_code: int | None) -> int | None:
    """How many failures the output counts: 0 when the check passed, None when nothing is counted.

    `exit_code` is None when it is unknown: then the output alone speaks.
    """
    if exit_code == 0:
        return 0
    found = find(output)
    # A check that failed and counts none failed at something else.
    return None if found is None or (exit_code is not None and found.count == 0) else found.count


def find(output: str) -> Found | None:
    """The count that the output's closing line gives, whatever the exit code was."""
    if _BROKEN_OFF.search(output):
        return None
    best: Found | None = None
    plain: Found | None = None
    totals: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    for start, line in _tail(output):
        text = _ANSI.sub("", line).rstrip()
        end = start + len(line.rstrip())
        if match := _LINE.fullmatch(text):
            at = int((match.lastgroup or "r0")[1:])
            rule = _RULES[at]
            if rule.over == "each":
                names.setdefault(rule.runner, []).append(_NUMBERS[at].split(text, maxsplit=1)[-1].split(" (")[0])
                best = Found(_leaves(names[rule.runner]), start, end)
                continue
            here = sum(map(int, _NUMBERS[at].findall(text)))
            if rule.over == "all":
                here = totals[rule.runner] = totals.get(rule.runner, 0) + here
                here += _leaves(names.get(rule.runner, ()))
            best = Found(here, start, end)
        elif _PLAIN.fullmatch(text) and (numbers := _PLAIN_NUMBER.findall(text)):
            plain = Found(sum(0 if number.lower() == "no" else int(number) for number in numbers), start, end)
    return best or plain


def _leaves(names: Iterable[str]) -> int:
    """How many of the names are not the beginning of another's path."""
    parents = {name.rpartition("/")[0] for name in names}
    return sum(name not in parents for name in names)


def _tail(output: str) -> Iterator[tuple[int, str]]:
    """The last lines that are not empty and not too long, with their places."""
    lines = output.split("\n")
    first = max(len(lines) - _LINES, 0)
    start = sum(len(line) + 1 for line in lines[:first])
    for line in lines[first:]:
        if line and len(line) <= _WIDTH:
            yield start, line
        start += len(line) + 1
