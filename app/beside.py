"""Two turns beside each other, and what tapes are compared by, read from the record. For threads."""

import math
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from app import saying, tooling, tracing
from app.alignment import Step, Used, is_shared, shared, steps
from app.callnodes import as_of, facts
from app.nodes import blob, worded
from store.domain.blocks import Block, BlockKind
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets import paint
from widgets.flow import named
from widgets.ink import Line

if TYPE_CHECKING:
    from store.database import Store

COMPARED = 10_000
"""Steps whose words are read of two tapes, to tell edits of one file from each other; of those behind them counts what
their events say alone. So many take five seconds."""
SHOWN = 40
"""Lines of a result that are shown of it."""


def read(
    store: "Store", left: SubagentId, right: SubagentId, until: int | None = None
) -> tuple[list[Step], list[Step]]:
    """Two tapes' steps; `until` is the last event that counts, None for all there are. StoreError.

    Words are read where both tapes used a tool for the same, by what events say: elsewhere they change nothing. They
    are read step by step, and a digest of them is kept. The two tapes take turns: where there are too many of them
    (`COMPARED`), their beginnings are compared in full.
    """
    ours, theirs = _told(store, left, until), _told(store, right, until)
    both = _tools(ours) & _tools(theirs)
    compared = 0
    for at in range(max(len(ours), len(theirs))):
        for tape in (ours, theirs):
            if at < len(tape) and compared < COMPARED and not both.isdisjoint(tool.asked for tool in tape[at].tools):
                tape[at] = _exact(store, tape[at])
                compared += 1
    return ours, theirs


def _told(store: "Store", who: SubagentId, until: int | None) -> list[Step]:
    """A tape's steps by its events."""
    return steps(event for event in tracing.read_tape(store, who) if until is None or event.seq <= until)


def _tools(tape: Sequence[Step]) -> set[tuple[str, str, str]]:
    return {tool.asked for step in tape for tool in step.tools}


def _exact(store: "Store", step: Step) -> Step:
    given = _given(store, step)
    return replace(step, tools=tuple(replace(tool, writes=_digest(given.get(tool.id))) for tool in step.tools))


def _digest(value: Any) -> str:
    words = tooling.written(value)
    return blake2b(words.encode("utf-8", "replace"), digest_size=8).hexdigest() if words else ""


def _given(store: "Store", step: Step) -> dict[str, Any]:
    said = (block for call in step.calls for block in saying.answer(store, call))
    return {block.id: block.input for block in said if block.kind is BlockKind.TOOL_CALL}


def turns(
    store: "Store", left: Step | None, right: Step | None, now: float = math.inf
) -> tuple[list[Line], list[Line]]:
    """What was said and done in two turns, what is the same in a line each; at the end what their calls took. In a
    playback nothing is told that comes after `now`. StoreError."""
    both = shared(left, right) if left is not None and right is not None else frozenset()
    one, other = (_turn(store, step, both, now) if step is not None else [] for step in (left, right))
    return one, other


def _turn(store: "Store", step: Step, both: frozenset[tuple[object, ...]], now: float) -> list[Line]:
    from store import tapes

    lines: list[Line] = []
    tools = {tool.id: tool for tool in step.tools}
    calls = [as_of(tapes.call(store, name), now) for name in step.calls]
    for call in calls:
        for block in saying.words_of(store, call):
            tool = tools.pop(block.id, None) if block.kind is BlockKind.TOOL_CALL else None
            said = _tool(store, tool, block, both) if tool is not None else [*worded(block), []]
            # What is the same stands close together.
            apart = lines and lines[-1] and (tool is None or not is_shared(tool, both))
            lines += [*([[]] if apart else []), *said]
    for tool in tools.values():
        lines += _tool(store, tool, None, both)
    for call in calls:
        lines += [*([[]] if lines and lines[-1] else []), *facts(call), []]
    return lines or [[("no call was made in this turn", "faint")]]


def _tool(store: "Store", tool: Used, block: Block | None, both: frozenset[tuple[object, ...]]) -> list[Line]:
    if is_shared(tool, both):
        return [[("= ", "faint"), (shown_line(named(tool.name, tool.summary)), "faint")]]
    told = [("› ", "tool"), (shown_line(named(tool.name, tool.summary)), "tool")]
    lines = tooling.given(block.name, block.input) if block is not None else [told]
    if tool.wrong is None:
        return [*lines, [("  ▶ runs", "accent")], []]
    came = tooling.gave(blob(store, tool.output) or tool.result, block.input if block is not None else None)
    mark = ("✗ ", "bad") if tool.wrong else ("✔ ", "good")
    return [*lines, *_first(mark, came), []]


def _first(mark: tuple[str, str], came: Sequence[Line]) -> list[Line]:
    """The beginning of a result, set in behind its mark."""
    lines = paint.indent(came[:SHOWN], 2)
    if lines:
        lines[0] = [mark, *came[0]]
    more = len(came) - SHOWN
    return [*lines, [(f"  … {more:,} more lines in the trace", "faint")]] if more > 0 else lines or [[mark]]
