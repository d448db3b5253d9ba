"""The history of the schema. A store is brought to the head of it when it is opened.

A new migration is a module in `versions` and a line in `REVISIONS`. See `docs/store.md`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every schema that this version can read or migrate, oldest first; here so that an opening need not import Alembic."""

HEAD = REVISIONS[-1]

APPLICATION = 0x4D54524B
"""SQLite's application id of a store: "MTRK"."""


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
