"""What is exported of flags, scores and stacks: every column with its type, unit and meaning, and how it is filled.

docs/exports.md has the same tables, made from these by `markdown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.records import EpisodeRow, ScoredAssessment, ScoredPair
from insar_anomaly.names import EvidenceKind, direction, frame_of, span_of, track, volcano_of
from insar_anomaly.stack.freshness import StackState

Value = str | int | float | bool | date | None
Row = Mapping[str, Value]
"""Column -> value; None where there is none."""


class Kind(StrEnum):
    """What a column holds, in words."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    DAY = "date"
    YES = "true or false"


@dataclass(frozen=True)
class Flag:
    """A flag to export: its episode, what raised it, its volcano where the catalogue still has it, and whether people were
    told of it."""

    episode: EpisodeRow
    evidence: EvidenceKind | None
    volcano: Volcano | None = None
    told: Told = Told.NOT_TOLD

    @property
    def stack(self) -> str:
        """Its stack or couple."""
        return self.episode.stack

    @property
    def name(self) -> str:
        """``GVP/FRAME:NUMBER``, as people write it."""
        return f"{self.stack}:{self.episode.number}"

    @property
    def days(self) -> tuple[date, date]:
        """First and last day of the time that it covers."""
        return self.episode.since, self.episode.until


@dataclass(frozen=True)
class Score:
    """A score to export: an assessment of a kind of evidence, and its volcano where the catalogue still has it."""

    evidence: EvidenceKind
    row: ScoredPair | ScoredAssessment
    volcano: Volcano | None = None

    @property
    def stack(self) -> str:
        """Its stack or couple."""
        return self.row.stack

    @property
    def days(self) -> tuple[date, date] | None:
        """First and last day of what was assessed; None where a pair has no name of two dates."""
        span = span_of(self.row.pair)
        return span.days if span else None

    @property
    def assessed(self) -> ScoredAssessment | None:
        """The row where it is more than a single pair's."""
        return self.row if isinstance(self.row, ScoredAssessment) else None


@dataclass(frozen=True)
class StackNow:
    """A stack to export: its state on its last night, its thresholds by kind of evidence, and its open flags.

    `open_flags` are those above the level of notices, `noted_flags` those that are only noted.
    """

    stack: str
    volcano: Volcano
    state: StackState | None
    thresholds: Mapping[EvidenceKind, float | None]
    open_flags: int
    noted_flags: int = 0


Of = TypeVar("Of", Flag, Score, StackNow)


@dataclass(frozen=True)
class Column(Generic[Of]):
    """A column: its name, what it holds, its unit (empty where it has none), its meaning, and where its value comes from."""

    name: str
    kind: Kind
    unit: str
    words: str
    value: Callable[[Of], Value]


def rows(columns: Sequence[Column[Of]], every: Sequence[Of]) -> list[Row]:
    """The rows of a table, each with all columns in their order."""
    return [{column.name: column.value(one) for column in columns} for one in every]


def markdown(columns: Sequence[Column[Of]]) -> str:
    """The table of these columns as the documents have it."""
    lines = ["| column | holds | unit | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{one.name}` | {one.kind} | {one.unit or '-'} | {one.words} |" for one in columns]
    return "\n".join(lines)


def _of_volcano(volcano: Volcano | None, what: str) -> Value:
    found: Value = getattr(volcano, what) if volcano is not None else None
    return found


def _day(one: Score, place: int) -> date | None:
    return one.days[place] if one.days else None


def _assessed(one: Score, what: str) -> Value:
    found: Value = getattr(one.assessed, what) if one.assessed is not None else None
    return found


def _state(one: StackNow, what: str) -> Value:
    found: Value = getattr(one.state, what) if one.state is not None else None
    return found


_GVP = "number of the volcano in the Smithsonian Global Volcanism Program"
_NAME = "name of the volcano in the catalogue; empty where it is no longer there"
_STACK = "stack, `gvp/frame`, or couple of an ascending and a descending frame, `gvp/FRAME+FRAME`"
_LAT, _LON = "latitude of the volcano, north positive", "longitude of the volcano, east positive, as the catalogue has it"
_UNIT_OF_SCORES = "none: a score compares with the threshold of the same stack, model and evidence only"

