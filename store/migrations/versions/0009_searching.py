"""Indexes by which a search finds what is rare, or says at once that there is none: errors and uses of a tool among the
events, models and costs among the calls; the words of errors and the names of tools, which who searches writes down."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        sa.text(
            "CREATE INDEX ix_events_tools ON events (lower(json_extract(data, '$.name')), seq, run, generation, lane) "
            "WHERE kind = 'tool.started'"
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
    op.create_index("ix_calls_model", "calls", ["model"])
    failed = sa.text("generation IS NULL AND error != ''")
    op.create_index("ix_calls_failed", "calls", ["started"], sqlite_where=failed)
    op.create_index("ix_calls_usd", "calls", ["usd"], sqlite_where=sa.text("usd IS NOT NULL"))
    # With the costs in it, what all tries of a call cost is read from the index alone.
    op.drop_index("ix_calls_parent", "calls")
    op.create_index("ix_calls_parent", "calls", ["parent", "usd"], sqlite_where=sa.text("parent IS NOT NULL"))
    # The words alone: what they are of is in events and blobs.
    op.execute("CREATE VIRTUAL TABLE error_words USING fts5(text, content = '', tokenize = \"unicode61\")")
    op.create_table(
        "tool_names",
        sa.Column("upto", sa.Integer(), nullable=False),
        sa.Column("names", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("upto"),
    )
