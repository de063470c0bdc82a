"""The canary: each night, a source is put into the newest data of one stack, and must be seen.

A night without flags looks the same whether the ground was quiet or the screening saw nothing. So one stack, another one
each night, scores its newest assessment once more with a synthetic source in it: with the stored model, the present settings
and code. Nothing of it is stored but the score.
"""

from __future__ import annotations

from dataclasses import replace

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.records import CanaryRow, ModelRow
from insar_anomaly.names import Period
from insar_anomaly.pipeline.assess import newest_whole, score_task
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.scoring import ScoreTask, score_assessments

UNKNOWN_CM = 10.0
"""Peak of the source where nothing was injected when the stack was fitted."""


def fly_canary(s: Installation, run: Run) -> None:
    """Score one stack with a source in it, write down whether it was seen, and warn where it was not.

    A replay flies none: it stands for nights of the past, which had theirs.
    """
    if not s.config.canary.enabled or run.replays or run.dry:
        return
    try:
        chosen = _chosen(s, run)
    except InsarAnomalyError as problem:
        run.fail("every stack", "canary", problem)
        return
    if chosen is None:
        return
    task, model = chosen
    for _, score, error in s.workers.fan_out(canary_score, [task], gpu=True):
        if score is None and error is not None:
            run.fail(task.stack, "canary", error)
            return
        _write(s, run, task, model, score)


def canary_score(task: ScoreTask) -> float | None:
    """The score of the task's one assessment; None where nothing was measured."""
    score = float(score_assessments(task)["score"].values[0])
    return score if score == score else None


def _chosen(s: Installation, run: Run) -> tuple[ScoreTask, ModelRow] | None:
    """The stack whose turn it is: the next one, by the night's date, that can raise flags and has something to assess."""
    stacks = sorted(set(s.by_stack) - run.failed - run.blind.keys())
    turn = run.as_of.toordinal() % len(stacks) if stacks else 0
    for stack in stacks[turn:] + stacks[:turn]:
        model, _ = s.resting(stack)
        if model is None or model.threshold is None:
            continue
        one, pairs = newest_whole(s, stack, model, Period(last=run.as_of))
        if one is None:
            continue
        task = score_task(s, stack, model, pairs=pairs, assessments=[one], snapshot=s.store.snapshot(stack))
        return replace(task, peak_cm=_peak(s, model), seed=run.as_of.toordinal()), model
    return None


def _peak(s: Installation, model: ModelRow) -> float:
    found = Calibration.read(model.calibration).detectability
    return s.config.canary.times * found.most.cm if found else UNKNOWN_CM


def _write(s: Installation, run: Run, task: ScoreTask, model: ModelRow, score: float | None) -> None:
    assert model.threshold is not None
    [one] = task.assessments
    row = CanaryRow(run.as_of, task.stack, task.evidence, one.name, one.after, task.peak_cm, score, model.threshold)
    s.ledger.record_canary(row)
    if not row.seen:
        scored = "was not measured" if score is None else f"scored {score:.4g}, under the threshold {row.threshold:.4g}"
        run.warn(
            f"{task.stack}: the canary was not seen: a source of {row.peak_cm:.2g} cm put into {row.pair} {scored}; "
            "see this stack's newest figures; if they show nothing unusual, run `insar-anomaly fit --again`"
        )
