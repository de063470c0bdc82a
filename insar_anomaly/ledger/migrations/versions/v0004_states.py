"""A flag's state is one word, where it was hidden in two columns; and an index finds a stack's current model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The state, from what the two columns said; the day of clearing stays."""
    op.add_column("episode", sa.Column("state", sa.Text, nullable=False, server_default="raised"))
    op.execute("UPDATE episode SET state = 'cleared' WHERE cleared IS NOT NULL")
    op.execute(sa.text("UPDATE episode SET state = 'withdrawn' WHERE withdrawn = :yes").bindparams(yes=True))
    op.drop_column("episode", "withdrawn")
    op.create_index("ix_model_current", "model", ["stack", "evidence", "number"])


def downgrade() -> None:
    """Back to the two columns; states that came later are open or cleared there."""
    op.drop_index("ix_model_current", "model")
    op.add_column("episode", sa.Column("withdrawn", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(sa.text("UPDATE episode SET withdrawn = :yes WHERE state = 'withdrawn'").bindparams(yes=True))
    op.drop_column("episode", "state")
