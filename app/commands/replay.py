"""`replay`: a run once more, with its model calls answered from its tape."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from app.commands import Command, Group, add_run, play
from app.commands.begin import add_screen, launch
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import emit, note, say

if TYPE_CHECKING:
    from store.database import Store
    from store.domain.board import Board
    from store.domain.replay import Replay

_MORE = """\
The same task, revision, strategies and seed; sandboxes, tools and checks are real and run again. A model call is
answered by the recorded call of the same subagent that asked the same, each once and in order, with the recorded bytes.
Ids, dates, measured times and sampling parameters may differ (docs/replay.md). No key is needed, and nothing is spent.

An imported run has neither an agent nor a task of its own: each call of its tape is asked again, and answered from it.

The exit code is 0 when every verdict is the same and every call was matched."""


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    add_screen(parser, gates="")
    parser.add_argument("--pace", action="store_true", help="answer at the recorded pace, not at once")
    parser.add_argument("--soft", action="store_true", help="let a call answer that is only built alike, and note it")
    parser.add_argument(
        "--on-mismatch",
        choices=("stop", "live"),
        default="stop",
        help="what to do about a call that is not on the tape: end the run and show the difference, or ask the model",
    )
    parser.add_argument(
        "--auto", dest="on_mismatch", action="store_const", const="live", help="the same as --on-mismatch live"
    )


def _replay(context: Context, options: Namespace) -> int:
    from app.containers import settled
    from app.credentials import provider_environ
    from app.replays import order_replay, said
    from backends.sandboxes import SandboxError
    from store.domain.replay import OnMismatch, Replay
    from store.domain.task import SandboxKind

    with context.store() as store:
        board = read_board(store, find_run(store, options.run).id)
        replay = Replay(board.run, OnMismatch(options.on_mismatch), options.soft, options.pace)
        order, environ = board.order, dict(context.environ)
        if order is not None and order.imported:
            return _play_again(context, store, board, replay, json=options.json)
        if replay.on_mismatch is OnMismatch.LIVE and order is not None and not order.scripted:
            environ = provider_environ(environ, order.task)
        if order is not None and order.task.sandbox is SandboxKind.DOCKER:
            settled(order.task, context.environ)
        try:
            run = order_replay(context.home, store, board, replay)
        except SandboxError as error:
            raise CommandError(str(error)) from error
    note(said(replay))
    return launch(context, options, run, environ)


def _play_again(context: Context, store: "Store", recorded: "Board", replay: "Replay", *, json: bool) -> int:
    """An imported run has no agent: its calls are asked again."""
    from app.again import play_again
    from app.replays import facts, outcome, say_outcome

    run = play_again(context.home, store, recorded, replay)
    board = read_board(store, run)
    played = outcome(store, board)
    assert played is not None
    if json:
        emit({"run": run, **facts(played)})
    else:
        say(f"Run {run} has asked again all that run {recorded.run} did.")
        say_outcome(store, board, played)
    return Exit.FINE if played.faithful else Exit.UNSOLVED


GROUP = Group(
    "play again",
    (play.COMMAND, Command("replay", "A run once more, answered from its tape.", _replay, _configure, _MORE)),
)
