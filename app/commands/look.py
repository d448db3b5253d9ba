"""`runs`, `watch`, `observations`, `report` and `patch`: what has come of a run, live or over."""

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands import (
    Command,
    Group,
    add_json,
    add_run,
    alerts,
    convergence,
    effect,
    observations,
    observe,
    twin_help,
)
from app.context import NOTHING_YET, Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import emit, money, note, say, size, table
from store.domain.board import Board
from store.domain.events import Event

if TYPE_CHECKING:
    from app.disk import Weight
    from store.runs import RunRow
    from store.sizes import Size


def _runs(context: Context, options: Namespace) -> int:
    if context.empty:
        emit([]) if options.json else say(f"No runs yet. {NOTHING_YET}")
        return Exit.FINE
    from app.disk import weigh
    from store.lock import holder
    from store.runs import runs

    with context.store() as store:
        weight = weigh(store, context.home)
        disk = weight.runs
        listed = [
            (row, read_board(store, row.id), holder(context.home.folder(row.id).lock) is not None)
            for row in runs(store)
        ]
    if options.json:
        emit(
            [
                {**_facts(context, row, board, alive, weight), "disk": _disk(disk.get(row.id))}
                for row, board, alive in listed
            ]
        )
    elif not listed:
        say(f"No runs yet. {NOTHING_YET}")
    else:
        table(
            ("RUN", "STARTED", "STATE", "GENERATION", "SOLVED", "OBSERVATIONS", "COST", "DISK", "TITLE"),
            [
                (
                    row.id,
                    _local(row.created),
                    _state(board, alive),
                    *_progress(board, weight),
                    size(disk[row.id].total) if row.id in disk else "",
                    row.title,
                )
                for row, board, alive in listed
            ],
            right=(3, 4, 5, 6, 7),
        )
    if word := weight.disk.word:
        note(f"multitrack: {word}.")
    return Exit.FINE


def _facts(context: Context, row: "RunRow", board: Board, alive: bool, weight: "Weight") -> dict[str, Any]:
    if board.order is None:
        facts = {"run": row.id, "title": row.title, "created": row.created, "state": _state(board, alive)}
        if (told := weight.recordings.get(row.id)) is not None:
            spend = told.spend
            used = {"tokens": spend.usage.total, "usd": round(spend.usd, 6), "priced": spend.priced}
            facts |= {"calls": told.calls, "tries": told.tries, **used}
        return {**facts, "alive": alive}
    from app.follow import summary

    facts = summary(board, str(context.home.folder(board.run).report))
    return {**facts, "created": row.created, "alive": alive}


def _disk(own: "Size | None") -> dict[str, int] | None:
    """Bytes that are the run's alone, in the store and in its folder."""
    return None if own is None else {"store": own.store, "files": own.files}


def _state(board: Board, alive: bool) -> str:
    """The run's state in a word; a run that is not over and has no engine is interrupted."""
    if board.order is None:
        return "recording" if alive else "recorded"
    return str(board.state) if alive or board.finished else "interrupted"


def _progress(board: Board, weight: "Weight") -> tuple[str, str, str, str]:
    if board.order is None:
        told = weight.recordings.get(board.run)
        return "", "", "", money(told.spend.usd, priced=told.spend.priced) if told else ""
    latest, spend = board.generation, board.spent(board.at)
    solved = f"{latest.solved(clean=False)}/{latest.count(clean=False)}" if latest else ""
    cost = money(spend.usd, priced=spend.priced)
    return f"{latest.number if latest else 0}/{board.task.generations}", solved, str(board.known), cost


