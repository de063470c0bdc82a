"""A volcano on an ascending and a descending frame: both are judged together, and nobody is told twice."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

import installation
import numpy as np
import pytest
from installation import CONFIG, DATES, ENTRY, FIT, KM, NORTH, STEP, WEST, Installation, flagged
from sqlalchemy import event

from insar_anomaly import cli
from insar_anomaly.errors import Verdict
from insar_anomaly.ledger import Ledger
from insar_anomaly.names import EvidenceKind, Period
from insar_anomaly.pipeline.couples import score_couples
from insar_anomaly.simulate import PointSource, Unrest, scene
from insar_anomaly.tools.layouts.licsar import write_archive

UP, DOWN = "001A_00001_010101", "002D_00002_010101"
COUPLE = f"990001/{UP}+{DOWN}"
START = DATES[17] + timedelta(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Fitted and calibrated: two frames, five days apart, and a source that both see."""
    here = Installation(tmp_path_factory.mktemp("both"))
    for number, (frame, shift) in enumerate(((UP, 0), (DOWN, 5))):
        days = [day + timedelta(days=shift) for day in DATES]
        motion = [Unrest(PointSource(32, 32, depth_km=1.2, peak_cm=5.0), START + timedelta(6), START + timedelta(7))]
        rng = np.random.default_rng(20 + number)
        here_scene = scene((64, 64), rng, dates=days, motion=motion, pixel_km=(KM, KM), turbulence_rad=0.5)
        write_archive(here.archive, frame, here_scene, west=WEST, north=NORTH, step=STEP)
    entry = ENTRY.format(gvp=990001, name="Two Views", lon=WEST + 0.032, frame=UP, more="")
    (here.folder / "volcanoes.toml").write_text(entry.replace(f'["{UP}"]', f'["{UP}", "{DOWN}"]'))
    here.config.write_text(CONFIG)
    here.ingest()
    assert here.fit(FIT).failures == []
    return here


@pytest.fixture
def both(made, tmp_path):
    return installation.copy(made, tmp_path / "here")


