"""A scene is read and measured: which acquisitions hold the event, what moved in it, and what else it could be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import scipy  # loads its parts when they are used
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import QUIET
from insar_anomaly.errors import StoreFailed
from insar_anomaly.evidence import doubts, fusion, motion, timing
from insar_anomaly.evidence.fusion import Cleaned
from insar_anomaly.evidence.motion import Ground, Map, Peak, Scatter
from insar_anomaly.evidence.moved import Moved
from insar_anomaly.evidence.network import Window
from insar_anomaly.evidence.protocol import Reach, ToTiles
from insar_anomaly.evidence.timing import Series
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.names import EvidenceKind, Pair, Period
from insar_anomaly.pipeline.assess import accepted_until, spans
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.parts import tiles_of
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.pipeline.scene import Scene, Shown, Span, score_map_of
from insar_anomaly.pipeline.scoring import static_loaded
from insar_anomaly.pipeline.weighing import bands_of, coherence_of, layers_of, phases_of
from insar_anomaly.stack.schema import Grid, wavelength_of
from insar_anomaly.tiles.preprocess import range_step
from insar_anomaly.units import rad_per_m

_QUIET_SPANS = 24
"""Quiet spans that the uncertainty rests on, spread evenly over the quiet time: each takes the reading of its pairs."""
_AROUND = 8, 6
"""Acquisitions before and after a flag that the series shows."""


def scene_of(s: Installation, shown: Shown) -> Scene:
    """The scene of one stack.

    Raises
    ------
    StoreFailed
        where the model or the score map is gone, or none of the pairs that show it is left.
    """
    model = s.ledger.model(shown.stack, shown.model)
    if model is None:
        raise StoreFailed(f"the ledger has no model {shown.model} of {shown.stack}")
    pairs = accepted_until(s, shown.stack, Period(last=shown.as_of))
    if not any(spans(pair, shown.pair) for pair in pairs):
        raise StoreFailed(f"{shown.stack}: no pair that spans {shown.pair} is left in the store")
    score_map, cell_px = score_map_of(s, shown)
    dataset = static_loaded(s.store.open(shown.stack, pairs=pairs))
    return Measuring(s, shown, model, dataset, score_map, cell_px).scene


@dataclass(frozen=True)
class Found:
    """What is measured of a span between two acquisitions."""

    first: int
    last: int
    map: Map
    peak: Peak | None
    scatter: Scatter | None
    series: Series | None


@dataclass(frozen=True)
class Measuring:
    """A scene in the making."""

    s: Installation
    shown: Shown
    model: ModelRow
    dataset: xr.Dataset
    score_map: NDArray[np.floating]
    cell_px: int | None = None

    @cached_property
    def recipe(self) -> Recipe:
        return Recipe.read(self.model.settings)

    @cached_property
    def reach(self) -> Reach:
        """How many acquisitions are averaged; for single pairs as the settings of fused evidence say."""
        fusing = self.s.config.fusion
        chosen = Reach(
            fusing.before, fusing.after, fusing.beside, fusing.range_rad, fusing.days, fusing.most, fusing.within_days
        )
        return chosen if self.shown.evidence is EvidenceKind.PAIR else self.recipe.reach

    @cached_property
    def ground(self) -> Ground:
        volcano = self.s.by_stack[self.shown.stack]
        height, removed = self.dataset["height"].values, self.recipe.cleaning.remove
        return Ground(Grid.of(self.dataset), height, (volcano.lat, volcano.lon), wavelength_of(self.dataset), removed)

    @cached_property
    def cleaned(self) -> Cleaned:
        return Cleaned(self.dataset, self.to_tiles(self.recipe), keep=True)

    def to_tiles(self, recipe: Recipe) -> ToTiles:
        volcano = self.s.by_stack[self.shown.stack].model_copy(update={"exclude": recipe.exclude})
        return tiles_of(volcano, self.dataset, recipe.cleaning, chunk=None)

    @cached_property
    def days(self) -> list[date]:
        """The acquisitions of the stack's network."""
        out: list[date] = self.cleaned.network.days.astype("datetime64[D]").astype(object).tolist()
        return out

    @property
    def stride(self) -> int:
        """Pixels per cell of the score map. The last cell of either side may be smaller."""
        sides = zip(self.ground.grid.shape, self.score_map.shape, strict=True)
        return self.cell_px or max(-(-pixels // cells) for pixels, cells in sides)

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """The ground (y, x) that was scored."""
        return self._pixels(np.isfinite(np.asarray(self.score_map, np.float64)))

    @cached_property
    def flagged(self) -> NDArray[np.bool_]:
        """The ground (y, x) that the flag points at: cells over the threshold and those beside them, as far as they were
        scored; all that was scored where no cell is over, or no threshold is known."""
        scores = np.nan_to_num(np.asarray(self.score_map, np.float64), nan=-np.inf)
        over = scores > (np.inf if self.shown.threshold is None else self.shown.threshold)
        if not over.any():
            return self.scored
        return self.scored & self._pixels(scipy.ndimage.binary_dilation(over, np.ones((3, 3))))

    def _pixels(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cells (v, u) of the score map as pixels (y, x)."""
        height, width = self.ground.grid.shape
        return np.repeat(np.repeat(cells, self.stride, 0), self.stride, 1)[:height, :width]

    @property
    def scene(self) -> Scene:
        """Everything: first of the assessed span, then of the span that holds the event, where that is another."""
        first, last = self.ends(*Pair.of(self.shown.pair).days)
        found = self._found(first, last)
        if found is None:
            raise StoreFailed(f"{self.shown.stack}: the pairs of {self.shown.pair} cannot be fused any more")
        if found.series is not None:
            sigma = found.scatter.sigma_cm if found.scatter else 0.0
            event = self.ends(*timing.holding(found.series, *self._time, sigma_cm=sigma))
            if event != (first, last):
                found = self._found(*event) or found
        return self._told(found)

    def _found(self, first: int, last: int) -> Found | None:
        """What is measured of a span; None where no pairs tell."""
        seen = self.map_of(first, last)
        if seen is None:
            return None
        peak = motion.peak_of(seen, self.ground, self.flagged)
        if peak is None:
            return Found(first, last, seen, None, None, None)
        scatter = motion.scatter_of(self._quiet(last - first), self.ground, self.scored, peak)
        return Found(first, last, seen, peak, scatter, self._series(peak, last))

    @property
    def _time(self) -> tuple[date, date]:
        """The time in which the event is looked for: that of the pair where one is told, else the flag's."""
        if self.shown.evidence is EvidenceKind.PAIR:
            return Pair.of(self.shown.pair).days
        return min(self.shown.since, Pair.of(self.shown.pair).first), max(self.shown.until, Pair.of(self.shown.pair).last)

    def ends(self, first: date, last: date) -> tuple[int, int]:
        """Two acquisitions by their dates; the nearest outside of a time that begins or ends between acquisitions."""
        opens = max((k for k, day in enumerate(self.days) if day <= first), default=0)
        closes = min((k for k, day in enumerate(self.days) if day >= last), default=len(self.days) - 1)
        return opens, max(closes, opens + 1)

    @cached_property
    def quiet(self) -> Measuring | None:
        """The pairs of the time that the model was fitted on, which a replay of the past has not reached yet."""
        fitted = Period(self.model.fit_from, self.model.fit_to)
        pairs = [pair for pair in accepted_until(self.s, self.shown.stack, fitted) if fitted.holds(pair)]
        if not pairs:
            return None
        here = np.isin(self.dataset["pair"].values, pairs)
        if here.sum() == len(pairs):
            return replace(self, dataset=self.dataset.isel(pair=np.flatnonzero(here)))
        return replace(self, dataset=static_loaded(self.s.store.open(self.shown.stack, pairs=pairs)))

    def window(self, first: int, last: int, *, before: int | None = None, after: int | None = None) -> Window | None:
        reach = self.reach
        within = float("inf") if reach.within_days is None else float(reach.within_days)
        sides = {"before": before or reach.before, "after": after or reach.after}
        return self.cleaned.network.spanning(first, last, **sides, within_days=within)

    def map_of(self, first: int, last: int) -> Map | None:
        """What moved between two acquisitions; None where no pairs tell."""
        window = self.window(first, last) or self.window(first, last, before=1, after=1)
        return None if window is None else next(self._maps([window]), None)

    def _maps(self, windows: Sequence[Window]) -> Iterator[Map]:
        step = range_step(self.recipe.cleaning.range_form, self.reach.range_rad)
        self.cleaned.hold(sorted({pair for window in windows for pair in window.pairs}))
        carried = [window for window in windows if self.cleaned.network.carried(window).any()]
        found = fusion.fused(self.cleaned, step, carried)
        for phase, valid in zip(found["phase"].values, found["valid"].values, strict=True):
            if valid.any():
                yield Map(phase, valid)

    def _quiet(self, steps: int) -> list[Map]:
        """Maps of spans of as many acquisitions in the time that the model was fitted on, outside of the flag."""
        if self.quiet is None:
            return []
        (since, until), days = self._time, self.quiet.days
        every = [
            (first, first + steps)
            for first in range(len(days) - steps)
            if days[first + steps] <= since or days[first] >= until
        ]
        chosen = sorted({round(k) for k in np.linspace(0, len(every) - 1, min(_QUIET_SPANS, len(every)))}) if every else []
        found = (self.quiet.window(*every[k]) for k in chosen)
        return list(self.quiet._maps([window for window in found if window is not None]))

    def _series(self, peak: Peak, last: int) -> Series:
        """The motion of the peak's place around the flag's time."""
        since, until = self.ends(*self._time)
        near = range(max(0, since - _AROUND[0]), min(len(self.days), until + _AROUND[1] + 1))
        network = self.cleaned.network
        chosen = [p for p, (one, other) in enumerate(network.ends.tolist()) if one in near and other in near]
        maps = zip(*self.cleaned.take(chosen), strict=True)
        values = np.array([self._value(Map(phase, valid), peak) for phase, valid in maps])
        ends = network.ends[chosen] - near[0]
        return timing.series_of([self.days[k] for k in near], ends, values, through=last - near[0])

    def _value(self, pair: Map, peak: Peak) -> float:
        """What one pair shows of the peak's place, cm; NaN where it did not measure it."""
        if not pair.valid[peak.row, peak.column]:
            return float("nan")
        return float(motion.averaged(self._levelled(pair, peak), pair.valid)[peak.row, peak.column])

    def _levelled(self, shown: Map, peak: Peak) -> NDArray[np.float64]:
        return motion.levelled_cm(shown, self.ground, motion.far_from(shown.valid, self.ground, peak.row, peak.column))

    def _span(self, first: int, last: int, peak: Peak | None) -> Span | None:
        """A span beside the event; None where there is none, or no pairs tell.

        One acquisition on either side: a mean over more of them would show a part of the event, or of another one.
        """
        if first < 0 or last >= len(self.days) or peak is None:
            return None
        window = self.window(first, last, before=1, after=1)
        shown = None if window is None else next(self._maps([window]), None)
        if shown is None:
            return None
        return Span(self.days[first], self.days[last], np.where(shown.valid, self._levelled(shown, peak), np.nan))

    def _told(self, found: Found) -> Scene:
        first, last, peak = found.first, found.last, found.peak
        steps = last - first
        plain = np.where(found.map.valid, found.map.phase, np.nan) / rad_per_m(self.ground.wavelength_m) * 100
        look = tuple(float(self.dataset[name].mean()) for name in ("e", "n", "u"))
        return Scene(
            shown=self.shown,
            grid=self.ground.grid,
            height=self.ground.height,
            look=(look[0], look[1], look[2]),
            wavelength_m=self.ground.wavelength_m,
            event=Span(self.days[first], self.days[last], plain if peak is None else peak.levelled_cm),
            before=self._span(first - steps, first, peak),
            later=self._span(last, last + steps, peak),
            coherence=np.where(found.map.valid, coherence_of(self, first, last), np.nan),
            score_map=self.score_map,
            stride=self.stride,
            series=found.series,
            quiet_cm=found.scatter.sigma_cm if found.scatter else None,
            moved=None if peak is None else self._moved(found, peak),
        )

    def _moved(self, found: Found, peak: Peak) -> Moved:
        grid, days = self.ground.grid, self.days
        lat, lon = float(grid.lat[peak.row]), float(grid.lon[peak.column])
        km, bearing = self.ground.from_vent(lat, lon)
        scatter, series = found.scatter, found.series
        first, last = days[found.first], days[found.last]
        quiet = Calibration.read(self.model.calibration).assessments.get(QUIET, ())
        season = doubts.season([(one.last, one.score) for one in quiet], last)
        layers, bands = layers_of(self, found, peak), bands_of(self, found, peak)
        return Moved(
            first=first,
            last=last,
            cm=peak.cm,
            sigma_cm=math.hypot(scatter.sigma_cm, peak.open_cm) if scatter else None,
            quiet_cm=scatter.peak95_cm if scatter else None,
            quiet_spans=scatter.spans if scatter else 0,
            lat=lat,
            lon=lon,
            km=km,
            bearing=bearing,
            area_km2=peak.area_km2,
            later=sum(day > last for day in series.days) if series else 0,
            kept=timing.kept(series, first, last) if series else None,
            height_correlation=layers.correlation if layers else None,
            height_cm=layers.cm if layers else None,
            low_coherence=doubts.low_coherence(coherence_of(self, found.first, found.last), peak.area),
            jumps=doubts.jumps(phases_of(self, found.first, found.last), doubts.with_rim(peak.area)),
            season_quiet=season.quiet,
            season_highest=season.highest,
            wavelength_m=self.ground.wavelength_m,
            bands=bands.part if bands else None,
            bands_cm=bands.cm if bands else None,
        )
