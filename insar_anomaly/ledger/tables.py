"""The ledger's tables, as the newest migration leaves them. Change them together with a new file in `versions`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
)

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.columns import Counts, NameSet, Numbered, Utc, Worded
from insar_anomaly.ledger.records import RunStatus
from insar_anomaly.names import EvidenceKind

VERSION_TABLE = "ledger_version"  # not alembic's own name: the database may be shared with Prefect, which uses that

metadata = MetaData(
    # every constraint has a name, so that a later migration can find it again on both databases
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def _needed(name: str, kind: Any, *more: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, *more, nullable=False, **options)


run = Table(
    "run",
    metadata,
    Column("run", Integer, primary_key=True),
    _needed("kind", Text),
    Column("as_of", Date),
    _needed("settings", Text),
    _needed("version", Text),
    _needed("started", Utc),
    Column("finished", Utc),
    _needed("status", Worded(RunStatus)),
    _needed("summary", Counts),
)

failure = Table(
    "failure",
    metadata,
    Column("failure", Integer, primary_key=True),
    _needed("run", Integer, ForeignKey(run.c.run)),
    _needed("stack", Text),
    _needed("stage", Text),
    _needed("error", Text),
)

interferogram = Table(
    "interferogram",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("pair", Text, primary_key=True),
    _needed("uri", Text),
    _needed("fingerprint", Text),
    _needed("verdict", Numbered(Verdict)),
    _needed("detail", Text),
    Column("snapshot", Text),
)

model = Table(
    "model",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    _needed("number", Integer),  # counts publications of the stack; the highest is the current model
    _needed("published", Utc),
    _needed("detector", Text),
    _needed("settings", Text),  # JSON
    _needed("fit_from", Date),
    _needed("fit_to", Date),
    _needed("pairs", Integer),
    _needed("snapshot", Text),
    _needed("version", Text),
    Column("threshold", Double),
    _needed("policy", Text),
    _needed("calibration", Text),  # JSON
    _needed("why", Text),
    _needed("evidence", Worded(EvidenceKind), server_default="pair"),  # what it assesses
    Index("ix_model_current", "stack", "evidence", "number"),  # the one question that every stage asks of every stack
)

score = Table(
    "score",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("pair", Text, primary_key=True),  # or the interval, or the acquisition with its date twice
    Column("after", Integer, primary_key=True, server_default="0"),  # acquisitions after it that were seen
    Column("model", Text, primary_key=True),
    Column("score", Double),
    Column("threshold", Double),
    _needed("verdict", Numbered(Verdict)),
    Column("percentile", Double),
    _needed("snapshot", Text),
    _needed("flagged", Boolean, server_default=false()),
    _needed("considered", Boolean, server_default=false()),
    _needed("inputs", BigInteger, server_default="0"),  # hash of the pairs that were fused
    Column("seen", Date),  # day of the last acquisition that the assessment needed; none in scores of earlier versions
    ForeignKeyConstraint(["stack", "model"], [model.c.stack, model.c.model]),
)

episode = Table(
    "episode",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    _needed("since", Date),
    _needed("until", Date),
    _needed("first_pair", Text),
    _needed("peak_pair", Text),
    _needed("peak_score", Double),
    _needed("threshold", Double),
    _needed("pairs_over", Integer),
    Column("cleared", Date),  # the day on which it ended; none while its state is an open one
    _needed("model", Text),
    _needed("state", Worded(FlagState), server_default="raised"),
    _needed("standing", NameSet, server_default='["*"]'),  # the star of earlier episodes never falls
    ForeignKeyConstraint(["stack", "model"], [model.c.stack, model.c.model]),
)

notice = Table(
    "notice",
    metadata,
    Column("number", Integer, primary_key=True),  # order of creation
    _needed("key", Text, unique=True),
    _needed("stack", Text),
    _needed("channel", Text),
    _needed("kind", Text),
    _needed("payload", Text),  # JSON
    _needed("created", Utc),
    _needed("attempts", Integer, server_default="0"),
    Column("last_error", Text),
    Column("delivered_at", Utc),
    Column("dropped", Text),  # why a person took it out of the outbox
)
