"""`gate`: what the next generation would be, what it would be told and cost; changes of it; and the decision."""

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from app import raising
from app.commands import Command, add_json, add_run
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import duration, emit, money, say, table
from store.domain import commands as orders
from store.domain.limits import Limits, in_words

if TYPE_CHECKING:
    from app.commands.steer import Given, Order
    from app.gate import AtGate, Proposed
    from store.domain.board import Board

_MORE = """\
Without an option: how it stands. Changes are made first, then the decision is taken:
  multitrack gate last --change 2 --strategy "recent changes first" --model claude-sonnet-5-5
  multitrack gate last --add "Read the failing line's callers first." --usd 2 --approve
--approve launches the next generation, which is told the observations as they are now. --without-curation tells it what
the observer wrote, whatever was changed since. --again repeats the generation as it was: the same lanes, told the same.
--stop ends the run."""


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    decision = parser.add_mutually_exclusive_group()
    decision.add_argument("--approve", action="store_true", help="launch the next generation")
    decision.add_argument(
        "--without-curation", action="store_true", help="launch it, told what the observer wrote and no more"
    )
    decision.add_argument(
        "--again", action="store_true", help="run the generation again: the same lanes, told the same"
    )
    decision.add_argument("--stop", action="store_true", help="end the run here")
    parser.add_argument("--rest", action="store_true", help="with a launch: pass all gates that follow as well")
    parser.add_argument("--as-proposed", action="store_true", help="take back all changes of the lanes")
    parser.add_argument("--remove", metavar="LANE", type=_lanes, action="append", default=[], help="a lane, or 2,3")
    parser.add_argument("--change", metavar="LANE", type=_lanes, default=(), help="give a lane, or 2,3, what follows")
    parser.add_argument("--add", metavar="TEXT", action="append", default=[], help="a lane with this strategy")
    parser.add_argument("--add-clean", action="store_true", help="one more lane without memory")
    parser.add_argument(
        "--strategy", metavar="TEXT", default="", help="with --change: its name, or an approach in words"
    )
    parser.add_argument("--model", metavar="NAME", default="", help="with --change or --add: another model")
    for field in raising.FIELDS:
        parser.add_argument(f"--{field}", metavar="N", help=f"with --change or --add: limit of {_WORDS[field]}")
    add_json(parser)


_WORDS = {"turns": "turns", "tokens": "tokens", "usd": "money", "seconds": "time"}


