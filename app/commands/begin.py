"""`demo`, `run` and `resume`: the commands that start an engine. It runs on when they end."""

import random
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands import Command, Group, add_json, add_run, add_taskfile, twin_help, whole
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import note
from app.remembering import Gate, gate, remembered
from store.domain.replay import OnMismatch
from store.domain.safe_text import safe_line
from store.domain.task import Dirt, Memory, SandboxKind, Task

if TYPE_CHECKING:
    from store.domain.observations import Document

_CONTROLS = {Memory.NONE: ", without memory", Memory.SHUFFLED: ", with another bug's memory"}
"""What the title of a control says, so that it is told from the runs beside it."""


def _configure_demo(parser: ArgumentParser) -> None:
    add_screen(parser)
    parser.add_argument("--practice", metavar="NAME", default="one", help="which practice bug: one (by default) or two")
    parser.add_argument("--seed", metavar="N", type=whole(0), default=1, help="drives every choice left to chance (1)")
    parser.add_argument("--generations", metavar="N", type=whole(1, 100), help="how many generations (5)")
    memory = parser.add_mutually_exclusive_group()
    memory.add_argument(
        "--no-memory",
        dest="memory",
        action="store_const",
        const=Memory.NONE,
        help="control: no lane remembers anything",
    )
    memory.add_argument(
        "--shuffled-memory",
        dest="memory",
        action="store_const",
        const=Memory.SHUFFLED,
        help="control: lanes are given the observations of the other practice bug",
    )
    _add_memory(parser)
    parser.add_argument(
        "--pace", metavar="N", type=_pace, help="words a second of the scripted model; 0 is as fast as it can"
    )
    parser.add_argument(
        "--sandbox",
        choices=[str(kind) for kind in SandboxKind],
        default=SandboxKind.AUTO,
        help="a container for each subagent, none, or one where Docker has an image to build on (auto)",
    )
    parser.add_argument("--base", metavar="IMAGE", default="", help="what the containers' image is built on")
    parser.add_argument(
        "--host", metavar="HOST", action="append", default=[], help="a Docker context or address; may be given again"
    )


def _configure_run(parser: ArgumentParser) -> None:
    add_taskfile(parser)
    add_screen(parser)
    parser.add_argument("--seed", metavar="N", type=whole(0), help="drives every choice that is left to chance")
    _add_memory(parser)
    parser.add_argument(
        "--uncommitted",
        choices=[str(dirt) for dirt in Dirt],
        help="refuse uncommitted changes of the repository, or take them along; over what the task file says",
    )


def _configure_resume(parser: ArgumentParser) -> None:
    add_run(parser)
    add_screen(parser, gates="")
    _add_gate(parser, "as before")


def _add_memory(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--remember",
        metavar="RUN",
        action="append",
        default=[],
        help="start from the observations of an earlier run of this repository; may be given again",
    )
    _add_gate(parser, "ask; headless: auto")


def _add_gate(parser: ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--gate",
        metavar="HOW",
        type=gate,
        help=f"auto: gates open by themselves; ask: they wait for you; timeout=15m: for so long ({default})",
    )


def add_screen(parser: ArgumentParser, *, gates: str = "; gates open by themselves") -> None:
    """The options that say how a run is shown."""
    parser.add_argument("--headless", action="store_true", help=f"print progress in place of the app{gates}")
    add_json(parser, "headless, with nothing printed but one JSON object at the end")


