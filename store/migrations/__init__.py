"""The history of the schema. A store is brought to the head of it when it is opened.

A new migration is a module in `versions` and a line in `REVISIONS`. See `docs/store.md`.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""Every schema that this version can read or migrate, oldest first; here so that an opening need not import Alembic."""

HEAD = REVISIONS[-1]

APPLICATION = 0x4D54524B
"""SQLite's application id of a store: "MTRK"."""

SCHEMA = Path(__file__).with_name("head.sql")
"""What the migrations come to. `python -m store.migrations` writes it."""


def create(driver: sqlite3.Connection) -> None:
    """Give an empty store the newest schema, in one transaction, without the way there: that takes 2 ms, where Alembic
    takes a second and 12 MB."""
    try:
        driver.executescript(f"BEGIN IMMEDIATE;\n{SCHEMA.read_text()}\nCOMMIT;")
    except BaseException:
        with suppress(sqlite3.Error):
            driver.execute("ROLLBACK")
        raise


def schema(driver: sqlite3.Connection) -> str:
    """The SQL that makes a store like this one."""
    made = driver.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' "
        "AND name NOT GLOB 'passages_*' AND name NOT GLOB 'error_words_*' ORDER BY type DESC, name"
    )
    statements = [f"{sql};" for (sql,) in made]
    statements.append(f"PRAGMA application_id = {APPLICATION};")
    statements.append(f"INSERT INTO alembic_version VALUES ('{HEAD}');")  # noqa: S608 - a name of ours
    return "\n\n".join(statements) + "\n"


def config(connection: "Connection") -> "Config":
    """Alembic's settings for work on this connection."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def upgrade(connection: "Connection", revision: str = HEAD) -> None:
    """Bring the store to a schema, in one transaction: all of it or nothing. Needs a connection of the driver's own
    transactions (`isolation_level=None`) with none begun."""
    from alembic import command

    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        command.upgrade(config(connection), revision)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
