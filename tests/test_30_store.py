"""The store on local files and on S3: every round trip bit-exact, every commit whole or not at all."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import xarray as xr

from insar_anomaly.errors import NotFitted, StoreFailed
from insar_anomaly.stack.arrays import content_hash
from insar_anomaly.stack.schema import STACK, Grid, check
from insar_anomaly.stack.store import Store
from insar_anomaly.stack.store.backbones import network_hash

NAME, OTHER = "221080/079D_07694_131313", "211060/124D_04854_171313"
GRID = Grid(40.0000001, 13.6, 0.001, 0.001, (12, 17))


def static():
    """Static layers of an empty stack."""
    rng = np.random.default_rng(0)
    layers = {name: (("y", "x"), rng.normal(size=GRID.shape).astype(np.float32)) for name in ("height", "e", "n", "u")}
    water = {"water": (("y", "x"), rng.random(GRID.shape) < 0.2)}
    attributes = {"grid": GRID.attribute, "crs": "EPSG:4326", "line_of_sight": "positive = away"}
    return xr.Dataset(layers | water, coords={"y": GRID.lat, "x": GRID.lon}, attrs=attributes)


def batch(*days, seed=0):
    """Pairs of 12 days that start on these days of 2020, with NaN in their phase."""
    rng = np.random.default_rng([seed, *days])
    phase = rng.normal(size=(len(days), *GRID.shape)).astype(np.float32)
    phase[:, 2:4] = np.nan
    start = np.datetime64("2020-01-01", "ns") + np.array(days) * np.timedelta64(1, "D")
    return xr.Dataset(
        {
            "phase": (("pair", "y", "x"), phase),
            "coherence": (("pair", "y", "x"), rng.integers(0, 256, phase.shape).astype(np.uint8)),
            "reference": ("pair", start),
            "secondary": ("pair", start + np.timedelta64(12, "D")),
            "baseline": ("pair", rng.normal(size=len(days)).astype(np.float32)),
        }
    )


def name(day):
    """The pair of `batch` that starts on this day."""
    a, b = (str(np.datetime64("2020-01-01") + d) for d in (day, day + 12))
    return f"{a}_{b}".replace("-", "")


def model(seed=0):
    """Something like a fitted scorer: arrays, text and attributes."""
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "mean": (("patch", "feature"), rng.normal(size=(5, 3)).astype(np.float32)),
            "count": ("patch", np.arange(5, dtype=np.int32)),
            "network": ("byte", rng.integers(0, 256, 1000).astype(np.uint8)),
            "fitted_pair": ("fitted_pair", np.array([name(0), name(12)])),
        },
        attrs={"detector": "PadimScorer", "settings": '{"dims": 3}', "shape": [12, 17]},
    )


def scores(*days):
    """Scores of `batch`'s pairs as a scorer returns them."""
    rng = np.random.default_rng(list(days))
    pairs = batch(*days)
    return xr.Dataset(
        {
            "score": ("pair", np.where(np.array(days) == 24, np.nan, rng.normal(size=len(days)))),
            "score_map": (("pair", "v", "u"), rng.normal(size=(len(days), 2, 3)).astype(np.float32)),
        },
        coords={"pair": [name(d) for d in days], **{n: ("pair", pairs[n].values) for n in ("reference", "secondary")}},
        attrs={"stride": 8},
    )


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    """An empty store in a folder, and one in a bucket."""
    if request.param == "local":
        return Store(str(tmp_path / "store"))
    bucket = request.getfixturevalue("bucket")
    return Store(f"{bucket.url}/some/prefix", endpoint_url=bucket.endpoint)


@pytest.fixture
def filled(store):
    """A store with a stack of three pairs."""
    store.create(NAME, static())
    store.append(NAME, batch(24, 0, 12))
    return store


def files(store, request):
    """How many files or objects a store consists of."""
    if store.url.startswith("s3://"):
        return len(request.getfixturevalue("bucket").objects("some/prefix"))
    return sum(1 for p in Path(store.url).rglob("*") if p.is_file())


def test_a_stack_comes_back_bit_for_bit(filled):
    held, wanted = filled.open(NAME).load(), batch(24, 0, 12).isel(pair=[1, 2, 0])
    for variable in ("phase", "coherence", "reference", "secondary", "baseline"):
        assert held[variable].values.tobytes() == wanted[variable].values.tobytes()
        assert held[variable].dtype == np.dtype(STACK[variable].dtype)
    for variable in (*static().data_vars, "x", "y"):
        assert held[variable].values.tobytes() == static()[variable].values.tobytes()
    assert check(held, STACK) == []


def test_a_stack_is_there_once_it_was_created(store):
    assert not store.has(NAME)
    store.create(NAME, static())
    assert store.has(NAME)
    assert not store.has(OTHER)
    assert store.pairs(NAME) == []
    assert store.open(NAME).sizes["pair"] == 0


