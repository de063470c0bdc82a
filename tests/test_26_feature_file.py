"""Features in a scratch file: written tile by tile, read patch by patch, in 24 bits."""

from __future__ import annotations

from contextlib import closing

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.detectors import feature_file
from insar_anomaly.detectors.feature_file import FeatureFile, Packing, lengthened, shortened


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 19), st.integers(1, 19)),
    st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=7),
    st.integers(1, 9),
    st.sampled_from([1e-6, 96]),
)
def test_what_is_written_by_tile_is_read_by_patch(grid, repeats, tiles, most_mb):
    rng = np.random.default_rng([*grid, *repeats, tiles])
    coarse = [rng.normal(0, 3, (tiles, -(-grid[0] // r), -(-grid[1] // r))).astype(np.float32) for r in repeats]
    values = np.stack(
        [one.repeat(r, 1).repeat(r, 2)[:, : grid[0], : grid[1]] for one, r in zip(coarse, repeats, strict=True)], -1
    )
    before, feature_file._MOST_MB = feature_file._MOST_MB, most_mb
    try:
        file = FeatureFile(Packing(grid, np.array(repeats)), tiles)
    finally:
        feature_file._MOST_MB = before
    found = np.full((tiles, grid[0] * grid[1], len(repeats)), np.nan, np.float32)
    with closing(file):
        rows = file.packing.packed(values)
        assert rows.shape == (tiles, file.packing.width)
        for start in range(0, tiles, 4):
            file.write(start, rows[start : start + 4])
        for places, part in file.read():
            assert np.isnan(found[:, places]).all()
            found[:, places] = part
    np.testing.assert_allclose(found, values.reshape(found.shape), rtol=2**-16)


@settings(max_examples=200)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_24_bits_keep_sixteen_binary_digits_and_zero_as_it_is(numbers):
    values = np.array([*numbers, 0.0], np.float32)
    back = lengthened(shortened(values))
    normal = np.abs(values) > 1e-37
    np.testing.assert_allclose(back[normal], values[normal], rtol=2**-16)
    assert back[-1] == 0
    np.testing.assert_array_equal(lengthened(shortened(back)), back)
