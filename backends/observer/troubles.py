"""What went wrong in an attempt's tool calls: crashes, failed commands, what is missing, what tools refused."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backends.observer.attempt import Attempt, Ran, Step
from backends.observer.calls import alike, changed, differing, without_inputs
from backends.observer.errors import Crash, complaint, crashes, missing
from backends.observer.evidence import argument, line, span
from backends.observer.findings import finding, marked, quoted
from backends.observer.shell import prints_files, runs_check
from backends.observer.telling import MARKED, strength, telling_line
from store.domain import failures
from store.domain.looking import only_looks
from store.domain.observations import Claim, Evidence, Observation, Subject
from store.domain.reported import reported

SPANS = 12
"""The most places that one attempt is quoted from for one error: the first ones, and the last."""
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?[\d.]+|\([^()]*\)")
_GONE = 127
"""A shell's exit code for a program that isn't there."""
_OTHERS = 3
"""Other wordings of an error, and ways past it, that a text has."""


@dataclass(frozen=True)
class Trouble:
    """One thing that went wrong, once. It is told as `head`, the message quoted, and `tail`."""

    attempt: Attempt
    step: Step
    subject: Subject
    claim: Claim
    mark: str
    head: str
    message: str
    tail: str
    evidence: tuple[Evidence, ...]
    source: str
    width: int = 160

    @property
    def told(self) -> str:
        return quoted(self.message, self.width)


def troubles(attempt: Attempt) -> Iterator[Trouble]:
    """All of an attempt's, in order."""
    for step in attempt.steps:
        if step.interrupted or step.result is None:
            continue
        ran = step.ran
        if ran is None:
            if step.name == "run":
                yield from _unknown_end(attempt, step)
            elif not step.ok:
                yield _refused(attempt, step)
            continue
        command = step.argument("command")
        if ran.exit_code == 0 and ("Traceback" not in ran.output or prints_files(command)):
            continue
        found = list(crashes(ran.output, attempt.root))
        for crash in found:
            yield _crashed(attempt, step, crash, ran.start)
        if found or ran.exit_code == 0:
            continue
        if ran.timed_out:
            if runs_check(command, attempt.check) is None:
                yield Trouble(
                    attempt,
                    step,
                    Subject.ERROR,
                    Claim.FACT,
                    marked(Subject.ERROR, "time", _inside(attempt, command)),
                    "",
                    command,
                    f" did not end within {ran.seconds} s",
                    _at(attempt, step, ""),
                    command,
                )
        else:
            yield from _failed(attempt, step, ran)


def _failed(attempt: Attempt, step: Step, ran: Ran) -> Iterator[Trouble]:
    """A command that ended in failure and crashed nowhere. What is missing on the machine need not be why it failed: a
    script may go on without it."""
    gone = missing(ran.output)
    if gone is not None:
        yield _lacks(attempt, step, gone[0], gone[1], ran.start + gone[2])
    told = telling_line(ran.output, ran.exit_code or 0)
    if failures.find(ran.output) is not None or told is None:
        return
    text, start = told
    if gone is not None and (ran.exit_code == _GONE or text in gone[1] or gone[1] in text or strength(text) < MARKED):
        return
    command = step.argument("command")
    yield Trouble(
        attempt,
        step,
        Subject.ERROR,
        Claim.FACT,
        marked(Subject.ERROR, "exit", _inside(attempt, text)),
        f"{quoted(command, 100)} failed with exit code {ran.exit_code}: ",
        text,
        "",
        _at(attempt, step, text, ran.start + start),
        f"{command}\n{text}",
    )


