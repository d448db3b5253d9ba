"""What an attempt teaches besides its fixes: errors, the environment, loops, dead ends, and how it went."""

import json
from collections import defaultdict
from collections.abc import Iterator

from backends.observer.attempt import Attempt, Said, Step
from backends.observer.errors import Crash, crashes, missing, telling_line
from backends.observer.evidence import argument, line, span
from backends.observer.findings import finding, marked, masked, quoted
from backends.observer.shell import runs_check
from backends.observer.trials import Trials
from store.domain import failures
from store.domain.observations import Claim, Evidence, Observation, Subject, fingerprint
from store.domain.states import Ending

REPEATS = 3
"""How often the same call with the same answer is a loop. On 200 real runs, three times anywhere in a run happened in
four runs, all of them failed ones."""

LIMITS = (Ending.TURNS, Ending.TOKENS, Ending.COST, Ending.TIME)


def errors(attempt: Attempt) -> Iterator[Observation]:
    """Crashes, failed commands, missing programs, and what tools refused."""
    for step in attempt.steps:
        if step.interrupted or step.result is None:
            continue
        ran = step.ran
        if ran is None:
            if not step.ok:
                yield _refused(attempt, step, step.result)
            continue
        if ran.exit_code == 0 and "Traceback" not in ran.output:
            continue
        command = step.argument("command")
        found = list(crashes(ran.output, attempt.root))
        for crash in found:
            yield _crashed(attempt, step, crash, ran.start)
        if found or ran.exit_code == 0:
            continue
        if ran.timed_out:
            if runs_check(command, attempt.check) is None:
                yield finding(
                    attempt,
                    Subject.ERROR,
                    Claim.FACT,
                    f"{quoted(command)} did not end within {ran.seconds} s.",
                    mark=marked(Subject.ERROR, "time", command),
                    evidence=_at(attempt, step, ""),
                    source=command,
                )
            continue
        if gone := missing(ran.output):
            yield _lacks(attempt, step, gone[0], gone[1], ran.start + gone[2])
        elif failures.find(ran.output) is None and (told := telling_line(ran.output, ran.exit_code or 0)):
            text, start = told
            yield finding(
                attempt,
                Subject.ERROR,
                Claim.FACT,
                f"{quoted(command, 100)} failed with exit code {ran.exit_code}: {quoted(text)}",
                mark=marked(Subject.ERROR, "exit", text),
                evidence=_at(attempt, step, text, ran.start + start),
                source=f"{command}\n{text}",
            )


def _crashed(attempt: Attempt, step: Step, crash: Crash, start: int) -> Observation:
    own_modules = {path.split("/")[0].removesuffix(".py") for path in _paths(attempt)}
    gone = missing(crash.message) if crash.name.endswith("ModuleNotFoundError") else None
    if gone is not None and gone[0].split(".")[0] not in own_modules:
        return _lacks(attempt, step, gone[0], crash.quote, start + crash.start)
    raised = quoted(f"{crash.name}: {crash.message}" if crash.message else crash.name)
    where = f", raised in {quoted(crash.path)}" if crash.path else ""
    if crash.path and crash.function:
        where += f", {quoted(crash.function)}"
    return finding(
        attempt,
        Subject.ERROR,
        Claim.FACT,
        f"{quoted(step.argument('command'), 100)} printed {raised}{where}.",
        mark=marked(Subject.ERROR, "crash", crash.name, crash.message, crash.path, crash.function),
        evidence=_at(attempt, step, crash.quote, start + crash.start),
        source=f"{step.argument('command')}\n{crash.quote}",
    )


def _lacks(attempt: Attempt, step: Step, name: str, told: str, start: int) -> Observation:
    return finding(
        attempt,
        Subject.ENVIRONMENT,
        Claim.ENVIRONMENT,
        f"{quoted(name, 60)} is not there: {quoted(told)}",
        mark=marked(Subject.ENVIRONMENT, "missing", name),
        evidence=_at(attempt, step, told, start),
        source=told,
    )


def _refused(attempt: Attempt, step: Step, said: Said) -> Observation:
    first = next((text.strip() for text in said.text.split("\n") if text.strip()), "")
    on = f" on {quoted(step.argument('path'), 80)}" if step.argument("path") else ""
    return finding(
        attempt,
        Subject.TOOL,
        Claim.FACT,
        f"{quoted(step.name, 40)}{on} was refused: {quoted(first)}",
        mark=marked(Subject.TOOL, step.name, first),
        evidence=_at(attempt, step, first),
        source=f"{step.name}\n{step.argument('path')}\n{first}",
    )


def _at(attempt: Attempt, step: Step, text: str, start: int = 0) -> tuple[Evidence, ...]:
    """Where a result says something; the call, for a result that went to no model and so is on no node."""
    found = line(attempt.subagent, step.result, text, start)
    return found or argument(attempt.subagent, step, "command", "path", "pattern")


