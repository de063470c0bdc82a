"""The canary of each night: a source put into real data, and whether it would have been seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table more. Of earlier nights nobody knows whether they would have seen a source."""
    op.create_table(
        "canary",
        sa.Column("night", sa.Date, nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("pair", sa.Text, nullable=False),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("peak_cm", sa.Double, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("night", name="pk_canary"),
    )


def downgrade() -> None:
    """Forget it: the version before does not ask."""
    op.drop_table("canary")
