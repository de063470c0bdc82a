"""A notice that cannot be delivered is no longer given up by itself: a person drops it, with a reason."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the reason."""
    op.add_column("notice", sa.Column("dropped", sa.Text))


def downgrade() -> None:
    """Forget the reasons: dropped notices wait again."""
    op.drop_column("notice", "dropped")
