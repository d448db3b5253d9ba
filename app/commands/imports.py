"""`import`: runs from files, of Multitrack's own and of other programs."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from app.commands import Command, add_json
from app.context import Context
from app.failure import Exit
from app.output import counted, emit, note, say, table

_MORE = """\
What it is is seen from its content: a tape that `multitrack export` wrote, a session's log of Claude Code,
conversations in OpenAI's format, a trajectory of SWE-agent or mini-swe-agent, a store of the tapes proxy
(docs/tapes.md).

The same file again changes nothing. A file that is damaged, cut off, or of a newer version is refused, and nothing of
it is kept. A run whose name is taken by another one gets another name."""

LISTED = 20
"""Subagents of one run, by name."""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the file")
    add_json(parser)


def _import(context: Context, options: Namespace) -> int:
    from app.tapefiles import facts, read_file

    context.home.create()
    with context.store(create=True) as store:
        kind, found = read_file(context.home, store, options.file)
        told = [facts(store, one) for one in found]
    made = [one for one in told if one["made"]]
    if options.json:
        emit({"file": str(options.file), "format": kind, "changed": bool(made), "runs": told})
        return Exit.FINE
    for one in told:
        what = ", ".join(counted(one[f"{thing}s"], thing) for thing in ("call", "node", "event"))
        was = f" (called {one['name']} in the file)" if kind == "tape" and one["name"] != one["run"] else ""
        say(f"{'Run' if one['made'] else 'Already here: run'} {one['run']}{was}  {one['title']}: {what}.")
        rows = [
            (lane["subagent"], lane["strategy"], lane["state"], *(f"{lane[thing]:,}" for thing in _THINGS))
            for lane in one["subagents"][:LISTED]
        ]
        if rows and one["made"]:
            table(("SUBAGENT", "STRATEGY", "STATE", "CALLS", "NODES", "EVENTS"), rows, right=(3, 4, 5))
        if one["made"] and len(one["subagents"]) > LISTED:
            say(f"… and {counted(len(one['subagents']) - LISTED, 'subagent')} more")
    if not made:
        note("This file was imported before: nothing was changed.")
    return Exit.FINE


_THINGS = ("calls", "nodes", "events")

COMMANDS = (Command("import", "Runs from a file: a tape, or another program's.", _import, _configure, _MORE),)
