"""`multitrack observations`: what was learned, and all that a person can do to it."""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands import Command, add_json, add_run, twin_help, whole
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.learned import Sort
from app.output import emit, say, table
from store.domain.commands import ChangeObservations, EditObservations
from store.domain.observations import Claim, Document, Observation, Priority
from store.domain.observations import changes as do
from store.domain.observations.conflicts import FIELDS

if TYPE_CHECKING:
    from store.database import Store

TEXT = 80
"""Characters of a text in a list."""


def _configure(parser: ArgumentParser) -> None:
    from app.cli import add_common

    add_run(parser)
    add_json(parser)
    kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=False, help="what to do; without it, the file")

    def kind(name: str, help: str, *, ids: str = "") -> ArgumentParser:  # noqa: A002 - argparse's own word
        made = kinds.add_parser(name, help=help, description=help)
        add_common(made, default=SUPPRESS)
        made.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON instead of text")
        if ids:
            made.add_argument("ids", metavar="ID", nargs=ids, help="an observation's id, or a unique beginning of it")
        return made

    listing = kind("list", "List them by priority, with support, novelty, tokens, effect and status.")
    listing.add_argument("words", metavar="WORD", nargs="*", help="only those that have all of these")
    which = [sort.option for sort in Sort]
    amount = listing.add_mutually_exclusive_group()
    amount.add_argument("--only", metavar="WHICH", choices=which, default=Sort.ALL.option, help=_or(which))
    amount.add_argument("--all", action="store_true", help="with those that are dropped, merged or expired")
    showing = kind("show", "Show some as the file has them, or the file of a version.", ids="*")
    showing.add_argument("--version", dest="number", type=whole(1), metavar="N", help="as they were in a version")
    adding = kind("add", "Write one of your own.")
    adding.add_argument("text", metavar="TEXT", nargs="+", help="what it says; - reads it from here")
    _add_words(adding, "--priority", "possible")
    _add_words(adding, "--claim", "fact")
    editing = kind("edit", "Say one in other words, or hand in the whole file.", ids="?")
    editing.add_argument("text", metavar="TEXT", nargs="*", help="what it is to say; - reads it from here")
    editing.add_argument("--excerpt", metavar="FILE", help="the lines of its diff; - reads them from here")
    editing.add_argument("--file", metavar="FILE", help="the whole file, edited; - reads it from here")
    for name, verb in (
        ("keep", "Approve some; what was dropped is there again."),
        ("drop", "Take some out of the file. They don't come back when they are found again."),
        ("pin", "Have some in every prompt, first."),
        ("quarantine", "Have some in the file and in no prompt."),
    ):
        kind(name, verb, ids="+")
    merging = kind("merge", "Make one of several.", ids="+")
    merging.add_argument("--into", metavar="ID", default="", help="the one that stays (the first)")
    merging.add_argument("--text", metavar="TEXT", help="what it says then (the texts of all); - reads it from here")
    splitting = kind("split", "Make several of one, each with its support and evidence.")
    splitting.add_argument("id", metavar="ID", help="the observation")
    splitting.add_argument("texts", metavar="TEXT", nargs="+", help="what each of them says: two or more")
    for name, words in (("priority", tuple(Priority)), ("claim", tuple(Claim))):
        setting = kind(name, f"Change the {name} of some.")
        setting.add_argument("value", metavar=name.upper(), choices=[str(word) for word in words], help=_or(words))
        setting.add_argument("ids", metavar="ID", nargs="+", help="the observations")
    kind("conflicts", "List where two edits disagree.")
    resolving = kind("resolve", "Settle where two edits disagree.")
    resolving.add_argument("id", metavar="ID", help="the observation")
    resolving.add_argument("field", metavar="FIELD", choices=FIELDS, help=_or(FIELDS))
    resolving.add_argument("--take", action="store_true", help="take the other side (else what stands is left)")
    kind("undo", "Take back your last change; what the observer wrote since stays.")
    kind("redo", "Do again what the last undo took back.")
    kind("versions", "List every version: when, by whom, what was done.")
    restoring = kind("restore", "Have the file as it was in a version.")
    restoring.add_argument("number", type=whole(1), metavar="N", help="the version")
    comparing = kind("changes", "Say what differs from another version.")
    comparing.add_argument(
        "--since",
        metavar="N",
        default="proposal",
        help="a version, `generation` (what the latest one was told), or `proposal` (what the observer wrote last)",
    )


def _add_words(parser: ArgumentParser, name: str, default: str) -> None:
    words = [str(word) for word in (Priority if name == "--priority" else Claim)]
    parser.add_argument(name, metavar="WORD", choices=words, default=default, help=f"{_or(words)} ({default})")


def _or(words: Sequence[str]) -> str:
    return ", ".join(words)


