"""Alembic's environment: works on the connection that `store.migrations.config` was given. Transactions are the
business of whoever brings it."""

from alembic import context

from store.tables import metadata


def described(name: str | None, kind: str, _: object) -> bool:
    """Whether the tables describe it. The full-text indexes, virtual tables and their shadows, they cannot."""
    return kind != "table" or not (name or "").startswith(("passages", "error_words"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=described,
    compare_server_default=True,
    render_as_batch=True,  # SQLite changes most of a table only by rebuilding it
    transactional_ddl=False,
)
context.run_migrations()
