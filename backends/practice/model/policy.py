"""What the scripted model answers: a pure function of the request, the seed and the label that the request names."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from backends.practice.model import memory, words
from backends.practice.model.conversation import Json, Story, story
from backends.practice.model.faults import Hypothesis
from backends.practice.model.hunks import edit, edits, render
from backends.practice.model.ranking import wants_history
from backends.practice.model.state import Hunks, State

LISTING = "git ls-files"
HISTORY = "git log -n 12 --format=%h%x20%s --name-only"
_BATCH = 8
"""Files read in one turn."""
_MOST_FILES = 40
_RECALLS = 2
_AROUND = 3
"""Lines read around a suspect."""
_TOOLS = {"run", "read", "edit", "submit"}


@dataclass(frozen=True)
class Reply:
    """Content blocks in the protocol's form, and why the answer ends."""

    blocks: tuple[Json, ...]
    stop_reason: str


@dataclass
class Draft:
    """An answer in the making: what it thinks, what it says, which tools it calls."""

    thought: str
    said: str
    calls: list[tuple[str, dict[str, Any]]]


def reply(request: Json, seed: int) -> Reply:
    """The next turn of a conversation. The request must be valid: see `wire.problem`."""
    told = story(request)
    if not told.tools >= _TOOLS or not told.brief.check:
        return _finished(_nothing_to_do(told), told, seed)
    return _finished(_next(told, seed), told, seed)


def _next(told: Story, seed: int) -> Draft:
    """One thing after the other: look around, read, see it fail, then one suspect at a time."""
    looking = _look(told)
    if looking is not None:
        return looking
    state = State(told, seed)
    if not state.suspects.hypotheses:
        return Draft(words.lost(), "I find nothing here that I would suspect.", [_submit("I found nothing to repair.")])
    if told.left <= 1:
        return _end(state, "This is my last turn.")
    if told.doubtful:
        path = min(told.doubtful)
        return Draft(words.doubt(path), f"I look at {path} before I go on.", [_read(path)])
    if state.foreign:
        return _restore(state, state.foreign[0])
    present = state.present
    assert present is not None
    if state.best is None or (present and present not in state.combined):
        return Draft(words.pending(), "I run the check on what is there now.", [_check(told)])
    if state.best == 0:
        return _end(state, "The check passes.")
    return _try(state, present)


def _try(state: State, present: Hunks) -> Draft:
    """The next suspect: a closer look first, then the repair and the check."""
    told = state.story
    batch = state.next()
    if not batch:
        return _end(state, "I have no suspect left.")
    wanted = state.kept.union(*(each.hunks for each in batch))
    if len(batch) > 1 or batch[0].id in {each.id for each, _ in state.lessons.helped}:
        if told.left < 2:
            return _end(state, "There is no turn left to try more.")
        sources = {each.id: item for each, item in state.lessons.helped}
        said = "Earlier attempts found edits that help; I make them together.\n" + "\n".join(
            f"- {each.id} ({sources[each.id]}): {each.repair}, in `{each.where}`" for each in batch
        )
        return Draft(words.remembered(len(batch)), said, [*_edits(state, present, wanted), _check(told)])
    each = batch[0]
    if each.id not in told.said:
        if told.left < 3:
            return _end(state, "There are too few turns left to try another suspect.")
        said = words.suspicion(each, state.tried, taking_back=present != state.kept)
        return Draft(words.belief(each), said, [*_edits(state, present, state.kept), *_closer(told, each)])
    if told.left < 2:
        return _end(state, "There is no turn left to try more.")
    said = f"{each.id}: I {each.repair}, and run the check."
    return Draft(words.expectation(each, state.best), said, [*_edits(state, present, wanted), _check(told)])


def _look(told: Story) -> Draft | None:
    """What is there to read; None once everything has been read."""
    strategy = told.brief.section("Strategy")
    late = Draft("No turn is left.", "I have not got far enough to change anything.", [_submit(words.NO_TIME)])
    if LISTING not in told.outputs:
        if told.left <= 1:
            return late
        calls = [_run(LISTING)]
        if wants_history(strategy):
            calls.append(_run(HISTORY))
        calls.append(_check(told))
        return Draft(words.opening(strategy), "I look around, and see how it fails.", calls)
    wanted = _wanted(told)
    unread = [p for p in wanted if p not in told.base and p not in told.unreadable]
    if not unread or told.left <= 1:
        return late if unread else None
    calls = [_page(told, path) for path in unread[:_BATCH]]
    if "recall" in told.tools and not told.recalled and len(unread) == len(wanted):
        learned = next((t for title, t in told.brief.sections.items() if title.startswith("What earlier")), "")
        cut = [item for item in memory.items(learned) if item.cut and item.helped]
        queries = list(dict.fromkeys(item.query for item in cut))
        calls += [("recall", {"query": query}) for query in queries[:_RECALLS]]
    rest = len(unread) - _BATCH
    said = f"I read {len(unread[:_BATCH])} files" + (f", {rest} more after that." if rest > 0 else ".")
    return Draft(words.reading(unread[:_BATCH]), said, calls)


