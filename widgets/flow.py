"""What one subagent has said and done of late, in order: the body of its live pane.

A flow is folded from events. The text of a call that is still streaming comes beside them and is replaced by what the
tape says as soon as the call has ended.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from store.domain.events import (
    Alert,
    CallFinished,
    Event,
    LimitsRaised,
    ProgramSaid,
    SubagentChecked,
    SubagentContinued,
    SubagentEnded,
    SubagentPaused,
    SubagentRestarted,
    SubagentSteered,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.limits import Limits
from store.domain.safe_text import safe
from store.domain.secrets import may_have_one, shown_line
from store.domain.states import COULD_NOT_WORK, AlertLevel
from widgets.ink import Line, Row, clean, wrap
from widgets.states import alerted
from widgets.words import count, duration, tokens

KEPT = 120
"""Parts that a flow keeps: more than the tallest pane shows."""
SHOWN = 8000
"""Characters of one part that a pane looks at, from its end."""

OVERLAP = 64
"""Characters that tell where the beginning of a text stood in what was there before."""
TRIES = 16
"""How many of the places are looked at where they stand."""
ROOMY = 8
"""Rows from which there is room for a rule between two turns, and for alerts in their place."""

CAUSE = 5
"""Rows of why a subagent could not work on: enough for a sentence in the narrowest pane."""

Parts = Sequence[tuple[str, str]]
"""What a call says: (kind, text), kind being `text`, `reasoning` or `tool`."""


@dataclass(frozen=True)
class Part:
    """`kind` is text, reasoning, tool, result, failure, steer, hint, alert, stuck, turn, note, cause or verdict."""

    kind: str
    text: str
    plain: bool = False
    """It is known to have no sign of a secret."""


class Flow:
    """The recent past of one subagent. `version` changes whenever there is something new to see."""

    def __init__(self, kept: int | None = KEPT) -> None:
        """`kept` is how many parts are kept; None keeps all."""
        self.parts: deque[Part] = deque(maxlen=kept)
        self.streaming: tuple[str, tuple[tuple[str, str], ...]] | None = None
        self._plain: tuple[tuple[str, bool], ...] = ()
        """The texts that stream, and whether they are known to have no sign of a secret."""
        self.version = 0
        self._over: deque[str] = deque(maxlen=8)
        """Calls that have ended: their text may still stand in the live tail for a while."""

    def apply(
        self, event: Event, said: Mapping[str, Parts] | None = None, results: Mapping[str, str] | None = None
    ) -> None:
        """Fold one event of this subagent. `said` has the words of finished calls, by call; `results` the tools'
        results, by blob, where more than their first line is wanted."""
        payload = event.payload
        match payload:
            case TurnStarted():
                self._add("turn", f"turn {payload.turn}{' of a subagent of its own' if payload.under else ''}")
            case CallFinished():
                self._finish(payload, said or {})
            case ToolStarted():
                self._add("tool", named(payload.name, payload.summary))
            case ToolFinished():
                kind = "failure" if went_wrong(payload) else "result"
                whole = (results or {}).get(payload.result, "").strip()
                self._add(kind, whole or payload.summary or ("done" if payload.ok else "failed"))
            case ProgramSaid():
                for line in payload.lines:
                    self._add("note", line)
                if payload.left_out:
                    self._add("note", f"… {count(payload.left_out, 'line')} left out …")
            case SubagentPaused():
                self._add("note", "paused")
            case SubagentContinued():
                self._add("note", "goes on")
            case SubagentSteered():
                self._add("steer", payload.text)
            case LimitsRaised():
                self._add("note", f"limits raised: {limits(payload.limits)}")
            case Alert():
                self._add(_ALERTS[payload.level], alerted(payload.level, payload.text))
            case SubagentRestarted():
                other = f" as {payload.plan.strategy.name}" if payload.plan else ""
                self._add("note", f"starts anew{other}")
            case SubagentEnded():
                self._add("cause" if payload.ending in COULD_NOT_WORK else "note", ended(payload))
            case SubagentChecked():
                self._add("verdict", verdict(payload))
            case _:
                pass

    def stream(self, call: str, parts: Parts) -> None:
        """What the call in progress has said so far (its end)."""
        if call in self._over:
            return
        said = tuple((kind, text) for kind, text in parts)
        if self.streaming and self.streaming[0] == call:
            said = _continued(self.streaming[1], said)
        if (call, said) != self.streaming:
            self.streaming = call, said
            before = dict(self._plain)
            self._plain = tuple((text, _plain(text, before)) for _, text in said)
            self.version += 1

    @property
    def streamed(self) -> list[Part]:
        """What streams now, as parts."""
        if self.streaming is None:
            return []
        known = self._plain
        return [Part(kind, text, known[index][1]) for index, (kind, text) in enumerate(self.streaming[1])]

    def lines(self, cells: int, height: int) -> list[Row]:
        """The last `height` rows, laid out for a width."""
        if height <= 0 or cells <= 0:
            return []
        rows: list[Row] = []
        for part in reversed(self.streamed):
            rows[:0] = _fold(part, cells, height)
            if len(rows) >= height:
                return rows[-height:]
        for part in reversed(self.parts):
            if part.kind in _ROOMY_ALONE and height < ROOMY:
                continue
            rows[:0] = _rows(part, cells, height)
            if len(rows) >= height:
                break
        return rows[-height:]

    def _finish(self, payload: CallFinished, said: Mapping[str, Parts]) -> None:
        heard = said.get(payload.call)
        if heard is None and self.streaming and self.streaming[0] == payload.call:
            heard = self.streaming[1]
        for kind, text in heard or ():
            # A tool call that was streamed shows up again as an event when it runs.
            if kind != "tool" and text.strip():
                self._add(kind, text)
        if self.streaming and self.streaming[0] == payload.call:
            self.streaming = None
        self._over.append(payload.call)
        if payload.error and payload.parent:
            self._add("note", f"a try failed: {payload.error}")
        elif payload.error:
            self._add("failure", payload.error)
        self.version += 1

    def _add(self, kind: str, text: str) -> None:
        self.parts.append(Part(kind, text))
        self.version += 1


def _continued(before: tuple[tuple[str, str], ...], now: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Text that has grown at its end while its beginning was dropped, put together again: rows that are folded from
    a beginning that moves would jump about."""
    if not now:
        return now
    kind, text = now[0]
    for index in range(len(before) - 1, -1, -1):
        known, earlier = before[index]
        at = _begins(earlier, text) if known == kind and text else -1
        if at > 0 or (at == 0 and index > 0):
            whole = earlier[:at] + text
            return (*before[:index], (kind, whole[-2 * SHOWN :]), *now[1:])
    return now


