"""What the site shows of all volcanoes together, read from the ledger in few queries, whatever their number."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

from insar_anomaly import __version__
from insar_anomaly.calibration.budget import Level
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import UsageError
from insar_anomaly.flags.labels import UNSURE, VOLCANIC
from insar_anomaly.flags.mutes import muted_until
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.outlook import Newest
from insar_anomaly.ledger.people_rows import ActRow
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import EvidenceKind, FlagName, Target
from insar_anomaly.notify.message import DISCLAIMER
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import level_of
from insar_anomaly.report.digest import Digest
from insar_anomaly.report.site.plain import form
from insar_anomaly.report.site.rows import Canary, Front, Mark, Spent, VolcanoRow
from insar_anomaly.report.stored import digest_text, read_digest
from insar_anomaly.stack.freshness import StackState

FORM = 1
"""Of what is gathered for a page. Another number makes all pages be written again, as another template or style does."""


@dataclass(frozen=True)
class Overview:
    """The ledger seen from afar. `night` is the digest of the newest night, None where none was found."""

    s: Installation
    night: Digest | None
    today: date

    @classmethod
    def of(cls, s: Installation, night: Digest | None = None) -> Overview:
        """The overview at this moment; without `night` its digest is read from the folder of figures."""
        return cls(s, night or _newest_digest(s.config.figures), datetime.now(UTC).date())

    @property
    def as_of(self) -> date:
        """The night that is shown; today where none was run."""
        return self.night.as_of if self.night else self.today

    @cached_property
    def episodes(self) -> Mapping[int, list[EpisodeRow]]:
        """Flags by volcano."""
        found: dict[int, list[EpisodeRow]] = defaultdict(list)
        for row in self.s.ledger.episodes():
            found[row.gvp].append(row)
        return found

    @cached_property
    def acts(self) -> list[ActRow]:
        """What people did, oldest first."""
        return self.s.ledger.acts()

    @cached_property
    def states(self) -> Mapping[str, StackState]:
        """The stacks on the night; those that it has not been through as they were on their last one."""
        return {**self.s.ledger.newest_states(), **(self.night.states if self.night else {})}

    @cached_property
    def thresholds(self) -> Mapping[tuple[str, EvidenceKind], float | None]:
        """Of every current model."""
        return self.s.ledger.thresholds()

    @cached_property
    def _newest(self) -> Mapping[EvidenceKind, Mapping[str, Newest]]:
        kinds = (EvidenceKind.PAIR, EvidenceKind.INTERVAL, EvidenceKind.DIRECTIONS)
        return {kind: self.s.ledger.newest(kind) for kind in kinds}

    @cached_property
    def _marks(self) -> Mapping[str, tuple[object, ...]]:
        return self.s.ledger.marks()

    @cached_property
    def _mutes(self) -> Mapping[str, date | None]:
        mutes = self.s.ledger.mutes()
        return {stack: muted_until(mutes, stack, self.today) for stack in self.s.by_stack}

    @cached_property
    def level(self) -> Level | None:
        """From where on people are notified."""
        return level_of(self.s)

    @cached_property
    def kinds(self) -> Mapping[tuple[str, str], EvidenceKind]:
        """What each model assesses, by stack and model."""
        return self.s.ledger.kinds()

    def resting(self, stack: str) -> EvidenceKind | None:
        """The evidence that a stack's flags rest on, as `Installation.resting` says; None where it can raise none."""
        if stack in self.s.by_couple:
            kinds = [EvidenceKind.DIRECTIONS]
        else:
            kinds = list(dict.fromkeys([EvidenceKind(self.s.config.flags.rests_on), EvidenceKind.PAIR]))
        return next((kind for kind in kinds if self.thresholds.get((stack, kind)) is not None), None)

    def names(self, volcano: Volcano) -> list[str]:
        """The volcano's stacks, ascending before descending, then its couples."""
        return [*volcano.stacks, *self._couples.get(volcano.gvp, ())]

    @cached_property
    def _couples(self) -> Mapping[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for name, volcano in self.s.by_couple.items():
            found[volcano.gvp].append(name)
        return found

    def row(self, volcano: Volcano) -> VolcanoRow:
        """The volcano on the front page."""
        is_open = [one for one in self.episodes.get(volcano.gvp, ()) if one.state.open]
        told = sum(one.state.told for one in is_open)
        mutes = [self._mutes.get(stack) for stack in volcano.stacks]
        days = [state.newest for stack in volcano.stacks if (state := self.states.get(stack)) and state.newest]
        muted = min((day for day in mutes if day), default=None) if all(mutes) else None
        scores = list(self._scores(volcano, is_open))
        mark, why = self._mark(volcano, told=told, noted=len(is_open) - told, muted=muted)
        return VolcanoRow(
            volcano=volcano,
            mark=mark,
            period=max((one.return_period for one in scores if one.return_period is not None), default=None),
            ratio=max((one.score / one.threshold for one in scores if one.threshold), default=None),
            newest=max(days, default=None),
            open_flags=told,
            noted_flags=len(is_open) - told,
            muted_until=muted,
            why=why,
        )

    def _scores(self, volcano: Volcano, is_open: Sequence[EpisodeRow]) -> Iterator[Newest]:
        for stack in self.names(volcano):
            kind = self.resting(stack)
            if kind is not None and (found := self._newest[kind].get(stack)):
                yield found
        for flag in is_open:
            period = self.period(flag)
            yield Newest(flag.peak_pair, flag.until, flag.peak_score, flag.threshold, period)

    def period(self, flag: EpisodeRow) -> float | None:
        """The return period, years, of a flag's highest score, where it is known."""
        rows = [one for one in self.s.ledger.score_rows(flag.stack, flag.peak_pair) if one.model == flag.model]
        return max((one.return_period for one in rows if one.return_period is not None), default=None)

    def _mark(self, volcano: Volcano, *, told: int, noted: int, muted: date | None) -> tuple[Mark, str]:
        failed = {one.stack for one in self.night.failures} if self.night else set()
        blind = [stack for stack in volcano.stacks if self.resting(stack) is None]
        stale = [stack for stack in volcano.stacks if (state := self.states.get(stack)) and state.stale]
        some = "" if len(volcano.stacks) == 1 else "one of its frames "
        found = [
            (muted is not None and told + noted > 0, Mark.MUTED, f"until {muted}"),
            (told > 0, Mark.FLAGGED, ""),
            (bool(failed & set(volcano.stacks)), Mark.FAILED, ""),
            (noted > 0, Mark.NOTED, ""),
            (muted is not None, Mark.MUTED, f"until {muted}"),
            (bool(blind), Mark.BLIND, f"{some}can raise no flag"),
            (bool(stale), Mark.STALE, f"{some}gets nothing usable"),
        ]
        return next(((mark, why) for true, mark, why in found if true), (Mark.NO_FLAG, ""))

    def mark_of(self, volcano: Volcano) -> str:
        """A hash of everything that the volcano's pages show: they are written again where it has changed."""
        names = self.names(volcano)
        row, days = self.row(volcano), self.s.config.serve.link_days
        states = [self.states.get(stack) for stack in volcano.stacks]
        content = (
            FORM,
            __version__,
            form(),
            volcano.model_dump_json(),
            replace(row, volcano=None),  # type: ignore[arg-type]
            [(name, self._marks.get(name), self.resting(name)) for name in names],
            # a set has another order in each process
            [(replace(one, standing=frozenset()), sorted(one.standing)) for one in self.episodes.get(volcano.gvp, [])],
            self.acts_of(volcano),
            self.level.words if self.level else None,
            [(state.newest, state.expected, state.stale) if state else None for state in states],
            # links run out: pages with links are written again when half of their time is over
            (self.today - date.min) // timedelta(days=max(1, days // 2)) if self.s.config.report.links else 0,
            self.s.config.serve.url,
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:20]

    def acts_of(self, volcano: Volcano) -> list[ActRow]:
        """What people did with the volcano, its stacks, and the regions that it belongs to."""
        names = set(self.names(volcano))
        wide = [act for act in self._wide_acts if any(Target(act.stack).covers(name) for name in names)]
        found = [*wide, *(act for name in names for act in self._acts_by_stack.get(name, ()))]
        return sorted(found, key=lambda act: (act.at, act.stack, act.kind))

    @cached_property
    def _wide_acts(self) -> list[ActRow]:
        """Acts that are about a volcano or a region."""
        return [act for act in self.acts if "/" not in act.stack]

    @cached_property
    def _acts_by_stack(self) -> Mapping[str, list[ActRow]]:
        found: dict[str, list[ActRow]] = defaultdict(list)
        for act in self.acts:
            found[act.stack].append(act)
        return found

    def front(self, rows: Sequence[VolcanoRow]) -> Front:
        """The front page."""
        return Front(
            title=self.s.config.report.title,
            rows=rows,
            digest=self.night,
            spent=self._spent(),
            level=self.level.words if self.level else None,
            version=__version__,
            made=datetime.now(UTC),
            disclaimer=DISCLAIMER,
            canary=self._canary(),
        )

    def _canary(self) -> list[Canary]:
        """What became of the canary in the last year of nights."""
        last = self.night.as_of if self.night else self.today
        rows = self.s.ledger.canaries(last - timedelta(365))
        return [Canary(row.night, row.score or 0.0, row.threshold) for row in rows if row.night <= last]

    def _spent(self) -> Spent:
        year = self.night.as_of.year if self.night else self.today.year
        mine = [one for rows in self.episodes.values() for one in rows if one.since.year == year]
        heard = self.s.ledger.told()
        told = [one for one in mine if heard.get(FlagName(one.stack, one.number), Told.NOT_TOLD) is not Told.NOT_TOLD]
        labels = {(act.stack, act.episode): act.label for act in self.acts if act.label is not None}
        found = [labels.get((one.stack, one.number)) for one in told]
        volcanic = sum(label == VOLCANIC for label in found)
        false = sum(label not in (None, VOLCANIC, UNSURE) for label in found)
        return Spent(year, self.s.config.flags.false_flags_per_year, len(told), volcanic, false)


def _newest_digest(folder: str) -> Digest | None:
    """The digest of the newest night; None where there is none, or it cannot be read."""
    try:
        return read_digest(digest_text(Path(folder)))
    except UsageError:
        return None
