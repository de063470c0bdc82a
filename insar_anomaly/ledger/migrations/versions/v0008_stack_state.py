"""What was expected of each stack on each night, beside what came; and what each accepted pair measures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables more; the first night fills them."""
    op.create_table(
        "coverage",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("pair", sa.Text, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("box", sa.Double, nullable=False),
        sa.Column("summit", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("stack", "pair", name="pk_coverage"),
    )
    op.create_table(
        "state",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("newest", sa.Date),
        *(sa.Column(name, sa.Integer) for name in ("age_days", "repeat_days")),
        sa.Column("expected", sa.Date),
        sa.Column("missed", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Integer) for name in ("gap_days", "listed")),
        sa.Column("listed_newest", sa.Date),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("ahead", "accepted", "later")),
        *(sa.Column(name, sa.Double) for name in ("area", "summit")),
        sa.Column("stale", sa.Boolean, nullable=False),
        sa.Column("acquisitions", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("stack", "as_of", name="pk_state"),
    )


def downgrade() -> None:
    """Forget both: the next night measures again."""
    op.drop_table("state")
    op.drop_table("coverage")
