"""One kit for every detector: what `detectors.base` promises, on a small simulated volcano."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from quiet_tiles import masked, quiet, unrest

from insar_anomaly import detectors, registry
from insar_anomaly.detectors.base import Detector, Registration, Scorer
from insar_anomaly.detectors.cnn import Cnn
from insar_anomaly.detectors.diffusion import Diffusion
from insar_anomaly.detectors.ganomaly import Ganomaly
from insar_anomaly.detectors.matched_filter import MatchedFilter
from insar_anomaly.detectors.padim import Padim

SMALL_UNET: dict[str, Any] = {
    "width": 8,
    "multipliers": (1, 2, 2),
    "blocks": 1,
    "attention_at": 4,
    "noise_to": 200,
    "train_to": 200,
}
SMALL_UNET |= {
    "steps": 120,
    "batch": 8,
    "window": 32,
    "stride": 32,
    "sampler": "ddim",
    "ddim_steps": 3,
    "learning_rate": 2e-3,
}
SMALL_GAN: dict[str, Any] = {
    "steps": 60,
    "batch": 8,
    "window": 32,
    "stride": 16,
    "width": 8,
    "latent": 16,
    "learning_rate": 1e-3,
}
SMALL_CNN: dict[str, Any] = {
    "steps": 150,
    "batch": 16,
    "window": 64,
    "stride": 32,
    "width": 8,
    "dropout": 0.0,
    "learning_rate": 1e-3,
}
SMALL_CNN |= {"peak_cm": (10.0, 15.0)}  # so few steps do not teach it the weak sources; AUROC 0.94-0.96 over seeds 0, 1, 2

DETECTORS: dict[str, Detector] = {
    "padim": Padim(weights="random", dims=20),
    "matched_filter": MatchedFilter(),
    "ganomaly": Ganomaly(**SMALL_GAN),
    "ganomaly-latent": Ganomaly(**SMALL_GAN, recipe="original", measure="latent"),
    "diffusion": Diffusion(**SMALL_UNET),
    "diffusion-correlated": Diffusion(**SMALL_UNET, noise="correlated", outer=20.0),
    "cnn": Cnn(**SMALL_CNN),
    "cnn-quiet": Cnn(**SMALL_CNN, use_quiet=True),
}
"""A new detector, or a new form of one, is one line here: settings small enough for seconds on one core.

