"""A box over the edge of two frames of one track: each part is screened, and each stack says which part it sees."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from installation import AS_OF, CONFIG, DATES, FIT, KM, NORTH, STEP, WEST, Installation

from insar_anomaly import cli
from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.notify import wording
from insar_anomaly.notify.payload import Payload
from insar_anomaly.report.states import partly_of
from insar_anomaly.simulate import PointSource, Unrest, scene
from insar_anomaly.stack.coverage import covered_by
from insar_anomaly.stack.freshness import StackState
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts.licsar import write_archive

UPPER, LOWER = "001A_00001_010101", "001A_00002_010101"
NORTHERN, SOUTHERN = f"990001/{UPPER}", f"990001/{LOWER}"
ENTRY = """[[volcano]]
gvp = 990001
name = "Edge Peak"
lat = {lat}
lon = {lon}
frames = ["{upper}", "{lower}"]
box_km = 6
"""
SPLIT, SHARED = 22, 4
"""Row at which the lower frame begins, and rows that both frames hold."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """A volcano whose box lies over two frames; the ground that the lower one holds rises after the fit period."""
    place = Installation(tmp_path_factory.mktemp("edge"))
    inside = {"start": DATES[17] + timedelta(1), "end": DATES[18] - timedelta(1)}
    whole = scene((64, 64), np.random.default_rng(5), dates=DATES, pixel_km=(KM, KM), turbulence_rad=0.4)
    for frame, rows in ((UPPER, slice(0, SPLIT + SHARED)), (LOWER, slice(SPLIT, 64))):
        # the source lies in row 52 of the whole: each frame holds what it would see of it
        event = Unrest(PointSource(52 - rows.start, 32, depth_km=0.6, peak_cm=12.0), **inside)
        layers = {name: getattr(whole, name)[..., rows, :] for name in ("screens", "height_m", "lost")}
        part = replace(whole, motion=(event,), **layers)
        write_archive(place.archive, frame, part, west=WEST, north=NORTH - STEP * rows.start, step=STEP)
    entry = ENTRY.format(lat=NORTH - 0.032, lon=WEST + 0.032, upper=UPPER, lower=LOWER)
    (place.folder / "volcanoes.toml").write_text(entry)
    place.config.write_text(CONFIG)
    run = place.ingest()
    assert run.failures == []
    place.fit(FIT)
    _, digest = place.nightly(AS_OF)
    return place, run, digest


def test_each_part_is_a_stack_and_the_ground_that_moved_is_flagged_by_the_one_that_holds_it(edge):
    place, _, digest = edge
    assert digest["failures"] == []
    areas = {row["stack"]: row["area"] for row in digest["states"]}
    assert areas.keys() == {NORTHERN, SOUTHERN}
    assert 0.9 < sum(areas.values()) < 1.2
    scored = dict(place.rows("select stack, count(*) from score where score is not null group by stack"))
    assert scored[NORTHERN] > 0
    assert scored[SOUTHERN] > 0
    [told] = [flag for flag in digest["open_flags"] if flag["stack"] == SOUTHERN]
    assert told["since"] <= str(DATES[17]) < str(DATES[18]) <= told["until"]


def test_the_part_of_the_box_and_whether_the_summit_is_in_it_are_said_per_stack(edge, capsys):
    place, run, digest = edge
    said = {stack: [words for words in run.warnings if words.startswith(stack)] for stack in (NORTHERN, SOUTHERN)}
    assert "holds 39% of it; the summit is not: nothing there can be flagged" in said[NORTHERN][0]
    assert "its frame ends inside the volcano's box and holds" in said[SOUTHERN][0]
    assert "the summit is inside" in said[SOUTHERN][0]
    assert [one["stack"] for one in digest["partly_measured"]] == [NORTHERN, SOUTHERN]
    assert f"{SOUTHERN}, of the same track, measures" in digest["partly_measured"][0]["why"]
    content = next(one for one in map(json.loads, (n.read_text() for n in place.notices)) if one["stack"] == SOUTHERN)
    assert list(content["payload"]["partly_measured"]) == [SOUTHERN]
    told = Payload.read(json.dumps(content["payload"]))
    words = "% of the volcano's box in its last 6 acquisitions. Motion elsewhere in the box is not seen by it."
    assert words in wording.body(told)
    assert f"{SOUTHERN} ha medido el" in wording.body(told, "es")
    capsys.readouterr()
    cli.main(["-c", str(place.config), "--json", "doctor"])
    [found] = [one for one in json.loads(capsys.readouterr().out) if one["what"] == "boxes in part"]
    assert found["details"]["partly"] == [NORTHERN, SOUTHERN]


def test_what_a_grid_holds_of_a_box():
    box, summit = Box(west=40.0, south=0.0, east=40.05, north=0.05), (0.025, 40.025)
    for whole in (Grid(39.9, 0.1, 0.001, 0.001, (200, 200)), Grid(40.001, 0.049, 0.001, 0.001, (48, 48))):
        assert covered_by(whole, box, summit).box == 1  # also where only pixels end before the box does
    over = Box(west=179.98, south=0.0, east=180.03, north=0.05)
    assert covered_by(Grid(-180.02, 0.05, 0.001, 0.001, (50, 50)), over, (0.025, -179.995)).box == 1
    half = covered_by(Grid(40.0, 0.05, 0.001, 0.001, (50, 25)), box, (0.025, 40.04))
    assert half.box == pytest.approx(0.5, abs=0.02)
    assert half.summit == 0


def test_only_frames_of_the_same_track_are_named_beside_a_part():
    state = StackState(AS_OF, area=0.4)
    names = ("1/001A_00001_010101", "1/002A_00001_010101", "2/001A_00002_010101", "1/one", "1/two")
    found = partly_of(dict.fromkeys(names, state))
    assert [one.stack for one in found] == sorted(names)
    assert all("of the same track" not in one.why for one in found)
    assert partly_of({"1/001A_00001_010101": StackState(AS_OF, area=0.9)}) == ()