def told(met: Sequence[Trouble], attempts: Sequence[Attempt]) -> Iterator[Observation]:
    """What went wrong, one observation an error and attempt, each with all places where that attempt met it. Attempts
    that met the same say it in the same words."""
    groups: dict[str, list[Trouble]] = {}
    for trouble in met:
        groups.setdefault(trouble.mark, []).append(trouble)
    for group in groups.values():
        first = group[0]
        past = {id(trouble): _past(trouble) for trouble in group}
        text = f"{_subject(group)}{first.told}{first.tail}.{_also(group)}{_ways(group, past.values())}"
        source = "\n".join(dict.fromkeys(trouble.source for trouble in group))
        for attempt in attempts:
            own = [trouble for trouble in group if trouble.attempt.subagent == attempt.subagent]
            if not own:
                continue
            spans = [span for trouble in own for span in trouble.evidence]
            spans = list(dict.fromkeys(spans if len(spans) <= SPANS else [*spans[: SPANS - 1], spans[-1]]))
            spans += [span for trouble in own if (way := past[id(trouble)]) for span in way.evidence][:1]
            yield finding(attempt, first.subject, first.claim, text, mark=first.mark, evidence=spans, source=source)


def _subject(group: Sequence[Trouble]) -> str:
    """The head of the sentence: tools that answer the same are named together."""
    heads = list(dict.fromkeys(trouble.head for trouble in group))
    tools = list(dict.fromkeys(quoted(trouble.step.name, 40) for trouble in group))
    if len(heads) == 1 or not heads[0].startswith(f"{tools[0]} answered "):
        return heads[0]
    return f"{', '.join(tools[:-1])} and {tools[-1]} answered "


def _also(group: Sequence[Trouble]) -> str:
    """The same error with another number or name. Of a program's it is all one; of a booking's, each is about another
    thing, and of a tool for files, about another file."""
    first = group[0]
    others: list[str] = []
    if first.subject is Subject.TOOL:
        paths = dict.fromkeys(trouble.step.argument("path") for trouble in group)
        others = [quoted(path, 80) for path in paths if path and path != first.step.argument("path")]
    elif first.step.foreign:
        others = list(dict.fromkeys(trouble.told for trouble in group if trouble.told != first.told))
    if not others:
        return ""
    more = f" and {len(others) - _OTHERS} more" if len(others) > _OTHERS else ""
    return f" Also: {', '.join(others[:_OTHERS])}{more}."


@dataclass(frozen=True)
class _Way:
    words: str
    evidence: tuple[Evidence, ...]


def _past(trouble: Trouble) -> _Way | None:
    """How the attempt got past what a tool refused: by the tool's next call for the same thing that went well."""
    attempt, step = trouble.attempt, trouble.step
    if not step.foreign or trouble.subject is not Subject.ERROR:
        return None
    place = next(at for at, one in enumerate(attempt.steps) if one is step)
    for later in attempt.steps[place + 1 :]:
        if later.name != step.name or not later.ok or later.result is None:
            continue
        if alike(step.input, later.input):
            same = not changed(step.input, later.input)
            words = "with the same call, later" if same else differing(step.input, later.input)
            return _Way(words, argument(attempt.subagent, later))
    return None


def _ways(group: Sequence[Trouble], past: Iterable[_Way | None]) -> str:
    ways = list(dict.fromkeys(way.words for way in past if way is not None))
    if ways:
        return f" It went through {'; or '.join(ways[:_OTHERS])}."
    first = group[0]
    if first.subject is Subject.ERROR and first.step.foreign and not only_looks(first.step.name):
        return " No later call of it went through."
    return ""


def _unknown_end(attempt: Attempt, step: Step) -> Iterator[Trouble]:
    """A command whose result doesn't say how it ended: a crash in it, what is missing, or how it begins, tells."""
    assert step.result is not None
    text, command = step.result.text, step.argument("command")
    found = [] if prints_files(command) else list(crashes(text, attempt.root))
    for crash in found:
        yield _crashed(attempt, step, crash, 0)
    if found:
        return
    if gone := missing(text):
        yield _lacks(attempt, step, gone[0], gone[1], gone[2])
        return
    at = reported(text)
    message = text[at.start : at.end] if at is not None else complaint(text) or ("" if step.ok else _first_line(text))
    if message:
        yield Trouble(
            attempt,
            step,
            Subject.ERROR,
            Claim.FACT,
            marked(Subject.ERROR, "exit", _inside(attempt, message)),
            f"{quoted(command, 100)} failed: ",
            message,
            "",
            _at(attempt, step, message),
            f"{command}\n{message}",
        )


