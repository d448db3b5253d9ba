"""How the work of a program ended: from its exit code, what it printed last, and the calls on its tape."""

import re
from dataclasses import dataclass

from backends.agents import Outcome
from store.domain.safe_text import safe_line
from store.domain.states import Ending

DETAIL = 400
"""Characters of a detail."""

_MISSING = {126: "can't be run", 127: "isn't there"}
_LOGIN = re.compile(
    r"/login\b|not logged in|log ?in (?:again|required|expired)|logged out|invalid api key|invalid[_ ]x-api-key"
    r"|authentication[_ ]error|unauthorized|unauthenticated|api key (?:is )?(?:missing|not (?:set|found))"
    r"|no api key|\b401\b",
    re.IGNORECASE,
)
_LIMITED = re.compile(r"rate[_ ]limit|too many requests|\b429\b", re.IGNORECASE)
_KEY = re.compile(
    r"authentication_error|permission_error|billing_error|invalid_api_key|insufficient_quota|UNAUTHENTICATED"
)
_TOO_LONG = re.compile(r"prompt is too long|context[_ ](?:window|limit|length)", re.IGNORECASE)

KILLED = 137
"""The exit code of what was killed by the signal that can't be caught."""
HUNG_UP = "the client hung up"
"""How the record says that it was the agent who ended a call."""


@dataclass(frozen=True)
class Seen:
    """What the tape says of a program's calls so far: how many there were and how many of them had a whole answer; the
    status and error of the last that ended, which were None and "" where it was whole."""

    calls: int = 0
    answers: int = 0
    status: int | None = None
    error: str = ""


def outcome(code: int, printed: str, seen: Seen, limit: Ending | None = None, ran_out: str | None = None) -> Outcome:
    """How it ended. `code` is its exit code, 128 + n for signal n; `printed` the end of what it printed; `limit` the
    one that it had reached; `ran_out` as of `Inhabitable.ran_out`."""
    last = last_words(printed)
    if limit is not None:
        return Outcome(limit, last)
    if code > 128:
        perhaps = ", which happens when it runs out of memory" if code == KILLED and ran_out is None else ""
        return Outcome(
            Ending.CRASHED, _said(ran_out or f"its program was killed by signal {code - 128}{perhaps}", last)
        )
    if not seen.calls:
        return _never_worked(code, printed, last)
    if seen.error and not (code == 0 and seen.error == HUNG_UP):
        return _failed(seen, last)
    if code == 0:
        return Outcome(Ending.SUBMITTED, last)
    return Outcome(Ending.SILENT, _said(f"it gave up{_with(code)}", last))


def _never_worked(code: int, printed: str, last: str) -> Outcome:
    if code in _MISSING:
        why = f"its program {_MISSING[code]} in the sandbox: is the agent installed in the image?"
        return Outcome(Ending.NEVER_STARTED, _said(why, last))
    if _LIMITED.search(printed):
        return Outcome(Ending.RATE_LIMITED, _said(f"it ended{_with(code)} without a model call", last))
    if _LOGIN.search(printed):
        return Outcome(Ending.LOGIN_LOST, _said(f"it ended{_with(code)} without a model call", last))
    return Outcome(Ending.NEVER_STARTED, _said(f"it ended{_with(code)} without a model call", last))


def _failed(seen: Seen, last: str) -> Outcome:
    """Its last call had no whole answer, and it did not get over that."""
    said = safe_line(f"HTTP {seen.status} {seen.error}" if seen.status and seen.status >= 400 else seen.error, DETAIL)
    if seen.status == 413 or _TOO_LONG.search(seen.error):
        return Outcome(Ending.TOKENS, _said("the conversation is too long for the model", said))
    if "insufficient_quota" not in seen.error and (seen.status == 429 or "rate_limit_error" in seen.error):
        return Outcome(Ending.RATE_LIMITED, said)
    if seen.status in (401, 402, 403) or _KEY.search(seen.error):
        return Outcome(Ending.LOGIN_LOST, said)
    if seen.status is not None and seen.status < 400:
        return Outcome(Ending.PROVIDER, _said("it was cut off", _said(said, last)))
    return Outcome(Ending.PROVIDER, said)


def last_words(printed: str) -> str:
    """The last lines of what was printed, as one that is safe to show."""
    lines = [line for line in map(str.strip, printed.splitlines()) if line]
    return safe_line(" · ".join(lines[-4:])[-DETAIL:], DETAIL)


def _with(code: int) -> str:
    return f" with exit code {code}"


def _said(what: str, more: str) -> str:
    return safe_line(f"{what}: {more}" if more else what, DETAIL + 200)
