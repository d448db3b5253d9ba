"""A connection on which rows may wait to be inserted, and go in together ahead of its next statement.

Recording a call inserts a dozen rows into seven tables. One at a time, each costs a way through the driver, and a
moment in which the writing thread has to get the interpreter back from an event loop that is busy. Together they are a
statement a table for a whole group of calls, and the loop runs on meanwhile.

Nobody sees the difference: whatever is executed on the connection, by whomever, a commit too, first writes what waits.
Only `peek` doesn't; who peeks looks into `waiting` as well.
"""

import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any, Protocol

MOST = 32
"""The most rows of one statement. Whole powers of two up to it, so that the driver keeps them all prepared."""

Row = tuple[Any, ...]


class Insertion(Protocol):
    """A statement that inserts a row."""

    def rows(self, count: int) -> str:
        """The SQL that inserts so many."""


class Gathering(sqlite3.Connection):
    """One connection, for one thread at a time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._rows: dict[Insertion, list[Row]] = {}
        self._failure: sqlite3.Error | None = None
        self.waiting: set[Hashable] = set()
        """What who inserts wants to be known of the rows that wait."""

    def gather(self, statement: Insertion, rows: Iterable[Row]) -> None:
        """Insert these rows ahead of the next statement, after those that wait already."""
        of = self._rows.get(statement)
        if of is None:
            of = self._rows[statement] = []
        of.extend(rows)

    def peek(self, text: str, values: Sequence[Any]) -> list[Row]:
        """What a query gives without the rows that wait."""
        return super().cursor().execute(text, values).fetchall()

    def forget(self) -> None:
        """Let go of the rows that wait, and of a failure: the transaction that they are of is rolled back."""
        self._rows, self._failure = {}, None
        self.waiting.clear()

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
