"""A flag's score, computed again from what was recorded: snapshot, model, settings and code; every step with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from insar_anomaly import __version__
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.return_period import words_of_years
from insar_anomaly.errors import InsarAnomalyError, StackFailed
from insar_anomaly.evidence import assessments
from insar_anomaly.evidence.protocol import Assessment
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, ScoreRow
from insar_anomaly.names import EvidenceKind, FlagName, Pair, Period, later_of, later_of_both
from insar_anomaly.pipeline.assess import score_task
from insar_anomaly.pipeline.couples import joint_assessments, members
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.pipeline.redraw import redraw
from insar_anomaly.pipeline.scoring import Measured, ScoreTask, measured
from insar_anomaly.sources.words import counted
from insar_anomaly.spoken import DEFAULT, LANGUAGES


@dataclass(frozen=True)
class Step:
    """One step of the way to a score: what it is, and its numbers in words."""

    what: str
    found: str


@dataclass(frozen=True)
class Explanation:
    """How a score came about.

    `recorded` is the score in the ledger, `recomputed` what comes out now (None where it cannot be computed). `differences`
    say what is not as it was; there are none where the two are equal to the last digit. `parts` explain a couple's two
    stacks. `after` is the number of acquisitions on the later side of an interval, its own second one included, and `later`
    that of those strictly after it. `told` says whether a notice of the flag was sent; `figure` is the file that its figure
    was written to, None where it cannot be drawn. A part of a couple has neither.
    """

    flag: str
    stack: str
    evidence: EvidenceKind
    pair: str
    after: int
    snapshot: str
    model: str
    code: str
    recorded: float
    recomputed: float | None
    steps: tuple[Step, ...]
    differences: tuple[str, ...] = ()
    parts: tuple[Explanation, ...] = ()
    later: int = 0
    told: Told | None = None
    figure: str | None = None

    @property
    def same(self) -> bool:
        """True where the score that was recorded comes out again."""
        return self.recomputed == self.recorded and all(part.same for part in self.parts)

    def lines(self, indent: str = "") -> Iterator[str]:
        """For people."""
        after = f" with {counted(self.later, 'acquisition')} after it" if self.later else ""
        yield f"{indent}{self.flag}: {self.evidence.one} {self.pair}{after}"
        yield f"{indent}  recorded: score {self.recorded!r}, model {self.model}, snapshot {self.snapshot}, code {self.code}"
        for number, step in enumerate(self.steps, 1):
            yield f"{indent}  {number}. {step.what}: {step.found}"
        for part in self.parts:
            yield from part.lines(indent + "  ")
        again = "it cannot be computed again" if self.recomputed is None else f"computed again: {self.recomputed!r}"
        yield f"{indent}  {again}{', equal to the last digit' if self.recomputed == self.recorded else ''}"
        for words in self.differences:
            yield f"{indent}  differs: {words}"
        if self.told is not None:
            yield f"{indent}  {self.told.value}"
        if self.figure is not None:
            yield f"{indent}  figure: {self.figure}"


def explain(s: Installation, flag: FlagName) -> Explanation:
    """Compute the highest score of a flag again, and draw its figure, see `redraw.redraw`.

    Raises
    ------
    LookupError
        where there is no such flag, or its score is not in the ledger any more.
    """
    row = next((one for one in s.ledger.episodes(flag.stack) if one.number == flag.number), None)
    if row is None:
        raise LookupError(f"there is no flag {flag}")
    model, score = _recorded(s, row)
    couple = model.evidence is EvidenceKind.DIRECTIONS
    found = _of_couple(s, str(flag), model, score) if couple else _of_stack(s, str(flag), flag.stack, model, score)
    found = replace(found, told=s.ledger.told_of(flag))
    try:
        return replace(found, figure=str(redraw(s, str(flag), None)))
    except (InsarAnomalyError, LookupError, OSError) as problem:
        return replace(found, differences=(*found.differences, f"its figure cannot be drawn: {problem}"))


def _recorded(s: Installation, row: EpisodeRow) -> tuple[ModelRow, ScoreRow]:
    """The score that is the flag's highest, and the model that gave it: the one that raised the flag, or a later one."""
    found = [one for one in s.ledger.score_rows(row.stack, row.peak_pair) if one.score is not None]
    exact = [one for one in found if one.score == row.peak_score]
    for one in exact or sorted(found, key=lambda one: one.score or 0.0, reverse=True):
        model = s.ledger.model(row.stack, one.model)
        if model is not None:
            return model, one
    raise LookupError(f"{row.stack}: the ledger holds no score of {row.peak_pair} any more")


