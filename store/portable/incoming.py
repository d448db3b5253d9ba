"""A file into a store: looked at from end to end first, then put in part by part, unseen until all of it is there.

Nothing in the file is believed: a blob has to be what its digest says and a node what its key says, or it could stand
in another run's place, for these are shared.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from store import attachments, blobs, jsontext, passages, rebuilding, references
from store.arriving import Arrival, arriving, finish, imported, taken
from store.dag import Kept, Tape
from store.domain.canonical import canonical, digest, kept_key
from store.domain.events import RunImported
from store.domain.kept import bare, role_of
from store.exact import loads
from store.face import write_face
from store.gathering import driver_of
from store.home import Home
from store.portable import outgoing
from store.portable.container import Part, Seal, TapeFileError, parts
from store.portable.hiding import Decode
from store.portable.renaming import Renaming
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

SOURCE = "tape"

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")
_CALL = re.compile(r"[0-9A-Za-z_\-]{1,64}")
_TABLES = {"call": "calls", "event": "events", "command": "commands", "observation": "observation_versions"}
_BAD = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError, sqlite3.IntegrityError)
_MISSING = (
    "SELECT 'node', node FROM (SELECT tail AS node FROM calls WHERE run = ?1 UNION SELECT answer FROM calls WHERE "
    "run = ?1 UNION SELECT base FROM calls WHERE run = ?1) WHERE node IS NOT NULL AND node NOT IN "
    "(SELECT node FROM tape_nodes WHERE run = ?1) UNION ALL SELECT 'call', call FROM tape_nodes WHERE run = ?1 AND "
    "call NOT IN (SELECT id FROM calls WHERE run = ?1) UNION ALL "
    "SELECT 'place for node', node FROM tape_nodes WHERE run = ?1 AND generation < 0 LIMIT 1"
)
_PLACE = "INSERT INTO tape_nodes (node, run, generation, lane, call) VALUES (?, ?, ?, ?, ?)"
_PLACED = "DELETE FROM tape_nodes WHERE node = ? AND run = ? AND generation = -1 AND lane = -1"
_NTH_EVENT = "SELECT seq FROM events WHERE run = ? ORDER BY seq LIMIT 1 OFFSET ?"
_NTH_COMMAND = "SELECT id FROM commands WHERE run = ? ORDER BY id LIMIT 1 OFFSET ?"


@dataclass(frozen=True)
class Imported:
    """A run that a file was made into: its name here, and whether it was made now. `name` is what it is called in the
    file."""

    run: str
    name: str
    made: bool


@dataclass(frozen=True)
class _File:
    """What the look from end to end has found."""

    run: str
    title: str
    created: float
    seal: Seal
    taken: bool
    """A call of the file's has its name already in this store."""


def import_run(store: "Store", home: Home, path: Path, *, decode: Decode, at: float) -> Imported:
    """Bring the run of a file in. The same content again changes nothing; another run's name is left to it.
    TapeFileError, StoreError and OSError leave the store as it was."""
    finish(store, home, at=at)
    file = _looked_at(store, path)
    for run in imported(store, file.seal.digest).values():
        return Imported(run, file.run, made=False)
    there = taken(store, file.run)
    if there and _digest(store, home, file.run, decode) == file.seal.digest:
        return Imported(file.run, file.run, made=False)
    run = f"{file.run}-{file.seal.digest[:6]}" if there or file.taken else file.run
    while taken(store, run):
        run = f"{run}-{file.seal.digest[6:9]}"
    with arriving(store, home, run, file.title, created=file.created, at=at) as arrival:
        _Incoming(store, home, arrival, Renaming(file.run, run)).read(path)
        arrival.end(RunImported(SOURCE, path.name, file.seal.digest, file.run, at))
    return Imported(run, file.run, made=True)


def _looked_at(store: "Store", path: Path) -> _File:
    """Check all of a file, before anything is written. TapeFileError."""
    counts: dict[str, int] = {}
    head: Sequence[Any] = ()
    found, seal = False, ""
    with store.read() as connection:
        for part in parts(path):
            if part.name == "end":
                seal = part.rows[0][0]
                break
            counts[part.name] = counts.get(part.name, 0) + len(part.rows)
            if part.name not in ("run", "blob", "node", "place", "file", *_TABLES):
                raise TapeFileError(f"it has a part `{part.name[:40]}`, at byte {part.at:,}, that is not known here")
            if part.name == "run":
                head = _columns(part, outgoing.RUN)[0]
            elif part.name == "call" and not found:
                ids = [str(row[part.columns.index("id")]) for row in part.rows if "id" in part.columns]
                found = any(
                    connection.exec_driver_sql("SELECT 1 FROM calls WHERE id = ?", (name,)).first() for name in ids
                )
    if counts.get("run") != 1 or [type(value) for value in head] != [str, str, float] or not _RUN.fullmatch(head[0]):
        raise TapeFileError("it does not say which run it is of")
    return _File(head[0], _text(head[1]), head[2], Seal(seal, counts), found)


