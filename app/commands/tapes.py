"""`trace` and `verify`: a tape as a tree, and whether it is whole."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.calls import asked, with_tries
from app.commands import Command, Group, add_run, add_run_json, export, record, twin_help
from app.context import Context, find_run, read_board
from app.failure import Exit
from app.gist import LINE, gist
from app.output import counted, duration, emit, money, say, size
from app.patches import lane_of
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.board import Board, Lane
from store.domain.safe_text import safe_line
from store.domain.secrets import mask

if TYPE_CHECKING:
    from store.database import Store
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
        else:
            lane = lane_of(board, options.subagent)
            say(f"{lane.id}  {_standing(lane)}")
            tape, word = calls(store, subagent=lane.id), "turn"
        seen: set[str] = set()
        told = list(with_tries(tape))
        for number, (call, tries) in enumerate(told, 1):
            last = number == len(told)
            say(f"{'└─' if last else '├─'} {word} {number}  {_headline(call, tries)}")
            bar = "   " if last else "│  "
            for tried in tries:
                say(f"{bar}→ try  {_headline(tried)}")
            for line in _turn(store, call, seen, full=options.full):
                say(bar + line)
    if not tape:
        say("└─ no calls yet")
    return Exit.FINE


def _list_lanes(board: Board) -> None:
    say(f"{board.run}  {safe_line(board.order.title) if board.order else ''}")
    for generation in board.generations.values():
        last = generation.number == len(board.generations)
        say(f"{'└─' if last else '├─'} generation {generation.number}")
        *lanes, final = generation.lanes.values()
        for lane in [*lanes, final]:
            say(f"{'   ' if last else '│  '}{'└─' if lane is final else '├─'} {lane.id.label}  {_standing(lane)}")


def _standing(lane: Lane) -> str:
    spend = f"{counted(lane.turn, 'turn')}, {money(lane.spend.usd, priced=lane.spend.priced)}"
    return f"{safe_line(lane.plan.strategy.name)}{' (clean)' if lane.plan.clean else ''}  {lane.state}  {spend}"


def _headline(call: "Call", tries: "Sequence[Call]" = ()) -> str:
    tokens = f"{call.usage.total:,} tokens" if call.usage.total or not tries else counted(len(tries), "try", "tries")
    took = duration(call.seconds) if call.seconds is not None else "under way"
    wrong = f"  ! {safe_line(call.error, LINE)}" if call.error else ""
    return f"{call.id}  {asked(call)}  {call.status or 'no answer'}  {tokens}  {took}{wrong}"


def _turn(store: "Store", call: "Call", seen: set[str], *, full: bool) -> Iterator[str]:
    """The blocks that this call brought: what was new in its request, and its answer."""
    from store.tapes import answers, messages

    fresh = [message for message in [*messages(store, call), *answers(store, call)] if message.node not in seen]
    seen.update(message.node for message in fresh)
    found = [(message.role, block) for message in fresh for block in blocks(message.message)]
    for index, (role, block) in enumerate(found):
        last = index == len(found) - 1
        yield from _block(role, block, "└─" if last else "├─", "   " if last else "│  ", full=full)


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
        *record.COMMANDS,
        *export.COMMANDS,
        Command("verify", "Rebuild every recorded request, and compare it with what was sent.", _verify, add_run_json),
    ),
)
