"""A flag's score comes out again to the last digit, from what was recorded, with every step; else what differs is said."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import get_args

import numpy as np
import pytest
from installation import AS_OF, BLIND, DATES, QUIET, RISING, ledger_content

from insar_anomaly import cli
from insar_anomaly.calibration.again import by_policy
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.threshold import Policy, Target
from insar_anomaly.ledger import ScoredAssessment
from insar_anomaly.names import FlagName
from insar_anomaly.pipeline.explain import explain

FLAG = FlagName(RISING, 1)
TARGET = Target("false-alarms-per-year", 1.0, fpr=0.01, quantile=0.95, min_pairs=15, clear_after_days=60)


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


@pytest.mark.parametrize("rests_on", ["interval", "pair"])
def test_the_recorded_score_comes_out_again_to_the_last_digit(rests_on, fitted):
    fitted.config.write_text(fitted.config.read_text() + f'\n[flags]\nrests_on = "{rests_on}"\n')
    fitted.nightly()
    with fitted.opened() as (s, _):
        found = explain(s, FLAG)
        [row] = s.ledger.episodes(RISING)
    assert found.recorded == row.peak_score
    assert found.recomputed == found.recorded
    assert found.same
    assert found.differences == ()
    steps = {step.what: step.found for step in found.steps}
    assert "is over" in steps["threshold"]
    assert "cm towards the satellite" in steps["line of sight"]
    assert steps["notice"].startswith("yes")
    assert ("measured by what is quiet" in steps) == (rests_on == "interval")


def test_after_a_correction_the_old_score_is_explained_from_its_old_snapshot(fitted):
    """The pairs of the event are replaced by what was there before; the flag's score of then still comes out."""
    fitted.nightly()
    with fitted.opened() as (s, _):
        before = explain(s, FLAG)
    with fitted.opened() as (s, _):
        newer = s.store.open(RISING).load()
    changed = newer.isel(pair=slice(-3, None))
    assert changed.sizes["pair"] == 3
    for pair in map(str, changed["pair"].values):
        fitted.phase(pair).touch()
    fitted.nightly(AS_OF)
    with fitted.opened() as (s, _):
        assert explain(s, FLAG) == before


def test_the_command_prints_the_way_and_json_has_its_numbers(fitted, capsys):
    fitted.nightly()
    assert run(fitted, "explain", FLAG) == 0
    said = capsys.readouterr().out
    assert "equal to the last digit" in said
    assert f"{FLAG}: interval" in said
    assert "  delivered\n" in said
    figure = fitted.folder / "figures" / "flags" / f"{RISING.replace('/', '_')}_1.png"
    assert f"  figure: {figure}" in said
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert run(fitted, "--json", "explain", FLAG) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is True
    assert found["recorded"] == found["recomputed"]
    assert (found["told"], found["figure"], found["later"]) == ("delivered", str(figure), found["after"] - 1)
    assert f" with {found['later']} acquisition{'s' if found['later'] != 1 else ''} after it" in said
    assert run(fitted, "explain", f"{QUIET}:1") == 2
    assert f"there is no flag {QUIET}:1; `insar-anomaly flags` lists" in capsys.readouterr().err


def test_a_model_that_is_gone_is_named_and_the_exit_code_is_1(fitted, capsys):
    import shutil

    fitted.nightly()
    models = [path for path in (fitted.folder / "store").rglob("*") if path.is_dir() and path.name == "models"]
    assert models
    for path in models:
        shutil.rmtree(path)
    assert run(fitted, "explain", FLAG) in (1, 2)
    said = capsys.readouterr()
    assert "model" in said.out + said.err
    assert "Traceback" not in said.err


def test_whatif_counts_what_another_budget_would_have_raised_and_changes_nothing(fitted, capsys):
    fitted.nightly()
    before = ledger_content(fitted)
    words = ["whatif", "--as-of", AS_OF, "--years", "3"]
    assert run(fitted, "--json", *words) == 0
    now = {row["gvp"]: row for row in json.loads(capsys.readouterr().out)}
    assert now[990002] == now[990002] | {"flags_now": 1, "notices_now": 1, "flags_then": 1, "notices_then": 1}
    assert now[990001]["flags_then"] == 0
    assert run(fitted, "--json", *words, "--false-flags-per-year", "1e-12") == 0
    strict = {row["gvp"]: row for row in json.loads(capsys.readouterr().out)}
    assert (strict[990002]["flags_then"], strict[990002]["notices_then"], strict[990002]["notices_now"]) == (1, 0, 1)
    assert run(fitted, *words, "--false-alarms-per-year", "50") == 0
    title, *rows, together, missing, _ = capsys.readouterr().out.splitlines()
    assert missing.startswith(f"not counted, or not as asked: {BLIND}: it has no threshold: ")
    assert next(row for row in rows if row.startswith("990003")).split()[-5:] == ["-"] * 5
    assert title.split()[:4] == ["volcano", "years", "flags", "with"]
    by_number = {row.split()[0]: row.split() for row in rows}
    assert by_number.keys() == {"990001", "990002", "990003"}
    assert by_number["990002"][-2:] == together.split()[-2:] == ["1", "1"]
    by_name = {}
    for name in get_args(Policy):
        assert run(fitted, "--json", *words, "--policy", name) == 0
        by_name[name] = {row["gvp"]: row for row in json.loads(capsys.readouterr().out)}
    assert by_name["false-alarms-per-year"] == now  # it is the policy of the settings
    assert all(found[990002]["flags_then"] >= 1 and not found[990002]["blind_then"] for found in by_name.values())
    assert run(fitted, *words, "--policy", "youden", "--false-alarms-per-year", "2") == 2
    assert "is the aim of policy false-alarms-per-year, not of youden" in capsys.readouterr().err
    assert ledger_content(fitted) == before
    with pytest.raises(SystemExit):
        run(fitted, *words, "--policy", "median")
    assert "invalid choice: 'median'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(fitted, *words, "--years", "0")
    assert "'0' is not a number above 0" in capsys.readouterr().err