FLAGS: tuple[Column[Flag], ...] = (
    Column("flag", Kind.TEXT, "", "name of the flag, `stack:number`", lambda f: f.name),
    Column("gvp", Kind.WHOLE, "", _GVP, lambda f: volcano_of(f.stack)),
    Column("volcano", Kind.TEXT, "", _NAME, lambda f: _of_volcano(f.volcano, "name")),
    Column("stack", Kind.TEXT, "", _STACK, lambda f: f.stack),
    Column("number", Kind.WHOLE, "", "number of the flag in its stack, from 1", lambda f: f.episode.number),
    Column(
        "state",
        Kind.TEXT,
        "",
        "where the flag stands, such as `noted`, `raised` or `cleared`",
        lambda f: f.episode.state.value,
    ),
    Column("open", Kind.YES, "", "true while the flag goes on", lambda f: f.episode.state.open),
    Column("since", Kind.DAY, "day (UTC)", "first acquisition of what was over the threshold", lambda f: f.episode.since),
    Column("until", Kind.DAY, "day (UTC)", "last acquisition of what was over the threshold", lambda f: f.episode.until),
    Column(
        "cleared", Kind.DAY, "day (UTC)", "day on which the flag ended; empty while it is open", lambda f: f.episode.cleared
    ),
    Column("evidence", Kind.TEXT, "", "kind of evidence that raised it", lambda f: f.evidence and f.evidence.value),
    Column("first_pair", Kind.TEXT, "", "what raised it, `YYYYMMDD_YYYYMMDD`", lambda f: f.episode.first_pair),
    Column("peak_pair", Kind.TEXT, "", "what has its highest score", lambda f: f.episode.peak_pair),
    Column("peak_score", Kind.NUMBER, _UNIT_OF_SCORES, "highest score", lambda f: f.episode.peak_score),
    Column("threshold", Kind.NUMBER, "as the score", "threshold that raised it", lambda f: f.episode.threshold),
    Column("over", Kind.WHOLE, "", "pairs or intervals that were over the threshold", lambda f: f.episode.pairs_over),
    Column("model", Kind.TEXT, "", "hash of the model that raised it", lambda f: f.episode.model),
    Column("lat", Kind.NUMBER, "degree", _LAT, lambda f: _of_volcano(f.volcano, "lat")),
    Column("lon", Kind.NUMBER, "degree", _LON, lambda f: _of_volcano(f.volcano, "lon")),
    Column(
        "told",
        Kind.TEXT,
        "",
        "`not told`, `told` (a notice waits for a channel) or `delivered` (a channel has accepted one)",
        lambda f: f.told.value,
    ),
)

SCORES: tuple[Column[Score], ...] = (
    Column("gvp", Kind.WHOLE, "", _GVP, lambda s: volcano_of(s.stack)),
    Column("volcano", Kind.TEXT, "", _NAME, lambda s: _of_volcano(s.volcano, "name")),
    Column("stack", Kind.TEXT, "", _STACK, lambda s: s.stack),
    Column("evidence", Kind.TEXT, "", "what was assessed", lambda s: s.evidence.value),
    Column("pair", Kind.TEXT, "", "pair, interval or acquisition, `YYYYMMDD_YYYYMMDD`", lambda s: s.row.pair),
    Column("first", Kind.DAY, "day (UTC)", "its first acquisition", lambda s: _day(s, 0)),
    Column("last", Kind.DAY, "day (UTC)", "its last acquisition", lambda s: _day(s, 1)),
    Column(
        "after",
        Kind.WHOLE,
        "acquisitions",
        "acquisitions that the assessment used from its second one on, that one included; empty for pairs",
        lambda s: _assessed(s, "after"),
    ),
    Column(
        "seen",
        Kind.DAY,
        "day (UTC)",
        "last acquisition that the assessment needed; empty for pairs",
        lambda s: _assessed(s, "seen"),
    ),
    Column("score", Kind.NUMBER, _UNIT_OF_SCORES, "anomaly score; empty where there is none", lambda s: s.row.score),
    Column("threshold", Kind.NUMBER, "as the score", "threshold; empty where there is none", lambda s: s.row.threshold),
    Column("over", Kind.YES, "", "true where the score is over the threshold", lambda s: s.row.over),
    Column(
        "percentile",
        Kind.NUMBER,
        "percent",
        "part of quiet scores below this one; empty for pairs",
        lambda s: _assessed(s, "percentile"),
    ),
    Column(
        "return_period",
        Kind.NUMBER,
        "year",
        "time in which quiet ground of this stack reaches the score once; empty where it is not known",
        lambda s: _assessed(s, "return_period"),
    ),
    Column("verdict", Kind.WHOLE, "", "numbered reason, 0 = ok; docs/verdicts.md", lambda s: int(s.row.verdict)),
    Column("reason", Kind.TEXT, "", "the verdict in words", lambda s: s.row.verdict.words),
    Column("snapshot", Kind.TEXT, "", "snapshot of the store that it was made from", lambda s: s.row.snapshot),
    Column("model", Kind.TEXT, "", "hash of the model", lambda s: s.row.model),
    Column("lat", Kind.NUMBER, "degree", _LAT, lambda s: _of_volcano(s.volcano, "lat")),
    Column("lon", Kind.NUMBER, "degree", _LON, lambda s: _of_volcano(s.volcano, "lon")),
)

