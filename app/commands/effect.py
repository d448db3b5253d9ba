"""`effect`: whether memory helps, and each observation, with intervals that say how little a few lanes prove."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from app.commands import Command, add_json
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import emit, say, table

if TYPE_CHECKING:
    from store.domain.effect import Comparison, Effect, Effects, Sample
    from store.domain.intervals import Interval
    from store.domain.observations import Document

_MORE = """\
Lanes are compared within a generation only. Beside lanes that were told other observations, where they were dealt out
by lot; beside clean lanes, which are told nothing at all. The interval is of 95 %: after Newcombe for solved shares,
after Hodges and Lehmann for costs (docs/effect.md). It is wide because five subagents prove little."""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="+",
        help="a run's name, a unique beginning of it, or `last`; several of one task are put together",
    )
    parser.add_argument("--task", action="store_true", help="all other runs of the same repository and check as well")
    parser.add_argument("--id", metavar="ID", help="all that is to be said of one observation")
    add_json(parser)


def _effect(context: Context, options: Namespace) -> int:
    from app.gate import of_task
    from store import observations
    from store.domain.effect import effects, same_task

    with context.store() as store:
        names = list(dict.fromkeys(find_run(store, name).id for name in options.run))
        boards = [read_board(store, name) for name in names]
        first = boards[0]
        if other := next((board.run for board in boards[1:] if not same_task(first, board)), None):
            raise CommandError(
                f"runs {first.run} and {other} are of different tasks: what one knows is not the other's."
            )
        runs = [(board, observations.load(store, board.run)) for board in boards]
        if options.task:
            runs = [*(one for one in of_task(store, first) if one[0].run not in names), *runs]
    # What is asked about is what the first one named knows.
    document = next((own for board, own in runs if board.run == first.run), None)
    found = effects(runs, document)
    if options.id and found.of(options.id) is None:
        raise CommandError(
            f"run {first.run} has no observation {options.id}. `multitrack effect {first.run}` lists them."
        )
    if options.json:
        emit({"runs": [board.run for board, _ in runs], **facts(found, document, options.id)})
    else:
        _say(found, document, options.id)
    return Exit.FINE


def _say(found: "Effects", document: "Document | None", only: str | None) -> None:
    from store.domain import effect_words as words
    from store.domain.secrets import shown_line

    texts = {o.id: shown_line(o.text, 72) for o in document.observations} if document is not None else {}
    if only is not None:
        one = found.of(only)
        assert one is not None
        for line in (f"{only} {texts.get(only, '')}", *words.told(one)):
            say(line)
        return
    say(words.overall(found))
    if found.pairs:
        say()
        say(words.curves(found.pairs))
    told = [one for one in found.effects if one.given.count.lanes]
    if told:
        say()
        table(
            ("OBSERVATION", "TOLD", "WITHOUT", "DIFFERENCE", "95 %", "BESIDE", "SAYS", "CITED", "TEXT"),
            [_row(one, texts.get(one.id, "")) for one in told],
            right=(1, 2, 3, 7),
        )
    proposed = [one for one in found.effects if one.quarantine]
    if proposed:
        say()
        for one in proposed:
            say(f"Proposed for quarantine: {one.id}, {one.quarantine}.")
    if caveats := words.caveats(found):
        say()
        for line in caveats:
            say(line)


def _row(one: "Effect", text: str) -> tuple[str, ...]:
    from store.domain import effect_words as words

    best = one.best
    cited = f"{one.shown} of {one.cited}" if one.cited else ""
    if best.solved is None:
        return one.id, words.of(one.given.count), "", "", "", "", str(best.verdict), cited, text
    beside = "others" if best is one.memory else "clean"
    return (
        one.id,
        words.of(best.given.count),
        words.of(best.without.count),
        words.points(best.solved.estimate),
        words.between(best.solved.interval),
        beside,
        words.says(one),
        cited,
        text,
    )


def facts(found: "Effects", document: "Document | None" = None, only: str | None = None) -> dict[str, Any]:
    """All of it as JSON. What is not known is null; shares and differences are from -1 to 1, money in US dollars."""
    from store.domain import effect_words as words

    texts = {o.id: o.text for o in document.observations} if document is not None else {}
    return {
        "overall": {**comparison(found.overall), "says": words.overall(found)},
        "curves": [
            {
                "generation": pair.number,
                "runs": pair.runs,
                "memory": _sample(pair.memory),
                "clean": _sample(pair.clean),
            }
            for pair in found.pairs
        ],
        "observations": [
            {
                "id": one.id,
                "fingerprint": one.fingerprint,
                "text": texts.get(one.id),
                "status": str(one.status),
                "runs": one.runs,
                "given": _sample(one.given),
                "beside_others": comparison(one.memory),
                "beside_clean": comparison(one.clean),
                "verdict": str(one.best.verdict),
                "verdict_beside": "others" if one.best is one.memory else "clean",
                "cited": one.cited,
                "shown": one.shown,
                "quarantine": one.quarantine or None,
                "says": words.told(one),
            }
            for one in found.effects
            if only is None or one.id == only
        ],
        "left_out": dict(found.left_out),
        "caveats": words.caveats(found),
    }


def _sample(sample: "Sample") -> dict[str, Any]:
    return {
        "lanes": sample.count.lanes,
        "solved": sample.count.solved,
        "share": sample.count.share,
        "interval": _interval(sample.interval),
        "mean_usd": sample.mean_usd,
        "tokens": sample.tokens,
    }


def comparison(found: "Comparison") -> dict[str, Any]:
    """A comparison as JSON."""
    solved, usd = found.solved, found.usd
    return {
        "with": _sample(found.given),
        "without": _sample(found.without),
        "generations": found.generations,
        "difference": None if solved is None else solved.estimate,
        "interval": None if solved is None else _interval(solved.interval),
        "chance": None if solved is None else solved.chance,
        "usd_difference": None if usd is None else usd.estimate,
        "usd_interval": None if usd is None else _interval(usd.interval),
        "verdict": str(found.verdict),
    }


def _interval(found: "Interval | None") -> list[float] | None:
    return None if found is None else [found.low, found.high]


COMMANDS = (
    Command(
        "effect",
        "Whether memory helps: each observation's lanes beside those without it.",
        _effect,
        _configure,
        _MORE,
    ),
)
