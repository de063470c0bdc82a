"""The command that replays real ground night by night, on a simulated archive: what it tells, and when."""

from __future__ import annotations

import importlib
import json
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import installation
import pytest
from installation import AS_OF, DATES, FIT, RISING, UNREST

from insar_anomaly.names import Period

ROOT = Path(__file__).resolve().parents[1]
LATENCY = timedelta(days=3)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("replay")


def test_a_period_is_replayed_night_by_night_and_taken_up_where_it_was_stopped(benchmark, learned, tmp_path, capsys):
    place = installation.copy(learned, tmp_path / "ingested")
    place.only(990001, 990002)
    plan = benchmark.Plan("late", FIT, (Period(FIT.last, AS_OF),), (UNREST.start, UNREST.end))
    out = tmp_path / "found.json"
    code = benchmark.replay(place.folder, tmp_path, [plan], latency=LATENCY, out=out)
    printed = capsys.readouterr().out
    content = json.loads(out.read_text())
    assert code == int(not all(content["aims"].values()))
    assert printed.count("aim: ") == printed.count(": met") + printed.count(": MISSED") == len(content["aims"]) == 2

    [found] = content["installations"]["late"]
    raised = [one for one in found["told"] if one["outcome"] == "raised" and one["flag"] in found["on_event"]]
    assert found["on_event"] == [one["flag"] for one in raised] == [f"{RISING}:1"]
    after = next(day for day in DATES if day >= UNREST.end)
    assert date.fromisoformat(raised[0]["night"]) == date.fromisoformat(raised[0]["newest"]) + LATENCY
    assert found["late_days"] == (date.fromisoformat(raised[0]["night"]) - after).days >= LATENCY.days
    for one in found["told"]:
        assert f"{one['night']}  {one['outcome']}" in printed
        assert one["subject"] in printed
        assert (tmp_path / "late" / "notices" / one["figure"]).exists()

    marks = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.done")}
    assert len(marks) == 4
    (tmp_path / f"late replay {FIT.last} to {AS_OF}.done").unlink()  # stopped before its end
    assert benchmark.replay(place.folder, tmp_path, [plan], latency=LATENCY) == code
    again = capsys.readouterr()
    assert again.out == printed
    assert again.err.count("step ") == 1
    assert sum(file.stat().st_mtime_ns == before for file, before in marks.items()) == 3