def _observations(context: Context, options: Namespace) -> int:
    with context.store() as store:
        run = find_run(store, options.run).id
        what = options.what or "file"
        if what in _SHOWS:
            return _SHOWS[what](context, store, run, options)
        try:
            return _order(context, store, run, options)
        except ValueError as error:
            said = str(error).rstrip(".")
            raise CommandError(
                f"{said[:1].lower()}{said[1:]}. `multitrack observations {run} list` lists them."
            ) from error


# What is shown.


def _file(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from store import observations

    document, text = observations.load(store, run), observations.text(store, run)
    if options.json:
        from store.domain.codec import encode

        emit(encode(document))
    elif not text and read_board(store, run).order is None:
        say(f"Run {run} is a bare recording, without observations: `multitrack calls {run}` lists what it has.")
    else:
        say(text.rstrip("\n") if text else _NONE)
    return Exit.FINE


_NONE = "No observations yet: they are written when a generation has ended."


def _list(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from app import listing

    board = read_board(store, run)
    entries = listing.read(store, board)
    shown = listing.chosen(entries, options.only, " ".join(options.words), everything=options.all)
    if options.json:
        emit([listing.facts(entry) for entry in shown], indent=2)
    elif shown:
        table(listing.HEADS, [listing.row(entry) for entry in shown], right=listing.RIGHT)
    else:
        say("None of them is so: without a filter, `list` shows all." if entries else _NONE)
    return Exit.FINE


def _show(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from app import listing
    from app.curate import named
    from store import observations
    from store.domain.observations.text import render_item

    document = observations.load(store, run, options.number)
    if document is None:
        raise CommandError(_no_version(run, options.number) if options.number else f"run {run} has no observations.")
    if not options.ids:
        if options.json:
            from store.domain.codec import encode

            emit(encode(document))
        else:
            say((observations.text(store, run, options.number) or "").rstrip("\n"))
        return Exit.FINE
    try:
        found = named(document, options.ids)
    except ValueError as error:
        raise CommandError(f"{error}. `multitrack observations {run} list --all` lists them.") from error
    if options.json:
        emit([listing.plain(o) for o in found], indent=2)
    else:
        say("\n\n".join(render_item(o, run) for o in found))
        for gone in _gone(store, found):
            say(f"\nThe tapes of run {gone} are deleted or in another store: the quotes are what is left of them here.")
    return Exit.FINE


def _gone(store: "Store", shown: Sequence[Observation]) -> list[str]:
    """The runs that these were seen in and that are not in the store."""
    from store import runs

    there = {row.id for row in runs.runs(store)}
    return sorted({evidence.subagent.run for o in shown for evidence in o.evidence} - there)


def _no_version(run: str, version: object) -> str:
    return (
        f"the observations of run {run} have no version {version}. `multitrack observations {run} versions` lists them."
    )


def _versions(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from datetime import datetime

    from store import observations

    known = observations.versions(store, run)
    if options.json:
        facts = ("version", "at", "author", "what", "undoes")
        emit([{name: getattr(one, name) for name in facts} for one in known], indent=2)
    elif not known:
        say(_NONE)
    else:
        times = (datetime.fromtimestamp(one.at).astimezone().strftime("%Y-%m-%d %H:%M:%S") for one in known)
        rows = [(one.version, at, one.author, one.what) for one, at in zip(known, times, strict=True)]
        table(("VERSION", "AT", "BY", "WHAT"), rows, right=(0,))
    return Exit.FINE


def _changes(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from store import observations
    from store.domain.observations.comparing import compare, in_words
    from store.domain.safe_text import safe_line

    document = observations.load(store, run)
    if document is None:
        raise CommandError(f"run {run} has no observations.")
    since = _since(store, run, options.since)
    before = observations.load(store, run, since) if since else None
    if since and before is None:
        raise CommandError(_no_version(run, since))
    comparison = compare(before, document)
    if options.json:
        differences = [
            {"id": d.id, "what": d.what, "fields": list(d.fields), "into": list(d.into), "said": in_words(d)}
            for d in comparison.differences
        ]
        emit({"from": since, "to": document.version, "notes": comparison.notes, "differences": differences}, indent=2)
        return Exit.FINE
    say(f"Version {document.version} against {f'version {since}' if since else 'nothing'}:")
    texts = {o.id: o.text for o in (*(before.observations if before else ()), *document.observations)}
    table(("ID", "WHAT", "TEXT"), [(d.id, in_words(d), safe_line(texts[d.id], TEXT)) for d in comparison.differences])
    if comparison.notes:
        say("Your own lines differ as well.")
    return Exit.FINE


def _since(store: "Store", run: str, word: str) -> int:
    from store import observations

    if word == "proposal":
        return observations.proposed(observations.versions(store, run))
    if word == "generation":
        generation = read_board(store, run).generation
        return generation.told if generation is not None else 0
    if word.isdecimal() and word.isascii() and int(word):
        return int(word)
    raise CommandError(f"{word!r} is no version, nor `generation` or `proposal`.")


def _conflicts(context: Context, store: "Store", run: str, options: Namespace) -> int:
    from store import observations
    from store.domain.observations.conflicts import conflicts

    found = conflicts(observations.load(store, run) or Document(run))
    if options.json:
        emit([{"id": c.id, "field": c.field, "value": c.value, "said": c.said} for c in found], indent=2)
    elif not found:
        say("No two edits disagree.")
    else:
        for conflict in found:
            say(f"{conflict.id}, its {conflict.field}: {conflict.said}")
            say("\n".join(f"  {line}" for line in conflict.value.split("\n")))
    return Exit.FINE


_SHOWS: dict[str, Callable[[Context, "Store", str, Namespace], int]] = {
    "file": _file,
    "list": _list,
    "show": _show,
    "versions": _versions,
    "changes": _changes,
    "conflicts": _conflicts,
}


# What is done.


def _order(context: Context, store: "Store", run: str, options: Namespace) -> int:
    """Give the order, and say what came of it."""
    from app.curate import UNDECIDED, ordered
    from store import observations

    document = observations.load(store, run)
    if options.what == "edit" and options.file:
        from store.domain.observations import parse

        text = _read(options.file)
        base = parse(text).version or (document.version if document is not None else 0)
        order: EditObservations | ChangeObservations = EditObservations(text, base)
    else:
        order = ChangeObservations(document.version if document is not None else 0, _asked(document, options))
    answer = ordered(context.home, store, run, order)
    after = observations.load(store, run)
    if options.json:
        there = {o.id for o in document.observations} if document is not None else set()
        added = [o.id for o in after.observations if o.id not in there] if after is not None else []
        applied, said = answer if answer is not None else (None, None)
        version = after.version if after is not None else 0
        emit({"applied": applied, "outcome": said, "version": version, "added": added}, indent=2)
    elif answer is None:
        say(UNDECIDED.format(run))
    else:
        say(answer[1] if answer[0] else f"refused: {answer[1]}")
    return Exit.FINE if answer is None or answer[0] else Exit.UNSOLVED


def _asked(document: Document | None, options: Namespace) -> tuple[do.Change, ...]:
    """The changes that the command line names. ValueError for an observation that there isn't."""
    from app.curate import named

    def ids(names: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(o.id for o in named(document, names)))

    match options.what:
        case "add":
            text = _words(" ".join(options.text))
            return (do.Add(text, Priority(options.priority), Claim(options.claim)),)
        case "edit":
            return (_reworded(document, options),)
        case "keep" | "drop" | "pin" | "quarantine":
            made = {"keep": do.Keep, "drop": do.Drop, "pin": do.Pin, "quarantine": do.Quarantine}[options.what]
            return tuple(made(name) for name in ids(options.ids))
        case "priority":
            return tuple(do.SetPriority(name, Priority(options.value)) for name in ids(options.ids))
        case "claim":
            return tuple(do.SetClaim(name, Claim(options.value)) for name in ids(options.ids))
        case "merge":
            into = ids([options.into])[0] if options.into else ""
            words = None if options.text is None else _words(options.text)
            return (do.Merge(tuple(dict.fromkeys([*ids(options.ids), *filter(None, [into])])), into, words),)
        case "split":
            return (do.Split(ids([options.id])[0], tuple(options.texts)),)
        case "resolve":
            return (do.Resolve(ids([options.id])[0], options.field, options.take),)
        case "restore":
            return (do.Restore(options.number),)
        case "undo":
            return (do.Undo(),)
    return (do.Redo(),)


def _reworded(document: Document | None, options: Namespace) -> do.Reword:
    from app.curate import named

    if options.ids is None:
        raise CommandError("name the observation and what it is to say, or hand in the whole file with --file.")
    (observation,) = named(document, [options.ids])
    if not options.text and options.excerpt is None:
        raise CommandError(f"write what {observation.id} is to say; - reads it from here.")
    excerpt = tuple(_read(options.excerpt).rstrip("\n").split("\n")) if options.excerpt is not None else None
    return do.Reword(observation.id, _words(" ".join(options.text)) if options.text else observation.text, excerpt)


def _words(text: str) -> str:
    """What was written, or what comes from standard input."""
    return _read("-") if text == "-" else text


def _read(name: str) -> str:
    from store.face import decoded

    return decoded(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())


_MORE = (
    "Several ids are one change, made whole or not at all. It makes a new version; `undo` takes it back, and any "
    "version can be restored. The engine of the run carries it out, or this command where none lives."
)

COMMANDS = (Command("observations", twin_help("observations"), _observations, _configure, _MORE),)