STACKS: tuple[Column[StackNow], ...] = (
    Column("gvp", Kind.WHOLE, "", _GVP, lambda s: s.volcano.gvp),
    Column("volcano", Kind.TEXT, "", "name of the volcano in the catalogue", lambda s: s.volcano.name),
    Column("stack", Kind.TEXT, "", "stack, `gvp/frame`", lambda s: s.stack),
    Column("frame", Kind.TEXT, "", "satellite frame", lambda s: frame_of(s.stack)),
    Column(
        "direction",
        Kind.TEXT,
        "",
        "A (ascending) or D (descending), where the frame's name says it",
        lambda s: direction(frame_of(s.stack)),
    ),
    Column("track", Kind.WHOLE, "", "relative orbit, where the frame's name says it", lambda s: track(frame_of(s.stack))),
    Column("lat", Kind.NUMBER, "degree", _LAT, lambda s: s.volcano.lat),
    Column("lon", Kind.NUMBER, "degree", _LON, lambda s: s.volcano.lon),
    Column("box_km", Kind.NUMBER, "km", "side of the square box around the volcano", lambda s: s.volcano.box_km),
    Column("as_of", Kind.DAY, "day (UTC)", "last night that the stack has been through", lambda s: _state(s, "as_of")),
    Column("newest", Kind.DAY, "day (UTC)", "newest acquisition of an accepted pair", lambda s: _state(s, "newest")),
    Column("age_days", Kind.WHOLE, "day", "days from it to that night", lambda s: _state(s, "age_days")),
    Column("repeat_days", Kind.WHOLE, "day", "usual time between acquisitions", lambda s: _state(s, "repeat_days")),
    Column("expected", Kind.DAY, "day (UTC)", "when the next acquisition should have come", lambda s: _state(s, "expected")),
    Column("missed", Kind.WHOLE, "repeats", "expected acquisitions that are not there", lambda s: _state(s, "missed")),
    Column("stale", Kind.YES, "", "true where too many repeats in a row were missed", lambda s: _state(s, "stale")),
    Column("accepted", Kind.WHOLE, "pairs", "pairs that passed the checks", lambda s: _state(s, "accepted")),
    Column("listed", Kind.WHOLE, "pairs", "pairs that the source listed", lambda s: _state(s, "listed")),
    Column("area", Kind.NUMBER, "part, 0 to 1", "part of the box that recent pairs measure", lambda s: _state(s, "area")),
    Column("summit", Kind.NUMBER, "part, 0 to 1", "part of the summit that they measure", lambda s: _state(s, "summit")),
    Column(
        "threshold_pair",
        Kind.NUMBER,
        "as the score",
        "threshold of single pairs; empty where there is none",
        lambda s: s.thresholds.get(EvidenceKind.PAIR),
    ),
    Column(
        "threshold_interval",
        Kind.NUMBER,
        "as the score",
        "threshold of intervals; empty where there is none",
        lambda s: s.thresholds.get(EvidenceKind.INTERVAL),
    ),
    Column("open_flags", Kind.WHOLE, "flags", "open flags of this stack above the level of notices", lambda s: s.open_flags),
    Column("noted_flags", Kind.WHOLE, "flags", "open flags of this stack that are only noted", lambda s: s.noted_flags),
)
