"""Statements of the hot path: made of SQLAlchemy Core, compiled once, run on the driver's own cursor.

The tables stay the single description of the schema, and a statement costs what SQLite needs for it. Core's own way to
the driver takes 30 to 60 µs each time, many times the work behind most of them.
"""

import sqlite3
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import BindParameter, Connection, bindparam
from sqlalchemy.dialects.sqlite.pysqlite import dialect
from sqlalchemy.sql import ClauseElement

from store.gathering import Gathering

Values = Mapping[str, Any]
"""What a statement is given, by the names of its columns and parameters. More than it asks for does no harm."""

_DIALECT = dialect(paramstyle="qmark")


class Prepared:
    """A statement for a connection of SQLAlchemy's, in whatever transaction that is in, or for a driver's.

    Values go to the driver as they are, and rows come as it gives them: the hot path has no type that needs more.
    Errors are the driver's own, `sqlite3.Error`.
    """

    def __init__(self, statement: ClauseElement, columns: Collection[str] | None = None) -> None:
        """`columns` are those that an insert or an update sets, by default all."""
        self._statement = statement
        self._columns = columns
        self._of_rows: dict[int, str] = {}

    def run(self, connection: Connection | sqlite3.Connection, values: Values) -> None:
        """Run it for its effect."""
        text, ordered = self._compiled
        driver_of(connection).execute(text, ordered(values))

    def run_each(self, connection: Connection | sqlite3.Connection, rows: Iterable[Values]) -> None:
        """Run it once for each of these."""
        text, ordered = self._compiled
        driver_of(connection).executemany(text, map(ordered, rows))

    def gather(self, connection: Connection | sqlite3.Connection, rows: Iterable[Values]) -> None:
        """Insert these ahead of the connection's next statement, together with what else waits. For an insert."""
        driver = driver_of(connection)
        if isinstance(driver, Gathering):
            driver.gather(self, map(self._compiled[1], rows))
        else:
            self.run_each(driver, rows)

    def peek(self, connection: Connection | sqlite3.Connection, values: Values) -> list[tuple[Any, ...]]:
        """The rows that it gives, what is gathered and not written yet aside."""
        driver = driver_of(connection)
        if isinstance(driver, Gathering):
            text, ordered = self._compiled
            return driver.peek(text, ordered(values))
        return self.all(driver, values)

    def rows(self, count: int) -> str:
        """The SQL that inserts so many rows."""
        text = self._of_rows.get(count)
        if text is None:
            one = self._compiled[0]
            values = one[one.rindex("(") :]
            text = self._of_rows[count] = one + f", {values}" * (count - 1)
        return text

    def all(self, connection: Connection | sqlite3.Connection, values: Values) -> list[tuple[Any, ...]]:
        """The rows that it gives."""
        text, ordered = self._compiled
        return driver_of(connection).execute(text, ordered(values)).fetchall()

    def first(self, connection: Connection | sqlite3.Connection, values: Values) -> tuple[Any, ...] | None:
        """The first row that it gives, None without one."""
        text, ordered = self._compiled
        row: tuple[Any, ...] | None = driver_of(connection).execute(text, ordered(values)).fetchone()
        return row

    @cached_property
    def _compiled(self) -> tuple[str, Callable[[Values], tuple[Any, ...]]]:
        """The SQL, and what puts its values in order."""
        columns = None if self._columns is None else list(self._columns)
        compiled: Any = self._statement.compile(dialect=_DIALECT, column_keys=columns)
        names: Sequence[str] = compiled.positiontup
        if len(names) == 1:
            name = names[0]
            return str(compiled), lambda values: (values[name],)
        return str(compiled), itemgetter(*names) if names else lambda values: ()


def driver_of(connection: Connection | sqlite3.Connection) -> sqlite3.Connection:
    """The driver's connection behind one of SQLAlchemy's."""
    if isinstance(connection, Connection):
        connection = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    return connection


def waiting(connection: Connection | sqlite3.Connection) -> set[Hashable]:
    """What is known of the rows that wait on a connection. Whoever gathers may add to it."""
    driver = driver_of(connection)
    return driver.waiting if isinstance(driver, Gathering) else set()


def parameters(count: int) -> list[BindParameter[Any]]:
    """So many parameters, for a column that is `in_` them."""
    return [bindparam(str(number)) for number in range(count)]


def numbered(items: Sequence[Any]) -> dict[str, Any]:
    """The values of such parameters."""
    return {str(number): item for number, item in enumerate(items)}