def _pace(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (words := float(text)) < float("inf"):
            return words
    raise ArgumentTypeError(f"{text!r} is no number of words a second")


def _headless(options: Namespace) -> bool:
    return options.headless or options.json or not (sys.stdin.isatty() and sys.stdout.isatty())


def _demo(context: Context, options: Namespace) -> int:
    from app.containers import demo_settled
    from app.credentials import VARIABLE
    from app.demo import GENERATIONS, LIVE_PACE, demo_task

    pace = options.pace
    if pace is None:
        pace = 0.0 if _headless(options) else LIVE_PACE
    context.home.create()
    try:
        task = demo_task(
            context.home,
            options.practice,
            memory=options.memory or Memory.OWN,
            generations=options.generations or GENERATIONS,
        )
        task = replace(task, sandbox=SandboxKind(options.sandbox))
    except ValueError as error:
        raise CommandError(f"{error}.") from error
    task, said = demo_settled(task, options.base, options.host, context.environ)
    cost = "The scripted model answers in place of a real one: this run costs nothing, and the costs shown are made up."
    for sentence in said:
        note(sentence)
    environ = {name: value for name, value in context.environ.items() if name != VARIABLE}
    name = f"Practice bug {options.practice}{_CONTROLS.get(task.memory, '')}"
    code = _begin(context, options, task, name, environ=environ, scripted=options.practice, pace=pace, cost=cost)
    # A control that solves nothing has shown what it is there to show.
    return Exit.FINE if code == Exit.UNSOLVED else code


def _run(context: Context, options: Namespace) -> int:
    from app.containers import settled
    from app.cost import described, worst_case
    from app.credentials import provider_environ
    from app.taskfile import load, located

    file = located(options.taskfile)
    task = load(file)
    if options.uncommitted:
        task = replace(task, uncommitted=Dirt(options.uncommitted))
    environ = provider_environ(context.environ, task)
    task, said = settled(task, context.environ)
    for sentence in said:
        note(sentence)
    cost = described(worst_case(task))
    return _begin(context, options, task, title(task.goal), environ=environ, besides=[file], cost=cost)


def _begin(
    context: Context,
    options: Namespace,
    task: Task,
    name: str,
    *,
    environ: dict[str, str],
    scripted: str = "",
    pace: float = 0.0,
    besides: Sequence[Path] = (),
    cost: str,
) -> int:
    """Order a run, say what it may cost, start it, and show it."""
    from app.engines import create_run
    from backends.sandboxes import SandboxError, notices

    waits = options.gate or Gate(open=_headless(options))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 10_000)
    try:
        for sentence in notices(Path(task.repository), task.revision):
            note(sentence)
        remembers = _remembered(context, options, task)
        run = create_run(
            context.home,
            task,
            title=name,
            seed=seed,
            scripted=scripted,
            gates_open=waits.open,
            gate_seconds=waits.seconds,
            pace=pace,
            besides=besides,
            remembers=remembers,
        )
    except SandboxError as error:
        raise CommandError(str(error)) from error
    note(cost)
    return launch(context, options, run, environ)


def _remembered(context: Context, options: Namespace, task: Task) -> "list[Document]":
    """What the runs that are named know, told."""
    if not options.remember:
        return []
    if task.memory is not Memory.OWN:
        raise CommandError("a control remembers nothing of its own: leave out --remember.", Exit.USAGE)
    with context.store() as store:
        documents, said = remembered(store, options.remember, task)
    for sentence in said:
        note(sentence)
    names = ", ".join(document.run for document in documents)
    count = sum(len(document.observations) for document in documents)
    note(f"It starts from what {names} learned: {count} observations. Its clean lanes don't.")
    return documents


def _resume(context: Context, options: Namespace) -> int:
    from app.containers import settled
    from app.credentials import provider_environ

    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
    if board.order is None:
        raise CommandError(f"run {run} is a bare recording: there is nothing to resume.")
    if board.finished is not None and board.engine is None:
        raise CommandError(f"run {run} is over ({board.state}). See `multitrack report {run}`.")
    # What an engine that died left to do after the end of its run, no model has a part in.
    strict = board.order.replay is not None and board.order.replay.on_mismatch is OnMismatch.STOP
    keyless = bool(board.order.scripted) or strict or board.finished is not None
    environ = dict(context.environ) if keyless else provider_environ(context.environ, board.order.task)
    if board.order.task.sandbox is SandboxKind.DOCKER:
        settled(board.order.task, context.environ)
    if options.gate is not None:
        _set_gates(context, run, options.gate)
    return launch(context, options, run, environ)


def _set_gates(context: Context, run: str, how: Gate) -> None:
    """Have the gates of a run wait otherwise than it was ordered; a run that has an engine is not resumed."""
    from store import events
    from store.domain.events import GatesSet
    from store.lock import RunLock

    with context.store() as store:
        lock = RunLock(context.home.folder(run).lock)
        if lock.acquire():
            with lock:
                at = time.time()
                store.write(lambda connection: events.append(connection, run, [GatesSet(how.open, how.seconds)], at=at))


def launch(context: Context, options: Namespace, run: str, environ: dict[str, str]) -> int:
    """Start an engine for a run, and show what it does."""
    from app.engines import EngineError, start
    from app.follow import follow

    try:
        start(context.home, run, environ)
        if _headless(options):
            return follow(context.home, run, json=options.json)
    except EngineError as error:
        raise CommandError(str(error), Exit.ENVIRONMENT) from error
    except KeyboardInterrupt:
        # The engine is in a session of its own: the terminal's interrupt does not reach it.
        note(f"\nRun {run} goes on. `multitrack watch {run}` follows it, `multitrack stop {run}` ends it.")
        raise
    from app.studio import Studio

    studio = Studio(context.home, run=run, screen="grid", configuration=context.configuration, kept=context.kept)
    studio.run()
    return Exit.FAULT if studio.return_code else Exit.FINE


def title(goal: str) -> str:
    """The goal's first line, as the run's title."""
    return safe_line(goal.strip().partition("\n")[0].rstrip(" ."), 80)


GROUP = Group(
    "start",
    (
        Command("demo", "Work on a practice bug, with a scripted model: no key, no cost.", _demo, _configure_demo),
        Command("run", "Work on your own repository, as its task file says.", _run, _configure_run),
        Command("resume", twin_help("resume"), _resume, _configure_resume),
    ),
)
