"""Each pair is made into a tile once, and a source needs no second tile: cleaning is linear once the mask is known."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from quiet_tiles import small_stack

from insar_anomaly.evidence import build
from insar_anomaly.evidence.items import coordinates
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Reach, pair_dates
from insar_anomaly.evidence.shared import Shared
from insar_anomaly.names import EvidenceKind
from insar_anomaly.tiles import preprocess
from insar_anomaly.tiles.trends import PARTS

REACH = Reach(3, 3, 2, 5.0)
KINDS = [EvidenceKind.PAIR, EvidenceKind.INTERVAL, EvidenceKind.ACQUISITION]


def built(kind, cleaning):
    step = preprocess.range_step(cleaning["range_form"], cleaning["range_rad"] if kind == "pair" else REACH.range_rad)
    return build(kind, partial(preprocess.tiles, **cleaning), step, REACH)


def together(batches):
    return xr.concat(list(batches), "pair", coords="minimal", compat="override", join="override")


CLEANINGS = st.fixed_dictionaries(
    {
        "remove": st.lists(st.sampled_from(PARTS), unique=True).map(tuple),
        "range_form": st.sampled_from(["tanh", "clip"]),
        "range_rad": st.sampled_from([8.0, 30.0]),
        "min_coherence": st.sampled_from([0.0, 0.3]),
        "fill_grow": st.sampled_from([0, 2]),
        "gacos": st.sampled_from(["off", "use"]),
        "smooth_px": st.sampled_from([0.0, 1.5]),
        "weight": st.sampled_from(["none", "coherence"]),
    }
)


@settings(max_examples=25, deadline=None)
@given(CLEANINGS, st.sampled_from(KINDS), st.integers(0, 2**31), st.booleans())
def test_tiles_with_and_without_sources_are_those_of_the_plain_way(cleaning, kind, seed, same_holes):
    """The plain way injects into the phase and cleans every pair again."""
    stack = small_stack(8, seed=seed, same_holes=same_holes)
    proof = built(kind, cleaning)
    planes = Planes(stack, partial(preprocess.tiles, **cleaning), alike=cleaning["smooth_px"] == 0)
    items = proof.items(pair_dates(stack), np.arange(stack.sizes["pair"]))
    quiet, wanted = proof.make(planes, items), together(proof.batches(stack))
    for name in wanted.data_vars:
        np.testing.assert_array_equal(quiet[name], wanted[name])
    drawn = {"peak_cm": (1.0, 8.0), "seed": seed}
    moved, wanted = proof.make(planes, proof.tried(items), **drawn), together(proof.batches(stack, **drawn))
    np.testing.assert_array_equal(moved["pair"], wanted["pair"])
    np.testing.assert_array_equal(moved["valid"], wanted["valid"])
    # float32 phases of some tens of rad; fused evidence weighs its acquisitions by what they show
    np.testing.assert_allclose(moved["phase"], wanted["phase"], atol=2e-3)
    np.testing.assert_allclose(moved["tile"], wanted["tile"], atol=5e-4)
    assert float(np.abs(moved["tile"] - proof.make(planes, proof.tried(items))["tile"]).max()) > 0.05
    assert planes.made == set(range(stack.sizes["pair"]))
    planes.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_pair_is_cleaned_once_whatever_is_made_of_it(kind):
    cleaned: list[str] = []

    def counted(pairs: xr.Dataset) -> xr.Dataset:
        if np.isfinite(pairs["phase"].values).any():
            cleaned.extend(map(str, pairs["pair"].values))
        return preprocess.tiles(pairs, **cleaning)

    cleaning = {"remove": ("plane",), "range_form": "tanh", "range_rad": 8.0, "min_coherence": 0.0, "fill_grow": 0}
    stack = small_stack(10, seed=1)
    planes, proof = Planes(stack, counted, alike=True), built(kind, cleaning)
    for _ in range(3):
        items = proof.items(pair_dates(stack), np.arange(stack.sizes["pair"]))
        for start in range(0, len(items), 4):
            proof.make(planes, items[start : start + 4])
    assert sorted(cleaned) == sorted(map(str, stack["pair"].values))
    planes.close()


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_a_part_of_the_pairs_are_what_the_part_alone_shows(kind):
    stack = small_stack(14, seed=2)
    cleaning = {"remove": ("plane",), "range_form": "tanh", "range_rad": 8.0, "min_coherence": 0.0, "fill_grow": 0}
    planes, proof = Planes(stack, partial(preprocess.tiles, **cleaning), alike=True), built(kind, cleaning)
    dates = pair_dates(stack)
    whole = proof.items(dates, np.arange(len(dates)))
    part = np.flatnonzero(dates[:, 0] >= np.sort(np.unique(dates))[4])
    items = proof.items(dates, part)
    alone = proof.tiles(stack.isel(pair=part)).load()
    found = proof.make(planes, items)
    np.testing.assert_array_equal(found["phase"], alone["phase"])
    for name, values in coordinates(items).items():
        if name in alone.coords:
            np.testing.assert_array_equal(values[1] if isinstance(values, tuple) else values, alone[name])
    shared = set(items) & set(whole)
    assert shared
    if kind == EvidenceKind.INTERVAL:
        assert set(items) - shared  # those at the edge see fewer pairs, and are others
    planes.close()


@pytest.mark.parametrize("kind", KINDS)
def test_shared_evidence_is_the_evidence_itself_for_every_part_of_the_stack(kind):
    stack = small_stack(12, seed=3)
    cleaning = {"remove": ("plane",), "range_form": "tanh", "range_rad": 8.0, "min_coherence": 0.0, "fill_grow": 0}
    to_tiles = partial(preprocess.tiles, **cleaning, weight="coherence")
    planes, proof = Planes(stack, to_tiles, alike=True), built(kind, cleaning | {"weight": "coherence"})
    shared = Shared(proof, planes)
    for part in (slice(None), slice(6, None), slice(0, 0)):
        some = stack.isel(pair=part)
        xr.testing.assert_identical(shared.tiles(some).load().drop_attrs(), proof.tiles(some).load().drop_attrs())
    for peak, close in ((0.0, 0.0), ((1.0, 8.0), 2e-3)):
        found, wanted = (together(one.batches(stack, peak_cm=peak, seed=4)) for one in (shared, proof))
        assert set(found.coords) == set(wanted.coords)
        for name in wanted.coords:
            np.testing.assert_array_equal(found[name], wanted[name])
        np.testing.assert_allclose(found["phase"], wanted["phase"], atol=close)
    planes.close()
