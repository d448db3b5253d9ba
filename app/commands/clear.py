"""`delete` and `prune`: runs go with all that is only theirs, and with them what nothing names; and images that were
built for runs."""

import re
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from app.commands import Command, Group, add_json, add_run
from app.context import Context, find_run, read_board
from app.failure import CommandError, Exit
from app.output import counted, emit, note, say, size, table
from store.domain.safe_text import safe_line
from store.domain.secrets import shown
from store.domain.states import RunState

if TYPE_CHECKING:
    from backends.sandboxes.docker import BuiltImage, Host
    from store.database import Store
    from store.retention import Freed
    from store.sizes import Size
    from store.unnamed import Unnamed

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_HOSTS = "whose images: a Docker context or an address; again for each host"
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])", re.ASCII)


@dataclass(frozen=True)
class _Old:
    """A run that is to go. `last` is when anything was last recorded of it."""

    id: str
    title: str
    state: str
    last: float
    size: "Size"


def _configure_delete(parser: ArgumentParser) -> None:
    add_run(parser)
    _add_yes(parser)
    add_json(parser, "print JSON")


def _configure_prune(parser: ArgumentParser) -> None:
    older = "runs of which nothing was recorded since: 30d, 12h, 2w; without it, only what nothing names goes"
    parser.add_argument("--older", metavar="AGE", type=_age, help=older)
    parser.add_argument("--keep-solved", action="store_true", help="leave runs that solved their task")
    images = "in place of runs, the images that were built for them, and that no run uses that can still go on"
    parser.add_argument("--images", action="store_true", help=f"{images}; --older says which of them")
    parser.add_argument("--host", metavar="HOST", action="append", help=_HOSTS)
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, and how much it would free")
    _add_yes(parser)
    add_json(parser, "print JSON")


def _add_yes(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="don't ask, as where there is no terminal")


def _age(text: str) -> float:
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no age: a number and m, h, d or w, such as 30d, 12h or 2w")
    return float(match[1]) * _UNITS[match[2]]


def _delete(context: Context, options: Namespace) -> int:
    from store.retention import unfinished
    from store.sizes import sizes

    with context.store() as store:
        if options.run in unfinished(store):
            note(f"The deletion of run {options.run} was not finished: it goes on.")
            _tell([options.run], _deleted(context, store, [options.run]), json=options.json)
            return Exit.FINE
        row = find_run(store, options.run)
        _refuse_held(context, row.id)
        frees = size(sizes(store, context.home)[row.id].total)
        name = f"run {row.id} ({safe_line(row.title, 60)})"
        if not _confirmed(options, f"Delete {name} with its tapes, report and patches? It frees about {frees}."):
            return Exit.UNSOLVED
        _tell([row.id], _deleted(context, store, [row.id]), json=options.json)
    return Exit.FINE


def _tell(runs: Sequence[str], freed: "Freed", *, json: bool) -> None:
    emit({"runs": runs, "freed": asdict(freed)}) if json else say(_said(runs, freed))


def _prune(context: Context, options: Namespace) -> int:
    from store.retention import unfinished
    from store.unnamed import unnamed

    if options.images:
        return _prune_images(context, options)
    if options.host:
        raise CommandError("--host says where images are: it goes with --images.")
    if options.keep_solved and options.older is None:
        raise CommandError("--keep-solved says which of the old runs stay: name an age with --older.")
    if context.empty:
        emit({"runs": [], "unnamed": _sum([]), "freed": None}) if options.json else say("Nothing is recorded yet.")
        return Exit.FINE
    with context.store() as store:
        before = 0.0 if options.older is None else time.time() - options.older
        old = _old(context, store, before=before, keep_solved=options.keep_solved)
        names, frees, nobodys = (
            [run.id for run in old],
            sum(run.size.total for run in old),
            unnamed(store, context.home),
        )
        if not options.json:
            _list(old, frees, nobodys, asked=options.older is not None)
        freed: Freed | None = None
        if not options.dry_run and (names or nobodys or unfinished(store)):
            if not _confirmed(options, f"Delete {'it' if len(names) == 1 else 'them'}?" if names else ""):
                return Exit.UNSOLVED
            freed = _deleted(context, store, names)
    if options.json:
        emit({"runs": [_facts(run) for run in old], "unnamed": _sum(nobodys), "freed": freed and asdict(freed)})
    elif freed is not None:
        say(_said(names, freed))
    return Exit.FINE


def _prune_images(context: Context, options: Namespace) -> int:
    from backends.sandboxes import SandboxError
    from backends.sandboxes.docker import Host, built_images, malformed, remove_images

    if options.keep_solved:
        raise CommandError("--keep-solved says which runs stay: it doesn't go with --images.")
    for name in options.host or ():
        if wrong := malformed(name):
            raise CommandError(f"--host {safe_line(name, 80)} {wrong}.")
    hosts = [Host(name, context.environ) for name in options.host or ("",)]
    before = time.time() - (options.older or 0.0)
    try:
        found = [(host, built_images(host)) for host in hosts]
        going = [(host, [one for one in images if not one.used and one.created <= before]) for host, images in found]
        count = sum(len(images) for _, images in going)
        if not options.json:
            _list_images(going, stay=sum(len(images) for _, images in found) - count)
        freed: int | None = None
        if count and not options.dry_run:
            if not _confirmed(options, f"Remove {'it' if count == 1 else 'them'}?"):
                return Exit.UNSOLVED
            gone = [remove_images(host, images) for host, images in going]
            freed, removed = sum(size for _, size in gone), sum(len(images) for images, _ in gone)
            if not options.json:
                say(f"Removed {counted(removed, 'image')}. Freed: {size(freed)}.")
    except SandboxError as error:
        raise CommandError(f"{error}.", Exit.ENVIRONMENT) from error
    finally:
        for host in hosts:
            host.close()
    if options.json:
        emit({"images": [{"host": host.name, **asdict(one)} for host, each in going for one in each], "freed": freed})
    return Exit.FINE


