"""What each acquisition of a stack shows, from all of its pairs: the series in which slow motion is looked for.

Every pair is the difference of two acquisitions. The increments from one acquisition to the next are solved by least
squares, as in small-baseline methods (Berardino et al. 2002), and added up. An increment that no pair brackets has the
smallest value that the others allow: where the network is broken, the series goes on at the same height (Doin et al. 2011
close such gaps with a model of the motion; none is assumed here).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_PART = 1e-10
"""Singular values below this part of the largest one belong to increments that no pair brackets."""


def history(pairs: Floats, ends: NDArray[np.int64]) -> Floats:
    """Phases of all acquisitions from those of pairs, the first acquisition at 0.

    Parameters
    ----------
    pairs : (pair, place) rad; NaN where a pair has not measured a place
    ends : (pair, 2), numbers of the first and the second acquisition of each pair, in order of time from 0

    Returns
    -------
    (acquisition, place) rad; NaN at places that no pair has measured.
    """
    number = int(ends.max()) + 1
    bracketed = np.zeros((len(ends), number - 1))
    for row, (first, last) in enumerate(ends):
        bracketed[row, first:last] = 1
    out = np.full((number, pairs.shape[1]), np.nan)
    known = np.isfinite(pairs)
    masks, of_place = np.unique(known, axis=1, return_inverse=True)
    for number, mask in enumerate(masks.T):
        places = np.flatnonzero(of_place.ravel() == number)
        if mask.any():
            inverse = np.linalg.pinv(bracketed[mask], rcond=_LEAST_PART)
            increments = inverse @ pairs[np.ix_(mask, places)]
            out[0, places], out[1:, places] = 0, np.cumsum(increments, 0)
    return out