def _crashed(attempt: Attempt, step: Step, crash: Crash, start: int) -> Trouble:
    own_modules = {path.split("/")[0].removesuffix(".py") for path in _paths(attempt)}
    gone = missing(crash.message) if crash.name.endswith("ModuleNotFoundError") else None
    if gone is not None and gone[0].split(".")[0] not in own_modules:
        return _lacks(attempt, step, gone[0], crash.quote, start + crash.start)
    where = f", raised in {quoted(crash.path)}" if crash.path else ""
    if crash.path and crash.function:
        where += f", {quoted(crash.function)}"
    command = step.argument("command")
    return Trouble(
        attempt,
        step,
        Subject.ERROR,
        Claim.FACT,
        marked(Subject.ERROR, "crash", crash.name, _kind(attempt, crash), crash.path, crash.function),
        f"{quoted(command, 100)} printed ",
        f"{crash.name}: {crash.message}" if crash.message else crash.name,
        where,
        _at(attempt, step, crash.quote, start + crash.start),
        f"{command}\n{crash.quote}",
    )


def _lacks(attempt: Attempt, step: Step, name: str, said: str, start: int) -> Trouble:
    return Trouble(
        attempt,
        step,
        Subject.ENVIRONMENT,
        Claim.ENVIRONMENT,
        marked(Subject.ENVIRONMENT, "missing", name),
        f"{quoted(name, 60)} is not there: ",
        said,
        "",
        _at(attempt, step, said, start),
        said,
    )


def _refused(attempt: Attempt, step: Step) -> Trouble:
    """What a tool says that it can't or won't do. One that reads and writes files is a mistake in its use; what any
    other says, such as a booking's, is an error of what was tried."""
    assert step.result is not None
    text = step.result.text
    at = reported(text)
    message = text[at.start : at.end] if at is not None else _first_line(text)
    if not step.foreign:
        on = f" on {quoted(step.argument('path'), 80)}" if step.argument("path") else ""
        subject = Subject.TOOL
        mark = marked(subject, step.name, without_inputs(_inside(attempt, message), step.input))
        head = f"{quoted(step.name, 40)}{on} was refused: "
    else:
        subject, mark = Subject.ERROR, marked(Subject.ERROR, "reported", without_inputs(message, step.input))
        head = f"{quoted(step.name, 40)} answered "
    evidence = span(attempt.subagent, step.result, at.start, at.end) if at is not None else ()
    return Trouble(
        attempt,
        step,
        subject,
        Claim.FACT,
        mark,
        head,
        message,
        "",
        evidence or _at(attempt, step, message),
        f"{step.argument('path')}\n{message}",
    )


def _inside(attempt: Attempt, text: str) -> str:
    """The text with paths as the project has them: a sandbox's own folder differs from lane to lane."""
    root = attempt.root.rstrip("/")
    return text.replace(f"{root}/", "") if root else text


def _kind(attempt: Attempt, crash: Crash) -> str:
    """What makes a crash's message the same. One that is nothing but a value, such as a key, is about another one next
    time; where the project's own frame isn't known, the value alone tells crashes apart."""
    return "<value>" if crash.path and _VALUE.fullmatch(crash.message) else _inside(attempt, crash.message)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def _at(attempt: Attempt, step: Step, text: str, start: int = 0) -> tuple[Evidence, ...]:
    """Where a result says something; the call, for a result that went to no model and so is on no node."""
    found = line(attempt.subagent, step.result, text, start)
    return found or argument(attempt.subagent, step, "command", "path", "pattern")


def _paths(attempt: Attempt) -> set[str]:
    return {step.argument("path").removeprefix("./") for step in attempt.steps if step.argument("path")}