def _lanes(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise ArgumentTypeError(f"{text!r} is no lane's number, such as 2 or 2,3")
    return found


def changes(options: Namespace) -> list[orders.PlanChange]:
    """What is to be changed of the lanes. CommandError for what makes no sense together."""
    limits = _limits(options)
    given = bool(options.strategy or options.model or limits != Limits())
    if given and not options.change and not (options.add and not options.strategy):
        raise CommandError("say which lanes: --change LANE, or --add TEXT for one more.", Exit.USAGE)
    if options.change and not given:
        raise CommandError("say what the lane is to have: --strategy, --model, or a limit.", Exit.USAGE)
    return [
        *(orders.PlanChange("remove", lane) for several in options.remove for lane in several),
        *(orders.PlanChange("change", lane, options.strategy, options.model, limits) for lane in options.change),
        *(orders.PlanChange("add", 0, text, options.model, limits) for text in options.add),
        *([orders.PlanChange("add", clean=True)] if options.add_clean else []),
    ]


def _limits(options: Namespace) -> Limits:
    limits = raising.limits({field: getattr(options, field) or "" for field in raising.FIELDS})
    if isinstance(limits, str):
        raise CommandError(f"{limits}.", Exit.USAGE)
    return limits


def _gate(context: Context, options: Namespace) -> int:
    from app.commands.steer import ask, tell

    wanted = changes(options)
    launches = options.approve or options.without_curation or options.again
    if options.rest and not launches:
        raise CommandError("--rest goes with --approve, --without-curation or --again.", Exit.USAGE)
    given: list[orders.Command] = []
    if wanted or options.as_proposed:
        given.append(orders.ChangePlan(tuple(wanted), anew=options.as_proposed))
    if launches:
        given.append(orders.Launch(options.rest, not options.without_curation, options.again))
    if options.stop:
        given.append(orders.Stop())
    if not given:
        return _show(context, options)
    told: list[Given] = []
    run, waits = "", ""
    for order in given:
        run, answers, waits = ask(context, options, "decide at the gate", _just(order))
        told += answers
        if waits or not all(answer is not None and answer[0] for _, answer in answers):
            # One after the other: where a change is refused, or still waits, nothing is launched all the same.
            break
    left = len(given) - len(told)
    if left and not options.json:
        waits = f"{waits} The decision was not passed on.".strip()
    return tell(options, run, told, waits)


def _just(order: orders.Command) -> "Order":
    return lambda store, board: [order]


def _show(context: Context, options: Namespace) -> int:
    from app.gate import at_gate, remembered_by
    from store import observations

    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
        if board.order is None or board.order.imported:
            raise CommandError(f"run {run} has no gates: it was {'imported' if board.order else 'only recorded'}.")
        document = observations.load(store, run)
        found = at_gate(board, document, _now(board), remembered_by(store, board))
    if options.json:
        emit(facts(board, found))
    else:
        _say(board, found)
    return Exit.FINE


def _now(board: "Board") -> float:
    return time.time() if board.engine is not None else board.at


def _say(board: "Board", found: "AtGate") -> None:
    from store.domain import effect_words as words

    for line in _head(board, found):
        say(line)
    if not found.next:
        return
    say()
    say(f"Generation {found.next}, {'as you changed it' if found.changed else 'as the rules propose it'}:")
    table(("LANE", "STRATEGY", "MODEL", "LIMITS", "TOLD", "WHY"), [_row(board, lane) for lane in found.lanes])
    say()
    if found.version:
        say(f"It is told version {found.version} of the observations, in at most {found.cap:,} tokens.")
    say(words.overall(found.effects))
    for one in found.quarantine:
        say(f"Proposed for quarantine: {one.id}, {one.quarantine}.")
    say(_cost(found))
    if found.waits:
        say(
            f"`multitrack gate {board.run} --approve` launches it; --again, --without-curation and --stop do otherwise."
        )


def _head(board: "Board", found: "AtGate") -> list[str]:
    generation = board.generation
    if generation is None:
        return [f"Run {board.run} has no generation yet: its first gate comes after it."]
    solved = f"solved {generation.solved(clean=False)} of {generation.count(clean=False)}"
    if clean := generation.count(clean=True):
        solved += f", clean {generation.solved(clean=True)} of {clean}"
    where = "At the gate" if found.waits else "No gate is open"
    line = f"{where} after generation {generation.number} of {board.task.generations}: {solved}, {board.known} known."
    if not found.waits:
        return [line.replace(" after", "; the run is " + str(board.state) + ", in", 1)]
    if found.until is not None:
        left = max(found.until - _now(board), 0.0)
        return [line, f"It opens by itself in {duration(left)}."]
    return [line]


def _row(board: "Board", lane: "Proposed") -> tuple[str, ...]:
    from store.domain.secrets import shown_line

    plan = lane.plan
    told = "nothing (clean)" if plan.clean else f"{len(lane.told.ids)}, {lane.told.tokens:,} tokens"
    return (
        str(plan.lane),
        shown_line(plan.strategy.name, 40),
        shown_line(plan.strategy.model or board.task.model, 30),
        in_words(board.task.limits.with_own(plan.strategy.limits)),
        told,
        shown_line(plan.why, 160),
    )


def _cost(found: "AtGate") -> str:
    look = found.outlook
    said = f"Cost so far {money(look.spent.usd, priced=look.spent.priced)}"
    if look.expected is not None and look.low is not None and look.high is not None:
        said += f"; the next generation about {money(look.expected)} ({money(look.low)} to {money(look.high)})"
    else:
        said += "; what the next generation costs can't be told yet"
    return f"{said}, at most {money(look.most)}." if look.most is not None else f"{said}, without a limit."


def facts(board: "Board", found: "AtGate") -> dict[str, Any]:
    """The gate as JSON. What is not known is null."""
    from app.commands.effect import facts as of_effects
    from store.domain.codec import encode

    look = found.outlook
    return {
        "run": board.run,
        "state": str(board.state),
        "waits": found.waits,
        "opens_at": found.until,
        "generation": board.generation.number if board.generation is not None else 0,
        "of": board.task.generations,
        "next": found.next or None,
        "changed": found.changed,
        "version": found.version or None,
        "known": found.known,
        "cap": found.cap,
        "lanes": [
            {
                **encode(lane.plan),
                "limits": encode(board.task.limits.with_own(lane.plan.strategy.limits)),
                "model": lane.plan.strategy.model or board.task.model,
                "observations": list(lane.told.ids),
                "tokens": lane.told.tokens,
            }
            for lane in found.lanes
        ],
        "cost": {
            "usd": round(look.spent.usd, 6),
            "priced": look.spent.priced,
            "expected": look.expected,
            "low": look.low,
            "high": look.high,
            "based_on": look.based_on,
            "most": look.most,
        },
        "quarantine": [{"id": one.id, "why": one.quarantine} for one in found.quarantine],
        "effect": of_effects(found.effects)["overall"],
    }


COMMANDS = (
    Command("gate", "The pause between generations: look, change the lanes, decide.", _gate, _configure, _MORE),
)
