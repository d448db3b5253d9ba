"""What was tried, and what the check said to it.

At each run of the check the changes in force are a set. It is held against the run whose set was the largest proper
part of it (the unchanged code is the empty one), be that an earlier run or, when something was taken back, a later one.
What is in the one and not in the other is what was tried.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property

from backends.observer.attempt import Attempt, Said, Step
from backends.observer.changes import Change, Parts, Workspace, excerpt, mark, parts, patch_changes, places, without
from backends.observer.evidence import argument, span
from backends.observer.findings import finding
from backends.observer.shell import changes_files, runs_check
from store.domain import failures
from store.domain.observations import Claim, Evidence, Observation, Subject

EXCERPT = 400
"""Lines of an excerpt that are kept; a prompt has fewer."""
QUOTED_EDITS = 4


@dataclass(frozen=True)
class Trial:
    """One run of the check by the subagent. `count` is None when it counted nothing; `uncertain` says why nobody knows
    which changes it was about, "" when it is known. `edits` are the calls behind the changes, one for each."""

    changes: tuple[Change, ...]
    passed: bool
    count: int | None
    timed_out: str = ""
    exit_code: int | None = None
    uncertain: str = ""
    step: Step | None = None
    edits: tuple[Step | None, ...] = ()

    @cached_property
    def parts(self) -> Parts:
        """What tells one state of the code from another."""
        return parts(self.changes)


@dataclass(frozen=True)
class Trials:
    """All runs of the check, in order, and what was changed in the end, with the calls behind it. `uncertain` says why
    that is not known; `disturbing` are the commands that changed files on their own."""

    runs: tuple[Trial, ...]
    changes: tuple[Change, ...]
    edits: tuple[Step | None, ...]
    uncertain: str
    disturbing: tuple[Step, ...]


def trials(attempt: Attempt) -> Trials:
    """Walk an attempt's tool calls and take down every run of the check."""
    space = Workspace(attempt.root)
    runs: list[Trial] = []
    disturbing: list[Step] = []
    for step in attempt.steps:
        if step.name == "read":
            space.read(step)
        elif step.name == "edit":
            if step.interrupted:
                space.uncertain = space.uncertain or "an edit was interrupted"
            elif step.ok:
                space.edit(step)
        elif step.name == "write":
            if step.ok or step.interrupted:
                disturbing.append(step)
                space.uncertain = space.uncertain or "a file was written whole"
        elif step.name == "run":
            command = step.argument("command")
            space.shown(step)
            if changes_files(command):
                disturbing.append(step)
                space.uncertain = space.uncertain or "a shell command changed files"
            elif step.interrupted and runs_check(command, attempt.check) is None:
                space.uncertain = space.uncertain or "a command was interrupted"
            if (trial := _trial(attempt, space, step)) is not None:
                runs.append(trial)
    changes = space.changes()
    return Trials(tuple(runs), changes, tuple(map(space.step, changes)), space.uncertain, tuple(disturbing))


def _trial(attempt: Attempt, space: Workspace, step: Step) -> Trial | None:
    decides = runs_check(step.argument("command"), attempt.check)
    ran = step.ran
    if decides is None or ran is None:
        return None
    code = ran.exit_code if decides else None
    count = None if ran.timed_out else failures.count(ran.output, code)
    if code is None and count is None and not ran.timed_out:
        # Something came after the check, and it counted nothing: nobody knows how it went.
        return None
    if code in (126, 127):
        return None
    changes = space.changes()
    uncertain = space.uncertain or ("protected files were changed" if _protected(attempt, changes) else "")
    timed_out = ran.seconds if ran.timed_out else ""
    return Trial(changes, count == 0, count, timed_out, code, uncertain, step, tuple(map(space.step, changes)))


def _protected(attempt: Attempt, changes: Iterable[Change]) -> bool:
    left_out = attempt.checked.left_out if attempt.checked is not None else ()
    patterns = (*left_out, *attempt.protected)
    return any(
        c.path == p or c.path.startswith(p.rstrip("/") + "/") or fnmatch(c.path, p) for c in changes for p in patterns
    )


def tried_fixes(attempt: Attempt, tried: Trials) -> Iterator[Observation]:
    """What the runs of the check teach about edits. Only for valid attempts."""
    solution = _solution(attempt, tried)
    if solution is not None:
        yield solution
    known = [Trial((), passed=False, count=attempt.baseline)]
    for trial in tried.runs:
        if trial.uncertain:
            continue
        if not trial.parts and known[0].step is None:
            known[0] = trial
        elif all(trial.parts != earlier.parts for earlier in known):
            known.append(trial)
    for trial in known[1:]:
        # Of several as large, the latest.
        smaller = [other for other in reversed(known) if other.parts < trial.parts]
        observation = _effect(attempt, max(smaller, key=lambda other: other.parts.total()), trial)
        if solution is None or observation.fingerprint != solution.fingerprint:
            yield observation


