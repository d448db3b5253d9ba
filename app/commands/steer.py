"""`launch`, `stop`, `kill`, `pause`, `continue`, `restart`: orders to a run's engine, through the store."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from app.actions import ACTIONS
from app.commands import Command, Group, add_run, add_subagent, twin_help
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import say
from app.patches import subagent_of
from store.domain import commands as orders

PATIENCE = 10.0
"""Seconds to wait for the engine's answer. It looks ten times a second; a busy machine takes longer."""


def _configure_launch(parser: ArgumentParser) -> None:
    add_run(parser)
    rest = next(action for action in ACTIONS if action.id == "launch-rest")
    parser.add_argument("--rest", action="store_true", help=rest.help)


def _configure_lane(parser: ArgumentParser) -> None:
    add_run(parser)
    add_subagent(parser)


def _launch(context: Context, options: Namespace) -> int:
    return _order(context, options, lambda run: orders.Launch(rest=options.rest))


def _stop(context: Context, options: Namespace) -> int:
    return _order(context, options, lambda run: orders.Stop())


def _kill(context: Context, options: Namespace) -> int:
    return _order(context, options, lambda run: orders.Kill(*_lane(run, options.subagent)))


def _pause(context: Context, options: Namespace) -> int:
    return _order(context, options, lambda run: orders.Pause(*_lane(run, options.subagent)))


def _continue(context: Context, options: Namespace) -> int:
    return _order(context, options, lambda run: orders.Continue(*_lane(run, options.subagent)))


def _restart(context: Context, options: Namespace) -> int:
    return _order(context, options, lambda run: orders.Restart(*_lane(run, options.subagent)))


def _lane(run: str, text: str) -> tuple[int, int]:
    subagent = subagent_of(run, text)
    return subagent.generation, subagent.lane


def _order(context: Context, options: Namespace, order: Callable[[str], orders.Command]) -> int:
    from store.commands import issue, outcome
    from store.lock import holder

    with context.store() as store:
        run = find_run(store, options.run).id
        command = order(run)
        board = read_board(store, run)
        if board.order is None:
            raise CommandError(f"run {run} is a bare recording: there is nothing to {command.name}.", Exit.UNSOLVED)
        if board.finished is not None:
            raise CommandError(f"run {run} is over: there is nothing to {command.name}.", Exit.UNSOLVED)
        order_id = issue(store, run, command, at=time.time())
        lock = context.home.folder(run).lock
        until = time.monotonic() + PATIENCE
        while (answer := outcome(store, order_id)) is None:
            if holder(lock) is None:
                say(f"No engine works on run {run}: the command waits. `multitrack resume {run}` starts one.")
                return Exit.FINE
            if time.monotonic() > until:
                say(f"The engine of run {run} has not answered yet: the command waits.")
                return Exit.FINE
            time.sleep(0.05)
    applied, text = answer
    say(text if applied else f"refused: {text}")
    return Exit.FINE if applied else Exit.UNSOLVED


GROUP = Group(
    "steer",
    (
        Command("launch", twin_help("launch"), _launch, _configure_launch),
        Command("stop", twin_help("stop"), _stop, add_run),
        Command("kill", twin_help("kill"), _kill, _configure_lane),
        Command("pause", twin_help("pause"), _pause, _configure_lane),
        Command("continue", twin_help("continue"), _continue, _configure_lane),
        Command("restart", twin_help("restart"), _restart, _configure_lane),
    ),
)
