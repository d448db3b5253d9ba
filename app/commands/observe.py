"""`observe`: what the observer finds on a run's tapes, as they are now: by its rules, and with a model where it is told
so."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from app.commands import Command, add_json, add_run
from app.context import Context, find_run, read_board
from app.failure import Exit
from app.output import counted, emit, note, say, table
from store.domain.board import Board
from store.domain.observations import Document, Evidence, Observation, Priority
from store.domain.observations.model import GONE, support
from store.domain.safe_text import safe_line
from store.domain.states import Validity

if TYPE_CHECKING:
    from backends.observer import Observed
    from store.database import Store
    from store.domain.events import ModelObserved

_MORE = """\
Any run will do: one of Multitrack's own, an imported one, a bare recording. Its tapes are read again from end to end,
so what has grown since is read too; what you decided about an observation stands. What comes of it is kept as a new
version of the observations, except while an engine works on the run, while a generation of it is under way, of a bare
recording, and with --dry-run. The rules are in docs/observations.md.

With --model, a model is asked as well, of a run that is over: the one that the task file names for its observer, or
NAME. It is asked about each generation of which it was not asked to the end yet, as docs/observations.md says: through
the recording proxy, within the limits of [observer], with your key; what it costs is on the run's bill. --upstream
leads to another place that is asked in Anthropic's form, the task file's [[routes]] to other providers."""

_QUOTES = 3


def _configure(parser: ArgumentParser) -> None:
    add_run(parser)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--dry-run", action="store_true", help="only print; keep nothing")
    ways.add_argument(
        "--model", metavar="NAME", nargs="?", const="", help="ask a model too: the task file's, or NAME; it costs"
    )
    parser.add_argument("--upstream", metavar="URL", default="", help="where the model is asked")
    add_json(parser)


def _observe(context: Context, options: Namespace) -> int:
    from app.asking import ask, wanted
    from app.asking import facts as asked
    from backends.observer import observe_all
    from store import observations

    with context.store() as store:
        run = find_run(store, options.run).id
        board = read_board(store, run)
        task = wanted(board, options.model, options.upstream) if options.model is not None else None
        why = "" if options.dry_run else _why_not(board)
        seen, kept = observe_all(store, run), False
        document = seen.document
        if not options.dry_run and not why:
            document, kept, why = _keep(context, store, run, document)
        told = []
        if task is not None and not why:
            before, valid = document.version, [who for who, (word, _) in seen.judged.items() if word is Validity.VALID]
            told = ask(store, context.home.folder(run), run, task, valid, context.environ)
            document = observations.load(store, run) or document
            kept = kept or document.version != before
    if options.json:
        emit(
            {
                "run": run,
                "version": document.version or None,
                "kept": kept,
                "new": seen.added,
                "attempts": [_attempt(board, who, *word) for who, word in sorted(seen.judged.items())],
                "observations": [facts(o, run) for o in _ordered(document)],
                **({"asked": [asked(*one) for one in told]} if task is not None else {}),
            }
        )
    else:
        for line in _lines(board, seen, document):
            say(line)
        for line in _answers(told) if task is not None else ():
            say(line)
    if why:
        note(f"multitrack: nothing was kept: {why}")
    failed = [f"generation {number}: {one.failed}" for number, one in told if one.failed]
    for line in failed:
        note(f"multitrack: the model did not finish with {safe_line(line)}")
    return Exit.UNSOLVED if failed or (why and task is not None) else Exit.FINE


def _answers(told: "Sequence[tuple[int, ModelObserved]]") -> Iterator[str]:
    """What a model wanted changed, and what became of it."""
    yield ""
    if not told:
        yield "The model was asked about every generation before: nothing was asked again."
    for number, one in told:
        made = sum(not delta.refused for delta in one.deltas)
        yield f"Generation {number}: {one.model} wanted {counted(len(one.deltas), 'change')}, {made} of them made."
        for delta in one.deltas:
            yield f"  {delta.operation} {delta.on or '-'}: {delta.text}"
            if delta.refused:
                yield f"    refused: {delta.refused}"


def _why_not(board: Board) -> str:
    """Why what is found is only shown; "" when it may be kept."""
    if board.order is None:
        return "it is a bare recording."
    if any(generation.observed is None for generation in board.generations.values()) and not board.finished:
        return "a generation is under way."
    return ""


def _keep(context: Context, store: "Store", run: str, found: Document) -> tuple[Document, bool, str]:
    """Save what was found: the latest version then, whether it is a new one, and why nothing was saved."""
    import asyncio

    from backends.harness import keep_observed
    from store.lock import RunLock

    folder = context.home.folder(run).create()
    with RunLock(folder.lock) as lock:
        if not lock.acquire():
            return found, False, "an engine works on the run, and observes it by itself."
        return *asyncio.run(keep_observed(store, run, folder, found)), ""


def facts(observation: Observation, run: str) -> dict[str, Any]:
    """An observation as JSON. Places are code points in the text of the node's block; attempts of other runs have their
    run before their generation and lane."""
    o = observation
    return {
        "id": o.id,
        "priority": str(o.priority),
        "type": str(o.claim),
        "subject": str(o.subject),
        "text": o.text,
        "excerpt": [*o.excerpt],
        "support": len(o.attempts),
        "attempts": [who.label if who.run == run else str(who) for who in o.attempts],
        "contradicted_by": [who.label if who.run == run else str(who) for who in o.contradicted_by],
        "first": o.first,
        "last": o.last,
        "status": str(o.status),
        "author": str(o.author),
        "flags": [str(flag) for flag in o.flags],
        "evidence": [_place(e, run) for e in o.evidence],
    }


def _place(evidence: Evidence, run: str) -> dict[str, Any]:
    e = evidence
    return {
        "subagent": e.subagent.label if e.subagent.run == run else str(e.subagent),
        "turn": e.turn or None,
        "call": e.call,
        "node": e.node,
        "block": e.block,
        "start": e.start,
        "end": e.end,
        "quote": e.quote,
    }


def _attempt(board: Board, who: Any, validity: Any, reason: str) -> dict[str, Any]:
    lane = board.lane(who)
    checked = lane.checked if lane is not None else None
    return {
        "subagent": who.label,
        "strategy": lane.plan.strategy.name if lane is not None else "",
        "validity": str(validity),
        "reason": reason,
        "solved": checked.solved if checked is not None and checked.known else None,
    }


def _ordered(document: Document) -> list[Observation]:
    there = [o for o in document.observations if o.status not in GONE]
    return sorted(there, key=lambda o: [*Priority].index(o.priority))


def _lines(board: Board, seen: "Observed", document: Document) -> Iterator[str]:
    attempts = [_attempt(board, who, *word) for who, word in sorted(seen.judged.items())]
    verdicts = {True: "solved", False: "unsolved", None: ""}
    table(
        ("SUBAGENT", "STRATEGY", "VERDICT", "VALIDITY", "REASON"),
        [(a["subagent"], a["strategy"], verdicts[a["solved"]], a["validity"], a["reason"]) for a in attempts],
    )
    observations = _ordered(document)
    yield ""
    yield f"{counted(len(observations), 'observation')}, {seen.added} new."
    for o in observations:
        marks = [o.id, str(o.claim), support(o), *([str(o.status)] if o.status != "proposed" else [])]
        marks += [f"flagged {', '.join(o.flags)}"] if o.flags else []
        yield ""
        yield f"[{o.priority}] ({' · '.join(marks)})"
        yield f"  {safe_line(o.text)}"
        yield from (f"    {line}" for line in o.excerpt)
        for e in o.evidence[:_QUOTES]:
            yield f"    {e.subagent.label} turn {e.turn}, call {e.call}: “{safe_line(e.quote, 100)}”"
        if len(o.evidence) > _QUOTES:
            yield f"    and {counted(len(o.evidence) - _QUOTES, 'place')} more"


COMMANDS = (Command("observe", "Read a run's tapes again, and say what they show.", _observe, _configure, _MORE),)