def _digest(store: "Store", home: Home, run: str, decode: Decode) -> str:
    """The digest of the file that a run would be."""
    with Path("/dev/null").open("wb") as nowhere:
        return outgoing.export_run(store, run, nowhere, decode=decode, folder=home.folder(run).path).digest


class _Incoming:
    """One file on its way in."""

    def __init__(self, store: "Store", home: Home, arrival: Arrival, renaming: Renaming) -> None:
        self._store, self._folder, self._arrival = store, home.folder(arrival.run), arrival
        self._run, self._renaming = arrival.run, renaming

    def read(self, path: Path) -> None:
        put: dict[str, Callable[[Connection, Part], None]] = {
            "blob": self._blobs,
            "node": self._nodes,
            "call": self._calls,
            "place": self._places,
            "command": self._commands,
            "event": self._events,
            "observation": self._observations,
        }
        for part in parts(path):
            try:
                if part.name == "file":
                    self._files(part)
                elif part.name in put:
                    self._arrival.write(partial(_put, put[part.name], part))
            except _BAD as error:
                raise TapeFileError(_words(part, error)) from error
        self._check()
        self._face()

    def _blobs(self, connection: Connection, part: Part) -> None:
        for name, data in _columns(part, outgoing.BLOB):
            if digest(data) != name:
                raise ValueError(f"blob {_text(name)[:40]} is not what its digest says")
            blobs.put(connection, data)

    def _nodes(self, connection: Connection, part: Part) -> None:
        driver = driver_of(connection)
        for key, parent, depth, role, attached, message in _columns(part, outgoing.NODE):
            # Until it has its places it has this one: what an import that is killed leaves behind is found by them.
            driver.execute(_PLACE, (key, self._run, -1, -1, ""))
            if driver.execute("SELECT 1 FROM nodes WHERE key = ?", (key,)).fetchone():
                continue
            _check_node(connection, key, parent, depth, role, attached, message)
            values = (key, parent, depth, role, blobs.compress(message), attached)
            driver.execute(
                "INSERT INTO nodes (key, parent, depth, role, message, attachments) VALUES (?, ?, ?, ?, ?, ?)", values
            )

    def _calls(self, connection: Connection, part: Part) -> None:
        for row in _typed(part):
            if not _CALL.fullmatch(row["id"]):
                raise ValueError("a call has no name that a call can have")
            for name in ("request_headers", "response_headers", "notes"):
                if not isinstance(json.loads(row[name]), list):
                    raise ValueError(f"the {name} of call {row['id']} are no list")
            row["id"] = self._renaming.call(row["id"])
            row["parent"] = row["parent"] and self._renaming.call(row["parent"])
            if self._renaming:
                row["source"] = self._renaming.source(row["source"], self._known(connection))
            _insert(connection, "calls", {**row, "run": self._run})

    def _places(self, connection: Connection, part: Part) -> None:
        driver = driver_of(connection)
        for node, generation, lane, made in _columns(part, outgoing.PLACE):
            if not (type(generation) is int and type(lane) is int and generation >= 0 and lane >= 0):
                raise ValueError("a place is on no tape")
            call, tape = self._renaming.call(made), Tape(self._run, generation, lane)
            driver.execute(_PLACE, (node, *tape, call))
            driver.execute(_PLACED, (node, self._run))
            found = rebuilding.node(connection, node)
            passages.index(connection, tape, call, [(node, Kept(found.role, found.message, b"", b""))])

    def _commands(self, connection: Connection, part: Part) -> None:
        for row in _typed(part):
            row["data"] = self._data(connection, row["data"])
            _insert(connection, "commands", {**row, "run": self._run})

    def _events(self, connection: Connection, part: Part) -> None:
        for row in _typed(part):
            data = json.loads(row["data"])
            if row["kind"] == "alert":
                for one in data.get("evidence", ()):
                    one["seq"] = self._nth(connection, _NTH_EVENT, one.get("seq", 0))
            elif row["kind"] == "command.settled":
                data["command"] = self._nth(connection, _NTH_COMMAND, data["command"])
            row["data"] = self._data(connection, jsontext.dumps(data))
            _insert(connection, "events", {**row, "run": self._run})

    def _observations(self, connection: Connection, part: Part) -> None:
        for row in _typed(part):
            if self._renaming:
                document = blobs.load(connection, row["document"])
                row["document"] = blobs.put(connection, self._data(connection, document.decode()).encode())
            _insert(connection, "observation_versions", {**row, "run": self._run})

    def _files(self, part: Part) -> None:
        for name, data in _columns(part, outgoing.FILE):
            if name not in outgoing.FILES:
                raise ValueError(f"a file `{_text(name)[:40]}` is none of a run's")
            write_face(self._folder.create().path / name, data.decode())

    def _data(self, connection: Connection, data: str) -> str:
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("what it says is no object")
        return jsontext.dumps(self._renaming.value(value, self._known(connection))) if self._renaming else data

    def _known(self, connection: Connection) -> Callable[[str], bool]:
        text, of = "SELECT 1 FROM calls WHERE id = ? AND run = ?", self._run
        return lambda name: connection.exec_driver_sql(text, (name, of)).first() is not None

    def _nth(self, connection: Connection, text: str, number: Any) -> int:
        """The number in this store of the run's row that has this one in the file; 0 for none."""
        if type(number) is not int or number < 1:
            return 0
        return int(connection.exec_driver_sql(text, (self._run, number - 1)).scalar() or 0)

    def _check(self) -> None:
        """Whether all is there that is named. TapeFileError."""
        run = metadata.tables["calls"].c.run == self._run
        versions = metadata.tables["observation_versions"].c.run == self._run
        with self._store.read() as connection:
            missing = connection.exec_driver_sql(_MISSING, (self._run,)).first()
            if missing is not None:
                raise TapeFileError(f"it names a {missing[0]} that is not in it, {_text(missing[1])[:40]}")
            named = {*references.of_calls(connection, run), *references.of_observations(connection, versions)}
            for name in named:
                if not connection.exec_driver_sql("SELECT 1 FROM blobs WHERE digest = ?", (name,)).first():
                    raise TapeFileError(f"it names a blob that is not in it, {_text(name)[:40]}")

    def _face(self) -> None:
        """The observations as a file, as they stood last."""
        text = "SELECT text FROM observation_versions WHERE run = ? ORDER BY version DESC LIMIT 1"
        with self._store.read() as connection:
            name = connection.exec_driver_sql(text, (self._run,)).scalar()
            face = blobs.load(connection, name).decode() if name else None
        if face is not None:
            write_face(self._folder.create().observations, face)


