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
from insar_anomaly.flags.events import FlagEvent
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.columns import Counts, NameSet, Numbered, Numbers, Utc, Worded
from insar_anomaly.ledger.people_rows import ActKind, Label
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

cost = Table(
    "cost",
    metadata,
    Column("run", Integer, ForeignKey(run.c.run), primary_key=True),
    Column("stage", Text, primary_key=True),
    _needed("number", Integer),  # order of the stages in their run
    _needed("tasks", Integer),
    _needed("pairs", Integer),
    _needed("wall_s", Double),
    _needed("driver_cpu_s", Double),
    _needed("worker_cpu_s", Double),
    _needed("requests", BigInteger),
    _needed("commits", BigInteger),
    _needed("read_bytes", BigInteger),
    _needed("written_bytes", BigInteger),
    _needed("driver_peak_bytes", BigInteger),
    _needed("worker_peak_bytes", BigInteger),
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
    _needed("version", Integer, server_default="0"),  # how often the stored pair was replaced or came back
    _needed("rests_on", Text, server_default=""),  # the setting without which it would not have been rejected
)

coverage = Table(
    "coverage",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("pair", Text, primary_key=True),
    _needed("snapshot", Text),  # of the pair that was measured: a pair that was replaced is measured again
    _needed("box", Double),
    _needed("summit", Double),
)

state = Table(
    "state",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("as_of", Date, primary_key=True),  # the night; one row for each
    Column("newest", Date),
    Column("age_days", Integer),
    Column("repeat_days", Integer),
    Column("expected", Date),
    _needed("missed", Integer),
    Column("gap_days", Integer),
    Column("listed", Integer),
    Column("listed_newest", Date),
    _needed("ahead", Integer),
    _needed("accepted", Integer),
    _needed("later", Integer),
    Column("area", Double),
    Column("summit", Double),
    _needed("stale", Boolean),
    _needed("acquisitions", Counts),  # day -> number of the satellite
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
    Column(
        "after", Integer, primary_key=True, server_default="0"
    ),  # acquisitions that were seen from its second one on, that one included
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
    Column("return_period", Double),  # years
    Column("area", Double),  # km2 of its map that are over the threshold by which it was first judged
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
    Column("told", Double),  # the highest score that people were told of; none while it is only noted
    Column("area", Double),  # the largest area, km2, that they were told of
    _needed("agreed", Boolean, server_default=false()),  # they were told of a flag from the other direction
    _needed("withdrawals", Integer, server_default="0"),  # how often it was withdrawn after they had been told of it
    Column("cleared_before", Date),  # the day on which a withdrawn one had been cleared; none where it was open
    ForeignKeyConstraint(["stack", "model"], [model.c.stack, model.c.model]),
)

flag_event = Table(
    "flag_event",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("night", Date, primary_key=True),  # whose date it was, also where a replay stood for it
    Column("what", Worded(FlagEvent), primary_key=True),
    Index("ix_flag_event_night", "night"),
)

canary = Table(
    "canary",
    metadata,
    Column("night", Date, primary_key=True),
    _needed("stack", Text),
    _needed("evidence", Worded(EvidenceKind)),
    _needed("pair", Text),  # the pair or interval that the source was put into
    _needed("after", Integer),
    _needed("peak_cm", Double),
    Column("score", Double),
    _needed("threshold", Double),
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
    Column("bundle", Text),  # the key of the message that tells several notices together
    _needed("refused", Integer, server_default="0"),  # nights on which the receiver refused it
    Column("refused_on", Date),  # the last of these nights
    Column("parked", Text),  # why it is not sent until a person takes it up again
)

channel = Table(
    "channel",
    metadata,
    Column("name", Text, primary_key=True),
    Column("limited_since", Utc),  # the moment from which its limit per hour has been reached; none where it is not
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),  # a stack, a couple, `notices`, or `run/<number>`
    _needed("fence", BigInteger),
    Column("owner", Text),  # JSON, see `owner`; none where it is free
    Column("taken", Double),  # this and the next: seconds on the ledger's clock, see `leases`
    Column("heartbeat", Double),
    Column("expires", Double),
)

deviation = Table(
    "deviation",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("pair", Text, primary_key=True),
    _needed("fingerprint", Text),  # of the files that the source lists now; empty where it lists none
    _needed("nights", Integer),  # on which it was seen like that, one after the other
    _needed("last", Date),  # the last of these nights
    _needed("verdict", Numbered(Verdict)),  # of the files, where they were read and cannot be used
    _needed("detail", Text),
    _needed("rests_on", Text),
)

holding = Table(
    "holding",
    metadata,
    Column("stack", Text, primary_key=True),
    _needed("place", Text),  # the source of the last listing
    _needed("listed", Integer),  # pairs in it
    _needed("grid", Integer),  # how often the stack was built anew on another grid
)

superseded = Table(
    "superseded",
    metadata,
    Column("number", Integer, primary_key=True),
    _needed("stack", Text),
    _needed("pair", Text),
    _needed("after", Integer),
    _needed("model", Text),
    Column("score", Double),
    Column("threshold", Double),
    _needed("verdict", Numbered(Verdict)),
    Column("percentile", Double),
    _needed("snapshot", Text),
    _needed("inputs", BigInteger),
    Column("seen", Date),
    Column("return_period", Double),
    Column("area", Double),
    Index("ix_superseded_stack", "stack"),
)

pulse = Table(
    "pulse",
    metadata,
    Column("way", Text, primary_key=True),  # url, icinga, file
    _needed("tried", Utc),
    Column("arrived", Utc),  # the last one that did
    Column("error", Text),  # of the last one; none where it arrived
)

pool = Table(
    "pool",
    metadata,
    Column("number", Integer, primary_key=True),  # the highest is in force
    _needed("made", Utc),
    _needed("rates", Numbers),  # see `people_rows.PoolRow`
    _needed("days", Numbers),
    _needed("peaks", Integer),
    _needed("stacks", Integer),
    _needed("years", Double),
    _needed("without", Integer),
)

act = Table(
    "act",
    metadata,
    Column("number", Integer, primary_key=True),  # order of what people did
    _needed("stack", Text),  # a stack, a couple, `<gvp>`, or `region <name>`
    Column("episode", Integer),  # the flag's number; none where it is about all of the stack
    _needed("kind", Worded(ActKind)),
    _needed("by", Text),
    _needed("at", Utc),
    _needed("note", Text, server_default=""),
    Column("until", Date),
    Column("label", Worded(Label)),
    Column("confidence", Double),
    Index("ix_act_stack", "stack", "number"),
)
