"""Alembic's environment: runs the migrations on the connection that `store.migrations.upgrade` brings, which also
begins and ends the transaction."""

from alembic import context

from store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes most of a table only by rebuilding it
    transactional_ddl=False,
)
context.run_migrations()
