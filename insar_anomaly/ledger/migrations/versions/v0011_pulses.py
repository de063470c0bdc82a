"""When a run's sign of life last arrived."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table more; the next run fills it."""
    op.create_table(
        "pulse",
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("tried", sa.DateTime(timezone=True), nullable=False),
        sa.Column("arrived", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("way", name="pk_pulse"),
    )


def downgrade() -> None:
    """Forget them: the next run writes new ones."""
    op.drop_table("pulse")
