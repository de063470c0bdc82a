"""The benchmark of the alarm rate on simulated archives, at a small size: what it counts is what a night would raise."""

from __future__ import annotations

import importlib
import json
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from insar_anomaly import detectors
from insar_anomaly.calibration.budget import Level
from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.return_period import Peak, Tail
from insar_anomaly.evidence.protocol import Assessed, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.fitting import calibrated
from insar_anomaly.pipeline.parts import evidence_of, planes_of

ROOT = Path(__file__).parent.parent
OPTIONS = ["--archives", "--stacks", "6", "--stack-years", "6", "--seed", "5", "--detectors", "filter"]


def benchmark(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module(name)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark with archives of 16 pixels a side and 1.5 quiet years."""
    years = benchmark(monkeypatch, "quiet_years")
    monkeypatch.setattr(years, "SIDE", 16)
    monkeypatch.setattr(years, "QUIET_YEARS", 1.5)
    return benchmark(monkeypatch, "alarm_rate")


def test_a_run_that_was_stopped_goes_on_and_says_the_same(small, tmp_path, capsys):
    def run(out: str) -> tuple[str, list[dict]]:
        assert small.main([*OPTIONS, "--work", str(tmp_path / "work"), "--json", str(tmp_path / out)]) == 0
        return capsys.readouterr().out, json.loads((tmp_path / out).read_text(encoding="utf-8"))["rows"]

    printed, rows = run("first.json")
    assert "seed 5" in printed
    files = sorted((tmp_path / "work").rglob("*.json"))
    assert len(files) == 6
    content = [file.read_bytes() for file in files]
    when = [file.stat().st_mtime_ns for file in files]
    files[4].unlink()
    assert run("second.json") == (printed, rows)
    assert [file.read_bytes() for file in files] == content
    assert [file.stat().st_mtime_ns for file in files[:4]] == when[:4]

    everything = [row for row in rows if row["ground"] == "all"]
    kinds = [row for row in rows if row["ground"] != "all" and row["budget"] == everything[0]["budget"]]
    assert len(kinds) == 6
    for name in ("told", "own"):
        assert sum(row["flags"][name] for row in kinds) == everything[0]["flags"][name]
    assert [row["flags"]["told"] for row in everything] == sorted((row["flags"]["told"] for row in everything), reverse=True)
    # six stack-years at one a year: more than 18 would happen once in twenty thousand runs
    assert 1 <= everything[0]["flags"]["own"] <= 18


def test_an_archive_is_scored_as_a_night_scores_it(monkeypatch, tmp_path):
    """A night makes tiles of the pairs it has and of the assessments it wants; the numbers are the same."""
    archives = benchmark(monkeypatch, "quiet_archives")
    plan = archives.Plan(seed=5, detector="filter", quiet=1.5, watched=0.3, side=16)
    stack, since = archives.archive(plan, 3), np.datetime64(plan.since)
    quiet = stack.isel(pair=np.flatnonzero((pair_dates(stack) <= since).all(1)))
    task = archives._task(plan, 3, quiet, tmp_path)
    proof = evidence_of(EvidenceKind.INTERVAL, archives.REACH, task.volcano, stack, archives.CLEANING)
    with closing(planes_of(task.volcano, quiet, archives.CLEANING)) as planes:
        scorer, _, level = calibrated(task, planes, proof)
    found = archives.watched(plan, 3, tmp_path)
    wanted = {(one.name, one.after): one for one in found.assessments}
    tiles = proof.tiles(stack, list(wanted))
    raw = detectors.load(scorer.to_dataset()).score(tiles[list(scorer.inputs)])["score"].values
    days = (tiles["secondary"].values - tiles["reference"].values) / np.timedelta64(1, "D")
    scores = level.standard(raw, tiles["variance"].values, days)
    assert len(wanted) == len(scores) > 10
    assert all(one.last > plan.since for one in wanted.values())
    keys = zip(tiles["pair"].values.astype(str), tiles["after"].values, strict=True)
    assert [wanted[name, int(after)].score for name, after in keys] == pytest.approx(scores.tolist(), abs=1e-9)


def test_every_kind_of_atmosphere_has_its_own_tail(monkeypatch):
    """The kinds are what they are called: strengths of days that are stormy or seasonal spread most."""
    archives = benchmark(monkeypatch, "quiet_archives")
    season = np.sin(np.linspace(0, 20 * np.pi, 600))
    ground = archives.Ground(np.random.default_rng(0).uniform(0, 2000, (16, 16)), season)
    spread, follows = {}, {}
    for name, draw in archives.KINDS.items():
        screens = draw(ground, np.random.default_rng(1), np.ones(600))
        strength = screens.std((1, 2))
        spread[name] = np.quantile(strength, 0.995) / np.median(strength)
        if name == "strong season":
            assert np.corrcoef(strength, season)[0, 1] > 0.5
        follows[name] = np.median([abs(np.corrcoef(one.ravel(), ground.height.ravel())[0, 1]) for one in screens])
    assert follows.pop("layered over relief") > 5 * max(follows.values())
    assert spread["stormy, Pareto 2.5"] > 2 * spread["turbulent"]
    assert spread["convective cells, Student t 3"] > spread["turbulent"]


def test_flags_with_a_notice_are_those_above_the_level(monkeypatch):
    years, archives = (benchmark(monkeypatch, name) for name in ("quiet_years", "quiet_archives"))
    day = date(2020, 1, 1)
    tail = Tail(1.0, tuple(Peak(day + timedelta(days=n), 1.0) for n in range(10)), 5.0)
    calibration = Calibration("false-alarms-per-year", 2.0, "", (), 5.0, tail=tail)

    def after(*scores: float) -> archives.Watched:
        days = [day + timedelta(days=100 * n) for n in range(len(scores))]
        seen = tuple(
            Assessed(one, one + timedelta(days=12), 1, one + timedelta(days=12), score)
            for one, score in zip(days, scores, strict=True)
        )
        return archives.Watched("turbulent", calibration, 1.0, seen)

    level = Level(tail.rate(4.0), 12.0, Estimate(12.0, 7.0, 18.0), 1, 5.0)
    assert years.Count.of(after(1.9, 2.1, 3.9, 4.1), level) == years.Count(told=1, own=3)
    assert years.Count.of(after(1.0, 1.0), level) == years.Count(0, 0)
    blind = replace(after(9.0), calibration=replace(calibration, threshold=None))
    assert years.Count.of(blind, level) == years.Count(0, 0)