def _local(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _configure_watch(parser: ArgumentParser) -> None:
    add_run(parser)
    add_json(parser, "print each event, or each call of a recording, as a line of JSON")


def _watch(context: Context, options: Namespace) -> int:
    with context.store() as store:
        run = find_run(store, options.run).id
        recording = read_board(store, run).order is None
    if recording:
        return _calls(context, run, json=options.json)
    if options.json:
        return _stream(context, run)
    from app.follow import follow

    return follow(context.home, run)


def _calls(context: Context, run: str, *, json: bool) -> int:
    """A recording's calls as they end, until its recorder does."""
    from app.calls import facts, line
    from store.ended import EndedCalls
    from store.lock import holder

    with context.store() as store:
        ended = EndedCalls(store, run, past=True)
        alive = True
        while alive:
            # Read first: what was recorded before it ended is still told.
            alive = holder(context.home.folder(run).lock) is not None
            for call in ended.wait(0.5 if alive else 0):
                emit(facts(call)) if json else say(line(call))
            sys.stdout.flush()
    return Exit.FINE


def _stream(context: Context, run: str) -> int:
    """Every event as a line of JSON, until the run is over or has no engine."""
    from store.feed import LiveFeed
    from store.lock import holder

    finished = False
    with context.store() as store:
        feed = LiveFeed(store, run=run)
        while True:
            alive = holder(context.home.folder(run).lock) is not None
            batch = feed.wait(0.5)
            for event in batch:
                emit(_line(event))
                finished = finished or event.payload.kind == "run.finished"
            sys.stdout.flush()
            if not batch and (finished or not alive):
                return Exit.FINE


def _line(event: Event) -> dict[str, Any]:
    from store.domain.codec import encode_payload

    kind, data = encode_payload(event.payload)
    where = {"run": event.run, "generation": event.generation, "lane": event.lane}
    return {"seq": event.seq, "at": event.at, **where, "kind": kind, "data": data}


def _report(context: Context, options: Namespace) -> int:
    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
        finished = board.finished
    file = context.home.folder(run).report
    try:
        text = file.read_text("utf-8", "replace")
    except FileNotFoundError as error:
        if finished is not None and finished.report:
            raise CommandError(
                f"there is no report of run {run} in {context.home.root}; it was written to {finished.report}. "
                "Name that home with --home.",
                Exit.ENVIRONMENT,
            ) from error
        if board.order is None:
            raise CommandError(
                f"run {run} is a bare recording, without a report: `multitrack calls {run}` lists what it has."
            ) from error
        if board.order.imported:
            raise CommandError(
                f"run {run} was imported ({board.order.imported}) and has no report: `multitrack trace {run}` shows it."
            ) from error
        raise CommandError(
            f"run {run} has no report yet: it is written when a generation has ended. "
            f"`multitrack watch {run}` shows how it stands.",
            Exit.UNSOLVED,
        ) from error
    if options.path:
        say(str(file))
    else:
        say(text.rstrip("\n"))
    return Exit.FINE


def _configure_report(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--path", action="store_true", help="print where the file is instead")


def _configure_patch(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--subagent", metavar="SUBAGENT", help="that subagent's patch, such as 2.3, not the best one")
    parser.add_argument(
        "--apply",
        metavar="BRANCH",
        help="commit the patch on a new branch of the repository; what is checked out stays as it is",
    )


def _patch(context: Context, options: Namespace) -> int:
    from app.patches import apply, choose
    from store import blobs

    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
        lane = choose(board, options.subagent)
        assert lane.checked is not None
        patch = blobs.get(store, lane.checked.patch)
    verdict = "passes the check" if lane.solved else "does not pass the check"
    if options.apply is None:
        note(f"The patch of subagent {lane.id.label}; it {verdict}.")
        # To the byte: it is for `git apply`. A terminal gets it made safe.
        if sys.stdout.isatty():
            say(patch.decode("utf-8", "replace").rstrip("\n"))
        else:
            sys.stdout.buffer.write(patch)
        return Exit.FINE if lane.solved else Exit.UNSOLVED
    commit = apply(
        Path(board.task.repository),
        patch,
        branch=options.apply,
        revision=board.order.revision if board.order else "",
        mirror=context.home.folder(run).mirror,
        message=_message(board, lane.id.label, solved=lane.solved),
    )
    say(f"Branch {options.apply} at {commit[:12]} has the patch of subagent {lane.id.label}; it {verdict}.")
    return Exit.FINE if lane.solved else Exit.UNSOLVED


def _message(board: Board, label: str, *, solved: bool) -> str:
    title = board.order.title if board.order else ""
    state = "It passes the check" if solved else "It does not pass the check"
    return f"{title or 'A patch'}\n\nBy subagent {label} of run {board.run}. {state}: {board.task.check.command}\n"


GROUP = Group(
    "look",
    (
        Command("runs", twin_help("runs"), _runs, add_json),
        Command("watch", "Follow a run without the app.", _watch, _configure_watch),
        *alerts.COMMANDS,
        *observations.COMMANDS,
        *observe.COMMANDS,
        *convergence.COMMANDS,
        *effect.COMMANDS,
        Command("report", twin_help("report"), _report, _configure_report),
        Command("patch", "Print the best patch, or put it on a branch.", _patch, _configure_patch),
    ),
)
