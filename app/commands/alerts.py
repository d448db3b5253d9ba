"""`alerts`: what was raised about a run and its subagents, with the evidence."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.commands import Command, add_run_json
from app.context import Context, find_run, read_board
from app.failure import Exit
from app.output import counted, emit, say, table

if TYPE_CHECKING:
    from store.database import Store
    from store.domain.subagent_events import Alert

_MORE = """\
Levels are note, warning and stuck. The rules that raise them, and their thresholds, are in docs/alerts.md. A run that
was imported from another program's file had nobody to watch it: its tapes are read now, and what the rules say of them
is marked as not on record."""


def _configure(parser: ArgumentParser) -> None:
    add_run_json(parser)
    parser.add_argument("--again", action="store_true", help="read the tapes anew, and add what is not on record")


def _alerts(context: Context, options: Namespace) -> int:
    with context.store() as store:
        run = find_run(store, options.run).id
        alerts = sorted(_all(store, run, again=options.again), key=lambda alert: (alert["at"], alert["seq"] or 0))
    if options.json:
        emit(alerts)
    elif not alerts:
        say(f"No alert was raised in run {run}.")
    else:
        table(
            ("SUBAGENT", "LEVEL", "RULE", "EVIDENCE", "WHAT"),
            [
                (
                    one["subagent"] or "",
                    one["level"] + ("" if one["recorded"] else " *"),
                    one["rule"],
                    counted(len(one["evidence"]), "place") if one["evidence"] else "",
                    one["text"],
                )
                for one in alerts
            ],
        )
        if not all(one["recorded"] for one in alerts):
            say("* not on record: read from the tapes just now")
    return Exit.FINE


def _all(store: "Store", run: str, *, again: bool) -> Iterator[dict[str, Any]]:
    from store.domain.subagent_events import Alert
    from store.events import read

    known = set()
    for event in read(store, run=run):
        if isinstance(alert := event.payload, Alert):
            who = event.subagent
            known.add((who, alert.rule, alert.level, alert.evidence[-1:]))
            yield _facts(alert, who.label if who else None, event.at, event.seq)
    order = read_board(store, run).order
    if again or (order is not None and order.imported):
        from backends.rules import found

        for one in found(store, run):
            if (one.subagent, one.alert.rule, one.alert.level, one.alert.evidence[-1:]) not in known:
                yield _facts(one.alert, one.subagent.label, one.at, None)


def _facts(alert: "Alert", subagent: str | None, at: float, seq: int | None) -> dict[str, Any]:
    evidence = [{"call": one.call, "node": one.node, "seq": one.seq} for one in alert.evidence]
    return {
        "seq": seq,
        "at": at,
        "subagent": subagent,
        "rule": alert.rule,
        "level": str(alert.level),
        "text": alert.text,
        "evidence": evidence,
        "recorded": seq is not None,
    }


COMMANDS = (
    Command("alerts", "What was raised about a run's subagents, with the evidence.", _alerts, _configure, _MORE),
)
