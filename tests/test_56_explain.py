"""A flag's score comes out again to the last digit, from what was recorded, with every step; else what differs is said."""

from __future__ import annotations

import json

import pytest
from installation import AS_OF, QUIET, RISING, ledger_content

from insar_anomaly import cli
from insar_anomaly.names import FlagName
from insar_anomaly.pipeline.explain import explain

FLAG = FlagName(RISING, 1)


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
    assert run(fitted, "--json", "explain", FLAG) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is True
    assert found["recorded"] == found["recomputed"]
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
    said = capsys.readouterr().out
    assert "990002 Rising Cone: " in said
    assert "by the settings 1 and 1" in said
    assert ledger_content(fitted) == before
    with pytest.raises(SystemExit):
        run(fitted, *words, "--years", "0")
    assert "'0' is not a number above 0" in capsys.readouterr().err
