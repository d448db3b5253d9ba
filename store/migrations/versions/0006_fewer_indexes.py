"""Nodes without a reference to their parents, and no index that only a deletion would look into.

Keys are digests: at each call, an index of them is written at as many random places as rows come. That a node's parent
is there is seen to by who writes it, and checked by `multitrack verify`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_calls_tail", "calls")
    op.drop_index("ix_calls_answer", "calls")
    op.create_table(
        "nodes_anew",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("attachments", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.execute(
        "INSERT INTO nodes_anew (key, parent, depth, role, message, attachments) "
        "SELECT key, parent, depth, role, message, attachments FROM nodes ORDER BY rowid"
    )
    op.drop_table("nodes")
    op.rename_table("nodes_anew", "nodes")
    attached = sa.text("attachments IS NOT NULL")
    op.create_index("ix_nodes_attachments", "nodes", ["attachments"], sqlite_where=attached)
