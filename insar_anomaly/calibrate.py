"""Each stack's threshold, from ROC: negatives are its own quiet pairs scored out of sample, positives labels or injections.

Out of sample means blocked in time: the quiet period is cut into blocks, and the pairs that lie inside one block are scored
by a model fitted on pairs of which no date falls into that block. A pair that straddles an edge is held out nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import flags
from insar_anomaly.detectability import detectability
from insar_anomaly.detectors.base import BATCH, Detector, Progress, Scorer, silent
from insar_anomaly.evaluate import auroc, proportion, rate_per_year, roc
from insar_anomaly.schema import pixel_km
from insar_anomaly.simulate import LOOK, PointSource, draw_source

Policy = Literal["false-alarms-per-year", "fpr", "youden", "quantile"]
ToTiles = Callable[[xr.Dataset], xr.Dataset]


@dataclass(frozen=True)
class Target:
    """What a policy aims at; only the field that belongs to `policy` is used.

    `false_alarms_per_year` counts flags, not pairs: one bad acquisition makes several bad pairs but one false alarm.
    """

    policy: Policy
    false_alarms_per_year: float
    fpr: float
    quantile: float
    min_pairs: int
    clear_after_days: int


@dataclass(frozen=True)
class Trial:
    """Scores made out of sample.

    ``dates`` (pair, 2) datetime64[D], ``negative`` (pair,), ``positive`` peak in cm (or "labels") -> scores (pair,),
    ``years`` of observation that the negatives cover, ``places`` peak -> where the sources were (pair, 2), as parts of the
    scene's sides. NaN scores (not scorable) are left out already.
    """

    dates: NDArray[np.datetime64]
    negative: NDArray[np.float64]
    positive: Mapping[str, NDArray[np.float64]]
    years: float
    places: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """A stack's threshold and how well it is known. `threshold` is None where the stack is not calibrated; `why` says why.

    ``false_alarms`` is flags per year (value, low, high) and ``false_positives`` the rate per pair, both on the negatives at
    the threshold; ``detection`` maps a peak to the rate of detected injections; ``auroc`` maps a peak to AUROC;
    ``detectability`` is `detectability.Detectability` as a dictionary, empty where no source was injected.
    """

    policy: str
    threshold: float | None
    why: str
    negatives: list[float]
    years: float
    false_alarms: tuple[float, float, float] | None
    false_positives: tuple[float, float, float] | None
    detection: dict[str, tuple[float, float, float]]
    auroc: dict[str, float]
    roc: dict[str, list[list[float]]]
    detectability: dict[str, Any] = field(default_factory=dict)

    def percentile(self, score: float) -> float:
        """Part of the stack's quiet scores that lie below `score`, in percent."""
        return float(100 * np.searchsorted(np.sort(self.negatives), score) / max(1, len(self.negatives)))

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


def blocks(dates: NDArray[np.datetime64], folds: int) -> NDArray[np.int64]:
    """Block of time (pair,) that holds both dates of a pair; -1 for a pair that straddles an edge.

    `dates` is (pair, 2), reference and secondary. The edges are quantiles of the acquisition dates.
    """
    acquired = np.unique(dates)
    edges = acquired[np.linspace(0, len(acquired), folds + 1).astype(int)[1:-1]]
    first, last = (np.searchsorted(edges, dates[:, i], side="right") for i in (0, 1))
    return np.where(first == last, first, -1)


def trial(
    stack: xr.Dataset,
    to_tiles: ToTiles,
    detector: Detector,
    *,
    folds: int,
    peaks_cm: tuple[float, ...],
    seed: int,
    progress: Progress = silent,
) -> Trial:
    """Score a stack's quiet pairs, and the same pairs with one synthetic source each, out of sample.

    Parameters
    ----------
    stack : quiet pairs, lazy, as `store.open` gives them
    to_tiles : `preprocess.tiles` with its settings; sources are injected before it
    detector : fitted once per block, on the pairs that share no date with the block
    folds, peaks_cm, seed : see `config.Calibrate`

    Raises
    ------
    ValueError
        from the detector, where a block leaves too little to fit on.
    """
    dates = pair_dates(stack)
    block = blocks(dates, folds)
    inside = [np.flatnonzero(block == b) for b in range(folds)]
    scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("", *map(_peak_name, peaks_cm))}
    placed: dict[str, list[NDArray[np.float64]]] = {_peak_name(p): [] for p in peaks_cm}
    kept, days, done = [], 0.0, 0
    for held in inside:
        if not len(held):
            continue
        low, high = dates[held].min(), dates[held].max()
        free = np.flatnonzero(~((dates >= low) & (dates <= high)).any(axis=1))
        scorer = detector.fit(to_tiles(stack.isel(pair=free)))
        for name, peak in (("", 0.0), *((_peak_name(p), p) for p in peaks_cm)):
            scores[name].append(_scored(scorer, stack.isel(pair=held), to_tiles, peak, seed))
            if peak:
                placed[name].append(places(stack.isel(pair=held), peak_cm=peak, seed=seed))
        kept.append(held)
        days += float((high - low) / np.timedelta64(1, "D"))
        done += 1
        progress(done, len(inside))
    order = np.concatenate(kept) if kept else np.empty(0, int)
    joined = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in scores.items()}
    known = ~np.isnan(joined[""])
    positive = {name: values[~np.isnan(values)] for name, values in joined.items() if name}
    where = {n: np.concatenate(parts)[~np.isnan(joined[n])] for n, parts in placed.items() if parts}
    return Trial(dates[order][known], joined[""][known], positive, days / 365.25, where)


