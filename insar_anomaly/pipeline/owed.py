"""Notices that are owed: the flag was too old for one on its night, so the outbox keeps it and does not send it.

Usually that is right: a first night over the history of an archive wakes nobody. Two ways lead to people all the same. A
person asks for it (`resend`), or a night with an earlier date shows that the first date was a mistake (`send_owed`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date

from insar_anomaly.errors import UsageError
from insar_anomaly.ledger.outbox import flag_of
from insar_anomaly.ledger.records import EpisodeRow, NewNotice, NoticeRow, ScoreRow
from insar_anomaly.names import FlagName, span_of
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.deliver import deliver_notices
from insar_anomaly.pipeline.flag_notices import told_again
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count


def send_owed_and_new(s: Installation, run: Run) -> None:
    """Deliver what waits, and before that put what a mistaken date held back among it."""
    send_owed(s, run)
    deliver_notices(s, run)


def send_owed(s: Installation, run: Run) -> None:
    """Let owed notices wait for delivery where this night's date says that they were not too old.

    That is so where the night lies before the one that called the flag too old, after what the notice tells of, and near
    enough to it. A flag that was withdrawn since is not told. What follows a raised flag (it was cleared, for example) is
    told from the night on that lies after it.
    """
    mine = s.by_stack | s.by_couple
    owed = [row for row in s.ledger.owed() if row.stack in mine]
    if not owed or run.unsent is not None:
        return
    held = {row.key for row in owed}
    for row in owed:
        told, first = Payload.read(row.payload), f"{flag_of(row.key)}:raised:{row.channel}"
        if not _was_a_mistake(told, run.as_of, s.config.flags.notice_max_age_days):
            continue
        episode = _episode(s, row)
        if episode is None or not episode.state.stands or (row.key != first and first in held):
            continue
        if s.ledger.send_owed(row.key, _as_of(told, run.as_of).text):
            held.discard(row.key)
            run.counts[Count.NEW_NOTICES] += 1
            run.warn(
                f"{row.stack}: the notice {row.key} is sent now: on the night of {told.as_of} its flag was too old for it, "
                f"and on this one, {run.as_of}, it is not"
            )


def _was_a_mistake(told: Payload, as_of: date, max_age_days: int) -> bool:
    span = span_of(told.pair)
    if span is None or not span.last <= as_of < told.as_of:
        return False
    return (as_of - span.last).days <= max_age_days


def _as_of(told: Payload, as_of: date) -> Payload:
    """The same notice as the night of this date would have written it."""
    span, cleared = span_of(told.pair), told.episode.cleared
    episode = replace(told.episode, cleared=None) if cleared and cleared > as_of else told.episode
    return replace(
        told, as_of=as_of, pair_age_days=(as_of - span.last).days if span else told.pair_age_days, episode=episode
    )


def resend(s: Installation, run: Run, flag: FlagName) -> list[str]:
    """Put the notice of a raised flag into the outbox, whatever its age; returns the keys of what waits there now.

    What was owed or dropped is taken back, and a channel that has no notice of this flag gets one. What has arrived is not
    sent again. Where the flag has ended, the notice says so, and that of its end goes out after it.

    Raises
    ------
    UsageError
        where there is no such flag, nothing stands for it any more, it was only noted, no channel reaches anybody, or its
        notices have arrived everywhere.
    """
    episode = _known(s, flag)
    wanted = told_again(s, run, episode, peak_of(s, episode), kind="raised")
    known = {row.key: row for row in s.ledger.notices()}
    arrived = [row for one in wanted if (row := known.get(one.key)) and row.delivered_at is not None]
    missing = [one for one in wanted if (row := known.get(one.key)) is None or row.delivered_at is None]
    if not wanted:
        raise UsageError(f"flag {flag}: no [[channel]] reaches anybody for this volcano; configure one, then send it again")
    if not missing:
        raise UsageError(f"flag {flag}: its notice has arrived: {_arrivals(arrived)}; nothing is sent twice")
    missing += _ends(s, run, episode, known, {one.channel for one in wanted})
    for one in missing:
        s.ledger.put_back(flag.stack, one)
    run.counts[Count.NEW_NOTICES] += len(missing)
    return [one.key for one in missing]


def _ends(
    s: Installation, run: Run, episode: EpisodeRow, known: Mapping[str, NoticeRow], channels: Collection[str]
) -> list[NewNotice]:
    """The notices of a flag's end for those channels, which get that of its beginning: as its night wrote them, or anew."""
    if episode.state.open:
        return []
    every = told_again(s, run, episode, peak_of(s, episode), kind="cleared")
    rows = [(one, known.get(one.key)) for one in every if one.channel in channels]
    return [one if row is None else one._replace(payload=row.payload) for one, row in rows if not (row and row.delivered_at)]


def _known(s: Installation, flag: FlagName) -> EpisodeRow:
    if flag.stack not in s.by_stack | s.by_couple:
        raise UsageError(f"flag {flag}: {flag.stack!r} is not a stack of {s.config.catalogue}")
    rows = s.ledger.episodes(flag.stack)
    found = next((row for row in rows if row.number == flag.number), None)
    if found is None:
        has = f"its flags are {', '.join(str(row.number) for row in rows)}" if rows else "it has no flag"
        raise UsageError(f"flag {flag}: {flag.stack} has no flag {flag.number}; {has}")
    if not found.state.stands:
        raise UsageError(f"flag {flag} was withdrawn on {found.cleared}: nothing stands for it any more; nothing is sent")
    if found.told is None:
        raise UsageError(f"flag {flag} was only noted: it lies below the level from which on notices are sent; none is sent")
    return found


def peak_of(s: Installation, episode: EpisodeRow) -> ScoreRow:
    """The assessment that an episode is told by: its highest one by the model that raised it, or what the episode keeps."""
    model = s.ledger.model(episode.stack, episode.model)
    rows = s.ledger.assessments(episode.stack, model.evidence) if model else []
    same = [row for row in rows if row.pair == episode.peak_pair and row.score is not None]
    if not same:
        return ScoreRow.bare(episode.peak_pair, episode.model, episode.peak_score, episode.threshold)
    best = max(same, key=lambda row: row.score or 0.0)
    return replace(
        ScoreRow.bare(best.pair, best.model, best.score, best.threshold),
        percentile=best.percentile,
        snapshot=best.snapshot,
        after=best.after,
        seen=best.seen,
    )


def _arrivals(rows: Iterable[NoticeRow]) -> str:
    return ", ".join(f"{row.channel} on {row.delivered_at:%Y-%m-%d %H:%M} UTC" for row in rows)


def _episode(s: Installation, row: NoticeRow) -> EpisodeRow | None:
    """The episode that a notice tells of."""
    number = flag_of(row.key).rpartition(":")[2]
    return next((one for one in s.ledger.episodes(row.stack) if str(one.number) == number), None)
