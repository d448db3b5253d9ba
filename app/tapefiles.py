"""Runs as files, from the command line and from the screens."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.failure import CommandError, Exit
from store.domain.safe_text import safe_line
from store.home import Home
from store.lock import holder

if TYPE_CHECKING:
    from backends.imports import Made
    from backends.observer import Observed
    from store.database import Store
    from store.portable.container import Seal
    from store.portable.incoming import Imported


def write_tape(home: Home, store: "Store", run: str, stream: IO[bytes]) -> "Seal":
    """Write a run as a file. CommandError while somebody works on it, StoreError when its record is damaged."""
    from store.portable.outgoing import export_run

    folder = home.folder(run)
    if holder(folder.lock) is not None:
        raise CommandError(
            f"run {run} goes on: its tape can be exported when it is over. `multitrack stop {run}` ends it."
        )
    return export_run(store, run, stream, decode=decoded, folder=folder.path)


def read_file(home: Home, store: "Store", path: Path) -> "tuple[str, Sequence[Imported | Made]]":
    """Bring the runs of a file in: its format, and the runs. CommandError when it is refused."""
    from backends.imports import ImportedFileError, bring, look
    from store.portable.container import TapeFileError, is_tape
    from store.portable.incoming import SOURCE, import_run

    try:
        if path.is_dir():
            raise CommandError(
                f"{path} is a folder: name one file in it. Sessions of Claude Code are those that end in .jsonl.",
                Exit.USAGE,
            )
        if path.exists() and not path.is_file():
            # It would be read more than once, and what is no file may have no end.
            raise CommandError(f"{path} is no file but a pipe or a device: write it to a file first.", Exit.USAGE)
        with path.open("rb") as stream:
            head = stream.read(256)
        if is_tape(head):
            return SOURCE, [import_run(store, home, path, decode=decoded, at=time.time())]
        found = look(path)
        return found.format, bring(store, home, path, found, observe=_observed, at=time.time())
    except (TapeFileError, ImportedFileError) as error:
        raise CommandError(f"{path} was not imported: {safe_line(str(error), 600)}.") from error
    except OSError as error:
        raise CommandError(f"{path} can't be read ({error.strerror}).", Exit.ENVIRONMENT) from error


def _observed(store: "Store", run: str) -> "Observed":
    from backends.observer import observe

    return observe(store, run, 1, at=time.time())


def decoded(data: bytes, codings: Sequence[str]) -> bytes | None:
    """A body without its content codings; None where they are unknown, or it is not in them."""
    from backends.proxy import CannotDecodeError, Decoder

    try:
        return Decoder(", ".join(codings)).decode(data)
    except CannotDecodeError:
        return None


_COUNTS = (
    "SELECT (SELECT count(*) FROM calls WHERE run = ?1 AND parent IS NULL), "
    "(SELECT count(DISTINCT node) FROM tape_nodes WHERE run = ?1), "
    "(SELECT count(*) FROM events WHERE run = ?1 "
    "AND NOT (kind = 'run.imported' AND json_extract(data, '$.source') = 'tape'))"
)
_LANES = (
    "SELECT generation, lane, sum(kind = 'call') AS calls, sum(kind = 'node') AS nodes, sum(kind = 'event') AS events "
    "FROM (SELECT generation, lane, 'call' AS kind FROM calls WHERE run = ?1 AND parent IS NULL UNION ALL "
    "SELECT generation, lane, 'node' FROM tape_nodes WHERE run = ?1 UNION ALL "
    "SELECT generation, lane, 'event' FROM events WHERE run = ?1) "
    "WHERE generation > 0 AND lane > 0 GROUP BY generation, lane ORDER BY generation, lane"
)


def facts(store: "Store", of: "Imported | Made") -> dict[str, Any]:
    """A run that a file was made into, as JSON: with its subagents, and how much there is of each."""
    from app.context import read_board
    from store.domain.ids import SubagentId

    board = read_board(store, of.run)
    with store.read() as connection:
        title = connection.exec_driver_sql("SELECT title FROM runs WHERE id = ?", (of.run,)).scalar_one()
        calls, nodes, events = connection.exec_driver_sql(_COUNTS, (of.run,)).one()
        counted = {(row.generation, row.lane): row for row in connection.exec_driver_sql(_LANES, (of.run,))}
    lanes = sorted(counted.keys() | {(g.number, number) for g in board.generations.values() for number in g.lanes})
    subagents = []
    for generation, number in lanes:
        row = counted.get((generation, number))
        lane = board.lane(SubagentId(of.run, generation, number))
        subagents.append(
            {
                "subagent": f"{generation}.{number}",
                "strategy": lane.plan.strategy.name if lane is not None else "",
                "state": str(lane.state) if lane is not None else "",
                "calls": row.calls if row else 0,
                "nodes": row.nodes if row else 0,
                "events": row.events if row else 0,
            }
        )
    return {
        "run": of.run,
        "name": of.name,
        "title": title,
        "made": of.made,
        "state": str(board.state) if board.order is not None else "recorded",
        "generations": len(board.generations),
        "calls": calls,
        "nodes": nodes,
        "events": events,
        "subagents": subagents,
    }
