"""Many stacks that cross on one date are told once, and their flags held as noted until the next assessment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from insar_anomaly import notify
from insar_anomaly.flags.together import FEWEST, New, Together, by_platform, together, track_of
from insar_anomaly.ledger.outbox import HELD, flag_of
from insar_anomaly.ledger.records import NewNotice, NoticeRow
from insar_anomaly.names import FlagName, Pair
from insar_anomaly.notify.parcels import REGION
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import level_of
from insar_anomaly.pipeline.messages import in_words
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count
from insar_anomaly.spoken import DEFAULT
from insar_anomaly.spoken.sentences import said


@dataclass(frozen=True)
class _Raised:
    """A flag whose raised notices have not been tried yet, with these notices and what they tell."""

    flag: FlagName
    told: Payload
    rows: tuple[NoticeRow, ...]

    @property
    def held(self) -> bool:
        """True where an earlier run of this night has held it."""
        return any((row.dropped or "").startswith(HELD) for row in self.rows)

    @property
    def new(self) -> New:
        return New(self.flag, Pair.of(self.told.pair).days, self.told.return_period_years)


def hold_together(s: Installation, run: Run) -> None:
    """Hold those of this night's flags that many stacks share.

    A flag is held once: where it is raised again, it is released. A second run of the same night finds the same groups, and
    puts the notice into the outbox that the first one may not have come to.
    """
    raised = _raised(s, run)
    if not raised:
        return
    days = {day for one in raised for day in one.new.days}
    assessed = s.ledger.assessed_near(days, s.config.flags.rests_on, known=run.known)
    if len({one.stack for one in assessed if one.over}) < FEWEST:
        return
    assessed = by_platform(assessed, s.ledger.satellites(min(days)))
    level = level_of(s)
    asked = level.period_years if level is not None and 0 < level.rate < float("inf") else None
    found = together([one.new for one in raised], assessed, asked_years=asked)
    by_flag = {one.flag: one for one in raised}
    for group in found:
        _hold(s, run, group, [by_flag[flag] for flag in group.held])


def _raised(s: Installation, run: Run) -> list[_Raised]:
    """Stacks' flags of this night whose notices wait or are held.

    A couple's flag is not among them: it is seen from two directions, and no weather is.
    """
    by_flag: dict[str, list[NoticeRow]] = {}
    for row in s.ledger.untried(s.by_stack, unsent=run.unsent):
        by_flag.setdefault(flag_of(row.key), []).append(row)
    out = []
    for name, rows in by_flag.items():
        told = Payload.read(rows[0].payload)
        if told.as_of == run.as_of:
            out.append(_Raised(FlagName.of(name), told, tuple(rows)))
    return out


def _hold(s: Installation, run: Run, group: Together, raised: Sequence[_Raised]) -> None:
    newly = {
        one.flag: s.ledger.hold(one.flag, group.words, night=run.as_of, unsent=run.unsent) for one in raised if not one.held
    }
    kept = [one for one in raised if one.held or newly[one.flag]]
    if not kept:
        return
    names = ", ".join(f"{one.told.volcano} {one.flag}" for one in kept)
    run.warn(f"{group.words}; held as noted until the next assessment: {names}")
    payload = {
        "kind": REGION,
        "day": str(group.day),
        "track": group.track,
        "platforms": group.platforms,
        "over": group.over,
        "seen": group.seen,
        "held": [str(one.flag) for one in kept],
    }
    channels = sorted({row.channel for one in kept for row in one.rows})
    told = [one.told for one in kept]
    notices = [_notice(s, channel, group, told, payload)._replace(dropped=run.unsent) for channel in channels]
    count = Count.NEW_NOTICES if run.unsent is None else Count.UNSENT_NOTICES
    more = s.ledger.put("", notices) - sum(newly.values())
    run.counts[count] = max(0, run.counts[count] + more)  # an earlier run of the night may have counted what is held now


def _notice(
    s: Installation, channel: str, group: Together, held: Sequence[Payload], payload: Mapping[str, object]
) -> NewNotice:
    every = notify.destinations(s.config.channel, s.config.route)
    destination = notify.destination_of(channel, every, notify.named(s.config.channel))
    language = destination.language if destination else DEFAULT
    words = said("notify", "messages/region", language, group=group, held=held)
    key = f"{REGION}:{group.day}:{group.name}:{channel}"
    return in_words(key, channel, REGION, words, payload=payload, language=language)


def with_others(s: Installation, told: Payload) -> Payload:
    """What a notice tells, with the number of other stacks of its track that are over on its dates, as of its night."""
    if told.stack not in s.by_stack:
        return told
    mine, over, seen = track_of(told.stack), 0, 0
    for day in Pair.of(told.pair).days:
        assessed = s.ledger.assessed_on(day, s.config.flags.rests_on, known=told.as_of)
        others = [found for stack, found in assessed.items() if stack != told.stack and track_of(stack) == mine]
        if sum(others) >= over and len(others) >= seen:
            over, seen = sum(others), len(others)
    return replace(told, others_over=over, others_seen=seen) if seen else told
