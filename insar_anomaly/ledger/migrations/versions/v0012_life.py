"""By what a flag may grow and come back: areas over the threshold, the other direction, withdrawals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Areas are known from the next assessment on. A flag was withdrawn once where people were told that it was raised."""
    for table in ("score", "superseded"):
        op.add_column(table, sa.Column("area", sa.Double))
    op.add_column("episode", sa.Column("area", sa.Double))
    op.add_column("episode", sa.Column("agreed", sa.Boolean, server_default=sa.false(), nullable=False))
    op.add_column("episode", sa.Column("withdrawals", sa.Integer, server_default="0", nullable=False))
    op.add_column("episode", sa.Column("cleared_before", sa.Date))
    begun = sa.text(
        "UPDATE episode SET withdrawals = 1 WHERE state = 'withdrawn' AND EXISTS ("
        "SELECT 1 FROM notice WHERE notice.stack = episode.stack "
        "AND notice.key LIKE episode.stack || :colon || CAST(episode.number AS TEXT) || :ending)"
    )
    op.get_bind().execute(begun, {"colon": ":", "ending": ":raised:%"})


def downgrade() -> None:
    """A flag that stands again is one that was raised, for the version before."""
    for column in ("cleared_before", "withdrawals", "agreed", "area"):
        op.drop_column("episode", column)
    for table in ("superseded", "score"):
        op.drop_column(table, "area")
