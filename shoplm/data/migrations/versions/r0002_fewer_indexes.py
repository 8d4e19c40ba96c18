"""One index over batch and number serves what two did, and a conversation's turns are found without a look at all rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TALKS = sa.text("conversation_id IS NOT NULL")


def upgrade() -> None:
    """From 0001."""
    op.drop_index("rows_waiting", "rows")
    op.drop_index("rows_by_batch", "rows")
    op.create_index("rows_by_batch", "rows", ["batch", "seq"])  # what waits has no batch: those come first, in order
    op.create_index("rows_by_conversation", "rows", ["conversation_id", "place"], postgresql_where=_TALKS, sqlite_where=_TALKS)


def downgrade() -> None:
    """Back to 0001."""
    waiting = sa.text("batch IS NULL")
    op.drop_index("rows_by_conversation", "rows")
    op.drop_index("rows_by_batch", "rows")
    op.create_index("rows_by_batch", "rows", ["batch"])
    op.create_index("rows_waiting", "rows", ["seq"], postgresql_where=waiting, sqlite_where=waiting)