def choose(result: Trial, target: Target, *, in_sample: NDArray[np.float64] | None = None) -> Calibration:
    """The threshold of a stack under a named policy, with ROC, rates and intervals.

    Parameters
    ----------
    result : out-of-sample scores
    target : the policy and its aim
    in_sample : scores of the training pairs by the final model, for policy ``quantile`` only

    Raises
    ------
    ValueError
        where the policy is unknown, or ``quantile`` has no in-sample scores.
    """
    known = result.negative
    positives = np.concatenate(list(result.positive.values())) if result.positive else np.empty(0)
    threshold: float | None
    if len(known) < target.min_pairs:
        threshold, why = None, f"{len(known)} quiet pairs scored out of sample, at least {target.min_pairs} are needed"
    elif target.policy == "false-alarms-per-year":
        threshold = _by_false_alarms(result, target)
        why = f"at most {target.false_alarms_per_year:g} a year, from {result.years:.2g} years of quiet pairs"
    elif target.policy == "fpr":
        threshold, why = float(np.quantile(known, 1 - target.fpr, method="higher")), f"{target.fpr:g} of quiet pairs"
    elif target.policy == "youden":
        threshold, why = _youden(known, positives)
    elif target.policy == "quantile":
        if in_sample is None:
            raise ValueError("policy quantile needs the training scores")
        threshold, why = (
            float(np.nanquantile(in_sample, target.quantile)),
            f"{target.quantile:g} quantile of training scores",
        )
    else:
        raise ValueError(f"policy = {target.policy!r} is unknown")
    return _described(result, target, threshold, why)


def pair_dates(stack: xr.Dataset) -> NDArray[np.datetime64]:
    """Dates (pair, 2) datetime64[D] of a stack: reference, secondary."""
    return np.stack([stack[n].values.astype("datetime64[D]") for n in ("reference", "secondary")], axis=1)


def inject(stack: xr.Dataset, *, peak_cm: float, seed: int) -> xr.Dataset:
    """The stack, loaded, with one random point source of `peak_cm` in each pair's phase (depth 1-4 km, middle half).

    A pair's source depends on `seed`, its dates and the peak only, so that any batch order gives the same sources.
    """
    phase = stack["phase"].load().copy()
    shape = (phase.sizes["y"], phase.sizes["x"])
    pixel = pixel_km(stack)
    seen = tuple(float(stack[k].mean()) for k in ("e", "n", "u"))
    look = (seen[0], seen[1], seen[2]) if np.isfinite(seen).all() else LOOK
    for i, source in enumerate(_sources(stack, peak_cm, seed)):
        phase[i] += source.phase(shape, pixel_km=pixel, look=look).astype(np.float32)
    return stack.assign(phase=phase)


def places(stack: xr.Dataset, *, peak_cm: float, seed: int) -> NDArray[np.float64]:
    """Where `inject` puts its sources (pair, 2): row and column as parts of the scene's sides, 0 to 1."""
    shape = (stack.sizes["y"], stack.sizes["x"])
    drawn = [(one.row / shape[0], one.col / shape[1]) for one in _sources(stack, peak_cm, seed)]
    return np.array(drawn).reshape(-1, 2)


def _sources(stack: xr.Dataset, peak_cm: float, seed: int) -> Iterator[PointSource]:
    shape = (stack.sizes["y"], stack.sizes["x"])
    for first, last in pair_dates(stack).astype(int):
        rng = np.random.default_rng([seed, int(first) % 2**31, int(last) % 2**31, round(peak_cm * 1000)])
        yield draw_source(shape, rng, peak_cm=peak_cm)