def _of_stack(s: Installation, flag: str, stack: str, model: ModelRow, row: ScoreRow) -> Explanation:
    bare = _bare(flag, stack, model, row)
    differences = [f"code {model.version} fitted the model, this is {__version__}"] if model.version != __version__ else []
    try:
        again, pairs = _computed(s, stack, model, row)
    except (InsarAnomalyError, LookupError) as problem:
        return replace(bare, steps=tuple(_judged(s, model, row)), differences=(*differences, str(problem)))
    steps = (Step("pairs", f"{len(pairs)} of the snapshot: {_few(pairs)}"), *_measured(again), *_judged(s, model, row))
    if again.score != row.score:
        differences.append(f"the score is {again.score!r} now, off by {again.score - bare.recorded:.3g}")
    return replace(bare, recomputed=again.score, steps=steps, differences=tuple(differences))


def _bare(flag: str, stack: str, model: ModelRow, row: ScoreRow) -> Explanation:
    """What was recorded, before anything is computed."""
    assert row.score is not None
    what = (flag, stack, model.evidence, row.pair, row.after, row.snapshot, model.model, model.version)
    later = later_of(model.evidence, row.after)
    return Explanation(*what, recorded=row.score, recomputed=None, steps=(), later=later)


def _computed(s: Installation, stack: str, model: ModelRow, row: ScoreRow) -> tuple[Measured, list[str]]:
    """The score of an assessment again, and the pairs that it is made of."""
    held = s.store.open(stack, snapshot=row.snapshot)
    names = list(map(str, held["pair"].values))
    versions = dict(zip(names, held["version"].values.tolist(), strict=True)) if "version" in held else {}
    reach = Recipe.read(model.settings).reach
    for pairs in (names, [name for name in names if row.seen is None or Pair.of(name).last <= row.seen]):
        known = {pair: version for pair, version in versions.items() if version}
        for one in assessments(model.evidence, sorted(pairs), reach, known):
            if (one.name, one.after, one.inputs) == (row.pair, row.after, row.inputs):
                return measured(_task(s, stack, model=model, row=row, one=one, pairs=sorted(pairs)), one), _made_of(
                    one, sorted(pairs)
                )
    raise StackFailed(f"snapshot {row.snapshot} of {stack} does not give {row.pair} from the same pairs any more")


def _task(s: Installation, stack: str, *, model: ModelRow, row: ScoreRow, one: Assessment, pairs: list[str]) -> ScoreTask:
    """The task of the batch that scored the assessment: those that went through the network with it, in their order."""
    beside = [one if name == (one.name, one.after) else Assessment(*name, 0, one.seen) for name in _batch(s, stack, row)]
    return score_task(s, stack, model, pairs=pairs, assessments=beside or [one], snapshot=row.snapshot)


def _batch(s: Installation, stack: str, row: ScoreRow) -> list[tuple[str, int]]:
    """Names and `after` of the assessments that were scored with this one; none where the store does not say."""
    scores = s.store.read_scores(stack, row.model)
    if scores is None or "batch" not in scores:
        return []
    names = scores["pair"].values.astype(str)
    after = scores["after"].values if "after" in scores else np.zeros(len(names), int)
    score = scores["score"].values
    mine = np.flatnonzero((names == row.pair) & (after == row.after) & (score == row.score))
    if not len(mine) or not (batch := int(scores["batch"].values[mine[-1]])):
        return []
    together = np.flatnonzero(scores["batch"].values == batch)
    order = together[np.argsort(scores["batch_place"].values[together], kind="stable")]
    return [(str(names[i]), int(after[i])) for i in order]


