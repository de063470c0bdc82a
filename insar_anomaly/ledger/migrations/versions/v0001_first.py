"""The first ledger: runs, interferograms, models, scores, episodes and the outbox of notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table; referred ones first."""
    _create_runs()
    _create_evidence()
    _create_scores()
    _create_flags()


def downgrade() -> None:
    """Drop every table; referring ones first."""
    for table in ("notice", "episode", "score", "model", "interferogram", "failure", "run"):
        op.drop_table(table)


def _create_runs() -> None:
    op.create_table(
        "run",
        sa.Column("run", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("as_of", sa.Date),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started", MOMENT, nullable=False),
        sa.Column("finished", MOMENT),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
    )
    op.create_table(
        "failure",
        sa.Column("failure", sa.Integer, primary_key=True),
        sa.Column("run", sa.Integer, sa.ForeignKey("run.run"), nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )


def _create_evidence() -> None:
    op.create_table(
        "interferogram",
        sa.Column("stack", sa.Text, primary_key=True),
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("verdict", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("snapshot", sa.Text),
    )
    op.create_table(
        "model",
        sa.Column("stack", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("published", MOMENT, nullable=False),
        sa.Column("detector", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("fit_from", sa.Date, nullable=False),
        sa.Column("fit_to", sa.Date, nullable=False),
        sa.Column("pairs", sa.Integer, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("threshold", sa.Double),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("calibration", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )


def _create_scores() -> None:
    op.create_table(
        "score",
        sa.Column("stack", sa.Text, primary_key=True),
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("score", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("verdict", sa.Integer, nullable=False),
        sa.Column("percentile", sa.Double),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("flagged", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("considered", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.ForeignKeyConstraint(["stack", "pair"], ["interferogram.stack", "interferogram.pair"]),
        sa.ForeignKeyConstraint(["stack", "model"], ["model.stack", "model.model"]),
    )


def _create_flags() -> None:
    op.create_table(
        "episode",
        sa.Column("stack", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("until", sa.Date, nullable=False),
        sa.Column("first_pair", sa.Text, nullable=False),
        sa.Column("peak_pair", sa.Text, nullable=False),
        sa.Column("peak_score", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("pairs_over", sa.Integer, nullable=False),
        sa.Column("cleared", sa.Date),
        sa.Column("model", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["stack", "model"], ["model.stack", "model.model"]),
    )
    op.create_table(
        "notice",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        sa.Column("delivered_at", MOMENT),
    )
