"""Rules that see the same again: calls, errors, answers, words."""

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from store.domain.states import AlertLevel
from store.domain.stuck.facts import Answered, Told, Used
from store.domain.stuck.normal import asked, done, error, errored, interrupted, key, malformed, timed_out
from store.domain.stuck.rule import NOTE, STUCK, WARNING, Moment, alert, quoted, telling, what
from store.domain.subagent_events import Alert, Reference


@dataclass
class SameCall:
    """The same call with the same result, anywhere since the files changed last."""

    name: ClassVar[str] = "same-call"
    sees: ClassVar[str] = "the same tool, arguments and result, anywhere since the files changed last"
    source: ClassVar[str] = (
        "200 recorded tool-using runs: twice fired on 15, 87 % of them failed; three times on 4, all failed. Others "
        "stop at 4 in a row."
    )
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {2: NOTE, 3: WARNING, 4: STUCK}
    _seen: dict[str, list[Reference]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._seen.clear()
        used = moment.fact
        if isinstance(used, Used) and not moment.changed and not interrupted(used):
            seen = self._seen.setdefault(key(used.thread, done(used)), [])
            seen.append(used.reference)
            text = f"The same call {len(seen)} times, each with the same result: {what(used)}"
            yield from alert(SameCall, len(seen), text, seen)


@dataclass
class SameError:
    """The same error, one after the other."""

    name: ClassVar[str] = "same-error"
    sees: ClassVar[str] = "the same tool fails with the same error, one after the other"
    source: ClassVar[str] = "Others nudge after the same action and error 3 times and stop at 4."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: WARNING, 4: STUCK}
    _rows: dict[str, tuple[str, list[Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._rows.clear()
        used = moment.fact
        if not isinstance(used, Used) or interrupted(used):
            return
        if moment.changed or not (kind := error(used)):
            self._rows.pop(used.thread, None)
            return
        before, row = self._rows.get(used.thread, ("", []))
        row = [*row, used.reference] if kind == before else [used.reference]
        self._rows[used.thread] = kind, row
        text = f"The same error {len(row)} times in a row: {what(used)}: {quoted(telling(used), 120)}"
        yield from alert(SameError, len(row), text, row)


@dataclass
class Errors:
    """Tool calls that fail, one after the other, each in its own way."""

    name: ClassVar[str] = "errors"
    sees: ClassVar[str] = "tool calls that could not do what they were asked, one after the other"
    source: ClassVar[str] = "200 recorded tool-using runs: three in a row fired on 5, all failed."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: WARNING}
    _rows: dict[str, list[tuple[str, Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._rows.clear()
        used = moment.fact
        if not isinstance(used, Used) or interrupted(used):
            return
        if moment.changed or not errored(used):
            self._rows.pop(used.thread, None)
            return
        row = self._rows.setdefault(used.thread, [])
        row.append((error(used), used.reference))
        if len({kind for kind, _ in row}) > 1:
            # All of them alike is another rule's.
            text = f"{len(row)} tool calls in a row failed, the last with: {quoted(telling(used), 120)}"
            yield from alert(Errors, len(row), text, [where for _, where in row])


@dataclass
class Alternating:
    """Two calls in turn, whatever they result in."""

    name: ClassVar[str] = "alternating"
    sees: ClassVar[str] = "two calls in turn, whatever they result in, with no change of the files between"
    source: ClassVar[str] = "Others stop at ABAB over 6 steps."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {6: STUCK}
    _rows: dict[str, deque[tuple[str, Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._rows.clear()
        used = moment.fact
        if not isinstance(used, Used) or moment.changed or interrupted(used):
            return
        row = self._rows.setdefault(used.thread, deque())
        this = asked(used)
        if row and row[-1][0] == this:
            row.clear()
        elif len(row) > 1 and row[-2][0] != this:
            # The last one and this may begin another pair.
            row = self._rows[used.thread] = deque([row[-1]])
        row.append((this, used.reference))
        text = f"Two calls in turn, {len(row) // 2} times each; the last was: {what(used)}"
        yield from alert(Alternating, len(row), text, [where for _, where in row])


@dataclass
class NoAction:
    """Messages that ask for no tool call."""

    name: ClassVar[str] = "no-action"
    sees: ClassVar[str] = "answers that ask for no tool call, one after the other, with nothing said to it between"
    source: ClassVar[str] = "Others stop at three messages with no action."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: STUCK}
    _rows: dict[str, list[Reference]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        said = moment.fact
        if isinstance(said, Told):
            self._rows.clear()
        if not isinstance(said, Answered) or not said.offered:
            return
        if said.tools:
            self._rows.pop(said.thread, None)
            return
        row = self._rows.setdefault(said.thread, [])
        row.append(said.reference)
        text = f"{len(row)} answers in a row without a tool call: {quoted(said.text, 120)}"
        yield from alert(NoAction, len(row), text, row)


@dataclass
class Malformed:
    """Answers whose tool calls can't be carried out, or that were cut off before there was one."""

    name: ClassVar[str] = "malformed"
    sees: ClassVar[str] = "answers in a row of which no tool call could be understood, or that were cut off before one"
    source: ClassVar[str] = "Others stop at 3 malformed answers."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: STUCK}
    _rows: dict[str, list[tuple[int, Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        fact = moment.fact
        match fact:
            case Used():
                if not malformed(fact):
                    if not interrupted(fact):
                        self._rows.pop(fact.thread, None)
                    return
                said = telling(fact)
            case Answered(cut=True, tools=0):
                said = "cut off for its length"
            case _:
                return
        row = self._rows.setdefault(fact.thread, [])
        if row and row[-1][0] == fact.turn:
            return
        row.append((fact.turn, fact.reference))
        text = f"{len(row)} malformed answers in a row: {quoted(said, 120)}"
        yield from alert(Malformed, len(row), text, [where for _, where in row])


@dataclass
class Timeouts:
    """Commands that run out of time."""

    name: ClassVar[str] = "timeouts"
    sees: ClassVar[str] = "commands that were killed for their time, with none between that ended by itself"
    source: ClassVar[str] = "Others stop at 3 command timeouts in a row."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: STUCK}
    _rows: dict[str, list[Reference]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        used = moment.fact
        if not isinstance(used, Used) or used.name != "run" or interrupted(used):
            return
        if not timed_out(used):
            self._rows.pop(used.thread, None)
            return
        row = self._rows.setdefault(used.thread, [])
        row.append(used.reference)
        yield from alert(Timeouts, len(row), f"{len(row)} commands in a row ran out of time: {what(used)}", row)


@dataclass
class RepeatedText:
    """One answer that says the same over and over."""

    name: ClassVar[str] = "repeated-text"
    sees: ClassVar[str] = "the same 50 characters 10 times in one answer, code aside"
    source: ClassVar[str] = "Others stop at the same 50 characters 10 times."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {10: STUCK}
    size: ClassVar[int] = 50
    least: ClassVar[int] = 6
    """Different characters that make them words: a ruled line has fewer."""
    most: ClassVar[int] = 200_000
    """Characters of an answer that are looked at."""

    def take(self, moment: Moment) -> Iterator[Alert]:
        said = moment.fact
        if not isinstance(said, Answered) or len(said.text) < self.size * 10:
            return
        text = re.sub(r"```.*?(?:```|\Z)", "", said.text[: self.most], flags=re.DOTALL)
        counts = Counter(text[at : at + self.size] for at in range(len(text) - self.size + 1))
        for piece, count in counts.most_common(20):
            if count < 10:
                return
            if len(set(piece)) >= self.least and text.count(piece) >= 10:
                told = f"One answer says the same {text.count(piece)} times: {quoted(piece, 60)}"
                yield from alert(RepeatedText, 10, told, [said.reference])
                return
