"""What an attempt made of the code, whatever the check said to it: files it wrote, code it moved or renamed."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from backends.observer.attempt import Attempt, Step
from backends.observer.changes import Change, patch_changes
from backends.observer.evidence import argument
from backends.observer.findings import finding, marked, quoted
from backends.observer.trials import Trials
from store.domain.observations import Claim, Evidence, Observation, Subject

MOVED = 3
"""Lines from which on it is code that was moved, and no coincidence."""
RENAMED = 2
"""Lines that a name has to change in, its definition among them."""

_ADDED = re.compile(r"^\*\*\* Add File: (.+)$", re.MULTILINE)
_HEREDOC = re.compile(
    r"(?:cat|tee)\s*(?:-\s*)?(?:>\s*)?([\w./~-]+)?\s*<<-?\s*['\"]?\w+['\"]?[ \t]*(?:>\s*([\w./~-]+))?"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS = re.compile(r"\w+|[^\w\s]")
_DEFINES = re.compile(r"\b(?:def|class|func|fn|function|struct|trait|interface|type|enum|const|let|var)\s+$")


def files(attempt: Attempt) -> Iterator[Observation]:
    """Files that were created, or written whole by a tool that doesn't say whether they were there before."""
    for step in attempt.steps:
        for path, how in _written(step):
            path = path.removeprefix(f"{attempt.root}/" if attempt.root else "./").removeprefix("./")
            yield finding(
                attempt,
                Subject.FILE,
                Claim.FACT,
                f"The file {quoted(path)} was {how}.",
                mark=marked(Subject.FILE, path),
                evidence=argument(attempt.subagent, step, "path", "new", "command"),
                source=path,
            )


def _written(step: Step) -> Iterator[tuple[str, str]]:
    path = step.argument("path")
    if step.name == "edit" and step.ok and not step.argument("old") and path:
        yield path, "created"
    elif step.name == "write" and step.ok and step.result is not None:
        for added in _ADDED.findall(step.argument("new")):
            yield added.strip(), "created"
        if path:
            yield path, "created" if "creat" in step.result.text[:200].lower() else "written whole"
    elif step.name == "run" and (ran := step.ran) is not None and ran.exit_code == 0:
        for before, after in _HEREDOC.findall(step.argument("command")):
            if (to := after or before) and not to.startswith(("/tmp/", "/dev/", "-")):  # noqa: S108
                yield to, "written by a command"


def refactorings(attempt: Attempt, tried: Trials) -> Iterator[Observation]:
    """Code that was moved to another place, and names that were changed throughout."""
    changes = tried.changes if tried.changes and not tried.uncertain else patch_changes(attempt.patch)
    yield from _moved(attempt, changes, tried)
    yield from _renamed(attempt, changes, tried)


def _moved(attempt: Attempt, changes: Sequence[Change], tried: Trials) -> Iterator[Observation]:
    put = [_telling(change.added) for change in changes]
    at: dict[str, list[int]] = {}
    for number, lines in enumerate(put):
        for line in lines:
            at.setdefault(line, []).append(number)
    for source in changes:
        taken = _telling(source.removed)
        for number in sorted({number for line in taken for number in at.get(line, ())}):
            target, given = changes[number], put[number]
            if target is source:
                continue
            count = (taken & given).total()
            if count >= MOVED and 2 * count >= min(taken.total(), given.total()):
                where = [_place(change) for change in (source, target)]
                if where[0] == where[1]:
                    where[1] = "elsewhere in it"
                yield finding(
                    attempt,
                    Subject.REFACTORING,
                    Claim.FACT,
                    f"{count} lines were moved from {where[0]} to {where[1]}.",
                    mark=marked(Subject.REFACTORING, "moved", *where),
                    evidence=_edits(attempt, tried, [source, target]),
                    source=f"{source.path}\n{target.path}",
                )


def _telling(lines: Sequence[str]) -> Counter[str]:
    """Lines that say something: no brackets alone, no empty ones."""
    return Counter(line.strip() for line in lines if len(_NAME.findall(line)) >= 2)


def _renamed(attempt: Attempt, changes: Sequence[Change], tried: Trials) -> Iterator[Observation]:
    seen: dict[tuple[str, str], list[Change]] = {}
    defined: set[tuple[str, str]] = set()
    for change in changes:
        if len(change.removed) != len(change.added):
            continue
        for old, new in zip(change.removed, change.added, strict=True):
            if (names := _other_name(old, new)) is not None:
                seen.setdefault(names, []).append(change)
                if _DEFINES.search(old[: re.search(rf"\b{names[0]}\b", old).start()]):  # type: ignore[union-attr]
                    defined.add(names)
    for (old, new), where in seen.items():
        if len(where) < RENAMED or (old, new) not in defined:
            continue
        paths = list(dict.fromkeys(change.path for change in where))
        yield finding(
            attempt,
            Subject.REFACTORING,
            Claim.FACT,
            f"{quoted(old, 60)} was renamed {quoted(new, 60)} in {', '.join(quoted(path, 80) for path in paths[:4])}.",
            mark=marked(Subject.REFACTORING, "renamed", old, new),
            evidence=_edits(attempt, tried, where),
            source=f"{old}\n{new}",
        )


def _other_name(old: str, new: str) -> tuple[str, str] | None:
    """The name that is another in a line that is else the same."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if len(before) != len(after):
        return None
    names = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
    if len(names) != 1 or not all(_NAME.fullmatch(name) for pair in names for name in pair):
        return None
    return names.pop()


def _place(change: Change) -> str:
    return ", ".join(quoted(part, 80) for part in (change.path, change.symbol) if part)


def _edits(attempt: Attempt, tried: Trials, changes: Sequence[Change]) -> list[Evidence]:
    """The edits behind changes; where they are those of a patch, whatever edited the file."""
    steps = dict(zip(tried.changes, tried.edits, strict=True))
    behind = [steps.get(change) or _editing(attempt, change) for change in changes]
    unique = {id(step): step for step in behind if step is not None}
    return [span for step in unique.values() for span in argument(attempt.subagent, step, "new", "old", "command")]


def _editing(attempt: Attempt, change: Change) -> Step | None:
    return next(
        (
            step
            for step in reversed(attempt.steps)
            if change.path in step.argument("path") or (step.name == "run" and change.path in step.argument("command"))
        ),
        None,
    )