def _called(image: "BuiltImage") -> str:
    if not image.names:
        return f"{image.id.removeprefix('sha256:')[:12]} (replaced)"
    return image.names[0] + (f" and {len(image.names) - 1} more" if len(image.names) > 1 else "")


def _list_images(going: "Sequence[tuple[Host, Sequence[BuiltImage]]]", *, stay: int) -> None:
    """The images that would go, and how many stay."""
    rows = [
        (
            _called(one),
            time.strftime("%Y-%m-%d", time.localtime(one.created)),
            size(one.own),
            str(host),
        )
        for host, images in going
        for one in images
    ]
    left = f" {counted(stay, 'other')} {'is' if stay == 1 else 'are'} used or newer." if stay else ""
    if not rows:
        say(f"There is no image that was built for runs and can go.{left}")
        return
    table(("IMAGE", "BUILT", "DISK", "HOST"), rows, right=(2,))
    own = sum(one.own for _, images in going for one in images)
    say(f"\n{counted(len(rows), 'image')}, at least {size(own)}. What they share with each other comes on top.{left}")


def _deleted(context: Context, store: "Store", names: Sequence[str]) -> "Freed":
    from backends.leftovers import remove
    from store.retention import HeldError, delete_runs

    for sentence in remove(context.home, store, names, context.environ):
        note(f"multitrack: {sentence}.")
    try:
        return delete_runs(store, context.home, names, at=time.time())
    except HeldError as error:
        raise CommandError(str(error), Exit.UNSOLVED) from error


def _old(context: Context, store: "Store", *, before: float, keep_solved: bool) -> list[_Old]:
    """The runs that nothing was recorded of since, and that no engine holds; oldest first."""
    from store.lock import holder
    from store.runs import runs
    from store.sizes import last_recorded, sizes

    last = last_recorded(store)
    ages = [(last[row.id], row) for row in runs(store) if last[row.id] < before]
    found = []
    own = sizes(store, context.home) if ages else {}
    for at, row in sorted(ages, key=lambda item: item[0]):
        if holder(context.home.folder(row.id).lock) is not None:
            continue
        board = read_board(store, row.id)
        solved = board.finished is not None and board.finished.state is RunState.SOLVED
        if keep_solved and solved:
            continue
        state = "recorded" if board.order is None else str(board.state) if board.finished else "interrupted"
        found.append(_Old(row.id, row.title, state, at, own[row.id]))
    return found


def _sum(nobodys: "Sequence[Unnamed]") -> dict[str, int]:
    return {"blobs": len(nobodys), "bytes": sum(blob.size for blob in nobodys)}


def _list(old: Sequence[_Old], frees: int, nobodys: "Sequence[Unnamed]", *, asked: bool) -> None:
    """What would go; `asked` is whether anybody asked for runs."""
    if old:
        _table(old, frees)
    elif asked:
        say("No run is that old.")
    if nobodys:
        say(f"{counted(len(nobodys), 'blob')} that nothing names: {size(_sum(nobodys)['bytes'])}.")
    elif not asked:
        say("The store keeps nothing that nothing names.")


def _table(old: Sequence[_Old], frees: int) -> None:
    rows = [
        (run.id, time.strftime("%Y-%m-%d", time.localtime(run.last)), run.state, size(run.size.total), run.title)
        for run in old
    ]
    table(("RUN", "LAST", "STATE", "DISK", "TITLE"), rows, right=(3,))
    say(f"\n{counted(len(old), 'run')}, about {size(frees)}. What they share with each other comes on top.")


def _facts(run: _Old) -> dict[str, object]:
    disk = {"store": run.size.store, "files": run.size.files}
    return {"run": run.id, "title": run.title, "state": run.state, "last": run.last, "disk": disk}


def _confirmed(options: Namespace, question: str) -> bool:
    """Whether the operator wants it. Where nobody can be asked, a command is taken at its word."""
    if options.yes or not question or not sys.stdin.isatty():
        return True
    # Not with what is printed, which may be JSON, or go to a file.
    print(f"{shown(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = ""
    with suppress(EOFError):
        answer = input()
    if answer.strip().lower() in ("y", "yes"):
        return True
    note("Nothing was deleted.")
    return False


def _refuse_held(context: Context, run: str) -> None:
    """Say it before anything is asked."""
    from store.lock import holder

    if holder(context.home.folder(run).lock) is not None:
        raise CommandError(
            f"an engine or a recorder works on run {run}: it can't be deleted. `multitrack stop {run}` ends a run, "
            "Ctrl-C a recorder.",
            Exit.UNSOLVED,
        )


def _said(names: Sequence[str], freed: "Freed") -> str:
    what = f"Deleted {', '.join(names)}." if names else "Cleared up."
    parts = [f"{size(freed.store)} of the store", f"{size(freed.files)} of files"]
    kept = f" {size(freed.unnamed)} of the store were named by nothing." if freed.unnamed else ""
    if freed.kept:
        kept += (
            f" {size(freed.kept)} are free inside the store for what comes next; a tenth of it and more goes back to "
            "the disk by the next deletion while no engine is at work."
        )
    return f"{what} Freed: {' and '.join(parts)}.{kept}"


GROUP = Group(
    "clear up",
    (
        Command(
            "delete", "Delete a run with all that is only its own, and say what it freed.", _delete, _configure_delete
        ),
        Command("prune", "Delete the runs of which nothing was recorded for long.", _prune, _configure_prune),
    ),
)
