"""A run into a file.

Everything has its place by what masking doesn't change, so that the file of a run that came from a file is that file.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import Connection

from store import jsontext, references
from store.domain.secrets import mask
from store.errors import StoreError
from store.portable.container import Pen, Row, Seal
from store.portable.hiding import Decode, Hider
from store.requests import PARTS
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

FILES = ("report.md",)
"""Files of a run's folder that go with it; `observations.md` is made of the observations again."""

_CHUNK = 256
_LARGEST_FILE = 64 * 1024 * 1024


def columns(table: str, *without: str) -> tuple[str, ...]:
    """The columns of a table as they stand in a file."""
    return tuple(column.name for column in metadata.tables[table].c if column.name not in without)


CALL = columns("calls", "run")
EVENT = columns("events", "run", "seq")
COMMAND = columns("commands", "run", "id")
OBSERVATION = columns("observation_versions", "run")
PLACE = ("node", "generation", "lane", "call")
NODE = ("key", "parent", "depth", "role", "attachments", "message")
RUN = ("id", "title", "created")
BLOB = ("digest", "data")
FILE = ("name", "data")

_NODES = """
SELECT n.key, n.parent, n.depth, n.role, n.attachments, n.message FROM nodes n
JOIN (SELECT node, min(call) AS call FROM tape_nodes WHERE run = ? GROUP BY node) p ON p.node = n.key
ORDER BY n.depth, p.call, n.key
"""
_PLACES = (
    "SELECT p.node, p.generation, p.lane, p.call FROM tape_nodes p JOIN nodes n ON n.key = p.node WHERE p.run = ? "
    "ORDER BY p.call, n.depth, p.generation, p.lane, p.node"
)
_COPY = "kind = 'run.imported' AND json_extract(data, '$.source') = 'tape'"
_EVENTS = f"SELECT {', '.join(EVENT)} FROM events WHERE run = ? AND NOT ({_COPY}) ORDER BY seq"  # noqa: S608 - ours
_CALLS = f"SELECT {', '.join(CALL)} FROM calls WHERE run = ? ORDER BY started, id"  # noqa: S608
_COMMANDS = f"SELECT {', '.join(COMMAND)} FROM commands WHERE run = ? AND outcome IS NOT NULL ORDER BY id"  # noqa: S608
_VERSIONS = f"SELECT {', '.join(OBSERVATION)} FROM observation_versions WHERE run = ? ORDER BY version"  # noqa: S608
_ON_RUN = "SELECT 1 FROM tape_nodes WHERE node = ? AND run = ? LIMIT 1"
_ON_TAPE = "SELECT 1 FROM tape_nodes WHERE node = ? AND generation = ? AND lane = ? AND run = ?"
_BLOB = "SELECT 1 FROM blobs WHERE digest = ? AND ? IS NOT NULL"
_NTH_EVENT = f"SELECT count(*) FROM events WHERE run = ? AND seq <= ? AND NOT ({_COPY})"  # noqa: S608
_NTH_COMMAND = "SELECT count(*) FROM commands WHERE run = ? AND id <= ? AND outcome IS NOT NULL"


def export_run(store: "Store", run: str, stream: IO[bytes], *, decode: Decode, folder: Path | None = None) -> Seal:
    """Write a run with everything of it, secrets hidden. `folder` is the run's own, with its files. KeyError when there
    is no such run, StoreError when its record is damaged."""
    with store.read() as connection:
        row = connection.exec_driver_sql("SELECT id, title, created FROM runs WHERE id = ?", (run,)).one_or_none()
        if row is None:
            raise KeyError(f"no run {run}")
        pen = Pen(stream)
        pen.write("run", RUN, [(row.id, mask(row.title), float(row.created))])
        try:
            _Outgoing(connection, run, pen, decode).write(folder)
        except (LookupError, ValueError, TypeError) as error:
            raise StoreError(
                f"The record of run {run} is damaged ({error.args[0] if error.args else error}): it can't be exported. "
                f"`multitrack verify {run}` says where."
            ) from error
        return pen.seal()


