"""A trial whose blocks share their features gives the scores of one that fits every block from its tiles."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from quiet_tiles import small_stack

from insar_anomaly.calibration.by_features import Sources, Work, fitted
from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.calibration.samples import injected
from insar_anomaly.calibration.threshold import Target, choose
from insar_anomaly.calibration.trial import held_out, trial
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evidence import build
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Reach, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.tiles import preprocess

REACH = Reach(3, 3, 2, 8.0)
CLEANING = {"remove": ("plane", "height"), "range_form": "tanh", "range_rad": 8.0, "min_coherence": 0.0, "fill_grow": 0}
TARGET = Target("false-alarms-per-year", 1.0, fpr=0.05, quantile=0.95, min_pairs=5, clear_after_days=60)
FORMS = {
    "as it is": {},
    "a covariance for each patch": {"pool": 1},
    "few features": {"dims": 20},
    "fine patches": {"dims": 30, "stride": 4},
    "coarse patches, eight bits": {"dims": 30, "stride": 16, "eight_bit": True},
    "smoothed likelihood": {"dims": 30, "distance": "wnlml", "smooth": 4.0, "aggregate": "top", "clamp": True},
}


PAIR, FUSED = EvidenceKind.PAIR, (EvidenceKind.INTERVAL, EvidenceKind.ACQUISITION)
# every form of the detector on pairs, two of them on fused evidence
CASES = [*((PAIR, form) for form in FORMS), *((kind, form) for kind in FUSED for form in ("as it is", "few features"))]


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_shared_features_give_the_scores_of_the_plain_way(kind, form):
    cleaning = CLEANING | ({"weight": "coherence"} if form == "few features" else {})
    to_tiles = partial(preprocess.tiles, **cleaning)
    # factors in 16 bits would round both in the same way, and hide in which digits they differ
    stack, detector = small_stack(24, seed=5), Padim(**FORMS[form], factors="float32")
    proof = build(kind, to_tiles, preprocess.range_step("tanh", 8.0), REACH)
    blocks = {"folds": 3, "peaks_cm": (1.0, 4.0), "seed": 7}
    plain = trial(stack, proof, detector, **blocks)
    planes, space = Planes(stack, to_tiles, alike=True), detector.space((40, 44))
    assert space is not None
    names = list(map(str, stack["pair"].values))
    work = Work(proof, planes, space, names)
    held = held_out(pair_dates(stack), proof, 3)
    shared, scorer, in_sample = fitted(work, held, Sources((1.0, 4.0), 7), in_sample=True)
    planes.close()
    spread = np.std(plain.negative)
    print(kind, form, "largest difference / spread", np.abs(shared.negative - plain.negative).max() / spread)
    # fused scores are measured by a line through medians of a few dozen scores, which moves by more than they do
    close = {"rtol": 0, "atol": (1e-3 if kind is EvidenceKind.PAIR else 5e-3) * spread}
    np.testing.assert_allclose(shared.negative, plain.negative, **close)
    assert (shared.years, len(shared.negative)) == (plain.years, len(plain.negative))
    for name in ("dates", "seen"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(plain, name))
    assert shared.injections is not None
    assert plain.injections is not None
    np.testing.assert_array_equal(shared.injections.peak_cm, plain.injections.peak_cm)
    np.testing.assert_allclose(shared.injections.score, plain.injections.score, rtol=2e-3, atol=close["atol"])
    ours, theirs = choose(shared, TARGET).threshold, choose(plain, TARGET).threshold
    assert ours == pytest.approx(theirs, abs=2 * close["atol"])
    for peak in (1.0, 4.0):
        one, other = (auroc(t.negative, t.positive[injected(peak)]) for t in (shared, plain))
        assert one == pytest.approx(other, abs=0.01)
    tiles = proof.tiles(stack)
    whole = detector.fit(tiles).score(tiles[["tile", "valid"]])["score"].values
    np.testing.assert_allclose(in_sample, whole, rtol=1e-3, atol=1e-3 * np.std(whole))
    again = scorer.score(tiles[["tile", "valid"]])["score"].values
    np.testing.assert_allclose(again, whole, rtol=1e-3, atol=1e-3 * np.std(whole))
