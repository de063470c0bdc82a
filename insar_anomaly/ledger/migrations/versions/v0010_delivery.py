"""Delivery with bounds: notices that went out as one message, those that a receiver refuses, and channels at their limit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was grouped, refused or limited before."""
    op.add_column("notice", sa.Column("bundle", sa.Text))
    op.add_column("notice", sa.Column("refused", sa.Integer, nullable=False, server_default="0"))
    op.add_column("notice", sa.Column("refused_on", sa.Date))
    op.add_column("notice", sa.Column("parked", sa.Text))
    op.create_table(
        "channel",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("limited_since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="pk_channel"),
    )


def downgrade() -> None:
    """Parked notices wait again; what was grouped goes out one by one where it has not arrived."""
    op.drop_table("channel")
    for column in ("parked", "refused_on", "refused", "bundle"):
        op.drop_column("notice", column)
