"""Return periods of scores, what people were told of each flag, the quiet peaks of all stacks, and what people did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three columns and two tables more. Of every flag so far people were told."""
    for table in ("score", "superseded"):
        op.add_column(table, sa.Column("return_period", sa.Double))
    op.add_column("episode", sa.Column("told", sa.Double))
    op.execute("UPDATE episode SET told = peak_score")
    op.create_table(
        "pool",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("made", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("rates", "days")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("peaks", "stacks")),
        sa.Column("years", sa.Double, nullable=False),
        sa.Column("without", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_pool"),
    )
    op.create_table(
        "act",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("episode", sa.Integer),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "by")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text, server_default="", nullable=False),
        sa.Column("until", sa.Date),
        sa.Column("label", sa.Text),
        sa.Column("confidence", sa.Double),
        sa.PrimaryKeyConstraint("number", name="pk_act"),
    )
    op.create_index("ix_act_stack", "act", ["stack", "number"])


def downgrade() -> None:
    """Forget them. What people did is lost; export it first."""
    op.drop_index("ix_act_stack", "act")
    op.drop_table("act")
    op.drop_table("pool")
    op.drop_column("episode", "told")
    for table in ("superseded", "score"):
        op.drop_column(table, "return_period")