def _put(put: Callable[[Connection, Part], None], part: Part, connection: Connection) -> None:
    put(connection, part)


def _check_node(
    connection: Connection, key: Any, parent: Any, depth: Any, role: Any, attached: Any, message: Any
) -> None:
    """Whether a node is what its key says, and after its parent. ValueError."""
    above = -1
    if parent is not None:
        row = connection.exec_driver_sql("SELECT depth FROM nodes WHERE key = ?", (parent,)).first()
        if row is None:
            raise ValueError(f"node {_text(key)[:40]} comes after one that is not there")
        above = row[0]
    whole = value = loads(message)
    if attached is not None:
        whole = attachments.put_back(value, json.loads(attached), lambda name: blobs.load(connection, name))
    if not isinstance(whole, dict) or kept_key(parent, canonical(bare(whole))) != key:
        raise ValueError(f"node {_text(key)[:40]} is not what its key says")
    if depth != above + 1 or role != role_of(whole):
        raise ValueError(f"node {_text(key)[:40]} is out of its place")


def _columns(part: Part, names: Sequence[str]) -> list[list[Any]]:
    """The rows of a part that has these columns. TapeFileError."""
    if part.columns != tuple(names):
        raise TapeFileError(f"the part `{part.name}` at byte {part.at:,} has other columns than are known here")
    return part.rows


def _typed(part: Part) -> list[dict[str, Any]]:
    """The rows of a table, with values of its columns' types; those that the file doesn't have yet have their defaults.
    TapeFileError, ValueError."""
    table = metadata.tables[_TABLES[part.name]]
    unknown = [name for name in part.columns if name not in table.c or name in ("run", "seq")]
    if unknown:
        raise TapeFileError(f"it has a column `{unknown[0][:40]}` of `{part.name}` that is not known here: it is newer")
    rows = [dict(zip(part.columns, row, strict=True)) for row in part.rows]
    for row in rows:
        for name, value in row.items():
            column = table.c[name]
            kind = column.type.python_type
            fits = isinstance(value, (int, float) if kind is float else int if kind is bool else kind)
            if not (fits or (value is None and column.nullable)):
                raise ValueError(f"{name} can't be {_text(repr(value))[:40]}")
    return rows


def _insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    driver_of(connection).execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [*row.values()])  # noqa: S608 - ours


def _words(part: Part, error: BaseException) -> str:
    said = str(error.args[0]) if error.args and isinstance(error, ValueError | KeyError) else type(error).__name__
    return f"the part `{part.name}` at byte {part.at:,} can't be taken: {said}"


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()