def _effect(attempt: Attempt, before: Trial, after: Trial) -> Observation:
    """One observation on what is in one state of the code and not in the other."""
    tried = without(after.changes, before.parts)
    behind = [step for change, step in zip(after.changes, after.edits, strict=True) if without([change], before.parts)]
    edits = "the edit below" if len(tried) == 1 else "the edits below"
    if before.changes:
        paths = list(dict.fromkeys(f"`{change.path}`" for change in before.changes))
        edits = f"on top of other edits (in {', '.join(paths)}), {edits}"
    claim, effect = _verdict(attempt, before, after)
    return _about(attempt, claim, tried, f"{edits} {effect}", behind, _closing(attempt, after.step))


def _verdict(attempt: Attempt, before: Trial, after: Trial) -> tuple[Claim, str]:
    """The claim, and the words for it."""
    was = "" if before.count is None else _failures(before.count)
    if after.passed:
        if attempt.solved or attempt.checked is None or attempt.checked.word:
            return Claim.HALF, f"brought the check from {was or 'failing'} to 0; not enough alone."
        return (
            Claim.HALF,
            "made the check pass in the subagent's own sandbox, but not in a clean one; not enough alone.",
        )
    if after.timed_out:
        told = f" ({was} before)" if was else ""
        if before.timed_out:
            return Claim.FAILED, f"left the check failing: it did not end within {after.timed_out} s, as before."
        return Claim.WORSE, f"kept the check from ending within {after.timed_out} s{told}."
    if after.count is None or before.count is None:
        counts = f"{was or 'failures not counted'} before, {_failures(after.count)} after"
        return Claim.FAILED, f"left the check failing ({counts})."
    if after.count < before.count:
        return Claim.HALF, f"brought the check from {was} to {after.count}; not enough alone."
    if after.count > before.count:
        return Claim.WORSE, f"made the check worse, from {was} to {after.count}."
    return Claim.FAILED, f"left the check failing ({was} before, {after.count} after)."


def _failures(count: int | None) -> str:
    if count is None:
        return "not counted"
    return "1 failure" if count == 1 else f"{count} failures"


def _solution(attempt: Attempt, tried: Trials) -> Observation | None:
    """The patch of a solved attempt: by its edits where these are all, else by what the harness checked."""
    if not attempt.solved or attempt.checked is None or attempt.checked.word:
        return None
    left_out = set(attempt.checked.left_out)
    changes = patch_changes(attempt.patch)
    if not tried.uncertain and {c.path for c in tried.changes} - left_out == {c.path for c in changes} - left_out:
        changes = tried.changes
    changes = tuple(change for change in changes if change.path not in left_out)
    if not changes:
        return None
    last = next((trial for trial in reversed(tried.runs) if trial.passed), None)
    behind = (*tried.edits, *tried.disturbing)
    edits = "the edit below" if len(changes) == 1 else "the edits below together"
    passed = _closing(attempt, last.step if last is not None else None)
    return _about(attempt, Claim.FIX, changes, f"{edits} made the check pass.", behind, passed)


def _about(
    attempt: Attempt,
    claim: Claim,
    changes: Sequence[Change],
    said: str,
    edits: Sequence[Step | None],
    verdict: tuple[Evidence, ...],
) -> Observation:
    changes = sorted(changes, key=lambda change: change.path)
    quoted = list({id(step): step for step in edits if step is not None}.values())
    spans = [
        one
        for step in quoted[:QUOTED_EDITS]
        for one in argument(attempt.subagent, step, *(("new", "old") if step.name == "edit" else ("command",)))
    ]
    return finding(
        attempt,
        Subject.EDITS,
        claim,
        f"In {places(changes)}: {said}",
        mark=mark(changes),
        excerpt=excerpt(changes)[:EXCERPT],
        evidence=(*spans, *verdict),
    )


def _closing(attempt: Attempt, step: Step | None) -> tuple[Evidence, ...]:
    """The line of the check's output that counts, or else its first line."""
    said: Said | None = step.result if step is not None else None
    if step is None or said is None or (ran := step.ran) is None:
        return ()
    found = failures.find(ran.output)
    if found is None:
        return span(attempt.subagent, said, 0, ran.start)
    return span(attempt.subagent, said, ran.start + found.start, ran.start + found.end)
