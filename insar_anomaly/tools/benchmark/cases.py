"""What a comparison measures on which stack: split by date, positives, and the poster's own numbers where it has them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from insar_anomaly.calibration import labels
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import PluginFailed, UsageError
from insar_anomaly.names import Period, Stack, frame_of
from insar_anomaly.tools.benchmark.command import check
from insar_anomaly.tools.benchmark.systems import settings_of, systems


@dataclass(frozen=True)
class Case:
    """One stack's share: last day of training, first day of the test, its positive pairs, the poster's row.

    `train_from` and `test_until` bound both sides where they are given; `volcano` is its name in the poster's table.
    `negatives` are the pairs that labels call quiet; None where unlisted test pairs count as quiet.
    """

    stack: str
    train_until: date
    test_from: date
    train_from: date | None = None
    test_until: date | None = None
    positives: frozenset[str] = frozenset()
    labelled: bool = False
    poster: Mapping[str, float] = field(default_factory=dict)
    volcano: str = ""
    negatives: frozenset[str] | None = None

    def split(self, pairs: Sequence[str], every: int) -> tuple[list[str], list[str], list[str]]:
        """Training pairs (never a positive), quiet test pairs (each `every`-th), positive test pairs; sorted by date."""
        cut = labels.split_by_date(pairs, self.train_until, self.test_from)
        first, last = Period(first=self.train_from), Period(last=self.test_until)
        train = sorted(p for p in cut.train if first.holds(p) and p not in self.positives)
        test = sorted(p for p in cut.test if last.holds(p))
        quiet = [p for p in test if p not in self.positives and (self.negatives is None or p in self.negatives)]
        return train, quiet[::every], [p for p in test if p in self.positives]


@dataclass(frozen=True)
class Plan:
    """A whole comparison: cases, systems, and what holds for all of them alike."""

    cases: tuple[Case, ...]
    systems: tuple[str, ...]
    peaks_cm: tuple[float, ...]
    budget: str
    weights: str
    every: int
    seed: int


@dataclass(frozen=True)
class Labels:
    """What a file of labels says: the authors' JSON of positives, or a CSV of frame,pair,label with 1 and perhaps 0."""

    file: str
    rows: tuple[labels.Label, ...]
    slips: tuple[str, ...]

    @classmethod
    def read(cls, file: str) -> Labels:
        """Read either form. Raises UsageError naming the file and the line."""
        if Path(file).suffix.lower() == ".json":
            lists, slips = labels.read_positive_lists(file)
            rows = [row for entries in lists.values() for row in entries]
        else:
            rows, slips = labels.read_csv(file)
        return cls(file, tuple(rows), tuple(f"{file}: {slip.text!r} at {slip.where}: {slip.why}" for slip in slips))

    def of(self, stack: str) -> tuple[frozenset[str], frozenset[str] | None]:
        """Positive pairs of a stack, and its negative ones where the file lists any for it (None where it does not)."""
        frame = frame_of(stack)
        mine = [row for row in self.rows if row.frame in (None, frame)]
        quiet = frozenset(row.pair for row in mine if row.label == 0)
        return frozenset(row.pair for row in mine if row.label == 1), quiet or None

    def remarks(self, stacks: Sequence[str]) -> list[str]:
        """What a reader of the table should know: slips, labels of other frames, what an unlisted pair counts as.

        Raises UsageError where no label is of a frame that is here.
        """
        frames = set(map(frame_of, stacks))
        here = [row for row in self.rows if row.frame is None or row.frame in frames]
        elsewhere = [row for row in self.rows if row not in here]
        if not here:
            first = f"; its first is of {elsewhere[0].frame}" if elsewhere else ""
            raise UsageError(
                f"--labels {self.file}: no label is of a frame that is here ({', '.join(sorted(frames))}){first}"
            )
        said = list(self.slips)
        if elsewhere:
            said.append(f"{self.file}: {len(elsewhere)} labels are of frames that are not here, first {elsewhere[0].frame}")
        for stack in stacks:
            positive, quiet = self.of(stack)
            if quiet is None:
                said.append(
                    f"{self.file}: it lists no quiet pair of {stack}: every pair that it does not list counts as quiet"
                )
            if not positive:
                said.append(f"{self.file}: it lists no positive pair of {stack}")
        sharing = [stack for stack in stacks if sum(frame_of(other) == frame_of(stack) for other in stacks) > 1]
        if sharing:
            said.append(
                f"{self.file}: labels are by frame and hold for all volcanoes on it ({', '.join(sharing)}); see --volcano"
            )
        return said


def case_study_volcanoes() -> list[Volcano]:
    """The poster's five volcanoes with all of their frames: the catalogue of a comparison on the case studies."""
    return [
        Volcano(gvp=study.gvp, name=study.volcano, lat=study.lat, lon=study.lon, frames=study.frames)
        for study in labels.case_studies().values()
    ]


def case_study_cases(stacks: Sequence[str]) -> tuple[list[Case], list[str]]:
    """The poster's five case studies on the stacks that are here, and what is missing of them.

    Raises
    ------
    UsageError
        where not one of their frames is in the catalogue.
    """
    cases, missing = [], []
    for study in labels.case_studies().values():
        for frame in study.frames:
            stack = str(Stack(study.gvp, frame))
            if stack not in stacks:
                missing.append(
                    f"{study.volcano}: {stack} is not in the store: no [[source]] has its frame, or it has no data"
                )
                continue
            positives = frozenset(study.positives.get(frame, ()))
            cases.append(
                Case(
                    stack,
                    study.train_until,
                    max(study.test_from, study.train_until + timedelta(days=1)),
                    positives=positives,
                    labelled=True,
                    poster=study.poster,
                    volcano=study.volcano,
                )
            )
    if not cases:
        raise UsageError("none of the case studies' frames is here:\n" + "\n".join(missing))
    return cases, missing


def plan(given: argparse.Namespace, stacks: Sequence[str]) -> tuple[Plan, list[str]]:
    """The comparison that `command.arguments` describe on these stacks, and what is to be said about its labels and cases.

    Raises
    ------
    UsageError
        where the split is missing, a system or budget is unknown, or there is no stack.
    """
    check(given)
    said: list[str] = []
    if given.cases:
        cases, said = case_study_cases(stacks)
    else:
        known = Labels.read(given.labels) if given.labels else None
        said = known.remarks(stacks) if known and stacks else []
        cases = []
        for stack in stacks:
            span = (given.train_until, given.test_from, given.train_from, given.test_until)
            positives, negatives = known.of(stack) if known else (frozenset(), None)
            cases.append(Case(stack, *span, positives, labelled=known is not None, negatives=negatives))
    if not cases:
        raise UsageError("no stack of the catalogue has data: check [[source]] and the catalogue's frames")
    chosen, left_out = chosen_systems(given)
    plan = Plan(tuple(cases), chosen, tuple(given.peaks), given.budget, given.weights, given.every, given.seed)
    return plan, [*said, *left_out]


def chosen_systems(given: argparse.Namespace) -> tuple[tuple[str, ...], list[str]]:
    """The systems that are asked for, or all that can be used, and why others cannot."""
    chosen, left_out = [], []
    for name in given.system or systems():
        try:
            settings_of(name, budget=given.budget, weights=given.weights, seed=given.seed)
            chosen.append(name)
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        except PluginFailed as problem:
            if given.system:
                raise
            left_out.append(f"{problem}; it is left out of the comparison")
    return tuple(chosen), left_out