def _begins(earlier: str, text: str) -> int:
    """Where in what was there earlier a text began that has grown at its end since; -1 if nowhere."""
    head = text[:OVERLAP]
    # Not before where it would begin had nothing come: the same words may stand further up as well.
    first = at = earlier.find(head, max(len(earlier) - len(text), 0))
    for _ in range(TRIES):
        if at < 0 or text.startswith(earlier[at:]):
            break
        at = earlier.find(head, at + 1)
    else:
        at = -1
    return first if at < 0 else at


def verdict(checked: SubagentChecked) -> str:
    """The harness's verdict in a line."""
    result = checked.result
    if checked.word:
        return shown_line(checked.word)
    if result is None:
        return "nothing changed, nothing to check" if not checked.patch else "not checked"
    if result.broken:
        return f"the check could not be run: {shown_line(result.broken)}"
    changed = f"+{checked.insertions} −{checked.deletions} in {count(len(checked.files), 'file')}"
    if checked.solved:
        return f"check passed in {result.seconds:.1f}s, {changed}"
    failures = "" if result.failures is None else f", {count(result.failures, 'failure')}"
    return f"check failed{failures}, {changed if checked.patch else 'nothing was changed'}"


def limits(raised: Limits) -> str:
    """Limits in words: those that there are."""
    said = (
        f"{raised.turns} turns" if raised.turns is not None else "",
        f"{tokens(raised.tokens)} tokens" if raised.tokens is not None else "",
        f"${raised.usd:.2f}" if raised.usd is not None else "",
        duration(raised.seconds) if raised.seconds is not None else "",
    )
    return ", ".join(one for one in said if one)


def ended(how: SubagentEnded) -> str:
    """How a subagent's work ended, in a line."""
    return shown_line(f"{how.ending.value}: {how.detail}" if how.detail else how.ending.value)


def named(name: str, summary: str) -> str:
    """A tool call in a line: the tool, and what it does."""
    return shown_line(summary if summary.startswith(name) else f"{name} {summary}")


_EXIT = re.compile(r"exit code (?!0\b)|timed out")


def went_wrong(finished: ToolFinished) -> bool:
    """The tool refused, or the command that it ran did not end well: an answer to the model all the same."""
    return not finished.ok or _EXIT.match(finished.summary) is not None