def test_a_couple_has_a_threshold_and_scores_of_its_own(both, capsys):
    run, digest = both.nightly(DATES[-1] + timedelta(days=20))
    assert run.failures == []
    assert digest["scored_directions"] > 0
    with both.opened() as (s, _):
        model = s.ledger.current(COUPLE, "directions")
        assert model is not None
        assert model.threshold is not None
        calibration = json.loads(model.calibration)
        assert {"8 cm", "8 cm, first assessment"} == set(calibration["detection"])
        assert calibration["detectability"]["half"]["cm"] > 0
        rows = s.ledger.assessments(COUPLE, "directions")
    assert {row.verdict for row in rows} == {Verdict.OK}
    best = max(rows, key=lambda row: row.score)
    assert best.score > model.threshold
    first, last = best.pair.split("_")
    assert first <= f"{START + timedelta(7):%Y%m%d}"
    assert last >= f"{START + timedelta(6):%Y%m%d}"
    assert cli.main(["-c", str(both.config), "scores", "--evidence", "directions"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("gvp,frame,pair,after,seen,score")
    assert len(said) == 1 + len(rows)
    _, again = both.nightly(DATES[-1] + timedelta(days=21))
    assert (again["scored_directions"], again["new_notices"]) == (0, 0)


def test_a_couple_says_which_of_its_frames_have_flagged_too(both):
    """It always tells: a frame's own flag may be withdrawn tomorrow, and the couple's would then never have been told."""
    both.nightly(DATES[-1] + timedelta(days=20))
    stacks = {row[0] for row in flagged(both)}
    assert COUPLE in stacks
    told = {content["stack"]: content for p in both.notices if (content := json.loads(p.read_text()))["kind"] == "raised"}
    assert told.keys() == stacks
    assert len(told[COUPLE]["payload"]["members"]) == 2
    for one in told[COUPLE]["payload"]["members"]:
        assert one["flagged"] == (one["stack"] in stacks)
        assert f"{one['stack']}: score" in told[COUPLE]["body"]
    assert ("flagged by itself too" in told[COUPLE]["body"]) == (len(stacks) > 1)


def test_a_couple_alone_tells_with_both_views_in_the_picture(both):
    with both.opened() as (s, _):
        for frame in (UP, DOWN):  # as if neither frame could be sure
            model = s.ledger.current(f"990001/{frame}", "interval")
            s.ledger.publish(f"990001/{frame}", type(model)(**vars(model) | {"threshold": 1e6}))
    run, digest = both.nightly(DATES[-1] + timedelta(days=20))
    assert run.failures == []
    assert [words for words in digest["warnings"] if "the canary was not seen" not in words] == []
    assert {row[0] for row in flagged(both)} == {COUPLE}
    [notice] = both.notices
    content = json.loads(notice.read_text())
    assert [one["stack"] for one in content["payload"]["members"]] == [f"990001/{UP}", f"990001/{DOWN}"]
    assert f"990001/{UP}: score" in content["body"]
    told = content["payload"]
    views = [one["motion"] for one in told["members"]]
    assert told["motion"]["first"] == max(one["first"] for one in views)
    assert told["motion"]["last"] == min(one["last"] for one in views)
    for one in views:
        assert one["cm"] == pytest.approx(5.0, abs=2 * one["sigma_cm"])
    figure = notice.parent / content["figure"]
    assert figure.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(figure.read_bytes()[i : i + 4], "big") for i in (16, 20))
    assert height / width == pytest.approx((0.7 + 2 * 7.3) / 11, rel=0.02)  # a block of panels for each frame


def test_flags_of_both_directions_agree_and_it_is_told_once(both):
    """On the night that raised both, their notices say it; where one was told before, it is escalated."""
    both.nightly(DATES[-1] + timedelta(days=20))
    told = {content["stack"]: content for p in both.notices if (content := json.loads(p.read_text()))["kind"] == "raised"}
    stacks = [f"990001/{UP}", f"990001/{DOWN}"]
    assert told.keys() >= set(stacks)
    for mine, other in (stacks, stacks[::-1]):
        assert told[mine]["payload"]["growth"] == ["direction"]
        assert f"Both directions: flagged from the other direction too, at the same time: {other}:1." in told[mine]["body"]
    assert both.rows("select agreed from episode where stack in (?, ?)", *stacks) == [(1,), (1,)]
    with closing(sqlite3.connect(both.folder / "ledger.sqlite")) as ledger:  # as if the other had not been flagged then
        ledger.execute("update episode set agreed = 0, state = 'acknowledged' where stack = ?", (stacks[0],))
        ledger.commit()
    before = len(both.notices)
    for days in (21, 22):
        both.nightly(DATES[-1] + timedelta(days=days))
    grown = [content for p in both.notices if (content := json.loads(p.read_text()))["kind"] == "escalated"]
    assert [(content["stack"], content["payload"]["growth"]) for content in grown] == [(stacks[0], ["direction"])]
    assert "a flag from the other direction agrees" in grown[0]["body"]
    assert len(both.notices) == before + 1
    assert both.rows("select state from episode where stack = ?", stacks[0]) == [("escalated",)]


def test_deciding_asks_the_ledger_nothing_and_comes_to_the_same_twice(both, monkeypatch):
    original, asked, decided = Ledger.advance, [], []

    def watched(self, stack, model, decide, **how):
        def twice(*loaded):
            listen = (self._database._engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
            event.listen(*listen)
            first, second = decide(*loaded), decide(*loaded)
            event.remove(*listen)
            assert first == second
            decided.append((stack, len(first.notices)))
            return first

        return original(self, stack, model, twice, **how)

    monkeypatch.setattr(Ledger, "advance", watched)
    both.config.write_text(
        both.config.read_text() + '\n[[channel]]\nkind = "email"\nhost = "h"\nsender = "us@example.org"\n'
    )
    run, digest = both.nightly(DATES[-1] + timedelta(days=20))
    assert run.failures == []
    assert (COUPLE, 1) in decided
    assert asked == []
    assert sum("channel email has no recipients" in words for words in digest["warnings"]) == len(flagged(both))


def test_a_threshold_is_made_of_calibrations_that_the_version_before_wrote(both):
    def threshold():
        with both.opened() as (s, run):
            score_couples(s, run, Period())
            return s.ledger.current(COUPLE, EvidenceKind.DIRECTIONS).threshold

    wanted = threshold()
    assert wanted is not None
    with closing(sqlite3.connect(both.folder / "ledger.sqlite")) as ledger:
        ledger.execute("delete from model where evidence = 'directions'")
        renamed = ledger.execute("""update model set calibration = replace(calibration, '"assessments": ', '"looks": ')""")
        assert renamed.rowcount > 0
        ledger.commit()
    assert threshold() == wanted


def test_directions_without_intervals_are_refused(both, capsys):
    both.change("[ingest]", '[fusion]\nevidence = ["directions"]\n\n[flags]\nrests_on = "pair"\n\n[ingest]')
    assert cli.main(["config", "--check", str(both.config)]) == 2
    assert 'add "interval"' in capsys.readouterr().err
