"""What is drawn of a flag or of a day of a stack, from what the ledger holds: also where no notice was ever made."""

from __future__ import annotations

from datetime import date

from insar_anomaly.errors import StoreFailed
from insar_anomaly.evidence.directions import Joint
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import EvidenceKind, Period
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.couples import joint_assessments, members
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.scene import Shown


def of_notice(s: Installation, told: Payload) -> list[Shown]:
    """What a notice tells of: one stack, or both of a couple; of a flag that is over, its highest score."""
    if told.outcome == "cleared":
        row = next((row for row in s.ledger.episodes(told.stack) if row.number == told.episode.number), None)
        if row is not None:
            return of_flag(s, row, as_of=told.as_of)
    time = {"as_of": told.as_of, "since": told.episode.since, "until": told.episode.until}
    parts = told.members or (told,)
    return [Shown(one.stack, one.evidence, one.pair, one.after, one.model, one.threshold, **time) for one in parts]


def of_flag(s: Installation, row: EpisodeRow, *, as_of: date) -> list[Shown]:
    """What a flag's highest score tells of. Raises StoreFailed where the ledger has no such assessment any more."""
    if row.stack in s.by_couple:
        joint = _joint(s, row.stack, row.peak_pair, as_of)
        if joint is None:
            raise StoreFailed(f"{row.stack}: {row.peak_pair} cannot be assessed from both directions any more")
        return of_joint(s, row.stack, joint, as_of=as_of, time=(row.since, row.until))
    model = s.ledger.model(row.stack, row.model)
    if model is None:
        raise StoreFailed(f"the ledger has no model {row.model} of {row.stack}")
    part = (row.stack, model.evidence, row.peak_pair, None, row.model, row.threshold)
    return [Shown(*part, as_of=as_of, since=row.since, until=row.until)]


def of_joint(s: Installation, couple: str, joint: Joint, *, as_of: date, time: tuple[date, date]) -> list[Shown]:
    """What a couple's two stacks tell of a joint assessment."""
    out = []
    for stack, one in zip(members(couple), joint.members, strict=True):
        model = s.ledger.current(stack, EvidenceKind.INTERVAL)
        if model is None:
            raise StoreFailed(f"{stack} has no model of intervals any more; fit it")
        part = (stack, EvidenceKind.INTERVAL, one.name, one.after, model.model, model.threshold)
        out.append(Shown(*part, as_of=as_of, since=time[0], until=time[1]))
    return out


def _joint(s: Installation, couple: str, name: str, as_of: date) -> Joint | None:
    found = [one for one in joint_assessments(s, couple, Period(last=as_of)) if one.name == name]
    return max(found, key=lambda one: one.seen, default=None)