def test_pairs_stand_in_order_of_arrival_and_open_sorts_them_by_date(filled):
    filled.append(NAME, batch(36, 6))
    assert filled.pairs(NAME) == [name(d) for d in (24, 0, 12, 36, 6)]
    held = filled.open(NAME)
    assert list(held["pair"].values) == [name(d) for d in (0, 6, 12, 24, 36)]
    wanted = batch(36, 6).isel(pair=1)
    assert held["phase"].sel(pair=name(6)).values.tobytes() == wanted["phase"].values.tobytes()


def test_a_store_that_is_lost_while_the_process_lives_is_made_anew_by_it(filled, request):
    filled.append_scores(NAME, "m", scores(0))
    if filled.url.startswith("s3://"):
        bucket = request.getfixturevalue("bucket")
        for name_of_object in bucket.objects("some/prefix"):
            bucket.client.delete_object(Bucket=bucket.name, Key=name_of_object)
    else:
        shutil.rmtree(filled.url)
    assert not filled.has(NAME)
    filled.create(NAME, static())
    filled.append(NAME, batch(36))
    assert filled.pairs(NAME) == [name(36)]
    filled.append_scores(NAME, "m", scores(36))
    assert filled.read_scores(NAME, "m")["pair"].values.tolist() == [name(36)]


def test_another_writer_is_seen_by_a_store_that_is_open(filled):
    """A repository stays open in its process: what another process commits must still be read."""
    assert filled.pairs(NAME) != []
    words = "from tests.test_30_store import *; import sys; Store(*sys.argv[1:]).append(NAME, batch(480))"
    place = [filled.url] + ([filled.endpoint_url] if filled.endpoint_url else [])
    subprocess.run([sys.executable, "-c", words, *place], check=True, cwd=Path(__file__).parents[1])
    assert filled.pairs(NAME)[-1] == name(480)
    filled.append(NAME, batch(492))
    assert filled.pairs(NAME)[-2:] == [name(480), name(492)]


def test_a_repository_without_its_first_commit_is_no_stack_yet_and_is_made_whole(store):
    store._repository("stacks", NAME, create=True)  # a kill came here
    assert not store.has(NAME)
    store.create(NAME, static())
    assert store.has(NAME)
    assert store.pairs(NAME) == []


def test_some_pairs_are_read_by_name_and_an_unknown_one_is_an_error(filled):
    held = filled.open(NAME, pairs=[name(24), name(0)])
    assert list(held["pair"].values) == [name(0), name(24)]
    with pytest.raises(StoreFailed, match=name(99)):
        filled.open(NAME, pairs=[name(99)])


def test_an_append_again_stores_nothing_twice(filled):
    before = filled.snapshot(NAME)
    assert filled.append(NAME, batch(0, 12)) == before
    after = filled.append(NAME, batch(12, 48, seed=1))
    assert after == filled.snapshot(NAME) != before
    assert filled.pairs(NAME) == [name(d) for d in (24, 0, 12, 48)]
    kept = batch(24, 0, 12)["phase"].isel(pair=2)
    assert filled.open(NAME)["phase"].sel(pair=name(12)).values.tobytes() == kept.values.tobytes()


def test_grid_attributes_and_units_survive_an_append(filled):
    filled.append(NAME, batch(60).assign_attrs(grid="wrong"))
    held = filled.open(NAME)
    assert Grid.of(held) == GRID
    assert held.attrs["crs"] == "EPSG:4326"
    assert held["phase"].attrs["units"] == "rad"
    assert "away from the satellite" in held["phase"].attrs["long_name"]


def test_a_snapshot_reads_the_stack_as_it_was(filled):
    early = filled.snapshot(NAME)
    late = filled.append(NAME, batch(36))
    assert filled.open(NAME, snapshot=early).sizes["pair"] == 3
    assert filled.open(NAME, snapshot=early).attrs["snapshot"] == early
    assert filled.open(NAME).sizes["pair"] == 4
    assert filled.open(NAME).attrs["snapshot"] == late


def test_stacks_do_not_mix(filled):
    filled.create(OTHER, static())
    filled.append(OTHER, batch(100))
    assert filled.pairs(OTHER) == [name(100)]
    assert len(filled.pairs(NAME)) == 3


def test_a_model_comes_back_whole_under_the_hash_of_its_content(store):
    identity = store.write_model(NAME, model())
    assert identity == content_hash(model())
    held = store.read_model(NAME, identity)
    xr.testing.assert_identical(held, model())
    assert content_hash(held) == identity
    assert store.write_model(NAME, model()) == identity
    second = store.write_model(NAME, model(seed=1))
    assert second != identity
    xr.testing.assert_identical(store.read_model(NAME, identity), model())