def _paths(attempt: Attempt) -> set[str]:
    return {step.argument("path").removeprefix("./") for step in attempt.steps if step.argument("path")}


def loops(attempt: Attempt, tried: Trials) -> Iterator[Observation]:
    """The same call with the same answer, again and again, with nothing changed in between."""
    disturbing = {id(step) for step in tried.disturbing}
    seen: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
    for step in attempt.steps:
        if (step.name == "edit" and step.ok) or id(step) in disturbing:
            seen.clear()
            continue
        if step.result is None or step.interrupted:
            continue
        given = json.dumps(dict(step.input), sort_keys=True, default=str)
        calls = seen[step.name, given]
        calls.append(step)
        if len(calls) < REPEATS:
            continue
        answer = masked(step.result.text)
        same = [call for call in calls if call.result is not None and masked(call.result.text) == answer]
        if len(same) == REPEATS:
            told = step.argument("command") or step.argument("path") or step.argument("pattern") or given
            yield finding(
                attempt,
                Subject.LOOP,
                Claim.DEAD_END,
                f"The same {quoted(step.name, 40)} call, {quoted(told, 100)}, was made {REPEATS} times or more with the"
                " same answer and nothing changed in between.",
                mark=marked(Subject.LOOP, step.name, given),
                evidence=[e for one in same for e in argument(attempt.subagent, one, "command", "path", "pattern")],
                source=told,
            )


def dead_end(attempt: Attempt, tried: Trials) -> Iterator[Observation]:
    """An approach that used up its limits and never lowered the count."""
    if attempt.ending not in LIMITS or attempt.solved:
        return
    counts = [trial.count for trial in tried.runs if trial.changes and trial.count is not None]
    start = next((trial.count for trial in tried.runs if not trial.changes), attempt.baseline)
    if any(trial.passed for trial in tried.runs) or (counts and start is not None and min(counts) < start):
        return
    states = len({frozenset(trial.parts.items()) for trial in tried.runs if trial.changes})
    if not states:
        got = "without running the check on any change"
    else:
        numbers = f" ({start} failures at the start, {min(counts)} at best)" if counts and start is not None else ""
        got = f"after {states} tried state{'' if states == 1 else 's'} of the code, none with fewer failures{numbers}"
    last = tried.runs[-1].step if tried.runs else (attempt.steps[-1] if attempt.steps else None)
    yield finding(
        attempt,
        Subject.LIMIT,
        Claim.DEAD_END,
        f"The approach {quoted(attempt.strategy, 60)} reached its {attempt.ending} {got}.",
        mark=marked(Subject.LIMIT, attempt.strategy),
        evidence=argument(attempt.subagent, last, "command", "path") if last is not None else (),
    )


def circumstances(attempt: Attempt, tried: Trials, generation: str) -> Iterator[Observation]:
    """What it was after, what it cost, what it made, and what can't be told. `generation` is the generation's usage."""
    opening = _opening(attempt)
    yield finding(
        attempt,
        Subject.GOAL,
        Claim.GOAL,
        f"The goal: {attempt.goal}",
        mark=marked(Subject.GOAL, attempt.goal),
        evidence=span(attempt.subagent, opening, 0, len(opening.text)) if opening else (),
    )
    closing = _closing(attempt)
    yield finding(
        attempt,
        Subject.USAGE,
        Claim.FACT,
        generation,
        mark=fingerprint(Subject.USAGE, attempt.subagent.run, str(attempt.subagent.generation)),
        evidence=span(attempt.subagent, closing, 0, len(closing.text)) if closing else (),
    )
    for step in attempt.steps:
        if step.name == "edit" and step.ok and not step.argument("old") and step.argument("path"):
            path = step.argument("path").removeprefix("./")
            yield finding(
                attempt,
                Subject.FILE,
                Claim.FACT,
                f"The file {quoted(path)} was created.",
                mark=marked(Subject.FILE, path),
                evidence=argument(attempt.subagent, step, "path"),
                source=path,
            )
    for step in tried.disturbing:
        command = step.argument("command")
        yield finding(
            attempt,
            Subject.USAGE,
            Claim.FACT,
            f"Unknown edit by shell command {quoted(command)}: what the check said afterwards is put down to no edit.",
            mark=marked(Subject.USAGE, "shell", command),
            evidence=argument(attempt.subagent, step, "command"),
            source=command,
        )


def _opening(attempt: Attempt) -> Said | None:
    return next((said for said in attempt.said if said.text.strip()), attempt.steps[0].asked if attempt.steps else None)


def _closing(attempt: Attempt) -> Said | None:
    said = [one for one in attempt.said if one.text.strip()][-1:] + [step.asked for step in attempt.steps[-1:]]
    return max(said, key=lambda one: one.turn, default=None)
