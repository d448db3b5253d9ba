"""Orders to a run's engine, through the store: `launch`, `stop`, `kill`, `pause`, `continue`, `steer`, `limits`,
`restart`, `fork`."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app import raising
from app.actions import ACTIONS
from app.commands import Command, Group, add_json, add_run, gate, twin_help
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import duration, emit, money, say, table
from app.patches import lane_of, subagent_of
from store.domain import commands as orders
from store.domain.board import Board, Lane
from store.domain.ids import SubagentId

if TYPE_CHECKING:
    from store.database import Store

PATIENCE = 10.0
"""Seconds to wait for the engine's answer. It looks ten times a second; a busy machine takes longer."""

Order = Callable[["Store", Board], Sequence[orders.Command]]


def _configure_launch(parser: ArgumentParser) -> None:
    add_run(parser)
    rest = next(action for action in ACTIONS if action.id == "launch-rest")
    parser.add_argument("--rest", action="store_true", help=rest.help)
    _add_json(parser)


def _configure_stop(parser: ArgumentParser) -> None:
    add_run(parser)
    _add_json(parser)


def _configure_lanes(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("subagent", metavar="SUBAGENT", nargs="+", help="GENERATION.LANE, such as 2.3, or several")
    _add_json(parser)


def _configure_steer(parser: ArgumentParser) -> None:
    add_run(parser)
    _add_some(parser)
    parser.add_argument("text", metavar="TEXT", nargs="+", help="what it reads at its next turn; - reads it from here")
    _add_json(parser)


def _configure_limits(parser: ArgumentParser) -> None:
    add_run(parser)
    _add_some(parser)
    for field in raising.FIELDS:
        parser.add_argument(f"--{field}", metavar="N", help=f"such as {raising.HINTS[field].replace('%', '%%')}")
    _add_json(parser)


def _configure_restart(parser: ArgumentParser) -> None:
    _configure_lanes(parser)
    _add_strategy(parser)


def _configure_fork(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("place", metavar="CALL|NODE", help="a call or a node of the run's, or a beginning of its name")
    parser.add_argument("--node", metavar="NODE", help="the last node of that call's conversation that is wanted")
    parser.add_argument("--text", metavar="TEXT", help="words in the place of that node's own; - reads them from here")
    _add_strategy(parser)
    _add_json(parser)


def _add_some(parser: ArgumentParser) -> None:
    parser.add_argument("subagent", metavar="SUBAGENT", help="GENERATION.LANE, such as 2.3, or several: 2.1,2.3")


def _add_strategy(parser: ArgumentParser) -> None:
    parser.add_argument("--strategy", metavar="TEXT", default="", help="a strategy's name, or an approach in words")
    parser.add_argument("--model", metavar="NAME", default="", help="another model")


def _add_json(parser: ArgumentParser) -> None:
    add_json(parser, "print the orders and their answers as JSON")


def _launch(context: Context, options: Namespace) -> int:
    return give(context, options, "launch", lambda store, board: [orders.Launch(rest=options.rest)])


def _stop(context: Context, options: Namespace) -> int:
    return give(context, options, "stop", lambda store, board: [orders.Stop()])


def _kill(context: Context, options: Namespace) -> int:
    return _order_each(context, options, "kill", lambda lane: orders.Kill(*lane))


def _pause(context: Context, options: Namespace) -> int:
    return _order_each(context, options, "pause", lambda lane: orders.Pause(*lane))


def _continue(context: Context, options: Namespace) -> int:
    return _order_each(context, options, "continue", lambda lane: orders.Continue(*lane))


def _steer(context: Context, options: Namespace) -> int:
    text = _words(" ".join(options.text))
    if not text.strip():
        raise CommandError("there is nothing in that message: write what the subagent is to read.")
    return _order_each(context, options, "steer", lambda lane: orders.Steer(*lane, text))


def _restart(context: Context, options: Namespace) -> int:
    strategy = _words(options.strategy)
    return _order_each(context, options, "restart", lambda lane: orders.Restart(*lane, strategy, options.model))


def _limits(context: Context, options: Namespace) -> int:
    read = [raising.parse(field, getattr(options, field) or "") for field in raising.FIELDS]
    for one in read:
        if isinstance(one, str):
            raise CommandError(one)
    wanted = [one for one in read if isinstance(one, raising.Wanted)]
    if not wanted:
        return _show_limits(context, options)

    def each(store: "Store", board: Board) -> list[orders.Command]:
        found = [raising.raised(lane_of(board, label), wanted) for label in _labels(options)]
        for one in found:
            if isinstance(one, str):
                raise CommandError(one, Exit.UNSOLVED)
        return [one for one in found if not isinstance(one, str)]

    return give(context, options, "limits", each)


def _show_limits(context: Context, options: Namespace) -> int:
    """What they may use, and what of it is used."""
    with context.store() as store:
        board = read_board(store, find_run(store, options.run).id)
        lanes = [lane_of(board, label) for label in _labels(options)]
    now = time.time() if board.engine is not None else board.at
    if options.json:
        emit([{"subagent": lane.id.label, **_use(lane, now)} for lane in lanes], indent=2)
    else:
        heads = ("SUBAGENT", "TURNS", "TOKENS", "COST", "TIME")
        table(heads, [(lane.id.label, *_use_in_words(lane, now)) for lane in lanes], right=(1, 2, 3, 4))
    return Exit.FINE


def _use(lane: Lane, now: float) -> dict[str, dict[str, float | None]]:
    spent = lane.spent(now)
    used = {"turns": spent.turns, "tokens": spent.tokens, "usd": spent.usd, "seconds": spent.seconds}
    return {field: {"used": used[field], "limit": getattr(lane.limits, field)} for field in raising.FIELDS}


def _use_in_words(lane: Lane, now: float) -> list[str]:
    use = _use(lane, now)
    shown: dict[str, Callable[[float], str]] = {"usd": money, "seconds": duration}

    def cell(field: str) -> str:
        used, limit = (
            None if value is None else shown.get(field, "{:,}".format)(value)
            for value in (use[field]["used"], use[field]["limit"])
        )
        used = "–" if used is None else used
        return f"{used} of {limit}" if limit is not None else used

    return [cell(field) for field in raising.FIELDS]


def _fork(context: Context, options: Namespace) -> int:
    from store.places import LEAST, places

    text = None if options.text is None else _words(options.text)

    def find(store: "Store", board: Board) -> list[orders.Command]:
        found = places(store, board.run, options.place)
        if options.node and len(found) == 1:
            if found[0].node:
                raise CommandError(f"{options.place!r} is a node itself: name its call to choose another with --node.")
            found = places(store, board.run, options.node, call=found[0].call)
        name = options.node or options.place
        if not found:
            raise CommandError(
                f"run {board.run} has no call and no node whose name begins with {name!r} ({LEAST} characters and "
                f"more). `multitrack calls {board.run}` lists its calls."
            )
        if len(found) > 1:
            names = ", ".join((one.node or one.call)[:16] for one in found[:4])
            raise CommandError(f"{name!r} may be {len(found)} of them: {names}, …. Write more of the name.")
        return [orders.Fork(*found[0], text, _words(options.strategy), options.model)]

    return give(context, options, "fork", find)


def _words(text: str) -> str:
    """What was written, or what comes from standard input."""
    return sys.stdin.buffer.read().decode("utf-8", "replace") if text == "-" else text


def _labels(options: Namespace) -> list[str]:
    given = [options.subagent] if isinstance(options.subagent, str) else options.subagent
    labels = [label.strip() for one in given for label in one.split(",")]
    return list(dict.fromkeys(label for label in labels if label))


def _order_each(
    context: Context, options: Namespace, name: str, order: Callable[[tuple[int, int]], orders.Command]
) -> int:
    def each(store: "Store", board: Board) -> list[orders.Command]:
        named = [subagent_of(board.run, label) for label in _labels(options)]
        return [order((one.generation, one.lane)) for one in named]

    return give(context, options, name, each)


Given = tuple[orders.Command, tuple[bool, str] | None]
"""An order, and its answer; None while it waits."""


def give(context: Context, options: Namespace, name: str, order: Order) -> int:
    """Give orders, wait for their answers, and say them."""
    return tell(options, *ask(context, options, name, order))


def ask(context: Context, options: Namespace, name: str, order: Order) -> tuple[str, list[Given], str]:
    """Give orders and wait for their answers: the run, what came of each, and why some wait, "" when none does."""
    from store.commands import issue, outcome
    from store.lock import holder

    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
        given = [] if board.order is None or board.finished is not None else order(store, board)
        if board.order is None:
            raise CommandError(f"run {run} is a bare recording: there is nothing to {name}.", Exit.UNSOLVED)
        if board.finished is not None:
            raise CommandError(f"run {run} is over: there is nothing to {name}.", Exit.UNSOLVED)
        ids = [issue(store, run, command, at=time.time()) for command in given]
        answers: dict[int, tuple[bool, str]] = {}
        lock = context.home.folder(run).lock
        until, waits = time.monotonic() + PATIENCE, ""
        while len(answers) < len(ids) and not waits:
            for one in ids:
                if one not in answers and (answer := outcome(store, one)) is not None:
                    answers[one] = answer
            if len(answers) < len(ids):
                waits = _why_waiting(run, holder(lock) is not None, time.monotonic() > until, len(ids) - len(answers))
                time.sleep(0.05)
    return run, [(command, answers.get(one)) for command, one in zip(given, ids, strict=True)], waits


def tell(options: Namespace, run: str, given: Sequence[Given], waits: str) -> int:
    """Say what came of orders; the exit code."""
    if options.json:
        emit([_facts(run, command, answer) for command, answer in given], indent=2)
    else:
        for applied, text in (answer for _, answer in given if answer is not None):
            say(text if applied else f"refused: {text}")
        if waits:
            say(waits)
    return Exit.FINE if all(answer[0] for _, answer in given if answer is not None) else Exit.UNSOLVED


def _why_waiting(run: str, lives: bool, late: bool, left: int) -> str:
    """Why nobody waits any longer for an answer; "" while one does."""
    what = "the command waits" if left == 1 else f"{left} commands wait"
    if not lives:
        return f"No engine works on run {run}: {what}. `multitrack resume {run}` starts one."
    return f"The engine of run {run} has not answered yet: {what}." if late else ""


def _facts(run: str, command: orders.Command, answer: tuple[bool, str] | None) -> dict[str, object]:
    """An order as JSON; `applied` and `outcome` are null while it waits."""
    of = getattr(command, "generation", None), getattr(command, "lane", None)
    label = SubagentId(run, of[0], of[1]).label if of[0] is not None and of[1] is not None else None
    applied, outcome = answer if answer is not None else (None, None)
    return {"command": command.name, "subagent": label, "applied": applied, "outcome": outcome}


_STEER = "Several subagents are told the same: `multitrack steer last 2.1,2.3 Look at the lock.`"
_LIMITS = "Without an option, what they may use and what they have used."
_FORK = (
    "The new subagent joins the latest generation. It has the conversation, and a sandbox of its own that starts at "
    "the run's base commit: nothing that was done in the conversation is in it, and it is told so."
)

GROUP = Group(
    "steer",
    (
        *gate.COMMANDS,
        Command("launch", twin_help("launch"), _launch, _configure_launch),
        Command("stop", twin_help("stop"), _stop, _configure_stop),
        Command("kill", twin_help("kill"), _kill, _configure_lanes),
        Command("pause", twin_help("pause"), _pause, _configure_lanes),
        Command("continue", twin_help("continue"), _continue, _configure_lanes),
        Command("steer", twin_help("steer"), _steer, _configure_steer, _STEER),
        Command("limits", twin_help("limits"), _limits, _configure_limits, _LIMITS),
        Command("restart", twin_help("restart"), _restart, _configure_restart),
        Command("fork", "Start a new subagent from a recorded conversation.", _fork, _configure_fork, _FORK),
    ),
)
