"""One random peak for each source beside one pass for each peak: AUROC and detection at 1, 2, 4 and 8 cm.

    python -m benchmarks.random_peaks [--seeds 10 11] [--widths 0.2] [--json OUT]

Simulated stacks of three climates, single pairs and intervals. Each stack is tried three times: once with sources of
random peaks, and twice, with other places, with one pass for each peak as earlier versions did. The two passes
differ by chance. The width of `calibration.peaks` was chosen with
``--seeds 0 1``; the figures in the documents are of the default seeds.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from insar_anomaly.calibration import peaks
from insar_anomaly.calibration.by_features import Sources, Work, fitted
from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.calibration.samples import injected
from insar_anomaly.calibration.threshold import Target, choose
from insar_anomaly.calibration.trial import Trial, held_out
from insar_anomaly.detectors.feature_file import Rows
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evidence import build
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Reach, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.tiles import preprocess
from insar_anomaly.tools.pretrain.trial import CLEANING, CLIMATES, stack

PEAKS = (1.0, 2.0, 4.0, 8.0)
TARGET = Target("false-alarms-per-year", 1.0, fpr=0.01, quantile=0.95, min_pairs=20, clear_after_days=60)
KINDS = (EvidenceKind.PAIR, EvidenceKind.INTERVAL)


class InMemory:
    """Features of one stack, kept for its other trials."""

    def __init__(self) -> None:
        self._rows: dict[str, Rows] = {}

    def read(self, keys: Collection[str]) -> Iterator[tuple[list[str], Rows]]:
        """See `feature_file.Kept`."""
        yield from (([key], self._rows[key]) for key in keys if key in self._rows)

    def write(self, keys: Sequence[str], rows: Rows) -> None:
        """See `feature_file.Kept`."""
        for n, key in enumerate(keys):
            self._rows[key] = Rows(rows.values[n : n + 1], rows.seen[n : n + 1], None)


def main() -> None:
    """Try every stack, print how far the figures lie apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[10, 11])
    parser.add_argument("--widths", type=float, nargs="*", default=[peaks._WIDTH])
    parser.add_argument("--acquisitions", type=int, default=44)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    apart: dict[str, list[float]] = defaultdict(list)
    for seed in given.seeds:
        for climate in CLIMATES:
            for kind in KINDS:
                for name, values in differences(climate, kind, seed, given.acquisitions, given.widths).items():
                    apart[name] += values
            print(f"seed {seed}, {climate}: done", flush=True)
    report = {name: round(float(np.mean(np.abs(values))), 4) for name, values in sorted(apart.items())}
    report |= {f"{name}, mean": round(float(np.mean(values)), 4) for name, values in sorted(apart.items())}
    text = json.dumps(report, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


def differences(climate: str, kind: EvidenceKind, seed: int, acquisitions: int, widths: Sequence[float]) -> Any:
    """Differences of AUROC and detection from the first pass for each peak, by peak and way."""
    quiet, _ = stack(CLIMATES[climate], seed=seed, acquisitions=acquisitions, side=96)
    to_tiles = partial(preprocess.tiles, **CLEANING)
    proof = build(kind, to_tiles, preprocess.range_step("tanh", 8.0), Reach(3, 3, 2, 8.0))
    space = Padim(dims=60).space((96, 96))
    assert space is not None
    with closing(Planes(quiet, to_tiles, alike=True)) as planes:
        work = Work(proof, planes, space, list(map(str, quiet["pair"].values)), InMemory())
        blocks = held_out(pair_dates(quiet), proof, 4)

        def tried(wanted: tuple[float, ...], draw: int) -> Trial:
            return fitted(work, blocks, Sources(wanted, draw))[0]

        passes = [{peak: figures(tried((peak,), draw), peak) for peak in PEAKS} for draw in (1, 2)]
        random = {}
        for width in widths:
            peaks._WIDTH = width
            one = tried(PEAKS, 3)
            random[f"random, width {width:.3g}"] = {peak: figures(one, peak) for peak in PEAKS}
    out = {}
    for way, found in {"another pass": passes[1], **random}.items():
        for peak in PEAKS:
            for n, name in enumerate(("AUROC", "detection")):
                out[f"{name} at {peak:g} cm, {way}"] = [found[peak][n] - passes[0][peak][n]]
    return out


def figures(one: Trial, peak: float) -> tuple[float, float]:
    """AUROC, and the part detected."""
    sample = injected(peak)
    return auroc(one.negative, one.positive[sample]), choose(one, TARGET).detection[sample].value


if __name__ == "__main__":
    main()