class _Outgoing:
    """One run on its way out."""

    def __init__(self, connection: Connection, run: str, pen: Pen, decode: Decode) -> None:
        self._connection, self._run, self._pen = connection, run, pen
        self._hider = Hider(connection, decode)
        self._given: set[str] = set()

    def write(self, folder: Path | None) -> None:
        pen = self._pen
        # What names something comes after it.
        pen.write("blob", BLOB, self._attachments())
        pen.write("node", NODE, self._nodes())
        pen.write("blob", BLOB, self._of_calls())
        pen.write("call", CALL, self._calls())
        pen.write("place", PLACE, self._places())
        pen.write("command", COMMAND, self._commands())
        pen.write("blob", BLOB, self._of_events())
        pen.write("event", EVENT, self._events())
        pen.write("blob", BLOB, self._of_observations())
        pen.write("observation", OBSERVATION, self._observations())
        pen.write("file", FILE, _files(folder))

    def _attachments(self) -> Iterator[Row]:
        for row in self._rows(_NODES.replace("n.attachments, n.message", "n.attachments, x''")):
            if row["attachments"] is not None:
                for name, data in self._hider.attachments(row):
                    yield from self._fresh(name, data)

    def _nodes(self) -> Iterator[Row]:
        given: set[str] = set()
        for row in self._rows(_NODES):
            for _ in self._hider.attachments(row):
                pass
            node = self._hider.node(row)
            if node["key"] != row["key"]:
                # Two that differed in a secret alone are one.
                if node["key"] in given or self._there(_ON_RUN, node["key"]):
                    continue
                given.add(node["key"])
            yield [node[name] for name in NODE]

    def _of_calls(self) -> Iterator[Row]:
        for row in self._rows(_CALLS):
            for name in PARTS:
                if row[name] is not None:
                    yield from self._blob(row[name], "json")
            if row["overlay"] is not None:
                for name, data in self._hider.overlays(row["overlay"], self._given):
                    yield from self._fresh(name, data)
            if row["body"] is not None:
                yield from self._blob(row["body"])
            if (answer := self._hider.response(row)) is not None:
                yield from self._fresh(*answer)
            if self._hider.timed(row):
                yield from self._blob(row["timing"], "raw")

    def _calls(self) -> Iterator[Row]:
        for row in self._rows(_CALLS):
            call = self._hider.call(row)
            yield [call[name] for name in CALL]

    def _places(self) -> Iterator[Row]:
        given: set[tuple[Any, ...]] = set()
        for row in self._rows(_PLACES):
            node = self._hider.nodes.get(row["node"], row["node"])
            if node != row["node"]:
                place = (node, row["generation"], row["lane"])
                if place in given or self._there(_ON_TAPE, *place):
                    continue
                given.add(place)
            yield [node, row["generation"], row["lane"], row["call"]]

    def _commands(self) -> Iterator[Row]:
        for row in self._rows(_COMMANDS):
            row["data"] = jsontext.dumps(self._hider.value(json.loads(row["data"])))
            row["outcome"] = mask(row["outcome"])
            yield [row[name] for name in COMMAND]

    def _of_events(self) -> Iterator[Row]:
        for row in self._rows(_EVENTS):
            for name in references.named_in(row["data"]):
                if self._there(_BLOB, name):
                    yield from self._blob(name)

    def _events(self) -> Iterator[Row]:
        for row in self._rows(_EVENTS):
            data = self._hider.value(json.loads(row["data"]))
            # Numbers of rows are the store's own: in the file they count from 1.
            if row["kind"] == "alert":
                for one in data.get("evidence", ()):
                    one["seq"] = self._nth(_NTH_EVENT, one.get("seq", 0))
            elif row["kind"] == "command.settled":
                data["command"] = self._nth(_NTH_COMMAND, data["command"])
            row["data"] = jsontext.dumps(data)
            yield [row[name] for name in EVENT]

    def _of_observations(self) -> Iterator[Row]:
        for row in self._rows(_VERSIONS):
            yield from self._blob(row["document"], "document")
            yield from self._blob(row["text"])

    def _observations(self) -> Iterator[Row]:
        for row in self._rows(_VERSIONS):
            row["document"] = self._hider.named(row["document"], "document")
            row["text"] = self._hider.named(row["text"])
            yield [row[name] for name in OBSERVATION]

    def _there(self, statement: str, *values: Any) -> bool:
        return self._connection.exec_driver_sql(statement, (*values, self._run)).first() is not None

    def _nth(self, count: str, number: int) -> int:
        """How many of the run's rows there are up to this one."""
        if not number:
            return 0
        return int(self._connection.exec_driver_sql(count, (self._run, number)).scalar_one())

    def _blob(self, name: str, role: str = "data") -> Iterator[Row]:
        data = self._hider.blob(name, role)
        yield from self._fresh(self._hider.named(name, role), data)

    def _fresh(self, name: str, data: bytes) -> Iterator[Row]:
        if name not in self._given:
            self._given.add(name)
            yield name, data

    def _rows(self, statement: str) -> Iterator[dict[str, Any]]:
        found = self._connection.exec_driver_sql(statement, (self._run,))
        names = [*found.keys()]
        while some := found.fetchmany(_CHUNK):
            for row in some:
                yield dict(zip(names, row, strict=True))


def _files(folder: Path | None) -> Sequence[Row]:
    if folder is None:
        return ()
    there = [(name, folder / name) for name in FILES if (folder / name).is_file()]
    texts = [(name, path.read_bytes()[:_LARGEST_FILE].decode("utf-8", "replace")) for name, path in there]
    return [(name, mask(text).encode()) for name, text in texts]
