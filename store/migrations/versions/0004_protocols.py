"""Calls of any protocol, what they were made for and answered by, attachments of nodes, and limits of keys."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nodes", sa.Column("attachments", sa.String(), nullable=True))
    for name in ("base", "timing", "parent"):
        op.add_column("calls", sa.Column(name, sa.String(), nullable=True))
    for name, default in (
        ("protocol", ""),
        ("conversation", "messages"),
        ("thread", ""),
        ("notes", "[]"),
        ("source", ""),
        ("response_id", ""),
    ):
        op.add_column("calls", sa.Column(name, sa.String(), nullable=False, server_default=sa.text(f"'{default}'")))
    op.add_column("calls", sa.Column("reasoning", sa.Integer(), nullable=False, server_default=sa.text("'0'")))
    op.create_index("ix_calls_parent", "calls", ["parent"], sqlite_where=sa.text("parent IS NOT NULL"))
    op.create_index("ix_calls_response_id", "calls", ["response_id"], sqlite_where=sa.text("response_id != ''"))
    # There was no other protocol before.
    op.execute("UPDATE calls SET protocol = 'anthropic'")
    op.add_column("virtual_keys", sa.Column("limits", sa.String(), nullable=False, server_default=sa.text("'{}'")))
