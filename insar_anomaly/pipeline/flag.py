"""Scores -> flags -> outbox, in one transaction per stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.records import Decision, EpisodeRow, EventRow, ScoreRow
from insar_anomaly.names import EvidenceKind, Period
from insar_anomaly.pipeline.amended import Remade, amended
from insar_anomaly.pipeline.couples import joint_assessments
from insar_anomaly.pipeline.couples import members as members_of
from insar_anomaly.pipeline.flag_notices import Rules, Teller, alone_of, of_tonight, unheard_of
from insar_anomaly.pipeline.freshness import sight_of
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count


def flag_stacks(s: Installation, run: Run) -> None:
    """Take every stack's new scores into account: flags are raised and cleared, notices put into the outbox."""
    _each(s, run, s.by_stack, _advance)


def flag_couples(s: Installation, run: Run) -> None:
    """The same for couples, after their members."""
    _each(s, run, s.by_couple, _advance_couple)


def _each(
    s: Installation,
    run: Run,
    stacks: Mapping[str, Volcano],
    advance: Callable[[Installation, Run, str, Volcano], None],
) -> None:
    for done, (stack, volcano) in enumerate(stacks.items(), 1):
        try:
            advance(s, run, stack, volcano)
        except InsarAnomalyError as problem:
            run.fail(stack, "flag", problem)
        s.watch("flag", done, len(stacks))


def _advance(s: Installation, run: Run, stack: str, volcano: Volcano) -> None:
    with s.ledger.together():  # one wait for the disk, not one for each kind of evidence
        _advance_each(s, run, stack, volcano)


def _advance_each(s: Installation, run: Run, stack: str, volcano: Volcano) -> None:
    current = s.ledger.all_current(stack)
    resting, _ = s.resting(stack, current)
    for model in filter(None, map(current.get, s.evidence)):
        if resting is not None and model.model == resting.model:
            alone = alone_of(s, run, stack)
            remade, sight = Remade.of(s, stack, model, rests_on=[stack]), sight_of(s, run, [stack])
            rules, telling = Rules.of(s, run, volcano), Telling.of(model, level_of(s))
            teller = Teller(rules, stack, volcano, model, telling, alone=alone, sight=sight)
            _commit(s, run, _Step(teller, remade))
        else:  # its scores are taken into account too, so that they raise nothing once flags rest on them
            s.ledger.consider(stack, model.model, seen=run.seen)


def _advance_couple(s: Installation, run: Run, couple: str, volcano: Volcano) -> None:
    """As a stack, after its members; its notices say which of them have flagged the same time."""
    model = s.ledger.current(couple, EvidenceKind.DIRECTIONS)
    if model is None:
        return
    teller = Teller(
        Rules.of(s, run, volcano),
        couple,
        volcano,
        model,
        Telling.of(model, level_of(s)),
        members={(one.name, one.after): one for one in joint_assessments(s, couple, Period(last=run.as_of))},
        told={stack: [row for row in s.ledger.episodes(stack) if row.state.stands] for stack in members_of(couple)},
        intervals={stack: s.ledger.current(stack, EvidenceKind.INTERVAL) for stack in members_of(couple)},
        sight=sight_of(s, run, members_of(couple)),
    )
    _commit(s, run, _Step(teller, Remade.of(s, couple, model, rests_on=members_of(couple))))


def _commit(s: Installation, run: Run, step: _Step) -> None:
    """Decide and write down in one transaction; what a person should read of it is said after that."""
    new, decision = s.ledger.advance(step.teller.stack, step.teller.model.model, step, seen=run.seen)
    run.counts[Count.NEW_NOTICES if run.unsent is None else Count.UNSENT_NOTICES] += new
    run.counts[Count.OLD_FLAGS] += decision.too_old
    for words in decision.remarks:
        run.warn(words)


@dataclasses.dataclass(frozen=True)
class _Decision(Decision):
    """What follows from one stack's new scores, with what the digest says of it."""

    too_old: int = 0
    """Flags that were raised too long after their time for a notice."""
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Step:
    """One stack's way from (episodes, new scores) to (episodes, notices), for `Ledger.advance`.

    A pure function of these and of what it holds: all of it was read before.
    """

    teller: Teller
    remade: Remade = dataclasses.field(default_factory=Remade)
    """What was assessed again on corrected pairs."""

    def __call__(self, before: list[EpisodeRow], scores: list[ScoreRow], counted: set[str]) -> _Decision:
        teller, made_by = self.teller, {row.number: row.model for row in before}
        state = flags.State(tuple(row.episode for row in before))
        evidence = [self._levelled(one) for one in self.remade.evidence(scores, counted)]
        again = {one.pair for one in evidence if one.again}
        rules = teller.rules
        state, notices = flags.run(state, evidence, clear_after_days=rules.clear_after_days, today=rules.as_of)
        state = unheard_of(self.remade.with_peaks(state, again), notices)
        rows = [
            EpisodeRow.of(e, stack=teller.stack, model=made_by.get(e.number, teller.model.model)) for e in state.episodes
        ]
        now = {e.number: e for e in state.episodes}
        told = of_tonight(notices, now)
        too_old = [notice for notice in told if teller.too_old(notice)]
        closed = {row.number for row in before if not row.state.open}
        return _Decision(
            rows,
            [*teller.in_order(told, scores, old=too_old, closed=closed)],
            EventRow.between(before, rows, rules.as_of),
            len(too_old),
            (
                *(teller.unheard() if any(notice.kind == "raised" and notice not in too_old for notice in told) else ()),
                *(words for row in before if (words := amended(row, now[row.number], again=bool(again)))),
            ),
        )

    def _levelled(self, one: flags.Evidence) -> flags.Evidence:
        telling = self.teller.telling
        return dataclasses.replace(one, level=telling.above(one.threshold), growth=telling.growth)
