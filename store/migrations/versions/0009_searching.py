"""Indexes by which a search finds what is rare, or says at once that there is none: errors and uses of a tool among the
events, models and costs among the calls; the words of errors and zones of passages, which who searches writes down."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        sa.text(
            "CREATE INDEX ix_events_tools ON events (lower(json_extract(data, '$.name')), run, "
            "coalesce(generation, 0), coalesce(lane, 0), seq) WHERE kind = 'tool.started'"
        )
    )
    op.execute(
        sa.text(
            "CREATE INDEX ix_events_answered ON events (run, generation, lane, seq, json_extract(data, '$.call')) "
            "WHERE kind = 'call.finished'"
        )
    )
    op.execute(
        sa.text(
            "CREATE INDEX ix_events_wrong ON events (seq, run, generation, lane, lower(json_extract(data, '$.name'))) "
            "WHERE ((kind = 'tool.finished' AND (instr(data, '\"ok\"\\:false') OR instr(data, '\"ok\"\\: false') OR "
            "instr(data, 'exit code') OR instr(data, 'timed out'))) OR (kind = 'call.finished' AND "
            "NOT instr(data, '\"error\"\\:\"\"')) OR kind IN ('alert', 'subagent.ended', 'subagent.checked'))"
        )
    )
    op.execute(
        sa.text(
            "CREATE INDEX ix_calls_paid ON calls (run, coalesce(generation, 0), coalesce(lane, 0), model, usd) "
            "WHERE parent IS NULL"
        )
    )
    failed = sa.text("generation IS NULL AND error != ''")
    op.create_index("ix_calls_failed", "calls", ["started"], sqlite_where=failed)
    # With the costs in it, what all tries of a call cost is read from the index alone.
    op.drop_index("ix_calls_parent", "calls")
    op.create_index("ix_calls_parent", "calls", ["parent", "usd"], sqlite_where=sa.text("parent IS NOT NULL"))
    # The words alone: what they are of is in events and blobs.
    op.execute("CREATE VIRTUAL TABLE error_words USING fts5(text, content = '', tokenize = \"unicode61\")")
    op.create_table(
        "zones",
        sa.Column("upto", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("tools", sa.String(), nullable=False),
        sa.Column("whos", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("upto"),
    )
