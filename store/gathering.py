"""The driver's connection, on which rows may wait to be inserted, and go in together ahead of its next statement.

Recording a call inserts a dozen rows into seven tables. One at a time, each costs a way through the driver, and a
moment in which the writing thread has to get the interpreter back from an event loop that is busy. Together they are a
statement a table for a whole group of calls, and the loop runs on meanwhile.

Nobody sees the difference: whatever is executed on the connection, by whomever, a commit too, first writes what waits.
Only `peek` doesn't; who peeks looks into `waiting` as well.

The statements of the hot path are plain SQL, run here: they cost what SQLite needs for them, and the process that only
records needs no library for more. `tests/test_statements.py` holds them against the tables.
"""

import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOST = 32
"""The most rows of one statement. Whole powers of two up to it, so that the driver keeps them all prepared."""

Row = Sequence[Any]
AnyConnection: TypeAlias = "Connection | sqlite3.Connection"
"""The driver's, or one of SQLAlchemy's, in whatever transaction that is in."""


class Insertion:
    """A statement that inserts rows, each with its values in the order of the columns."""

    def __init__(self, table: str, columns: Sequence[str], *, or_ignore: bool = False) -> None:
        self.table, self.columns = table, tuple(columns)
        names = ", ".join(f'"{name}"' for name in columns)
        self._head = f"INSERT {'OR IGNORE ' * or_ignore}INTO {table} ({names}) VALUES "  # noqa: S608 - names of ours
        self._row = f"({', '.join('?' * len(columns))})"
        self._of_rows: dict[int, str] = {}

    def rows(self, count: int) -> str:
        """The SQL that inserts so many."""
        text = self._of_rows.get(count)
        if text is None:
            text = self._of_rows[count] = self._head + ", ".join([self._row] * count)
        return text

    def gather(self, connection: AnyConnection, rows: Iterable[Row]) -> None:
        """Insert these ahead of the connection's next statement, together with what else waits."""
        driver = driver_of(connection)
        if isinstance(driver, Gathering):
            driver.gather(self, rows)
        else:
            driver.executemany(self.rows(1), rows)


class Gathering(sqlite3.Connection):
    """One connection, for one thread at a time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._rows: dict[Insertion, list[Row]] = {}
        self._failure: sqlite3.Error | None = None
        self.waiting: set[Hashable] = set()
        """What who inserts wants to be known of the rows that wait."""
        self.info: dict[str, Any] = {}
        """What who uses the connection remembers with it, until something is rolled back."""

    def gather(self, statement: Insertion, rows: Iterable[Row]) -> None:
        """Insert these rows ahead of the next statement, after those that wait already."""
        of = self._rows.get(statement)
        if of is None:
            of = self._rows[statement] = []
        of.extend(rows)

    def peek(self, text: str, values: Row) -> list[tuple[Any, ...]]:
        """What a query gives without the rows that wait."""
        return super().cursor().execute(text, values).fetchall()

    def forget(self) -> None:
        """Let go of the rows that wait, of a failure and of all that is remembered: the transaction that they are of is
        rolled back."""
        self._rows, self._failure = {}, None
        self.waiting.clear()
        self.info.clear()

    # All ways to a statement. (The driver's own shortcuts go past its method `cursor`.)

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        self._write()
        return super().cursor(*arguments, **named)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self._write()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._write()
        return super().executemany(*arguments)

    def executescript(self, script: str) -> sqlite3.Cursor:
        self._write()
        return super().executescript(script)

    def commit(self) -> None:
        self._write()
        super().commit()

    def _write(self) -> None:
        # A transaction that lacks rows must not be committed by somebody who caught the error.
        if self._failure is not None:
            raise self._failure
        if not self._rows:
            return
        gathered, self._rows = self._rows, {}
        self.waiting.clear()
        cursor = super().cursor()
        try:
            for statement, rows in gathered.items():
                done, size = 0, MOST
                while done < len(rows):
                    while size > len(rows) - done:
                        size //= 2
                    cursor.execute(statement.rows(size), [*chain.from_iterable(rows[done : done + size])])
                    done += size
        except sqlite3.Error as error:
            self._failure = error
            raise
        finally:
            # A statement that the error's traceback holds would keep the file open after the connection is closed.
            cursor.close()


def driver_of(connection: AnyConnection) -> sqlite3.Connection:
    """The driver's connection behind one of SQLAlchemy's."""
    if isinstance(connection, sqlite3.Connection):
        return connection
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def peek(connection: AnyConnection, text: str, values: Row) -> list[tuple[Any, ...]]:
    """What a query gives, what is gathered on the connection and not written yet aside."""
    driver = driver_of(connection)
    return driver.peek(text, values) if isinstance(driver, Gathering) else driver.execute(text, values).fetchall()


def waiting(connection: AnyConnection) -> set[Hashable]:
    """What is known of the rows that wait on a connection. Whoever gathers may add to it."""
    driver = driver_of(connection)
    return driver.waiting if isinstance(driver, Gathering) else set()


def marks(count: int) -> str:
    """So many parameters, to stand in brackets."""
    return ", ".join("?" * count)
