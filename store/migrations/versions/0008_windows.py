"""Indexes by which a trace of any length is read in windows: a lane's turns, those of its agent's own subagents by the
tool calls that began them, and what is told of a run besides its turns."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        sa.text(
            "CREATE INDEX ix_events_turns ON events "
            "(run, generation, lane, coalesce(json_extract(data, '$.under'), ''), seq) WHERE kind = 'turn.started'"
        )
    )
    op.execute(
        sa.text(
            "CREATE INDEX ix_events_beside ON events (run, seq) WHERE kind NOT IN ('turn.started', 'call.started', "
            "'call.finished', 'tool.started', 'tool.finished', 'program.said')"
        )
    )
