"""The full-text index of what was said on the tapes.

A passage is the text of one block of a message. The tokenizer splits at everything but letters and digits, underscores
too: `queue` finds `flush_queue`, and the phrase "flush_queue" still finds only these words in a row.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE VIRTUAL TABLE passages USING fts5(
            text, call UNINDEXED, node UNINDEXED, block UNINDEXED, run UNINDEXED, generation UNINDEXED,
            lane UNINDEXED, role UNINDEXED, kind UNINDEXED,
            tokenize = "unicode61 remove_diacritics 2"
        )
        """
    )
