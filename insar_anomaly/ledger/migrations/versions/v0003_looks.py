"""Not only pairs are scored: an interval is, at each look at it, and so is an acquisition. A model says which it judges."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEPT = "stack, pair, model, score, threshold, verdict, percentile, snapshot, flagged, considered"


def upgrade() -> None:
    """A pair's score is a look with nothing after it; the name of an interval need not be that of a pair."""
    op.add_column("model", sa.Column("evidence", sa.Text, nullable=False, server_default="pair"))
    _create_score(
        sa.Column("after", sa.Integer, nullable=False, server_default="0"),
        sa.Column("inputs", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("seen", sa.Date),
        sa.PrimaryKeyConstraint("stack", "pair", "after", "model", name="pk_score_look"),
        sa.ForeignKeyConstraint(["stack", "model"], ["model.stack", "model.model"], name="fk_score_look_model"),
    )
    _replace("")
    op.add_column("episode", sa.Column("withdrawn", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("episode", sa.Column("standing", sa.Text, nullable=False, server_default='["*"]'))


def downgrade() -> None:
    """Forget what was said of intervals and acquisitions, and the models that said it."""
    _create_score(
        sa.PrimaryKeyConstraint("stack", "pair", "model", name="pk_score_pair"),
        sa.ForeignKeyConstraint(["stack", "pair"], ["interferogram.stack", "interferogram.pair"], name="fk_score_pair"),
        sa.ForeignKeyConstraint(["stack", "model"], ["model.stack", "model.model"], name="fk_score_pair_model"),
    )
    _replace(" WHERE after = 0")
    # an episode outlives the model that raised it, which keeps its row
    raised = "EXISTS (SELECT 1 FROM episode WHERE episode.model = model.model)"
    op.execute(f"DELETE FROM model WHERE evidence <> 'pair' AND NOT {raised}")  # noqa: S608
    op.drop_column("model", "evidence")
    op.drop_column("episode", "withdrawn")
    op.drop_column("episode", "standing")


def _create_score(*more: sa.Column[Any] | sa.Constraint) -> None:
    op.create_table(
        "score_new",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("pair", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("verdict", sa.Integer, nullable=False),
        sa.Column("percentile", sa.Double),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("flagged", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("considered", sa.Boolean, nullable=False, server_default=sa.false()),
        *more,
    )


def _replace(which: str) -> None:
    """Move these rows into the new table: the two databases do not change a primary key in place alike."""
    op.execute(f"INSERT INTO score_new ({KEPT}) SELECT {KEPT} FROM score{which}")  # noqa: S608
    op.drop_table("score")
    op.rename_table("score_new", "score")