def _wanted(told: Story) -> list[str]:
    """The files to read: Python that is neither a test nor protected nor part of the check."""
    listed = [line.strip() for line in told.outputs[LISTING].split("\n") if line.strip()]
    in_check = set(told.brief.check.split())

    def left_out(path: str) -> bool:
        parts = path.split("/")
        test = any(part in {"test", "tests"} for part in parts[:-1]) or parts[-1].startswith(("test_", "conftest"))
        guarded = any(fnmatch(path, pattern) for pattern in told.brief.protected)
        return test or guarded or path in in_check or parts[-1] == "__init__.py" or not path.endswith(".py")

    return [path for path in listed if not left_out(path)][:_MOST_FILES]


def _end(state: State, why: str) -> Draft:
    """Take back what does not help, and say how far it got."""
    summary = words.summary(state, why)
    present = state.present
    calls = [] if present is None else _edits(state, present, state.kept)
    calls += [_whole(state, path) for path in state.foreign]
    return Draft(words.closing(state.best in (0, None), why), why, [*calls, _submit(summary)])


def _restore(state: State, path: str) -> Draft:
    thought = f"{path} is not as I left it. I put it back to what I know, so that the next check means something."
    return Draft(thought, f"I put {path} in order first.", [_whole(state, path)])


def _whole(state: State, path: str) -> tuple[str, dict[str, Any]]:
    base = state.story.base.get(path, "")
    kept = frozenset(hunk for hunk in state.kept if hunk.path == path)
    made = edit(path, state.story.now.get(path, ""), render(base, kept))
    return "edit", {"path": path, "old": made.old, "new": made.new}


def _edits(state: State, present: Hunks, wanted: Hunks) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []
    for path in sorted({hunk.path for hunk in present ^ wanted}):
        ours, theirs = (frozenset(hunk for hunk in hunks if hunk.path == path) for hunks in (present, wanted))
        made = edits(path, state.story.base[path], ours, theirs)
        calls += [("edit", {"path": each.path, "old": each.old, "new": each.new}) for each in made]
    return calls


def _closer(told: Story, each: Hypothesis) -> list[tuple[str, dict[str, Any]]]:
    """The suspect's lines, and who calls it."""
    first, last = each.lines
    calls = [("read", {"path": each.path, "first": max(first - _AROUND, 1), "last": last + _AROUND})]
    if "search" in told.tools:
        calls.append(("search", {"pattern": rf"\b{each.where.rpartition('.')[2]}\b"}))
    return calls


def _page(told: Story, path: str) -> tuple[str, dict[str, Any]]:
    seen = told.pages.get(path)
    if seen is None or not seen.lines:
        return _read(path)
    return "read", {"path": path, "first": seen.missing}


def _read(path: str) -> tuple[str, dict[str, Any]]:
    return "read", {"path": path}


def _run(command: str) -> tuple[str, dict[str, Any]]:
    return "run", {"command": command}


def _check(told: Story) -> tuple[str, dict[str, Any]]:
    return _run(told.brief.check)


def _submit(summary: str) -> tuple[str, dict[str, Any]]:
    return "submit", {"summary": summary}


def _nothing_to_do(told: Story) -> Draft:
    missing = sorted(_TOOLS - told.tools)
    reason = f"the tools {', '.join(missing)}" if missing else "the command that decides, under a heading “Check”"
    return Draft("", f"I am a scripted debugger: to work I need {reason}.", [])


def _finished(draft: Draft, told: Story, seed: int) -> Reply:
    blocks: list[Json] = []
    if draft.thought:
        mark = _mark(seed, told, "thought", draft.thought, size=24)
        blocks.append({"type": "thinking", "thinking": draft.thought, "signature": mark})
    blocks.append({"type": "text", "text": draft.said})
    for i, (name, given) in enumerate(draft.calls):
        mark = _mark(seed, told, str(i), name, json.dumps(given, sort_keys=True), size=12)
        blocks.append({"type": "tool_use", "id": f"toolu_{mark}", "name": name, "input": given})
    return Reply(tuple(blocks), "tool_use" if draft.calls else "end_turn")


def _mark(seed: int, told: Story, *what: str, size: int) -> str:
    """An identifier that is the same for the same answer to the same conversation."""
    text: Sequence[str] = (str(seed), told.brief.label, str(told.turn), *what)
    return hashlib.blake2b("\n".join(text).encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
