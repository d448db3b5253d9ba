"""`trace` and `verify`: a tape as a tree, and whether it is whole."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.branches import Told, tree
from app.calls import asked, with_tries
from app.commands import Command, Group, add_run, add_run_json, compare, export, imports, record, search, twin_help
from app.context import Context, find_run, read_board
from app.failure import Exit
from app.gist import LINE, gist
from app.output import counted, duration, emit, money, say, size
from app.patches import lane_of
from store.domain.blocks import Block, BlockKind
from store.domain.board import Board, Generation, Lane
from store.domain.ids import OBSERVER, SubagentId
from store.domain.limits import Spend
from store.domain.safe_text import safe_line
from store.domain.secrets import mask

if TYPE_CHECKING:
    from store.tapes import Call

LISTED = 20
"""Blobs that nothing names, by name."""


def _configure_trace(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("subagent", metavar="SUBAGENT", nargs="?", help="such as 2.3; without it, all are listed")
    parser.add_argument("--full", action="store_true", help="whole texts instead of their first lines")


def _trace(context: Context, options: Namespace) -> int:
    from store.tapes import calls

    with context.store() as store:
        row = find_run(store, options.run)
        board = read_board(store, row.id)
        if board.order is None:
            say(f"{row.id}  {row.title}")
            tape, word = calls(store, run=row.id), "call"
        elif options.subagent is None:
            _list_lanes(board)
            return Exit.FINE
        elif (
            asking := next((g for g in board.generations.values() if _observer(g) == options.subagent), None)
        ) is not None:
            say(f"{board.run}.{_observer(asking)}  {_asked(board, asking)}")
            tape, word = calls(store, subagent=SubagentId(board.run, asking.number, OBSERVER)), "turn"
        else:
            lane = lane_of(board, options.subagent)
            say(f"{lane.id}  {_standing(lane)}")
            tape, word = calls(store, subagent=lane.id), "turn"
        for line in _lines(tree(store, list(with_tries(tape))), word, full=options.full):
            say(line)
    if not tape:
        say("└─ no calls yet")
    return Exit.FINE


def _list_lanes(board: Board) -> None:
    say(f"{board.run}  {safe_line(board.order.title) if board.order else ''}")
    for generation in board.generations.values():
        last = generation.number == len(board.generations)
        say(f"{'└─' if last else '├─'} generation {generation.number}")
        lines = [f"{lane.id.label}  {_standing(lane)}" for lane in generation.lanes.values()]
        if name := _observer(generation):
            lines.append(f"{name}  {_asked(board, generation)}")
        for line in lines:
            say(f"{'   ' if last else '│  '}{'└─' if line is lines[-1] else '├─'} {line}")


def _observer(generation: Generation) -> str:
    """The label of what the observer's model was asked; "" where it was asked nothing."""
    return f"{generation.number}.{OBSERVER}" if generation.observing != Spend() else ""


def _asked(board: Board, generation: Generation) -> str:
    spend = generation.observing
    turns = counted(spend.turns, "turn")
    return (
        f"the observer's model {safe_line(generation.reader or board.task.observer_model)}  {turns}, "
        f"{money(spend.usd, priced=spend.priced)}"
    )


def _standing(lane: Lane) -> str:
    spend = f"{counted(lane.turn, 'turn')}, {money(lane.spend.usd, priced=lane.spend.priced)}"
    return f"{safe_line(lane.plan.strategy.name)}{' (clean)' if lane.plan.clean else ''}  {lane.state}  {spend}"


def _headline(call: "Call", tries: "Sequence[Call]" = ()) -> str:
    tokens = f"{call.usage.total:,} tokens" if call.usage.total or not tries else counted(len(tries), "try", "tries")
    took = duration(call.seconds) if call.seconds is not None else "under way"
    wrong = f"  ! {safe_line(call.error, LINE)}" if call.error else ""
    return f"{call.id}  {asked(call)}  {call.status or 'no answer'}  {tokens}  {took}{wrong}"


def _lines(calls: Sequence[Told], word: str, *, full: bool) -> Iterator[str]:
    """Calls, each with the blocks that it brought: what was new in its request, and its answer. The calls of an agent's
    own subagents are under the tool calls that began them."""
    for told in calls:
        corner, bar = _drawn(last=told is calls[-1])
        yield f"{corner} {word} {told.number}  {_headline(told.call, told.tries)}"
        for tried in told.tries:
            yield f"{bar}→ try  {_headline(tried)}"
        for index, (role, block) in enumerate(told.said):
            inner, side = _drawn(last=index == len(told.said) - 1)
            yield from (bar + line for line in _block(role, block, inner, side, full=full))
            yield from (f"{bar}{side}{line}" for line in _lines(told.under.get(index, ()), word, full=full))


def _drawn(*, last: bool) -> tuple[str, str]:
    """What stands before an item of a tree, and before what is under it."""
    return ("└─", "   ") if last else ("├─", "│  ")


def _block(role: str, block: Block, corner: str, bar: str, *, full: bool) -> Iterator[str]:
    head = {
        BlockKind.TOOL_CALL: f"call {block.name}",
        BlockKind.TOOL_RESULT: "result" if block.ok is not False else "result, failed",
    }.get(block.kind, f"{role} {block.kind}")
    if not full:
        yield f"{corner} {head}: {gist(block)}".removesuffix(": ")
        return
    yield f"{corner} {head}"
    for line in mask(block.text).splitlines():
        yield f"{bar}  {line}"


def _verify(context: Context, options: Namespace) -> int:
    from store import tapes
    from store.tapes import verify
    from store.unnamed import unnamed

    with context.store() as store:
        run = find_run(store, options.run).id
        problems, nobodys, count = verify(store, run), unnamed(store, context.home), sum(tapes.count(store, run))
    if options.json:
        left = [{"digest": blob.digest, "size": blob.size} for blob in nobodys]
        emit({"run": run, "calls": count, "problems": problems, "unnamed": left})
        return Exit.UNSOLVED if problems else Exit.FINE
    for problem in problems:
        say(problem)
    if not problems:
        say(f"Run {run}: {counted(count, 'call')}, and every request can be rebuilt as it was sent.")
    if nobodys:
        takes = size(sum(blob.size for blob in nobodys))
        say(f"Nothing names {counted(len(nobodys), 'blob')} of the store ({takes}); `multitrack prune` collects:")
        for blob in nobodys[:LISTED]:
            say(f"  {blob.digest}  {size(blob.size)}")
        if len(nobodys) > LISTED:
            say(f"  … and {len(nobodys) - LISTED:,} more")
    return Exit.UNSOLVED if problems else Exit.FINE


GROUP = Group(
    "the tapes",
    (
        Command("trace", twin_help("trace"), _trace, _configure_trace),
        *compare.COMMANDS,
        *record.COMMANDS,
        *search.COMMANDS,
        *export.COMMANDS,
        *imports.COMMANDS,
        Command("verify", "Rebuild every recorded request, and compare it with what was sent.", _verify, add_run_json),
    ),
)
