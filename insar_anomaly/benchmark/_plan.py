"""What a comparison measures on which stack: split by date, positives, and the poster's own numbers where it has them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from insar_anomaly import labels
from insar_anomaly.benchmark._systems import SYSTEMS, settings_of
from insar_anomaly.catalogue import Volcano
from insar_anomaly.errors import UsageError


@dataclass(frozen=True)
class Case:
    """One stack's share: last day of training, first day of the test, its positive pairs, the poster's row.

    `train_from` and `test_until` bound both sides where they are given; `volcano` is its name in the poster's table.
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

    def split(self, pairs: Sequence[str], every: int) -> tuple[list[str], list[str], list[str]]:
        """Training pairs (never a positive), quiet test pairs (each `every`-th), positive test pairs; sorted by date."""
        cut = labels.split_by_date(pairs, self.train_until, self.test_from)
        first = f"{self.train_from:%Y%m%d}" if self.train_from else ""
        last = f"{self.test_until:%Y%m%d}" if self.test_until else "9"
        train = sorted(p for p in cut.train if p >= first and p not in self.positives)
        test = sorted(p for p in cut.test if p[9:] <= last)
        return train, [p for p in test if p not in self.positives][::every], [p for p in test if p in self.positives]


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


def labelled_positives(file: str | None, stack: str) -> tuple[frozenset[str], list[str]]:
    """Pairs that a CSV (frame,pair,label) or the authors' JSON calls positive on this stack, and the slips in the file."""
    if file is None:
        return frozenset(), []
    frame = stack.split("/", 1)[1]
    if Path(file).suffix.lower() == ".json":
        lists, slips = labels.read_positive_lists(file)
        rows = [row for entries in lists.values() for row in entries]
    else:
        rows, slips = labels.read_csv(file)
    said = [f"{file}: {slip.text!r} at {slip.where}: {slip.why}" for slip in slips]
    return frozenset(row.pair for row in rows if row.label == 1 and row.frame in (None, frame)), said


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
            stack = f"{study.gvp}/{frame}"
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
    said: list[str] = []
    if given.cases:
        cases, said = case_study_cases(stacks)
    elif not (given.train_until and given.test_from):
        raise UsageError("benchmark needs --train-until and --test-from (or --cases)")
    else:
        cases = []
        for stack in stacks:
            positives, slips = labelled_positives(given.labels, stack)
            said += [words for words in slips if words not in said]
            span = (given.train_until, given.test_from, given.train_from, given.test_until)
            cases.append(Case(stack, *span, positives, labelled=given.labels is not None))
    if not cases:
        raise UsageError("no stack of the catalogue has data: check [[source]] and the catalogue's frames")
    systems = tuple(given.system or SYSTEMS)
    for name in systems:
        try:
            settings_of(name, budget=given.budget, weights=given.weights, seed=given.seed)
        except ValueError as problem:
            raise UsageError(str(problem)) from None
    peaks = tuple(given.peaks)
    return Plan(tuple(cases), systems, peaks, given.budget, given.weights, given.every, given.seed), said
