"""Runs that are being deleted, and an index by which the blobs that nodes name are found."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deletions",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
    )
    attached = sa.text("attachments IS NOT NULL")
    op.create_index("ix_nodes_attachments", "nodes", ["attachments"], sqlite_where=attached)
