"""What is scored: single pairs, intervals between acquisitions, acquisitions alone. Each kind turns pairs into tiles.

An *assessment* is one scoring: of a pair, which has one only; of an interval with a number of acquisitions after it; of an
acquisition with its neighbours. Assessments follow from the pairs' dates alone, and from no pair that came later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from insar_anomaly.evidence.fused import Fused, hash_of, windows
from insar_anomaly.evidence.fusion import RangeStep
from insar_anomaly.evidence.network import Network
from insar_anomaly.evidence.pair import Pairs
from insar_anomaly.evidence.protocol import Assessment, Evidence, Reach, ToTiles
from insar_anomaly.names import EvidenceKind, Pair, in_order, versioned


def build(kind: EvidenceKind, to_tiles: ToTiles, range_step: RangeStep, reach: Reach) -> Evidence:
    """The evidence of a kind, from what makes tiles of a stack's pairs, and the range step of the kind's tiles."""
    return Pairs(to_tiles, range_step) if kind == EvidenceKind.PAIR else Fused(kind, to_tiles, range_step, reach)


def assessments(
    kind: EvidenceKind, pairs: Sequence[str], reach: Reach, versions: Mapping[str, int] | None = None
) -> list[Assessment]:
    """Every assessment that these pairs (names) allow, in order of time.

    `versions` has the version of pairs that were replaced: what is made of another version is another assessment.
    """
    known = versions or {}
    if kind == EvidenceKind.PAIR:
        return [Assessment(pair, 0, known.get(pair, 0), span.last) for pair in in_order(pairs) if (span := Pair.parse(pair))]
    network = Network.of(np.array([(p.first, p.last) for p in map(Pair.of, pairs)], "datetime64[D]").reshape(-1, 2))
    return [
        Assessment(
            network.name(window),
            len(window.after),
            hash_of([versioned(pairs[p], known.get(pairs[p], 0)) for p in window.pairs]),
            network.days[window.after[-1]].item(),
        )
        for window in windows(kind, network, reach)
    ]
