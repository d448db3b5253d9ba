"""When two calls, two results, two test runs are the same: what differs from run to run by itself is left out."""

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from store.domain.stuck.facts import INTERRUPTED, Used

_MASKS = (
    (re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]"), ""),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.I), "‹uuid›"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "‹date›"),
    (re.compile(r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\b"), "‹time›"),
    (re.compile(r"\b\d+(?:\.\d+)?\s?(?:s|sec|secs|second|seconds|ms|µs|us|ns)\b"), "‹seconds›"),
    (re.compile(r"\b0x[0-9a-f]{4,}\b", re.I), "‹address›"),
    (re.compile(r"\b(pid|process|thread)([ =:#]+)\d+\b", re.I), r"\1\2‹number›"),
    (re.compile(r"/(?:tmp|var/folders)/[\w./-]+"), "‹tmp›"),
)
"""Moments, durations, addresses, names that a program draws anew. Other numbers tell something: a test count does."""

_ERROR = re.compile(
    r"\s*(?:(?:error|exception|fatal|failed|failure|panic)\s*(?:[:!]|$|(?:to|in|while|when|calling)\b)|traceback \()",
    re.IGNORECASE,
)
_TIMED_OUT = re.compile(r"\s*(?:<error>)?\s*(?:command |the command |process )?(?:timed out|timeout)\b", re.IGNORECASE)
_MALFORMED = re.compile(
    r"\s*(?:<tool_use_error>\s*)?(?:error: )?(?:malformed tool call|inputvalidationerror|invalid tool (?:input|call|"
    r"arguments|parameters)|invalid (?:arguments|parameters|input) (?:for|to) |no such tool|unknown tool|"
    r"failed to parse (?:tool|function|arguments))",
    re.IGNORECASE,
)
_TEST = re.compile(
    r"\b(?:pytest|py\.test|unittest|tox|nox|nosetests|go test|cargo (?:test|nextest)|(?:npm|yarn|pnpm)(?: run)? (?:t|"
    r"test\S*)|jest|vitest|mocha|make (?:\S+ )*?(?:test|check)\S*|mvn (?:\S+ )*?(?:test|verify)|gradlew? (?:\S+ )*?"
    r"(?:test|check)|ctest|rspec|phpunit|dotnet test|bazel test|rake test|runtests\S*|tests?\.sh)(?=$|[\s;&|)'\"])"
)
_READER = re.compile(r"\s*(?:cat|bat|nl|head|tail|less|more|sed|awk|grep|rg|wc|ls|file|stat|git|vi|vim|which|diff)\b")
_FAILING = (
    re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE),
    re.compile(r"^(?:FAIL|ERROR): (\S+ \(\S+\))", re.MULTILINE),
    re.compile(r"^[ \t]*--- FAIL: (\S+)", re.MULTILINE),
    re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE),
    re.compile(r"^[ \t]*[✕✗×] (.+)$", re.MULTILINE),
    re.compile(r"^not ok \d+ -? ?(.+)$", re.MULTILINE),
)
"""Failing tests as pytest, unittest, Go, Rust, Jest and TAP name them."""


_LOOKED_AT = 50_000
"""Characters of a text that are looked at, from its beginning and from its end."""


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _LOOKED_AT else text[:_LOOKED_AT] + text[-_LOOKED_AT:]


def masked(text: str) -> str:
    """A text without what differs by itself, and with its white space at one."""
    text = _ends(text)
    for pattern, stand_in in _MASKS:
        text = pattern.sub(stand_in, text)
    return " ".join(text.split())


def key(*parts: str) -> str:
    """A short name for a combination of texts."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def arguments(given: Mapping[str, Any]) -> str:
    """What a tool was given: order and spacing aside."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return " ".join(value.split())
        if isinstance(value, Mapping):
            return {str(name): plain(part) for name, part in value.items()}
        return [plain(part) for part in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(given), sort_keys=True, ensure_ascii=False, default=str)


def asked(used: Used) -> str:
    """The call: its tool and its normalised arguments."""
    return key(used.name, arguments(used.given))


def done(used: Used) -> str:
    """The call with its normalised result."""
    return key(asked(used), masked(used.text))


def interrupted(used: Used) -> bool:
    """Nobody knows whether it ran."""
    return used.text.startswith(INTERRUPTED)


def malformed(used: Used) -> bool:
    """The model asked for what no tool is, or gave it what it doesn't take."""
    return not used.ok and _MALFORMED.match(used.text) is not None


def timed_out(used: Used) -> bool:
    """A command that was killed for its time."""
    return used.name == "run" and not used.ok and _TIMED_OUT.match(used.text) is not None


def errored(used: Used) -> bool:
    """The tool could not do what it was asked. Protocols without a word for that have only the result's first one. A
    command that ended by itself was run, whatever its agent calls that."""
    if interrupted(used) or used.exit_code is not None:
        return False
    return not used.ok or (used.name != "run" and _ERROR.match(used.text[:200]) is not None)


def error(used: Used) -> str:
    """The error by which two failures are the same: its tool and the normalised result; "" where it did not fail. A
    command that ended with another exit code than 0 has failed too."""
    if interrupted(used) or not (errored(used) or used.exit_code):
        return ""
    return key(used.name, masked(used.text))


def is_check(command: str, check: str) -> bool:
    """Whether a command runs the task's check, or tests."""
    line, wanted = " ".join(command.split()), " ".join(check.split())
    if (wanted and wanted in line) or _TEST.search(line):
        return True
    scripts = [word for word in wanted.split() if re.search(r"\w[./]\w|^\./", word)]
    return bool(scripts) and not _READER.match(line) and any(word.removeprefix("./") in line for word in scripts)


def tries(command: str) -> bool:
    """Whether a command does more than look at files."""
    return bool(command.strip()) and not _READER.match(command)


def failing(used: Used) -> str:
    """Which tests failed, as far as the output names them; else the whole output."""
    names = {masked(match[1]) for pattern in _FAILING for match in pattern.finditer(_ends(used.text))}
    return key(*sorted(names)) if names else key(masked(used.text))