def test_whatif_says_what_is_missing_and_the_remedy_where_nothing_can_be_counted(fitted, capsys):
    fitted.nightly()
    assert run(fitted, "whatif", "--as-of", "2017-01-01") == 0
    said = capsys.readouterr().out
    assert said.startswith("nothing can be counted:\n")
    assert f"{QUIET} and 1 more: it has no score from 2016-01-02 to 2017-01-01; its scores are from " in said
    assert f"give --as-of {DATES[-1]}, or more --years" in said
    assert " 0 " not in said
    assert run(fitted, "--json", "whatif", "--as-of", "2017-01-01") == 0
    found = {row["gvp"]: row for row in json.loads(capsys.readouterr().out)}
    assert found[990002]["missing"][0]["stack"] == RISING


def test_whatif_says_that_an_old_fit_has_no_return_periods(fitted, capsys):
    """As a version before return periods has left it: no tail in the calibration, no level of all stacks."""
    fitted.nightly()
    with closing(sqlite3.connect(fitted.folder / "ledger.sqlite")) as database:
        for number, text in database.execute("select number, calibration from model").fetchall():
            bare = json.dumps({name: value for name, value in json.loads(text).items() if name != "tail"})
            database.execute("update model set calibration = ? where number = ?", (bare, number))
        database.execute("delete from pool")
        database.commit()
    assert run(fitted, "whatif", "--as-of", AS_OF, "--years", "3", "--false-flags-per-year", "1e-12") == 0
    said = capsys.readouterr().out
    assert "its quiet scores have no return periods, so that its own threshold stays; run `insar-anomaly fit` again" in said


def test_whatif_counts_no_notice_of_what_was_raised_and_withdrawn_on_one_night():
    from insar_anomaly.names import Pair
    from insar_anomaly.pipeline.whatif import _raised

    row = ScoredAssessment("s", "20200101_20200113", 2, date(2020, 1, 25), 9.0, 5.0, None, False, 0, "", "m")
    gone = replace(row, pair="20200101_20200113", after=3, score=1.0)
    assert Pair.of(row.pair).last < row.seen
    assert _raised([row, gone], 5.0, 5.0, 60) == (1, 0)
    assert _raised([row, replace(gone, seen=date(2020, 2, 6))], 5.0, 5.0, 60) == (1, 1)


def test_a_place_west_of_greenwich_is_named_so():
    from insar_anomaly.pipeline.explain import _measured
    from insar_anomaly.pipeline.scoring import Measured

    found = list(_measured(Measured(-1.0, 1.0, 1.0, 2.0, 3.0, -1.5, -90.25, 1.0, 12.0, None, 2.0)))
    assert "at 1.5000° S, 90.2500° W" in found[1].found


@pytest.mark.parametrize("evidence", ["interval", "pair"])
def test_a_policy_gives_the_threshold_that_a_fit_by_it_would(evidence, with_models):
    """Intervals: every one of them to the last digit. Single pairs: where no dates are needed."""
    [(text, threshold)] = with_models.rows(
        "select calibration, threshold from model where stack = ? and evidence = ?", QUIET, evidence
    )
    kept, target = Calibration.read(text), TARGET
    if evidence == "interval":
        assert by_policy(kept, target) == threshold
    for policy in ("fpr", "quantile"):
        assert by_policy(kept, replace(target, policy=policy)) == pytest.approx(
            np.quantile(kept.negatives, 0.95 if policy == "quantile" else 0.99, method="higher"), rel=1e-12
        )
    looser = [by_policy(kept, replace(target, false_alarms_per_year=rate)) for rate in (0.5, 2.0, 20.0)]
    assert looser == sorted(looser, reverse=True)
    assert looser[0] > looser[-1]
    youden = by_policy(kept, replace(target, policy="youden"))
    assert youden is not None
    assert min(kept.negatives) < youden < max(kept.injections.score)
    assert by_policy(replace(kept, assessments={}, injections=None), replace(target, policy="youden")) is None
