"""The first form of the live store: ids, rows, batches, the lease, what waits for a decision, the audit, product patches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts only INTEGER keys by itself


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "ids",
        sa.Column("name", sa.LargeBinary, primary_key=True),
        sa.Column("says", sa.LargeBinary, nullable=False),
        sa.Column("stored_us", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ids_by_age", "ids", ["stored_us"])
    op.create_table(
        "rows",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("contract_table", sa.Text, nullable=False),
        sa.Column("row_key", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("pseudo_id", sa.Text),
        sa.Column("conversation_id", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("batch", sa.Text),
        sa.Column("drained", sa.Boolean, nullable=False),
    )
    waiting = sa.text("batch IS NULL")
    op.create_index("rows_waiting", "rows", ["seq"], postgresql_where=waiting, sqlite_where=waiting)
    op.create_index("rows_by_user", "rows", ["user_id", "at_us", "place", "row_key"])
    op.create_index("rows_by_batch", "rows", ["batch"])
    op.create_table(
        "batches",
        sa.Column("batch", sa.Text, primary_key=True),
        sa.Column("claimed_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("work", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "questions",
        sa.Column("question_id", sa.Text, primary_key=True),
        sa.Column("asked_us", sa.BigInteger, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("proposed", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
    )
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["at_us"])
    op.create_table(
        "patches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Back to nothing."""
    for name in ("patches", "audit", "questions", "leases", "batches", "rows", "ids"):
        op.drop_table(name)