def with_network(seed: int) -> xr.Dataset:
    bytes_ = np.random.default_rng(0).integers(0, 256, 200_000).astype(np.uint8)
    return model(seed).assign(network=("byte", bytes_))


def held_bytes(store) -> int:
    return sum(file.stat().st_size for file in Path(store.url, "models").rglob("*") if file.is_file())


def test_models_that_share_a_network_store_it_once_and_come_back_whole(tmp_path):
    store = Store(str(tmp_path))
    first = store.write_model(NAME, with_network(0))
    once = held_bytes(store)
    second = store.write_model(OTHER, with_network(1))
    assert 200_000 < once < held_bytes(store) < once + 100_000
    assert first == content_hash(with_network(0))
    xr.testing.assert_identical(store.read_model(NAME, first), with_network(0))
    xr.testing.assert_identical(store.read_model(OTHER, second), with_network(1))


def test_a_model_that_carries_its_network_as_earlier_versions_stored_it_opens(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    with monkeypatch.context() as before:
        before.setattr(Store, "_parted", lambda _, whole: whole)
        identity = store.write_model(NAME, with_network(0))
    assert not Path(store.url, "models", "backbones").exists()
    xr.testing.assert_identical(store.read_model(NAME, identity), with_network(0))


def test_a_lost_network_is_named_with_a_remedy_or_taken_from_elsewhere(tmp_path):
    store = Store(str(tmp_path))
    identity = store.write_model(NAME, with_network(0))
    shutil.rmtree(Path(store.url, "models", "backbones"))
    with pytest.raises(NotFitted, match=rf"{NAME}: its model needs the network [0-9a-f]{{16}}.*fit --again"):
        store.read_model(NAME, identity)
    asked = []

    def spare(name: str) -> xr.DataArray:
        asked.append(name)
        return with_network(0)["network"]

    xr.testing.assert_identical(store.read_model(NAME, identity, spare=spare), with_network(0))
    assert asked == [network_hash(with_network(0)["network"])]
    store.write_model(NAME, with_network(1))  # any model with this network brings it back
    xr.testing.assert_identical(store.read_model(NAME, identity), with_network(0))


@pytest.mark.parametrize("trial", range(3))
def test_workers_that_store_models_of_one_stack_at_the_same_time_lose_none(trial, store):
    together = Barrier(4)

    def write(number):
        together.wait()
        return store.write_model(NAME, model(number))

    with ThreadPoolExecutor(4) as threads:
        written = set(threads.map(write, range(4)))
    assert len(written) == 4
    assert store.models(NAME) == written


def test_a_model_that_is_not_there_is_said_with_the_command_that_makes_it(store):
    with pytest.raises(NotFitted, match="no model is stored under .*insar-anomaly fit"):
        store.read_model(NAME, "0" * 16)
    store.write_model(NAME, model())
    with pytest.raises(NotFitted, match="model 0000000000000000 is not in"):
        store.read_model(NAME, "0" * 16)


def test_scores_come_back_and_are_kept_apart_by_model(store):
    assert store.read_scores(NAME, "m1") is None
    store.append_scores(NAME, "m1", scores(0, 12))
    store.append_scores(NAME, "m1", scores(12, 24))
    store.append_scores(NAME, "m2", scores(0))
    assert store.read_scores(NAME, "m3") is None
    held = store.read_scores(NAME, "m1").load()
    assert list(held["pair"].values) == [name(0), name(12), name(24)]
    assert held["score"].values[:2].tobytes() == scores(0, 12)["score"].values.tobytes()
    assert np.isnan(held["score"].values[2])
    wanted = scores(0, 12)["score_map"].values.astype(np.float16)
    assert held["score_map"].values[:2].tobytes() == wanted.tobytes()
    assert held.attrs["stride"] == 8
    assert store.read_scores(NAME, "m2").sizes["pair"] == 1


def test_scores_again_store_nothing_twice(store):
    first = store.append_scores(NAME, "m1", scores(0, 12))
    assert store.append_scores(NAME, "m1", scores(12, 0)) == first
    assert store.read_scores(NAME, "m1").sizes["pair"] == 2


def test_expire_forgets_snapshots_frees_files_and_keeps_the_newest(filled, request):
    for day in range(40, 52):
        filled.append(NAME, batch(day))
    filled.append_scores(NAME, "m1", scores(0, 12))
    wanted, early, before = filled.open(NAME).load(), filled.snapshot(NAME), files(filled, request)
    assert filled.expire(NAME, older_than=timedelta(days=1)) == 0
    assert files(filled, request) == before
    assert filled.expire(NAME, older_than=timedelta(0)) >= 12
    assert files(filled, request) < before
    assert filled.snapshot(NAME) == early
    xr.testing.assert_identical(filled.open(NAME).load(), wanted)
    assert filled.read_scores(NAME, "m1").load().sizes["pair"] == 2
    filled.append(NAME, batch(70))
    assert filled.open(NAME).sizes["pair"] == 16


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.drop_vars("height"), "height is missing"),
        (lambda d: d.assign(water=d["height"]), "water is float32, not bool"),
        (lambda d: d.transpose("x", "y"), r"height has dims \('x', 'y'\)"),
        (lambda d: d.drop_vars("y"), "y is missing"),
    ],
    ids=["missing", "dtype", "dims", "coordinate"],
)
def test_static_layers_that_do_not_fit_the_schema_are_refused(spoil, words, store):
    with pytest.raises(StoreFailed, match=rf"{NAME}.*{words}"):
        store.create(NAME, spoil(static()))
    assert not store.has(NAME)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.drop_vars("coherence"), "coherence is missing"),
        (lambda d: d.assign(coherence=d["coherence"] / 255), "coherence is float"),
        (lambda d: d.transpose("y", "x", "pair"), "phase has dims"),
    ],
    ids=["missing", "dtype", "dims"],
)
def test_a_batch_that_does_not_fit_the_stack_is_refused_and_changes_nothing(spoil, words, filled):
    before = filled.snapshot(NAME)
    with pytest.raises(StoreFailed, match=words):
        filled.append(NAME, spoil(batch(100)))
    assert filled.snapshot(NAME) == before
    assert filled.open(NAME).load().sizes["pair"] == 3


