"""The whole chain on local files: ingest, fit, night after night."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta

import installation
import numpy as np
import pytest
from installation import (
    AS_OF,
    BLIND,
    DATES,
    FIT,
    QUIET,
    RISING,
    SHORT,
    UNREST,
    WIDE,
    flagged,
    ledger_content,
    store_content,
)

from insar_anomaly import pipeline
from insar_anomaly.errors import Verdict
from insar_anomaly.evidence.protocol import Assessment
from insar_anomaly.names import OF_A_STACK, Pair, Period
from insar_anomaly.pipeline import scoring as tasks
from insar_anomaly.pipeline.assess import score_task
from insar_anomaly.report.digest import lines
from insar_anomaly.sources.archive import Archive

PNG = b"\x89PNG\r\n\x1a\n"


def names(*indices):
    """The pair of two acquisitions."""
    a, b = (f"{DATES[i]:%Y%m%d}" for i in indices)
    return f"{a}_{b}"


def test_the_night_raises_one_flag_per_unrest_with_notice_and_figure(fitted):
    run, digest = fitted.nightly()
    assert run.failures == []
    [(stack, number, since, until)] = flagged(fitted)
    assert (stack, number) == (RISING, 1)
    assert since <= str(UNREST.start)
    assert str(UNREST.end) <= until
    [notice] = fitted.notices
    told = json.loads(notice.read_text())
    assert told["stack"] == RISING
    assert "Rising Cone" in told["subject"]
    assert "not an alert level" in told["body"]
    assert told["payload"]["score"] > told["payload"]["threshold"]
    flagged_pair = Pair.of(told["payload"]["pair"])
    assert flagged_pair.first < UNREST.start
    assert UNREST.end < flagged_pair.last
    assert (notice.parent / told["figure"]).read_bytes().startswith(PNG)
    assert digest["open_flags"][0]["stack"] == RISING
    assert (digest["new_notices"], digest["delivered"], digest["status"]) == (1, 1, "ok")
    assert json.loads((fitted.folder / "figures" / f"digest-{AS_OF}.json").read_text())["open_flags"]


def test_the_second_night_does_nothing_new(fitted):
    fitted.nightly()
    ledger, store, notices = ledger_content(fitted), store_content(fitted), [p.stat().st_mtime_ns for p in fitted.notices]
    run, digest = fitted.nightly(AS_OF + timedelta(days=1))
    assert {n: c for n, c in run.counts.items() if c} == {}
    assert digest["open_flags"]
    assert ledger_content(fitted) == ledger
    assert store_content(fitted) == store
    assert [p.stat().st_mtime_ns for p in fitted.notices] == notices


def test_pairs_that_arrive_late_are_picked_up(fresh, tmp_path):
    late = [names(17, 18), names(18, 19), names(16, 18)]
    for pair in late:
        fresh.phase(pair).parent.rename(tmp_path / pair)
    fresh.only(990002)
    fresh.ingest()
    fresh.fit()
    fresh.nightly()
    assert not set(late) & set(fresh.verdicts(RISING))
    for pair in late:
        (tmp_path / pair).rename(fresh.phase(pair).parent)
    run, digest = fresh.nightly()
    assert run.counts["stored_pairs"] == digest["scored_pairs"] == len(late)
    assert set(late) <= set(fresh.verdicts(RISING))
    with fresh.opened() as (s, _):
        order = s.store.open(RISING)["secondary"].values
        assert (order[:-1] <= order[1:]).all()
    assert len(flagged(fresh)) == 1


def test_many_short_nights_end_like_one_long_night(fitted, with_models, tmp_path):
    whole = installation.copy(with_models, tmp_path / "whole")
    for one in (fitted, whole):
        one.only(990002)
    whole.nightly()
    for day in (DATES[16], DATES[18], DATES[19], AS_OF):
        fitted.nightly(day)
    wanted, found = ledger_content(whole), ledger_content(fitted)
    assert found["interferogram"] == wanted["interferogram"]
    assert [row[:3] for row in found["score"]] == [row[:3] for row in wanted["score"]]
    # float32 convolutions differ in the last digits with the number of pairs in a batch
    scores = [np.array([row[3] for row in one["score"]], float) for one in (found, wanted)]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    assert [row[:2] for row in flagged(fitted)] == [row[:2] for row in flagged(whole)] == [(RISING, 1)]


def test_a_stack_without_threshold_is_never_flagged_and_listed_blind_every_night(fitted):
    for _ in range(2):
        _, digest = fitted.nightly()
        assert [b["stack"] for b in digest["blind"]] == [BLIND]
        assert "not calibrated" in digest["blind"][0]["why"]
    scored = fitted.rows(
        "select verdict, flagged, score from score where stack = ? and score is not null and after = 0", BLIND
    )
    assert len(scored) == 15
    assert {(verdict, over) for verdict, over, _ in scored} == {(Verdict.NOT_CALIBRATED, 0)}
    assert BLIND not in {row[0] for row in flagged(fitted)}


def test_a_stack_without_model_is_blind_too(ingested):
    run, digest = ingested.nightly()
    assert run.failures == []
    assert {b["stack"]: b["why"] for b in digest["blind"]} == dict.fromkeys(
        (QUIET, RISING, BLIND), "not fitted: run `insar-anomaly fit`"
    )


def test_pairs_of_the_fit_get_verdict_60_and_no_score(fitted):
    fitted.nightly()
    rows = fitted.rows("select pair, verdict, score from score where stack = ? and after = 0", QUIET)
    inside = {pair for pair, verdict, _ in rows if verdict == Verdict.IN_FIT}
    assert inside == {pair for pair in fitted.pairs() if FIT.holds(pair)}
    assert all((score is None) == (verdict == Verdict.IN_FIT) for _, verdict, score in rows)
    assert len(rows) == len(fitted.pairs())


def test_labels_take_the_place_of_injected_sources_and_leave_the_fit(ingested):
    ingested.only(990002)
    deforming = [names(17, 18), names(16, 18), names(17, 19), names(15, 18), names(16, 19), names(17, 20)]
    lines = [f"{WIDE},{pair},1" for pair in deforming] + [f"{WIDE},{names(0, 1)},0", f"{SHORT},{names(10, 11)},1"]
    (ingested.folder / "labels.csv").write_text("frame,pair,label\n" + "\n".join(lines) + "\n")
    ingested.change("folds = 2", 'folds = 2\nlabels = "labels.csv"')
    assert ingested.fit(Period(DATES[0], DATES[-1])).failures == []
    [(text,)] = ingested.rows("select calibration from model where stack = ? and evidence = 'pair'", RISING)
    calibration = json.loads(text)
    assert list(calibration["auroc"]) == ["labels"]
    assert calibration["auroc"]["labels"] > 0.7
    with ingested.opened() as (s, _):
        model = s.ledger.current(RISING).model
        fitted_on = set(map(str, s.store.read_model(RISING, model)["fitted_pair"].values))
    assert not fitted_on & set(deforming)
    assert names(0, 1) in fitted_on
    assert names(10, 11) in fitted_on


def test_a_volcanos_contacts_get_its_notices_and_others_do_not(fitted, closed_port):
    from aiosmtpd.controller import Controller

    class Inbox:
        def __init__(self):
            self.seen = []

        async def handle_DATA(self, server, session, envelope):
            self.seen.append(list(envelope.rcpt_tos))
            return "250 ok"

    inbox, port = Inbox(), closed_port()
    post = Controller(inbox, hostname="127.0.0.1", port=port)
    post.start()
    try:
        channel = (
            f'[[channel]]\nkind = "email"\nhost = "127.0.0.1"\nport = {port}\nsender = "us@example.org"\nstarttls = false\n'
        )
        fitted.config.write_text(fitted.config.read_text() + channel)
        run, digest = fitted.nightly()
    finally:
        post.stop()
    assert run.failures == []
    assert inbox.seen == [["duty@example.org"]]
    assert digest["delivered"] == 2
    assert all("duty@example.org" not in p.read_text() for p in fitted.notices)


def test_two_volcanoes_of_one_frame_share_the_opening_of_every_file(fresh, monkeypatch):
    begun = DATES[11]  # every stack is there by then: the grid of a new one takes some headers
    first = fresh.ingest(as_of=begun).counts["stored_pairs"]
    opened = Counter()
    original = Archive.opened

    def counting(self, uri):
        opened[uri] += 1
        return original(self, uri)

    monkeypatch.setattr(Archive, "opened", counting)
    run = fresh.ingest()
    assert first + run.counts["stored_pairs"] == 2 * len(fresh.pairs()) + len(fresh.pairs(SHORT))
    pairs = {uri: n for uri, n in opened.items() if "/interferograms/" in uri}
    new = [pair for frame in (WIDE, SHORT) for pair in fresh.pairs(frame) if Pair.of(pair).last > begun]
    assert len(pairs) == 2 * len(new)
    assert set(pairs.values()) == {1}


def test_as_of_hides_what_came_later(fresh):
    fresh.ingest(as_of=DATES[5])
    assert set(fresh.verdicts(QUIET)) == {p for p in fresh.pairs() if Pair.of(p).last <= DATES[5]}
    fresh.ingest()
    assert set(fresh.verdicts(QUIET)) == set(fresh.pairs())


def test_from_and_to_take_pairs_that_lie_inside_with_both_dates(fresh):
    period = Period(DATES[3], DATES[9])
    with fresh.opened() as (s, run):
        pipeline.ingest(s, run, period=period)
    inside = {p for p in fresh.pairs() if Pair.of(p).first >= DATES[3] and Pair.of(p).last <= DATES[9]}
    assert set(fresh.verdicts(QUIET)) == inside
    assert len(inside) == 6 + 5 + 4


def test_a_night_for_a_period_scores_only_that_period(fitted):
    fitted.nightly(period=Period(DATES[15], DATES[17]))
    scored = fitted.rows("select distinct pair from score where stack = ? and after = 0", QUIET)
    assert {p for (p,) in scored} == {names(15, 16), names(16, 17), names(15, 17)}
    intervals = "select pair, after from score join model using (stack, model) where stack = ? and evidence = 'interval'"
    looks = sorted(fitted.rows(intervals, QUIET))
    # as the nights of that time saw them: nothing of what came after them
    assert looks == [(names(15, 16), 1), (names(15, 16), 2), (names(16, 17), 1)]


def test_an_unchanged_fit_is_skipped_and_again_gives_the_same_model(fitted, monkeypatch):
    before = fitted.rows("select stack, model, threshold from model order by stack")
    run = fitted.fit()
    assert (run.counts["unchanged_models"], run.counts["fitted_models"]) == (
        8,
        0,
    )  # the short stack has too few acquisitions alone
    assert BLIND in run.blind
    fitted.only(990002)
    run = fitted.fit(again=True)
    assert (run.counts["unchanged_models"], run.counts["fitted_models"]) == (0, 3)
    assert fitted.rows("select stack, model, threshold from model order by stack") == before


@pytest.mark.parametrize(("old", "new"), [("dims = 20", "dims = 12"), ("min_pairs = 15", "min_pairs = 16")])
def test_a_changed_setting_is_fitted_again(fitted, old, new):
    fitted.only(990003)
    fitted.change(old, new)
    assert fitted.fit().counts["fitted_models"] == 2  # of pairs and of intervals


def test_a_new_model_screens_every_pair_anew_and_keeps_the_old_flags(fitted):
    fitted.only(990002)
    fitted.nightly()
    before = flagged(fitted)
    fitted.change("dims = 20", "dims = 16")
    fitted.fit()
    run, _ = fitted.nightly()
    assert run.counts["scored_pairs"] == len([p for p in fitted.pairs() if not FIT.holds(p)])
    assert [row[:2] for row in flagged(fitted)] == [row[:2] for row in before]
    assert len(fitted.notices) == 1


def test_a_stack_with_too_few_pairs_fails_alone_and_says_how_many(ingested):
    run = ingested.fit(Period(DATES[9], DATES[11]))
    assert run.failed == {QUIET, RISING, BLIND}
    assert all("3 quiet pairs to fit on, at least 8 are needed" in f.error for f in run.failures)


def test_a_score_can_be_recomputed_from_its_snapshot_and_model_after_more_pairs_came(fitted):
    fitted.only(990002)
    fitted.nightly(DATES[19])
    fitted.nightly()
    for kind in OF_A_STACK:
        with fitted.opened() as (s, _):
            model = s.ledger.current(RISING, kind)
            # what was scored in that night, from the snapshot of that night
            rows = [row for row in s.ledger.assessments(RISING, kind) if row.score is not None and row.seen <= DATES[19]]
            pairs = [pair for pair in s.ledger.seen(RISING) if Pair.of(pair).last <= DATES[19]]
            wanted = [Assessment(row.pair, row.after, 1, row.seen) for row in rows]
            task = score_task(s, RISING, model, pairs=pairs, assessments=wanted, snapshot=rows[0].snapshot)
            again = tasks.score_assessments(task)
        after = again["after"].values if "after" in again else [0] * len(rows)
        found = dict(zip(zip(again["pair"].values, after, strict=True), again["score"].values, strict=True))
        assert found == {(row.pair, row.after): row.score for row in rows}


def test_a_new_threshold_judges_what_is_scored_already(fitted):
    fitted.only(990002)
    fitted.change("peaks_cm = [8.0]", 'peaks_cm = [8.0]\npolicy = "fpr"\nfpr = 0.99')
    fitted.fit()
    fitted.nightly()
    counted = "select model, max(threshold), sum(flagged) from score where after = 0 group by model"
    [(model, low, many)] = fitted.rows(counted)
    over = fitted.rows("select pairs_over from episode")
    fitted.change("fpr = 0.99", "fpr = 0.01")
    assert fitted.fit().counts["fitted_models"] == 3
    run, digest = fitted.nightly()
    [(same, high, few)] = fitted.rows(counted)
    assert same == model
    assert high > low
    assert 0 < few <= many
    [(lowest, highest)] = fitted.rows("select min(threshold), max(threshold) from score where after = 0")
    assert lowest == highest == high
    assert (digest["scored_pairs"], run.failures) == (0, [])
    assert fitted.rows("select pairs_over from episode") == over  # nothing is counted twice


def test_a_stack_that_gets_its_threshold_late_is_flagged_then(fitted):
    fitted.only(990002)
    fitted.change("min_pairs = 15", "min_pairs = 100")
    fitted.fit()
    _, digest = fitted.nightly()
    assert [b["stack"] for b in digest["blind"]] == [RISING]
    assert flagged(fitted) == []
    fitted.change("min_pairs = 100", "min_pairs = 15")
    fitted.fit()
    _, digest = fitted.nightly()
    assert (digest["blind"], digest["scored_pairs"]) == ([], 0)
    assert [row[:2] for row in flagged(fitted)] == [(RISING, 1)]
    with fitted.opened() as (s, _):
        found = {k: {r.verdict for r in s.ledger.assessments(RISING, k) if r.score is not None} for k in OF_A_STACK}
    # acquisitions are too few in this short record
    assert found == {"pair": {Verdict.OK}, "interval": {Verdict.OK}, "acquisition": {Verdict.NOT_CALIBRATED}}


def test_flags_of_the_past_are_listed_but_nobody_is_woken_for_them(fitted):
    fitted.only(990002)
    _, digest = fitted.nightly(AS_OF + timedelta(days=1000))
    assert [row[:2] for row in flagged(fitted)] == [(RISING, 1)]
    assert (digest["old_flags"], digest["new_notices"], fitted.notices) == (1, 0, [])


def test_a_notice_tells_of_its_episode_as_it_stands_at_the_end_of_the_night(fitted):
    fitted.only(990002)
    fitted.nightly()
    told = json.loads(fitted.notices[0].read_text())["payload"]["episode"]
    assert [(told["until"], told["pairs_over"])] == fitted.rows("select until, pairs_over from episode")


def test_a_notice_says_how_small_a_source_this_stack_would_have_missed(fitted):
    fitted.only(990002)
    fitted.nightly()
    content = json.loads(fitted.notices[0].read_text())
    found = content["payload"]["calibration"]["detectability"]
    assert found["map_cm"] == []  # one injected peak: a rate, but no curve
    assert "peak line-of-sight motion" in content["body"]


def test_a_figure_that_cannot_be_drawn_does_not_hold_the_notice_back(fitted, monkeypatch):
    def fails(*_, **__):
        raise ZeroDivisionError("no picture")

    monkeypatch.setattr("insar_anomaly.report.figures.pair_figure", fails)
    fitted.only(990002)
    _, digest = fitted.nightly()
    notice = json.loads(fitted.notices[0].read_text())
    assert notice["figure"] is None
    assert notice["payload"]["motion"]["cm"] > 10  # what was measured is told all the same
    assert any("goes without a figure: no picture" in words for words in digest["warnings"])


def test_a_flag_that_reaches_nobody_says_so_and_puts_nothing_into_the_outbox(fitted):
    fitted.only(990002)
    catalogue = fitted.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace('contacts = ["duty@example.org"]', ""))
    text = fitted.config.read_text()
    email = '[[channel]]\nkind = "email"\nhost = "127.0.0.1"\nsender = "us@example.org"\n'
    fitted.config.write_text(text[: text.index("[[channel]]")] + email)
    _, digest = fitted.nightly()
    assert digest["status"] == "ok"
    assert any("no notice is sent" in words for words in digest["warnings"])
    assert fitted.rows("select * from notice") == []


def test_a_notice_that_does_not_arrive_fails_every_night_until_it_does_or_is_dropped(fitted, closed_port):
    fitted.only(990002)
    channel = f'[[channel]]\nkind = "webhook"\nurl = "http://127.0.0.1:{closed_port()}/hook"\n'
    fitted.config.write_text(fitted.config.read_text() + channel)
    for night in range(7):
        run, digest = fitted.nightly(AS_OF + timedelta(days=night))
        assert [f.stage for f in run.failures] == ["notify"]
        assert len(digest["undelivered"]) == 1
    with fitted.opened() as (s, _):
        [waiting] = s.ledger.pending()
        s.ledger.drop(waiting.key, "the hook is gone")
    run, digest = fitted.nightly()
    assert (run.failures, digest["undelivered"]) == ([], [])


def test_a_lost_model_fails_every_night_until_the_fit_makes_it_again(fitted):
    fitted.only(990002)
    fitted.nightly()
    tasks._scorer.cache_clear()
    shutil.rmtree(fitted.folder / "store" / "models")
    for _ in range(2):
        run, _digest = fitted.nightly()
        assert ["run `insar-anomaly fit`" in f.error for f in run.failures] == [True]
    run = fitted.fit()
    assert run.counts["fitted_models"] == 3
    assert any("fitted again" in words for words in run.warnings)
    run, _digest = fitted.nightly()
    assert run.failures == []


def test_an_interval_that_no_pairs_near_it_join_is_said_with_the_pairs_that_span_it(fitted, tmp_path):
    """Only a pair of eight acquisitions is over the unrest: no look sees it, and that must not be silent."""
    fitted.only(990002)
    gone = [p for p in fitted.pairs() if p[:8] <= f"{DATES[17]:%Y%m%d}" and p[9:] >= f"{DATES[18]:%Y%m%d}"]
    long = names(13, 21)
    for pair in gone:
        folder = fitted.phase(pair).parent
        if pair == gone[0]:
            for file in folder.iterdir():
                file.rename(file.with_name(file.name.replace(pair, long)))
            folder.rename(folder.with_name(long))
        else:
            folder.rename(tmp_path / pair)
    shutil.rmtree(fitted.folder / "store" / "stacks" / "990002")
    with closing(sqlite3.connect(fitted.folder / "ledger.sqlite")) as ledger:
        ledger.execute("delete from interferogram where stack = ?", (RISING,))
        ledger.commit()
    _, digest = fitted.nightly()
    [words] = [w for w in digest["warnings"] if "nothing is known" in w]
    assert f"interval {names(17, 18)}" in words
    assert f"span it: {long}" in words


def test_a_fit_over_a_flag_says_so(fitted):
    fitted.only(990002)
    fitted.nightly()
    run = fitted.fit(Period())
    assert any("covers flag 1" in words and "learned as quiet" in words for words in run.warnings)


def test_the_digest_says_what_a_new_threshold_makes_of_an_open_flag(fitted):
    fitted.only(990002)
    _, digest = fitted.night()
    [flag] = digest.open_flags
    assert flag.pairs_over_now == flag.pairs_over
    assert "in force when they came" not in "\n".join(lines(digest))
    fitted.change("peaks_cm = [8.0]", 'peaks_cm = [8.0]\npolicy = "fpr"\nfpr = 0.5')
    fitted.fit()
    _, digest = fitted.night()
    [flag] = digest.open_flags
    assert flag.threshold_now != flag.threshold
    assert f"over the present one, {flag.threshold_now:.4g}: {flag.pairs_over_now}" in "\n".join(lines(digest))


def test_a_flag_puts_notices_only_where_a_route_wants_them(fitted):
    fitted.only(990001, 990002)
    text = fitted.config.read_text()
    channels = "".join(
        f'[[channel]]\nkind = "files"\nname = "{name}"\nfolder = "{name}"\n' for name in ("duty", "quiet", "late")
    )
    routes = (
        '[[route]]\nchannel = "duty"\nkinds = ["raised"]\nvolcanoes = ["rising*"]\n'
        '[[route]]\nchannel = "quiet"\nvolcanoes = [990001]\n'
        '[[route]]\nchannel = "late"\nkinds = ["cleared"]\n'
    )
    fitted.config.write_text(text[: text.index("[[channel]]")] + channels + routes)
    run, digest = fitted.nightly()
    assert run.failures == []
    assert fitted.rows("select key from notice") == [(f"{RISING}:1:raised:duty",)]
    assert [path.suffix for path in sorted((fitted.folder / "duty").iterdir())] == [".json", ".png"]
    assert not any("reaches anybody" in words for words in digest["warnings"])
