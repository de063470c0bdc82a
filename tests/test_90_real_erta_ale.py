"""Real ground: Erta Ale, track 079D, from `shared/`, through the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from insar_anomaly import cli
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store
from insar_anomaly.units import RAD_PER_M

SHARED = Path(__file__).resolve().parents[2] / "shared"
SOURCE = SHARED / "data" / "erta_ale_079D" / "erta_ale_079D_07694_131313_licsalert.nc"
TOOL = SHARED / "tools" / "real_archive.py"
FRAME = "079D_07694_131313"
STACK = f"221080/{FRAME}"

pytestmark = pytest.mark.skipif(not (SOURCE.exists() and TOOL.exists()), reason=f"no real stack in {SHARED}")


@pytest.fixture(scope="module")
def source():
    """Displacement (m, towards the satellite) as the authors give it, north first."""
    with xr.open_dataset(SOURCE, engine="h5netcdf") as dataset:
        yield dataset.sortby("lat", ascending=False).sel(time=slice("2019-01-01", "2019-07-01")).load()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Half a year of pairs, ingested by the command line into a box over the caldera."""
    folder = tmp_path_factory.mktemp("erta_ale")
    words = [TOOL, SOURCE, folder / "archive", "--spans", "1", "--from", "20190101", "--to", "20190701"]
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    (folder / "volcanoes.toml").write_text(
        f'[[volcano]]\ngvp = 221080\nname = "Erta Ale"\nlat = 13.601\nlon = 40.666\nframes = ["{FRAME}"]\nbox_km = 16\n'
    )
    (folder / "config.toml").write_text('[[source]]\nurl = "archive"\n\n[cluster]\nkind = "inline"\n')
    assert cli.main(["-q", "-c", str(folder / "config.toml"), "ingest"]) == 0
    with Ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        verdicts = {pair: seen.verdict for pair, seen in ledger.seen(STACK).items()}
    return Store(str(folder / "store")).open(STACK).load(), verdicts


def test_every_pair_of_the_half_year_is_in_the_stack(stack, source):
    held, verdicts = stack
    assert set(verdicts.values()) == {0}
    assert held.sizes["pair"] == len(verdicts) == source.sizes["time"] - 1 > 10
    dates = source["time"].values.astype("datetime64[D]")
    np.testing.assert_array_equal(held["reference"].values.astype("datetime64[D]"), dates[:-1])
    np.testing.assert_array_equal(held["secondary"].values.astype("datetime64[D]"), dates[1:])


def test_the_stack_is_the_source_cut_to_the_box_in_radians_away_from_the_satellite(stack, source):
    held, _ = stack
    row = int(np.abs(source["lat"].values - held["y"].values[0]).argmin())
    col = int(np.abs(source["lon"].values - held["x"].values[0]).argmin())
    part = {"lat": slice(row, row + held.sizes["y"]), "lon": slice(col, col + held.sizes["x"])}
    inside = source.isel(part)
    assert inside.sizes["lat"] == held.sizes["y"] > 100
    np.testing.assert_allclose(inside["lat"].values, held["y"].values, atol=1e-6)
    np.testing.assert_allclose(inside["lon"].values, held["x"].values, atol=1e-6)
    towards = inside["ifg_cml"].diff("time", label="lower").values
    wanted = (towards * RAD_PER_M).astype(np.float32)
    wanted[wanted == 0] = np.nan  # LiCSAR's mark for no data
    np.testing.assert_allclose(held["phase"].values, wanted, rtol=1e-5, atol=1e-5)
    assert np.isfinite(held["phase"].values).mean() == np.isfinite(wanted).mean() > 0.5
    np.testing.assert_array_equal(held["coherence"].values, np.where(np.isfinite(towards), 180, 0))
    np.testing.assert_allclose(held["height"].values, inside["dem"].values, atol=1e-3)


def test_the_stack_says_where_it_lies_and_how_it_was_seen(stack):
    held, _ = stack
    grid = Grid.of(held)
    assert grid.west < 40.666 < grid.west + grid.dx * grid.shape[1]
    assert grid.north - grid.dy * grid.shape[0] < 13.601 < grid.north
    assert held.attrs["line_of_sight"] == "positive = away from the satellite"
    assert float(held["e"].mean()) > 0  # descending, looking west: the satellite stands in the east
    coherence, measured = held["coherence"].values, np.isfinite(held["phase"].values)
    assert (coherence[measured] == 180).all()
    assert 0 < measured.sum() < measured.size
