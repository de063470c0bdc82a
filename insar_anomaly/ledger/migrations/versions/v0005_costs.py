"""What each stage of a run took: seconds, requests, bytes, memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INTEGERS = ("number", "tasks", "pairs")
_SECONDS = ("wall_s", "driver_cpu_s", "worker_cpu_s")
_LARGE = ("requests", "commits", "read_bytes", "written_bytes", "driver_peak_bytes", "worker_peak_bytes")


def upgrade() -> None:
    """A table more; runs of before have no rows in it."""
    op.create_table(
        "cost",
        sa.Column("run", sa.Integer, sa.ForeignKey("run.run", name="fk_cost_run"), nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _INTEGERS),
        *(sa.Column(name, sa.Double, nullable=False) for name in _SECONDS),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _LARGE),
        sa.PrimaryKeyConstraint("run", "stage", name="pk_cost"),
    )


def downgrade() -> None:
    """Without it."""
    op.drop_table("cost")
