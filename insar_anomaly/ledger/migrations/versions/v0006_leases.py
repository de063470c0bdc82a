"""Leases: one writer per stack, where one lock for the whole ledger let only one run exist."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of leases; nobody holds one."""
    op.create_table(
        "lease",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("taken", sa.Double),
        sa.Column("heartbeat", sa.Double),
        sa.Column("expires", sa.Double),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )


def downgrade() -> None:
    """Without leases, the lock of the whole ledger has to do."""
    op.drop_table("lease")