Detectors of other installed packages are tried with their default settings.
"""
DETECTORS |= {plugin.kind: detectors.build(plugin.kind) for plugin in registry.DETECTORS.plugins}


@dataclass(frozen=True)
class Case:
    """A detector, and what it makes of the small volcano; each thing is computed once, when it is first asked for."""

    detector: Detector
    train: xr.Dataset
    test: xr.Dataset

    @cached_property
    def scorer(self) -> Scorer:
        return self.detector.fit(self.train)

    @cached_property
    def scores(self) -> xr.Dataset:
        return self.scorer.score(self.test)

    @property
    def brief(self) -> Detector:
        """The same detector, trained for a few steps where it is trained at all."""
        assert is_dataclass(self.detector)
        trained = hasattr(self.detector, "steps")
        return replace(self.detector, steps=4) if trained else self.detector  # type: ignore[return-value]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=DETECTORS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(DETECTORS[request.param], quiet(), masked(quiet(seed=1, first=2021, acquisitions=6)))


def test_every_registered_detector_is_tried():
    registered = {kind: detectors.settings_class(kind) for kind in registry.DETECTORS.kinds}
    assert {type(detector) for detector in DETECTORS.values()} == set(registered.values())


def test_the_registered_scorer_is_the_one_that_a_fit_makes(case):
    kind = next(k for k in registry.DETECTORS.kinds if detectors.settings_class(k) is type(case.detector))
    assert registry.DETECTORS.load(kind, Registration) == Registration(type(case.detector), type(case.scorer))
    assert type(detectors.load(case.scorer.to_dataset())) is type(case.scorer)


def test_detector_and_scorer_keep_the_protocol(case):
    assert isinstance(case.detector, Detector)
    assert isinstance(case.scorer, Scorer)
    known = {"phase", "tile", "valid"}
    assert set(case.detector.inputs) <= known
    assert set(case.scorer.inputs) <= known


def test_scores_have_the_promised_form(case):
    scores, tiles = case.scores, case.test
    stride = scores.attrs["stride"]
    cells = tuple(-(-tiles.sizes[axis] // stride) for axis in ("y", "x"))
    assert scores["score"].dims == ("pair",)
    assert scores["score"].dtype == np.float64
    assert scores["score_map"].dims == ("pair", "v", "u")
    assert scores["score_map"].dtype == np.float32
    assert scores["score_map"].shape == (tiles.sizes["pair"], *cells)
    for name in ("pair", "reference", "secondary"):
        xr.testing.assert_identical(scores[name].variable, tiles[name].variable)


def test_nothing_is_scored_where_nothing_was_measured(case):
    stride = case.scores.attrs["stride"]
    valid = case.test["valid"].coarsen(y=stride, x=stride, boundary="pad").construct(y=("v", "sy"), x=("u", "sx"))
    valid = valid.fillna(0).astype(bool)
    nowhere, everywhere = ~valid.any(("sy", "sx")).values, valid.all(("sy", "sx")).values
    score_map = case.scores["score_map"].values
    assert np.isnan(score_map[nowhere]).all()
    assert nowhere[1].sum() >= 9
    # the last cells may stick out of the tile: `construct` filled them with False, they are no ground to ask about
    assert np.isfinite(score_map[1:][everywhere[1:]]).all()
    assert np.isnan(case.scores["score"].values[0])
    assert np.isfinite(case.scores["score"].values[1:]).all()


def test_a_strong_source_scores_higher(case):
    quiet_pairs = case.test.isel(pair=slice(2, None))
    usual = case.scores["score"].values[2:]
    moved = case.scorer.score(unrest(quiet_pairs, peak_cm=15))["score"].values
    assert moved.mean() > usual.mean()
    wins = (moved[:, None] > usual).mean()
    assert wins > 0.75


def test_the_same_seed_gives_the_same_digits(case):
    few = case.test.isel(pair=slice(0, 4))
    first, second = (case.brief.fit(case.train).score(few) for _ in range(2))
    xr.testing.assert_identical(first, second)


def test_a_scorer_survives_its_dataset(case):
    few = case.test.isel(pair=slice(0, 4))
    stored = case.scorer.to_dataset()
    assert stored.attrs["detector"] == type(case.scorer).__name__
    assert isinstance(stored.attrs["settings"], str)
    assert list(stored["fitted_pair"].values) == list(case.train["pair"].values)
    again = type(case.scorer).from_dataset(stored.copy(deep=True))
    xr.testing.assert_identical(again.score(few), case.scorer.score(few))
    xr.testing.assert_identical(again.to_dataset(), stored)


def test_lazy_tiles_give_the_same_digits(case):
    lazy = case.test.chunk({"pair": 5, "y": -1, "x": -1})
    scores = case.scorer.score(lazy)
    xr.testing.assert_identical(scores, case.scores)
    assert not scores.chunks  # the store could not write it
    few = case.test.isel(pair=slice(1, 4))
    lazily, loaded = (case.brief.fit(t).score(few) for t in (case.train.chunk({"pair": 7}), case.train))
    xr.testing.assert_identical(lazily, loaded)


def test_progress_is_told_and_ends_at_the_total(case):
    told: list[tuple[int, int]] = []
    case.brief.fit(case.train, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert sorted(told) == told


def test_a_fit_without_ground_is_refused(case):
    blind = case.train.assign(valid=xr.zeros_like(case.train["valid"]))
    with pytest.raises(ValueError):
        case.brief.fit(blind)