def _made_of(one: Assessment, pairs: Sequence[str]) -> list[str]:
    """Pairs that join the acquisitions of an assessment, as far as their names tell."""
    span = Pair.of(one.name)
    return [pair for pair in pairs if Pair.of(pair).last > span.first and Pair.of(pair).first < span.last] or [one.name]


def _measured(again: Measured) -> Iterator[Step]:
    where = LANGUAGES[DEFAULT].place(again.lat, again.lon, digits=4)
    yield Step(
        "line of sight",
        f"{again.low_cm:+.2f} to {again.high_cm:+.2f} cm towards the satellite over {again.valid:.0%} of the box, "
        "as the detector sees it",
    )
    yield Step("distance of the patches", f"{again.raw:.6g} for the scene; the largest, {again.highest:.6g}, at {where}")
    if again.level is not None:
        parts = [f"{name} {value:.4g}" for name, value in again.level.items() if value is not None]
        yield Step(
            "measured by what is quiet",
            f"noise variance {again.variance:.4g}, {again.days:.0f} days: ({again.raw:.6g} - location) / spread = "
            f"{again.score:.6g}, with {', '.join(parts)}",
        )


def _judged(s: Installation, model: ModelRow, row: ScoreRow) -> Iterator[Step]:
    assert row.score is not None
    threshold = row.threshold if row.threshold is not None else model.threshold
    if threshold is None:
        yield Step("threshold", f"none: {model.why}")
        return
    over = "over" if row.score > threshold else "not over"
    yield Step("threshold", f"{row.score:.6g} is {over} {threshold:.6g}, {model.policy}: {model.why}")
    record = Calibration.read(model.calibration)
    yield Step("percentile", f"{record.percentile(row.score):.1f} % of {len(record.negatives)} quiet scores lie below it")
    if record.tail is not None:
        found = record.tail.period(row.score)
        yield Step(
            "return period",
            f"{words_of_years(found.value)} ({words_of_years(found.low)} to {words_of_years(found.high)}, 95 %), from "
            f"{len(record.tail.peaks)} peaks over {record.tail.edge:.4g} in {record.tail.years:.2g} quiet years",
        )
    level = level_of(s)
    told = Telling.of(model, level).above(threshold)
    why = f"; {level.words}" if level is not None else ""
    yield Step("notice", f"{'yes' if row.score > told else 'no, noted only'}: from {told:.6g} on by the present level{why}")


def _of_couple(s: Installation, flag: str, model: ModelRow, row: ScoreRow) -> Explanation:
    """A couple's score is the sum of its members' over the root of two; each of these is explained, too."""
    every = joint_assessments(s, FlagName.of(flag).stack, Period())
    joint = next((one for one in every if (one.name, one.after, one.inputs) == (row.pair, row.after, row.inputs)), None)
    couple = FlagName.of(flag).stack
    bare = replace(_bare(flag, couple, model, row), steps=tuple(_judged(s, model, row)))
    if joint is None:
        return replace(bare, differences=("the two stacks' scores that it was made of have been made again since",))
    parts = []
    for stack, one in zip(members(bare.stack), joint.members, strict=True):
        mine = [r for r in s.ledger.score_rows(stack, one.name) if (r.after, r.score) == (one.after, one.score)]
        made_by = [(m, r) for r in mine if (m := s.ledger.model(stack, r.model)) is not None]
        parts += [_of_stack(s, f"{stack} in {flag}", stack, *made_by[-1])] if made_by else []
    words = " + ".join(f"{one.score:.6g}" for one in joint.members)
    step = Step("both directions", f"({words}) / sqrt 2 = {joint.score:.6g}")
    later = later_of_both([(one.name, one.after) for one in joint.members])
    return replace(bare, recomputed=joint.score, steps=(step, *bare.steps), parts=tuple(parts), later=later)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f", ... {names[-1]}" if len(names) > 4 else "")