def test_a_batch_of_another_grid_is_refused_and_changes_nothing(filled):
    before = filled.snapshot(NAME)
    with pytest.raises(ValueError, match="different dimension sizes"):
        filled.append(NAME, batch(100).isel(x=slice(5)))
    assert filled.snapshot(NAME) == before


def test_scores_that_do_not_fit_the_schema_are_refused(store):
    with pytest.raises(StoreFailed, match="score is missing"):
        store.append_scores(NAME, "m1", scores(0).drop_vars("score"))
    assert store.read_scores(NAME, "m1") is None


def test_a_failed_commit_leaves_the_old_state_and_the_next_one_passes(tmp_path):
    store = Store(str(tmp_path))
    store.create(NAME, static())
    store.append(NAME, batch(0))
    before, held = store.snapshot(NAME), store.open(NAME).load()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(StoreFailed, match=f"{NAME}: store {tmp_path}.*before is intact.*free space"):
            store.append(NAME, batch(12, 24))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.snapshot(NAME) == before
    xr.testing.assert_identical(store.open(NAME).load(), held)
    store.append(NAME, batch(12, 24))
    assert store.pairs(NAME) == [name(d) for d in (0, 12, 24)]


def test_a_store_out_of_reach_is_named_with_stack_place_and_remedy(bucket, closed_port):
    store = Store("s3://no-such-bucket/x", endpoint_url=bucket.endpoint)
    with pytest.raises(StoreFailed, match=f"{NAME}: store s3://no-such-bucket/x: .*endpoint and credentials"):
        store.create(NAME, static())
    with pytest.raises(StoreFailed, match=f"{NAME}: store s3://{bucket.name}: .*endpoint and credentials"):
        replace(store, url=bucket.url).open(NAME)


def test_a_file_where_the_store_should_be_is_said(tmp_path):
    (tmp_path / "store").write_text("not a folder")
    store = Store(str(tmp_path / "store"))
    for use in (store.has, store.pairs, lambda stack: store.create(stack, static())):
        with pytest.raises(StoreFailed, match=f"{NAME}: store {tmp_path}/store: .*[Nn]ot a directory"):
            use(NAME)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.assign(mean=d["mean"] + 1e-6),
        lambda d: d.assign(mean=d["mean"].astype(np.float64)),
        lambda d: d.rename(mean="means"),
        lambda d: d.rename(patch="place"),
        lambda d: d.isel(patch=slice(4)),
        lambda d: d.isel(patch=[1, 0, 2, 3, 4]),
        lambda d: d.assign_attrs(settings='{"dims": 4}'),
        lambda d: d.assign_attrs(more=1),
        lambda d: d.assign_coords(fitted_pair=d["fitted_pair"][::-1].values),
    ],
    ids=["value", "dtype", "name", "dim", "shape", "order", "attribute", "new attribute", "text"],
)
def test_a_hash_changes_with_anything_in_the_content(change):
    assert content_hash(change(model())) != content_hash(model())


def test_a_hash_does_not_depend_on_the_order_of_names_or_on_chunks():
    other = model()[["network", "fitted_pair", "mean", "count"]].assign_attrs(dict(reversed(model().attrs.items())))
    assert content_hash(other.chunk(patch=2)) == content_hash(model())
