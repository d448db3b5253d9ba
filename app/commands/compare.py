"""`compare`: two tapes of a run side by side."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from app.commands import Command, add_json, add_run, add_subagent, twin_help
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import emit, say
from app.patches import lane_of
from store.domain.secrets import shown_line

if TYPE_CHECKING:
    from app.alignment import Step

MARKS = {"same": "=", "other result": "~", "other": "!", "left only": "<", "right only": ">"}
"""By kind."""
CELLS = 56


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    add_subagent(parser)
    parser.add_argument(
        "other", metavar="OTHER", nargs="?", help="the other subagent; by default the one it is best compared with"
    )
    add_json(parser)


def _compare(context: Context, options: Namespace) -> int:
    from app import beside
    from app.alignment import align, counterparts

    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
        left = lane_of(board, options.subagent)
        others = counterparts(board, left.id)
        if options.other is None and not others:
            raise CommandError(f"run {run} has no other subagent to compare {options.subagent} with.")
        right = lane_of(board, options.other) if options.other is not None else board.lane(others[0])
        assert right is not None
        ours, theirs = beside.read(store, left.id, right.id)
    rows = align(ours, theirs)
    if options.json:
        emit(
            {
                "run": run,
                "left": left.id.label,
                "right": right.id.label,
                "parts": rows.parts,
                "counts": {kind.value: count for kind, count in rows.counts.items()},
                "rows": [
                    {
                        "kind": pair.kind.value,
                        "left": None if pair.left is None else _facts(ours[pair.left]),
                        "right": None if pair.right is None else _facts(theirs[pair.right]),
                    }
                    for pair in rows.pairs
                ],
            }
        )
        return Exit.FINE
    say(f"{'':2}{left.id.label + ' ' + shown_line(left.plan.strategy.name, 30):<{CELLS}}  {right.id.label} "
        f"{shown_line(right.plan.strategy.name, 30)}")  # fmt: skip
    for number, pair in enumerate(rows.pairs):
        if number == rows.parts:
            say(f"{'':2}they part here")
        one = "" if pair.left is None else _line(ours[pair.left])
        other = "" if pair.right is None else _line(theirs[pair.right])
        say(f"{MARKS[pair.kind]} {one:<{CELLS}}  {other}".rstrip())
    return Exit.FINE


def _line(step: "Step") -> str:
    from widgets.flow import named

    did = " · ".join(named(tool.name, tool.summary) + (" (failed)" if tool.wrong else "") for tool in step.tools)
    return shown_line(f"turn {step.turn}  {did or step.error or 'says only'}", CELLS)


def _facts(step: "Step") -> dict[str, object]:
    return {
        "turn": step.turn,
        "calls": list(step.calls),
        "tokens": step.tokens,
        "error": shown_line(step.error),
        "tools": [
            {
                "name": tool.name,
                "asked": shown_line(tool.summary),
                "failed": tool.wrong,
                "result": shown_line(tool.result),
            }
            for tool in step.tools
        ],
    }


COMMANDS = (Command("compare", twin_help("compare"), _compare, _configure),)
