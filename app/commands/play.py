"""`play`: a recorded run seen again, on the same screens and by another clock."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from app.commands import Command, add_json, add_run
from app.context import Context
from app.failure import CommandError, Exit
from app.output import emit

if TYPE_CHECKING:
    from app.playback.tape import Tape
    from app.playback.times import Times
    from app.playback.where import Where

_MORE = """\
space plays and pauses, . and , step by an event, > and < by a turn, + and - change the speed, m goes to the next error,
alert or solved; the timeline is scrubbed with the mouse, or by arrows when it is focused. Nothing is asked of a model
or an engine. Silences longer than two seconds are played in two (docs/playback.md).

--from takes a time since the run began (90, 12m30s), a share (40%), event:N, turn:N, gen:N, error, alert, solved, gate
or end."""


def _speed(text: str) -> float:
    from app.playback.deck import SPEEDS

    try:
        speed = float(text.strip().rstrip("x×"))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no speed") from error
    if not SPEEDS[0] <= speed <= SPEEDS[-1]:
        raise ArgumentTypeError(f"{text!r} is not within {SPEEDS[0]:g} and {SPEEDS[-1]:g}")
    return speed


def _where(text: str) -> "Where":
    from app.playback.where import where

    try:
        return where(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--speed", metavar="X", type=_speed, default=1.0, help="0.5 to 64 times as fast")
    parser.add_argument("--from", metavar="WHERE", dest="where", type=_where, help="begin there")
    parser.add_argument("--paused", action="store_true", help="stand still until space is pressed")
    parser.add_argument("--silences", action="store_true", help="let silences take their time")
    parser.add_argument("--screen", choices=("grid", "traces"), default="grid", help="the screen that comes first")
    add_json(parser, "print what lies on the timeline instead")


def _play(context: Context, options: Namespace) -> int:
    from app.playback.feed import Start
    from app.playback.tape import NothingToPlayError, read_tape

    if not options.json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("playback needs a terminal; --json prints what lies on the timeline", Exit.USAGE)
    with context.store() as store:
        try:
            tape = read_tape(store, options.run)
        except NothingToPlayError as error:
            raise CommandError(str(error)) from error
    if options.json:
        emit(_facts(tape, squeezed=not options.silences))
        return Exit.FINE
    from app.studio import Studio

    start = Start(tape.run, options.speed, options.where, playing=not options.paused, squeezed=not options.silences)
    studio = Studio(context.home, tape.run, options.screen, configuration=context.configuration, play=start)
    studio.run()
    return Exit.FAULT if studio.return_code else Exit.FINE


def _facts(tape: "Tape", *, squeezed: bool) -> dict[str, Any]:
    from app.playback.marks import times_of

    times = times_of(tape.events, tape.streams, squeezed=squeezed)
    return {
        "run": tape.run,
        "events": len(times),
        "turns": len(times.turns),
        "seconds": round(times.took, 3),
        "plays": round(times.duration, 3),
        "marks": [_mark(tape, times, index) for index in range(len(times.marks))],
    }


def _mark(tape: "Tape", times: "Times", index: int) -> dict[str, Any]:
    mark = times.marks[index]
    event = tape.events[mark.count - 1]
    return {
        "kind": mark.kind.value,
        "event": mark.count,
        "seq": event.seq,
        "at": event.at,
        "plays": round(times.moment(mark.count), 3),
        "generation": event.generation,
        "lane": event.lane,
        "text": mark.text,
    }


COMMAND = Command("play", "A recorded run seen again, by a clock that you hold.", _play, _configure, _MORE)
