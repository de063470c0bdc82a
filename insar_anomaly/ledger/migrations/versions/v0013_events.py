"""What became of flags, by night, so that the digest of a night names them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table more. Of earlier nights nobody has written down what became of which flag."""
    op.create_table(
        "flag_event",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("night", sa.Date, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("stack", "number", "night", "what", name="pk_flag_event"),
    )
    op.create_index("ix_flag_event_night", "flag_event", ["night"])


def downgrade() -> None:
    """Forget it: the version before does not ask."""
    op.drop_table("flag_event")
