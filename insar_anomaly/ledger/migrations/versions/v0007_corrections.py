"""What a source corrects or withdraws: versions of pairs, what was seen of them, and scores that were made again."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SETTING = re.compile(r"\[ingest\] (min_valid|min_coherence) = (\S+)$")


def upgrade() -> None:
    """Every pair is of the first version. A rejection rests on the setting that its words name."""
    op.add_column("interferogram", sa.Column("version", sa.Integer, nullable=False, server_default="0"))
    op.add_column("interferogram", sa.Column("rests_on", sa.Text, nullable=False, server_default=""))
    _name_settings(op.get_bind())
    op.create_table(
        "deviation",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("pair", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("nights", sa.Integer, nullable=False),
        sa.Column("last", sa.Date, nullable=False),
        sa.Column("verdict", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("rests_on", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("stack", "pair", name="pk_deviation"),
    )
    op.create_table(
        "holding",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("listed", sa.Integer, nullable=False),
        sa.Column("grid", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("stack", name="pk_holding"),
    )
    op.create_table(
        "superseded",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("pair", sa.Text, nullable=False),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("verdict", sa.Integer, nullable=False),
        sa.Column("percentile", sa.Double),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("inputs", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.Date),
        sa.PrimaryKeyConstraint("number", name="pk_superseded"),
    )
    op.create_index("ix_superseded_stack", "superseded", ["stack"])


def _name_settings(connection: sa.Connection) -> None:
    rejected = sa.text("SELECT stack, pair, detail FROM interferogram WHERE verdict IN (31, 32)")
    change = sa.text("UPDATE interferogram SET rests_on = :words WHERE stack = :stack AND pair = :pair")
    for row in connection.execute(rejected).all():
        if found := _SETTING.search(row.detail):
            words = f"{found[1]} = {found[2]}"
            connection.execute(change, {"words": words, "stack": row.stack, "pair": row.pair})


def downgrade() -> None:
    """What the source shows now is asked again by the next night of the version before."""
    op.drop_index("ix_superseded_stack", "superseded")
    for table in ("superseded", "holding", "deviation"):
        op.drop_table(table)
    op.drop_column("interferogram", "rests_on")
    op.drop_column("interferogram", "version")
