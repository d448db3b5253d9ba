"""`convergence`: how one run, or several together, converge, in numbers and in characters."""

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.commands import Command, add_json, twin_help
from app.context import Context, find_run, read_board
from app.failure import Exit
from app.output import emit, say

if TYPE_CHECKING:
    from store.domain.convergence import Arm, Convergence, Tally
    from store.domain.limits import Spend

HEIGHT = 24


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="+",
        help="a run's name, a unique beginning of it, or `last`; several are put together",
    )
    add_json(parser)


def _convergence(context: Context, options: Namespace) -> int:
    from store.domain.convergence import convergence

    with context.store() as store:
        # Named twice, it counts once.
        names = dict.fromkeys(find_run(store, name).id for name in options.run)
        numbers = convergence(read_board(store, name) for name in names)
    if options.json:
        emit(facts(numbers))
        return Exit.FINE
    from app.converging import page

    for line in page(numbers, min(shutil.get_terminal_size().columns, 160), HEIGHT):
        say("".join(text for text, _ in line).rstrip())
    return Exit.FINE


def facts(numbers: "Convergence") -> dict[str, Any]:
    """All of it as JSON. What is not known yet is null."""
    from app.commands.effect import comparison

    return {
        "runs": [
            {
                "run": one.run,
                "title": one.title,
                "memory": str(one.memory),
                **_tally(one.tally),
                "observations": one.known,
                "first_solved": one.first_solved,
                "shares": list(one.shares),
                **_spend(one.spend),
            }
            for one in numbers.runs
        ],
        "first_solved": numbers.first_solved,
        "from_generation_2": _arms(numbers.arms),
        "compared_from": numbers.since,
        "beside_clean": comparison(numbers.memory),
        "generations": [
            {
                "number": point.number,
                "runs": point.runs,
                "runs_solved": numbers.solved_by(point.number),
                "over": point.over,
                "observations": point.known,
                "injected": point.injected,
                "lanes": _arms(point.arms),
                **_spend(point.spend),
            }
            for point in numbers.points
        ],
        "models": [
            {"model": one.model, **_tally(one.tally), "usd_per_solved": one.per_solved, **_spend(one.spend)}
            for one in numbers.models
        ],
        "failures": [
            {"kind": one.kind, "count": one.count, "generations": {str(n): c for n, c in one.generations.items()}}
            for one in numbers.failures
        ],
        "strategies": [
            {
                "strategy": one.strategy,
                "arm": str(one.arm),
                **_tally(one.tally),
                "fewest_failures": one.fewest,
                "generations": {str(number): _tally(tally) for number, tally in one.lanes.items()},
                **_spend(one.spend),
            }
            for one in numbers.outcomes
        ],
        **_spend(numbers.spend),
    }


def _arms(arms: "Mapping[Arm, Tally]") -> dict[str, Any]:
    return {str(arm): {**_tally(tally), "share": tally.share} for arm, tally in arms.items()}


def _tally(tally: "Tally") -> dict[str, int]:
    return {"lanes": tally.lanes, "judged": tally.judged, "solved": tally.solved}


def _spend(spend: "Spend") -> dict[str, Any]:
    return {"turns": spend.turns, "tokens": spend.tokens, "usd": round(spend.usd, 6), "priced": spend.priced}


COMMANDS = (Command("convergence", twin_help("convergence"), _convergence, _configure),)
