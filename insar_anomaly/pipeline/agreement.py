"""Flags of one volcano from both directions of the satellite's pass: each is told once that the other agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.outbox import flag_of
from insar_anomaly.ledger.records import Decision, EpisodeRow, EventRow, NewNotice, NoticeRow
from insar_anomaly.names import FlagName, direction, frame_of, volcano_of
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.flag_notices import Rules, Teller, held_back
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.owed import peak_of
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count


def agree(s: Installation, run: Run) -> None:
    """Escalate open flags with which one of the other direction agrees, see `flags.growth.agreeing`.

    A notice of this night that nobody was sent yet says it too; else there is a notice of its own. Flags that are only noted
    do not count, also not those that are held: come after those that hold.
    """
    for row in s.ledger.episodes(open_only=True):
        if not row.state.told or row.agreed or row.stack not in s.by_stack:
            continue
        others = [one for stack in _other_direction(s, row.stack) for one in s.ledger.episodes(stack)]
        state = flags.State((row.episode,))
        if flags.agreeing(state, [one.episode for one in others])[1]:
            try:
                _tell(s, run, row, others)
            except InsarAnomalyError as problem:
                run.fail(row.stack, "flag", problem)


def _other_direction(s: Installation, stack: str) -> list[str]:
    """Stacks of the same volcano from the other direction; none where the frame's name tells no direction."""
    mine = direction(frame_of(stack))
    known = {one: direction(frame_of(one)) for one in s.by_stack if volcano_of(one) == volcano_of(stack)}
    return [one for one, way in known.items() if mine and way and way != mine]


@dataclass(frozen=True)
class _Step:
    """The way of a stack's episodes to those that agree, for `Ledger.revise`; `number` is the flag that may be told on this
    `night`."""

    number: int
    others: Sequence[EpisodeRow]
    tell: Sequence[NewNotice]
    night: date

    def __call__(self, before: list[EpisodeRow]) -> Decision:
        """The flag as it is after people were told; nothing changes where it has ended or was told meanwhile."""
        [mine] = [row for row in before if row.number == self.number]
        state, notices = flags.agreeing(flags.State((mine.episode,)), [one.episode for one in self.others])
        if not notices:
            return Decision(before)
        known = EpisodeRow.of(state.episodes[0], stack=mine.stack, model=mine.model)
        rows = [known if row.number == self.number else row for row in before]
        return Decision(rows, self.tell, EventRow.between(before, rows, self.night))


def _tell(s: Installation, run: Run, row: EpisodeRow, others: Sequence[EpisodeRow]) -> None:
    """Write down that people are told, with the notices, or with what the night's own notices say more."""
    shared = [one for one in others if one.told is not None and one.state.stands and one.episode.shares_time(row.episode)]
    agrees = tuple(str(FlagName(one.stack, one.number)) for one in shared)
    tonight = {one.channel: one for one in _of_tonight(s, run, row)}
    new = [one for one in _notices(s, run, row, agrees) if one.channel not in tonight]
    with s.ledger.together():
        made, decided = s.ledger.revise(row.stack, _Step(row.number, others, new, run.as_of))
        for one in tonight.values() if decided.notices or not new else ():
            told = Payload.read(one.payload)
            growth = (*told.growth, flags.Growth.DIRECTION.value)
            s.ledger.retell(one.key, replace(told, growth=growth, agrees=agrees).text)
    run.counts[Count.NEW_NOTICES if run.unsent is None else Count.UNSENT_NOTICES] += made


def _of_tonight(s: Installation, run: Run, row: EpisodeRow) -> list[NoticeRow]:
    """Notices that this night has written of the flag, and that nobody has tried to send."""
    name = str(FlagName(row.stack, row.number))
    mine = [one for one in s.ledger.notices() if one.stack == row.stack and flag_of(one.key) == name]
    untried = [one for one in mine if one.delivered_at is None and not one.attempts and not one.ends]
    return [one for one in untried if Payload.read(one.payload).as_of == run.as_of]


def _notices(s: Installation, run: Run, row: EpisodeRow, agrees: Sequence[str]) -> list[NewNotice]:
    """The notices of their own; written down only where the flag is too old for them."""
    model, volcano = s.ledger.model(row.stack, row.model), s.by_stack[row.stack]
    if model is None:
        return []
    teller = Teller(Rules.of(s, run, volcano), row.stack, volcano, model, Telling.of(model, level_of(s)), agrees=agrees)
    told = flags.Notice("escalated", row.episode, row.peak_pair, (flags.Growth.DIRECTION,))
    new = teller.outbox([told], [peak_of(s, row)], closed=())
    return held_back(new) if teller.too_old(told) else new
