"""A refit computes only what is new: features of tiles are kept in the store under everything that decides them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from installation import FIT, RISING

import insar_anomaly as ia
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.names import EvidenceKind, Period
from insar_anomaly.pipeline.fit import _task
from insar_anomaly.pipeline.fitting import StackTask, fit_stack
from insar_anomaly.pipeline.kept import StoredFeatures


@pytest.fixture
def counted(monkeypatch):
    """Names of the pairs whose phase a fit reads."""
    read: list[str] = []
    make = Planes._make

    def told(self, pairs):
        read.extend(str(self.stack["pair"].values[p]) for p in set(pairs) - self.made)
        make(self, pairs)

    monkeypatch.setattr(Planes, "_make", told)
    return read


@pytest.fixture
def computed(monkeypatch):
    """Keys of the tiles whose features a fit computes."""
    keys: list[str] = []
    write = StoredFeatures.write

    def told(self, new, rows):
        keys.extend(new)
        write(self, new, rows)

    monkeypatch.setattr(StoredFeatures, "write", told)
    return keys


def fitted(place, period, *, again=False):
    with ia.open_installation(place.config) as s, s.run("fit") as run:
        ia.fit(s, run, period=period, again=again)
        assert run.failures == []
        return {kind: s.ledger.current(RISING, kind) for kind in (EvidenceKind.PAIR, EvidenceKind.INTERVAL)}


def test_a_fit_of_nothing_new_reads_no_pair_and_gives_the_same_models(ingested, counted):
    ingested.only(990002)
    first = fitted(ingested, FIT)
    assert len(counted) == len(set(counted)) > 30
    counted.clear()
    again = fitted(ingested, FIT, again=True)
    assert counted == []
    for kind, model in first.items():
        assert (again[kind].model, again[kind].calibration) == (model.model, model.calibration)


def test_the_next_fit_computes_no_tile_again_and_gives_what_a_whole_fit_gives(ingested, counted, computed):
    ingested.only(990002)
    earlier = Period(FIT.first, FIT.last - timedelta(days=36))
    fitted(ingested, earlier)
    old, tiles = set(counted), set(computed)
    counted.clear()
    computed.clear()
    grown = fitted(ingested, FIT)
    fresh = set(counted) - old
    assert fresh
    assert tiles.isdisjoint(computed)
    assert len(computed) == len(set(computed)) > 0
    counted.clear()
    ingested.change("[calibrate]", "[fit]\nkeep_features = false\n\n[calibrate]")
    plain = fitted(ingested, FIT, again=True)
    assert set(counted) == old | fresh
    for kind, model in grown.items():
        assert (plain[kind].model, plain[kind].threshold) == (model.model, model.threshold)


def test_a_fit_that_shares_features_tells_its_tiles(ingested):
    ingested.only(990002)
    shown: list[tuple[int, int, str]] = []

    def watch(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "fit":
            shown.append((done, total, note))

    with ia.open_installation(ingested.config, watch=watch) as s, s.run("fit") as run:
        ia.fit(s, run, period=FIT)
    done = [one for one, _, _ in shown]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, shown[0][1])
    assert any(note.startswith(f"{RISING} (interval): tile ") for _, _, note in shown)
    assert not any(": block " in note for _, _, note in shown)


def test_single_pairs_alone_are_never_read_twice(ingested, counted):
    ingested.only(990002)
    ingested.change("[calibrate]", '[fusion]\nevidence = []\n\n[flags]\nrests_on = "pair"\n\n[calibrate]')
    fitted_pairs(ingested, Period(FIT.first, FIT.last - timedelta(days=36)))
    old = set(counted)
    counted.clear()
    fitted_pairs(ingested, FIT)
    straddled = set(counted) & old  # a pair that lay over an edge of blocks has no source in it until the edge has moved
    assert len(straddled) < 0.35 * len(old)
    counted.clear()
    fitted_pairs(ingested, Period(FIT.first + timedelta(days=24), FIT.last), again=True)
    assert len(set(counted)) < 0.35 * len(old)


def fitted_pairs(place, period, *, again=False):
    with ia.open_installation(place.config) as s, s.run("fit") as run:
        ia.fit(s, run, period=period, again=again)
        assert run.failures == []


def test_other_settings_and_replaced_pairs_find_nothing(ingested, counted):
    ingested.only(990002)
    fitted(ingested, FIT)
    every = set(counted)
    counted.clear()
    ingested.change('weights = "random"', 'weights = "random"\nseed = 5')
    fitted(ingested, FIT)
    assert set(counted) == every
    counted.clear()
    with ia.open_installation(ingested.config) as s:
        assert s.store.drop_features(RISING) > 0  # those of the settings before
        assert s.store.drop_features(RISING) == 0
    fitted(ingested, FIT, again=True)
    assert counted == []
    pair = sorted(every)[10]
    with ia.open_installation(ingested.config) as s:
        kinds = [_task(s, RISING, kind, FIT) for kind in s.evidence]
        known = zip(kinds[0].pairs, kinds[0].fingerprints, strict=True)
        prints = tuple("another file's" if name == pair else one for name, one in known)
        assert prints != kinds[0].fingerprints
        fit_stack(StackTask(tuple(replace(one, fingerprints=prints) for one in kinds)))
    assert pair in counted