_GUTTERS = {
    "text": ("  ", "  ", "text"),
    "reasoning": ("∙ ", "∙ ", "reasoning"),
    "tool": ("› ", "⋮ ", "tool"),
    "result": ("✔ ", "⋮ ", "faint"),
    "failure": ("✗ ", "⋮ ", "bad"),
    "steer": ("» ", "» ", "accent"),
    "hint": ("· ", "⋮ ", "faint"),
    "alert": ("⚠ ", "⋮ ", "warn"),
    "stuck": ("▲ ", "⋮ ", "bad"),
    "note": ("· ", "  ", "faint"),
    "cause": ("✗ ", "  ", "bad"),
}
"""What stands before the first row and before the others: in a small pane the first may be out of sight."""


_ALERTS = {AlertLevel.NOTE: "hint", AlertLevel.WARNING: "alert", AlertLevel.STUCK: "stuck"}
_ROOMY_ALONE = frozenset({"turn", *_ALERTS.values()})
"""What is left out where there are few rows."""

SIGN = 64
"""More characters than the longest sign of a secret has."""


def _plain(text: str, before: Mapping[str, bool]) -> bool:
    """Whether a text has no sign of a secret, found out from what is new in it: to look at all of it again with every
    word that streams in would take more time than drawing it."""
    for earlier, plain in before.items():
        # It has grown at its end; its beginning may have been dropped.
        at = _begins(earlier, text)
        known = len(earlier) - at
        if at >= 0 and earlier.endswith(text[:known]):
            return plain and not may_have_one(text[max(known - SIGN, 0) :])
    return not may_have_one(text)


TALLEST = 40
"""Rows of a tool call or of its result in a whole tape; the trace has all of it."""
LONGEST = 200_000
"""Characters of a text in a whole tape."""


def whole(part: Part, cells: int) -> list[Line]:
    """All rows of a part, for those who read the tape and not only its end."""
    if part.kind in ("turn", "verdict"):
        return [[*_rows(part, cells, 1)[0]]] if part.kind == "turn" else [[("◆ ", "accent"), (part.text, "strong")]]
    gutter, more, ink = _GUTTERS.get(part.kind, _GUTTERS["text"])
    text = clean(part.text[:LONGEST].strip("\n")) + (" …" if len(part.text) > LONGEST else "")
    rows: list[Line] = []
    for row in wrap(text, max(cells - 2, 1)):
        if len(rows) == TALLEST and part.kind not in ("text", "reasoning"):
            rows.append([(more, ink), ("… the trace has the rest", "faint")])
            break
        rows.append([(more if rows else gutter, ink), (row.rstrip(), ink)])
    return rows


def _fold(part: Part, cells: int, height: int) -> list[Row]:
    """The last rows of a part, at least `height` of them when it has so many."""
    if part.kind == "turn":
        label = f"─ {part.text} "
        return [((label + "─" * max(cells - len(label), 0), "frame"),)]
    if part.kind == "verdict":
        return []
    gutter, more, ink = _GUTTERS.get(part.kind, _GUTTERS["text"])
    if part.kind not in ("text", "reasoning"):
        said = list(wrap(shown_line(part.text[:SHOWN]), cells - 2))
        # A pane is no place for a long command: two rows say enough.
        most = CAUSE if part.kind == "cause" else 2
        if part.kind == "cause" and len(said) > most:
            said[most - 1] = f"{said[most - 1][: cells - 3]}…"
        del said[most:]
        return [((more if index else gutter, ink), (row, ink)) for index, row in enumerate(said)]
    # From a line's beginning on, so that rows are folded alike however much is looked at.
    text = part.text.rstrip()[-2 * SHOWN :]
    begin = 0
    if part.plain:
        # Each line has a row at least: more of them than rows need not be looked at.
        begin = len(text)
        for _ in range(height + 1):
            begin = text.rfind("\n", 0, begin)
            if begin < 0:
                break
        begin += 1
        text = safe(text[begin:]).replace("\t", "    ")
    else:
        text = clean(text)
    rows: list[Row] = []
    whole = not begin
    for line in reversed(text.split("\n")):
        rows[:0] = [((more, ink), (row.rstrip(), ink)) for row in wrap(line, cells - 2)]
        if len(rows) >= height:
            whole = False
            break
    while whole and rows and not rows[0][1][0]:
        del rows[0]
    if whole and rows:
        rows[0] = (gutter, ink), rows[0][1]
    return rows


@lru_cache(4096)
def _rows(part: Part, cells: int, height: int) -> tuple[Row, ...]:
    """The same of a part that is whole: those are drawn again many times."""
    return tuple(_fold(part, cells, height))
