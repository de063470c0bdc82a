"""Many stacks that cross on one date are told once, and their flags held as noted until the next assessment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from insar_anomaly import notify
from insar_anomaly.flags.together import New, Together, together, track_of
from insar_anomaly.ledger.outbox import flag_of
from insar_anomaly.ledger.records import NewNotice, NoticeRow
from insar_anomaly.names import Couple, FlagName, Pair, place
from insar_anomaly.notify.parcels import REGION
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import level_of
from insar_anomaly.pipeline.messages import in_words
from insar_anomaly.pipeline.run import Run
from insar_anomaly.spoken import DEFAULT
from insar_anomaly.spoken.sentences import said


@dataclass(frozen=True)
class _Raised:
    """A flag whose raised notices have not been tried yet, with these notices and what they tell."""

    flag: FlagName
    told: Payload
    rows: tuple[NoticeRow, ...]

    @property
    def new(self) -> New:
        return New(self.flag, Pair.of(self.told.pair).days, self.told.return_period_years)


def hold_together(s: Installation, run: Run) -> None:
    """Hold those of this night's flags that many stacks share.

    A flag is held once: where it is raised again, it is released.
    """
    if run.unsent is not None:
        return
    raised = _raised(s, run)
    if not raised:
        return
    days = {day for one in raised for day in one.new.days}
    assessed = {day: s.ledger.assessed_on(day, s.config.flags.rests_on) for day in days}
    level = level_of(s)
    asked = level.period_years if level is not None and 0 < level.rate < float("inf") else None
    found = together([one.new for one in raised], assessed, asked_years=asked)
    by_flag = {one.flag: one for one in raised}
    for group in found:
        _hold(s, run, group, [by_flag[flag] for flag in group.held])


def _raised(s: Installation, run: Run) -> list[_Raised]:
    """Stacks' flags of this night whose notices wait; a couple's flag is seen from two directions, and no weather is."""
    by_flag: dict[str, list[NoticeRow]] = {}
    for row in s.ledger.pending():
        if row.kind == "raised" and not row.attempts and row.last_error is None and row.stack in s.by_stack:
            by_flag.setdefault(flag_of(row.key), []).append(row)
    out = []
    for name, rows in by_flag.items():
        told = Payload.read(rows[0].payload)
        if told.as_of == run.as_of and not isinstance(place(told.stack), Couple):
            out.append(_Raised(FlagName.of(name), told, tuple(rows)))
    return out


def _hold(s: Installation, run: Run, group: Together, raised: Sequence[_Raised]) -> None:
    kept = [one for one in raised if s.ledger.hold(one.flag, group.words)]
    if not kept:
        return
    names = ", ".join(f"{one.told.volcano} {one.flag}" for one in kept)
    run.warn(f"{group.words}; held as noted until the next assessment: {names}")
    payload = {
        "kind": REGION,
        "day": str(group.day),
        "track": group.track,
        "over": group.over,
        "seen": group.seen,
        "held": [str(one.flag) for one in kept],
    }
    channels = sorted({row.channel for one in kept for row in one.rows})
    s.ledger.put("", [_notice(s, channel, group, [one.told for one in kept], payload) for channel in channels])


def _notice(
    s: Installation, channel: str, group: Together, held: Sequence[Payload], payload: Mapping[str, object]
) -> NewNotice:
    every = notify.destinations(s.config.channel, s.config.route)
    destination = notify.destination_of(channel, every, notify.named(s.config.channel))
    language = destination.language if destination else DEFAULT
    words = said("notify", "messages/region", language, group=group, held=held)
    key = f"{REGION}:{group.day}:{group.track or 'all'}:{channel}"
    return in_words(key, channel, REGION, words, payload=payload, language=language)


def with_others(s: Installation, told: Payload) -> Payload:
    """What a notice tells, with the number of other stacks of its track that are over on its dates, as of now."""
    if told.stack not in s.by_stack:
        return told
    mine, over, seen = track_of(told.stack), 0, 0
    for day in Pair.of(told.pair).days:
        assessed = s.ledger.assessed_on(day, s.config.flags.rests_on)
        others = [found for stack, found in assessed.items() if stack != told.stack and track_of(stack) == mine]
        if sum(others) >= over and len(others) >= seen:
            over, seen = sum(others), len(others)
    return replace(told, others_over=over, others_seen=seen) if seen else told
