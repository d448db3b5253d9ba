"""What each run takes on the disk: quickly, and therefore about."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, text

from store import references
from store.home import Home
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_tables = metadata.tables


@dataclass(frozen=True)
class Size:
    """About the bytes that are a run's alone: `store` in the store, with their share of its indexes, `files` in its
    folder."""

    store: int = 0
    files: int = 0

    @property
    def total(self) -> int:
        return self.store + self.files


def sizes(store: "Store", home: Home) -> dict[str, Size]:
    """What each run takes. What runs share counts for none of them."""
    with store.read() as connection:
        own = _own_bytes(connection)
        known = connection.execute(select(_tables["runs"].c.id)).scalars().all()
    return {run: Size(own.get(run, 0), disk(home.folder(run).path)) for run in known}


def last_recorded(store: "Store") -> dict[str, float]:
    """When anything was last recorded of each run, in Unix seconds."""
    with store.read() as connection:
        last = {row.id: row.created for row in connection.execute(select(_tables["runs"]))}
        for statement in (_LAST_EVENT, _LAST_CALL):
            for run, at in connection.execute(text(statement)):
                last[run] = max(last.get(run, at), at)
    return last


def disk(folder: Path) -> int:
    """Bytes that a folder takes on the disk; a file with several names counts once."""
    total, seen, folders = 0, set(), [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
    return total


def _own_bytes(connection: Connection) -> dict[str, int]:
    own: dict[str, int] = {}
    for statement in (_own_blobs(), _OWN_NODES, *_OWN_ROWS):
        for run, size in connection.execute(text(statement)):
            own[run] = own.get(run, 0) + round(size)
    return own


_LAST_EVENT = "SELECT run, at FROM events WHERE seq IN (SELECT max(seq) FROM events GROUP BY run)"
_LAST_CALL = "SELECT run, max(coalesce(ended, started)) FROM calls GROUP BY run"
_OWN_NODES = (
    "SELECT run, sum(length(message) + 200) FROM nodes JOIN (SELECT node, min(run) AS run FROM tape_nodes "
    "GROUP BY node HAVING min(run) = max(run)) ON node = key GROUP BY run"
)
_OWN_ROWS = (
    "SELECT run, sum(length(data) + 180) FROM events GROUP BY run",
    "SELECT run, count(*) * 600 FROM calls GROUP BY run",
    "SELECT run, count(*) * 70 FROM tape_nodes GROUP BY run",
    # The text once more, and its index.
    "SELECT c4, sum(length(c0) * 1.7 + 130) FROM passages_content GROUP BY c4",
)
"""What rows, keys and indexes take beside the data was measured on a store of 10,000 calls."""


_IN_EVENTS = (
    ("tool.finished", "$.result"),
    ("subagent.launched", "$.observations"),
    ("subagent.checked", "$.patch"),
    ("subagent.checked", "$.result.output"),
)
"""Where events name blobs, beside the results of a baseline: by kind, to be quick. A deletion looks everywhere."""


def _own_blobs() -> str:
    return (
        "SELECT own.run, sum(length(data) + 110) FROM blobs JOIN "  # noqa: S608 - names of ours
        f"(SELECT digest, min(run) AS run FROM ({named_blobs()}) GROUP BY digest "
        "HAVING min(run) = max(run)) AS own USING (digest) GROUP BY own.run"
    )


def named_blobs() -> str:
    """SQL for the blobs that runs name, as pairs of run and digest."""
    named = [
        f"SELECT run, {column} AS digest FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 - names of ours
        for table, columns in (("calls", references.CALLS), ("observation_versions", references.OBSERVATIONS))
        for column in columns
    ]
    named += [
        f"SELECT run, json_extract(data, '{path}') FROM events WHERE kind = '{kind}'"  # noqa: S608 - the same
        for kind, path in _IN_EVENTS
    ]
    named.append(
        "SELECT events.run, json_extract(value, '$.output') FROM events, json_each(events.data, '$.results') "
        "WHERE kind = 'baseline.checked'"
    )
    named.append(
        "SELECT tape_nodes.run, json_extract(value, '$[1]') FROM nodes, tape_nodes, json_each(nodes.attachments) "
        "WHERE attachments IS NOT NULL AND tape_nodes.node = nodes.key"
    )
    named.append(
        "SELECT run, json_extract(value, '$[1]') FROM calls, json_each(attachments) WHERE attachments IS NOT NULL"
    )
    return " UNION ALL ".join(named)