def count_flags(
    dates: NDArray[np.datetime64], scores: NDArray[np.float64], threshold: float, *, clear_after_days: int
) -> int:
    """Flags that these scores raise: `flags.run` over them."""
    days = dates.astype("datetime64[D]").astype(object)
    evidence = [flags.Evidence(a, b, float(s), threshold) for (a, b), s in zip(days, scores, strict=True)]
    return len(flags.run(flags.State(), evidence, clear_after_days=clear_after_days)[0].episodes)


def _scored(scorer: Scorer, stack: xr.Dataset, to_tiles: ToTiles, peak_cm: float, seed: int) -> NDArray[np.float64]:
    out = []
    for start in range(0, stack.sizes["pair"], BATCH):
        batch = stack.isel(pair=slice(start, start + BATCH))
        if peak_cm:
            batch = inject(batch, peak_cm=peak_cm, seed=seed)
        out.append(scorer.score(to_tiles(batch)[list(scorer.inputs)])["score"].values)
    return np.concatenate(out)


def _by_false_alarms(result: Trial, target: Target) -> float:
    """The lowest of the negative scores above which flags are at most as frequent as the target.

    Flags can merge as the threshold falls, so their number is not monotonic: the search walks down from the highest score
    and stops at the first threshold that raises too many.

    Where not one flag is allowed in the time that was seen, the highest score is not high enough: scores like it come about
    once in that time, which is more often than wanted. The threshold then lies above it, by as much as an exponential tail
    (mean excess over the 80 % quantile) falls by the factor that is missing.
    """
    allowed = target.false_alarms_per_year * max(result.years, 1e-9)
    ranked = np.unique(result.negative)[::-1]
    best = float(ranked[0])
    if allowed < 1:
        return best + _mean_excess(result.negative) * float(np.log(1 / max(allowed, 1e-3)))
    for candidate in ranked:
        found = count_flags(result.dates, result.negative, float(candidate), clear_after_days=target.clear_after_days)
        if found > allowed:
            break
        best = float(candidate)
    return best


def _mean_excess(scores: NDArray[np.float64]) -> float:
    edge = np.quantile(scores, 0.8)
    over = scores[scores > edge]
    return float((over - edge).mean()) if len(over) else 0.0


def _youden(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> tuple[float | None, str]:
    if not len(positive):
        return None, "policy youden needs positives: labels or injected sources"
    fpr, tpr, threshold = roc(negative, positive)
    best = int(np.argmax(tpr - fpr))
    # roc's thresholds flag at `>=`; flags are raised at `>`, so step just below
    return float(np.nextafter(threshold[best], -np.inf)), "largest true minus false positive rate"


def _described(result: Trial, target: Target, threshold: float | None, why: str) -> Calibration:
    known, alarms, positives = result.negative, None, None
    detection: dict[str, tuple[float, float, float]] = {}
    smallest: dict[str, Any] = {}
    if threshold is not None:
        found = count_flags(result.dates, known, threshold, clear_after_days=target.clear_after_days)
        rate = rate_per_year(found, max(result.years, 1e-9))
        share = proportion(int((known > threshold).sum()), len(known))
        alarms, positives = (rate.value, rate.low, rate.high), (share.value, share.low, share.high)
        for name, values in result.positive.items():
            seen = proportion(int((values > threshold).sum()), len(values))
            detection[name] = (seen.value, seen.low, seen.high)
        smallest = _detectability(result, threshold)
    curves = {name: _curve(known, values) for name, values in result.positive.items() if len(known) and len(values)}
    return Calibration(
        policy=target.policy,
        threshold=threshold,
        why=why,
        negatives=[float(v) for v in np.sort(known)],
        years=result.years,
        false_alarms=alarms,
        false_positives=positives,
        detection=detection,
        auroc={name: auroc(known, values) for name, values in result.positive.items()},
        roc=curves,
        detectability=smallest,
    )


def _detectability(result: Trial, threshold: float) -> dict[str, Any]:
    """From every injection of the trial; empty where there was none."""
    names = [name for name in result.places if len(result.places[name])]
    if not names:
        return {}
    peaks = np.concatenate([np.full(len(result.places[n]), float(n.removesuffix(" cm"))) for n in names])
    seen = np.concatenate([result.positive[n] > threshold for n in names])
    return detectability(peaks, np.concatenate([result.places[n] for n in names]), seen).as_dict()


def _curve(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> list[list[float]]:
    fpr, tpr, _ = roc(negative, positive)
    return [[round(float(v), 5) for v in fpr], [round(float(v), 5) for v in tpr]]


def _peak_name(peak_cm: float) -> str:
    return f"{peak_cm:g} cm"
