"""The night's digest: what was screened, flagged, failed, and which stacks are blind; made even when all is quiet.

``digest.schema.json`` describes its JSON form, ``digest-<date>.json`` in the figures' folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum

from insar_anomaly.names import EvidenceKind

VERSION = 2
"""Of the JSON form. 1: no ``version``; an open flag had ``cleared``, ``withdrawn`` and ``standing``."""


class Count(StrEnum):
    """What a run counts."""

    NEW_PAIRS = "new_pairs"
    STORED_PAIRS = "stored_pairs"
    REJECTED_PAIRS = "rejected_pairs"
    CHANGED_PAIRS = "changed_pairs"
    FITTED_MODELS = "fitted_models"
    FITTED_PAIRS = "fitted_pairs"
    UNCHANGED_MODELS = "unchanged_models"
    RANDOM_BACKBONES = "random_backbones"
    SCORED_PAIRS = "scored_pairs"
    SCORED_INTERVALS = "scored_intervals"
    SCORED_ACQUISITIONS = "scored_acquisitions"
    SCORED_DIRECTIONS = "scored_directions"
    OLD_FLAGS = "old_flags"
    NEW_NOTICES = "new_notices"
    DELIVERED = "delivered"
    EXPIRED_SNAPSHOTS = "expired_snapshots"

    @classmethod
    def scored(cls, kind: EvidenceKind) -> Count:
        """The count of assessments of a kind of evidence that got a score."""
        return {
            EvidenceKind.PAIR: cls.SCORED_PAIRS,
            EvidenceKind.INTERVAL: cls.SCORED_INTERVALS,
            EvidenceKind.ACQUISITION: cls.SCORED_ACQUISITIONS,
            EvidenceKind.DIRECTIONS: cls.SCORED_DIRECTIONS,
        }[kind]


OF_A_NIGHT = (
    Count.NEW_PAIRS,
    Count.STORED_PAIRS,
    Count.REJECTED_PAIRS,
    Count.CHANGED_PAIRS,
    Count.SCORED_PAIRS,
    Count.SCORED_INTERVALS,
    Count.SCORED_ACQUISITIONS,
    Count.SCORED_DIRECTIONS,
    Count.OLD_FLAGS,
    Count.NEW_NOTICES,
    Count.DELIVERED,
)
"""Counts that a digest always has, also where they are 0."""


@dataclass(frozen=True)
class Failure:
    """A stack that could not go on, the stage where it stopped, and the reason with its remedy."""

    stack: str
    stage: str
    error: str


@dataclass(frozen=True)
class Blind:
    """A stack that can raise no flag, and why."""

    stack: str
    why: str


@dataclass(frozen=True)
class OpenFlag:
    """An open flag. `threshold` is the one that raised it; the last three fields say what the present threshold finds.

    `evidence` and `threshold_now` are None where the stack has no model any more.
    """

    stack: str
    name: str
    number: int
    since: date
    until: date
    first_pair: str
    peak_pair: str
    peak_score: float
    threshold: float
    pairs_over: int
    model: str
    evidence: EvidenceKind | None
    threshold_now: float | None
    pairs_over_now: int


@dataclass(frozen=True)
class Digest:
    """What one night did and what is open after it. `counts` has every count of `OF_A_NIGHT`."""

    as_of: date
    run: int
    kind: str
    stacks: int
    counts: Mapping[Count, int]
    open_flags: tuple[OpenFlag, ...]
    failures: tuple[Failure, ...]
    blind: tuple[Blind, ...]
    undelivered: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def status(self) -> str:
        """``ok``, or ``failed`` where any stack failed."""
        return "failed" if self.failures else "ok"

    def as_dict(self) -> dict[str, object]:
        """The JSON form."""
        flags = [
            {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(flag).items()}
            for flag in self.open_flags
        ]
        return {
            "version": VERSION,
            "as_of": self.as_of.isoformat(),
            "run": self.run,
            "kind": self.kind,
            "status": self.status,
            "stacks": self.stacks,
            **{count.value: number for count, number in self.counts.items()},
            "open_flags": flags,
            "failures": [asdict(failure) for failure in self.failures],
            "blind": [asdict(one) for one in self.blind],
            "undelivered": list(self.undelivered),
            "warnings": list(self.warnings),
        }

    @property
    def text(self) -> str:
        """The JSON form as text."""
        return json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"


def lines(digest: Digest, *, failures: bool = True) -> list[str]:
    """The digest in words, most urgent first; without `failures` where these are printed elsewhere."""
    counts = digest.counts
    out = [f"Screening of {digest.as_of} ({digest.status}): {digest.stacks} stack{'' if digest.stacks == 1 else 's'}"]
    out += _listed("open flags", [_flag(flag) for flag in digest.open_flags]) or ["  no flag is open"]
    out += _listed("failed", [f"{one.stack} ({one.stage}): {one.error}" for one in digest.failures if failures])
    out += _listed("blind: no threshold, so never flagged", [f"{one.stack}: {one.why}" for one in digest.blind])
    out += _listed("notices that have not arrived", digest.undelivered)
    out += _listed("warnings", digest.warnings)
    if counts[Count.OLD_FLAGS]:
        out.append(
            f"  {counts[Count.OLD_FLAGS]} flags were raised that are too old for a notice: `insar-anomaly flags` lists them"
        )
    out.append(
        f"  {counts[Count.NEW_PAIRS]} new pairs, {counts[Count.REJECTED_PAIRS]} rejected; "
        f"assessed: {counts[Count.SCORED_PAIRS]} pairs, {counts[Count.SCORED_INTERVALS]} assessments of intervals, "
        f"{counts[Count.SCORED_ACQUISITIONS]} acquisitions, {counts[Count.SCORED_DIRECTIONS]} of both directions; "
        f"{counts[Count.NEW_NOTICES]} new notices, {counts[Count.DELIVERED]} delivered"
    )
    return out


def _flag(flag: OpenFlag) -> str:
    return (
        f"{flag.name} {flag.stack}: since {flag.since}, last over the threshold {flag.until}, peak "
        f"{flag.peak_score:.4g} in {flag.peak_pair} (threshold {flag.threshold:.4g}), "
        f"{(flag.evidence or EvidenceKind.PAIR).counted(flag.pairs_over)} over{_since_then(flag)}"
    )


def _since_then(flag: OpenFlag) -> str:
    """What a new threshold says of the flag; nothing where it is the one that raised it."""
    now = flag.threshold_now
    if now is None or now == flag.threshold:
        return ""
    return f" the threshold in force when they came; over the present one, {now:.4g}: {flag.pairs_over_now}"


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    return [f"  {title}:", *(f"    {entry}" for entry in entries)] if entries else []
