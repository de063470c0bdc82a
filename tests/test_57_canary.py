"""The canary: a source put into real data each night must be seen, and a night that would not have seen it says so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import numpy as np
from installation import AS_OF

from insar_anomaly.names import Period
from insar_anomaly.pipeline.assess import newest_whole, score_task
from insar_anomaly.pipeline.canary import canary_score


def test_each_night_one_stack_in_turn_shows_that_it_would_see_a_source(fitted):
    seen = []
    for night in range(3):
        run, digest = fitted.nightly(AS_OF + timedelta(days=night))
        assert digest["canary"]["seen"]
        assert digest["canary"]["night"] == str(AS_OF + timedelta(days=night))
        assert digest["canary"]["score"] > digest["canary"]["threshold"] > 0
        assert not any("canary" in words for words in run.warnings)
        seen.append(digest["canary"]["stack"])
    assert len(set(seen)) == 2  # the third stack is blind: it can show nothing
    before = fitted.rows("select * from canary order by night")
    fitted.nightly(AS_OF + timedelta(days=2))  # the same night again flies the same canary
    np.testing.assert_equal(fitted.rows("select * from canary order by night"), before)


def test_a_source_that_is_not_seen_is_a_warning_with_its_numbers_and_nothing_of_it_is_stored(fitted):
    fitted.nightly()
    scores = fitted.rows("select count(*), sum(score) from score")
    with closing(sqlite3.connect(fitted.folder / "ledger.sqlite")) as database, database:
        database.execute("update model set threshold = 1e9")
    run, digest = fitted.nightly(AS_OF + timedelta(days=1))
    assert not digest["canary"]["seen"]
    [words] = [words for words in run.warnings if "canary" in words]
    assert words.startswith(f"{digest['canary']['stack']}: the canary was not seen: a source of ")
    assert "under the threshold 1e+09" in words
    assert fitted.rows("select count(*), sum(score) from score") == scores


def test_it_is_the_source_that_is_seen(fitted):
    """The same assessment without the source has the score that the night gave it; a larger source has a larger score."""
    fitted.nightly()
    with fitted.opened() as (s, run):
        canary = s.ledger.canaries()[-1]
        model, _ = s.resting(canary.stack)
        one, pairs = newest_whole(s, canary.stack, model, Period(last=run.as_of))
        assert one.name == canary.pair
        task = score_task(s, canary.stack, model, pairs=pairs, assessments=[one], snapshot=s.store.snapshot(canary.stack))
        seed = AS_OF.toordinal()
        without, small, large = (
            canary_score(replace(task, peak_cm=peak, seed=seed)) for peak in (0.0, canary.peak_cm, 40.0)
        )
        known = {(row.pair, row.after): row.score for row in s.ledger.assessments(canary.stack, model.evidence)}
    np.testing.assert_allclose(small, canary.score, rtol=1e-6)
    np.testing.assert_allclose(without, known[one.name, one.after], rtol=1e-4)
    assert large > small > without


def test_it_can_be_turned_off(fitted):
    fitted.change("[ingest]\n", "[canary]\nenabled = false\n\n[ingest]\n")
    _, digest = fitted.nightly()
    assert digest["canary"] is None
    assert fitted.rows("select * from canary") == []
