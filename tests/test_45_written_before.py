"""What the version before wrote opens and goes on: store, models, scores, ledger, and a notice that waits.

`fixtures/before_the_rooms.tar.xz` is a small installation that was made by the code as it was before its rooms were drawn
anew; `fixtures/README.md` says how. Its archive of interferograms is simulated here, as it was then.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import installation
import pytest
from installation import AS_OF, DATES, RISING, SHORT, Installation, flagged

from insar_anomaly import __version__, cli
from insar_anomaly.errors import Verdict
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.database import newest_revision
from insar_anomaly.names import EvidenceKind
from insar_anomaly.notify.payload import VERSION

BEFORE = Path(__file__).with_name("fixtures") / "before_the_rooms.tar.xz"
CLOSED = "http://127.0.0.1:9/notices"
TABLES = ("run", "failure", "interferogram", "model", "score", "episode", "notice")
LAST = DATES[19]
"""The night that the version before screened."""
WAITING = f"{RISING}:1:raised:webhook"


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    """The installation of the version before, with the archive that it was made from. Shared: copy it."""
    place = installation.copy(built, tmp_path_factory.mktemp("before"))
    shutil.rmtree(place.archive / SHORT)
    for pair in place.pairs():
        if pair[:8] < f"{DATES[6]:%Y%m%d}":
            shutil.rmtree(place.phase(pair).parent)
    with tarfile.open(BEFORE) as tar:
        tar.extractall(place.folder, filter="data")
    return place


@pytest.fixture
def before(unpacked, tmp_path):
    """An installation of the version before, of the test's own."""
    return installation.copy(unpacked, tmp_path / "here")


def rows(file):
    """Every row of a ledger's file as it stands there, by table: a list of dicts in order of their keys."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return {table: sorted(map(dict, database.execute(f"SELECT * FROM {table}")), key=_key) for table in TABLES}


KEYS = ("run", "failure", "stack", "number", "pair", "after", "model", "key")


def _key(row):
    return [str(row.get(name)) for name in KEYS]


def like(row, old):
    """A row with the columns that the older one has, but for those that were dropped."""
    return {name: value for name, value in row.items() if name in old}


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def ledger_of(place: Installation):
    return place.folder / "ledger.sqlite"


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


def test_the_ledger_is_of_the_version_before(before):
    old = rows(ledger_of(before))
    assert {table: len(found) for table, found in old.items()} == {
        "run": 3,
        "failure": 1,
        "interferogram": 36,
        "model": 2,
        "score": 72,
        "episode": 1,
        "notice": 2,
    }
    assert "withdrawn" in old["episode"][0]
    assert "state" not in old["episode"][0]


def test_opening_it_loses_no_row_and_keeps_a_copy(before):
    old = rows(ledger_of(before))
    assert run(before, "-q", "flags") == 0
    new = rows(ledger_of(before))
    for table in TABLES:
        assert [like(row, old[table][0]) for row in new[table]] == [without(row, "withdrawn") for row in old[table]]
    assert [row["state"] for row in new["episode"]] == ["raised"]
    assert rows(before.folder / f"ledger.sqlite.before-{newest_revision()}") == old


def test_stack_models_and_scores_open_and_agree_with_the_ledger(before):
    with before.opened() as (s, _):
        known = {pair for pair, seen in s.ledger.seen(RISING).items() if seen.verdict == Verdict.OK}
        stack = s.store.open(RISING).load()
        assert set(map(str, stack["pair"].values)) == known
        assert len(known) == 36
        for kind in (EvidenceKind.PAIR, EvidenceKind.INTERVAL):
            model = s.ledger.current(RISING, kind)
            assert len(s.store.read_model(RISING, model.model)["fitted_pair"]) > 0
            stored = s.store.read_scores(RISING, model.model).load()
            after = stored["after"].values if "after" in stored else [0] * stored.sizes["pair"]
            names = zip(map(str, stored["pair"].values), map(int, after), strict=True)
            found = dict(zip(names, stored["score"].values, strict=True))
            written = {(r.pair, r.after): r.score for r in s.ledger.assessments(RISING, kind) if r.score is not None}
            assert found == pytest.approx(written)
            assert len(written) > 10
        [flag] = s.ledger.episodes()
        assert (flag.state, flag.cleared, len(flag.standing)) == (FlagState.RAISED, None, 3)
        assert [row.key for row in s.ledger.pending()] == [WAITING]


def test_flags_scores_and_notices_print(before, capsys):
    assert run(before, "flags") == 0
    assert capsys.readouterr().out.startswith(f"{RISING}:1: 2021-07-16 to 2021-08-21, 3 intervals over 1.171, peak 78.41")
    assert run(before, "--json", "flags", "--open") == 0
    [flag] = json.loads(capsys.readouterr().out)
    assert list(flag)[:4] == ["gvp", "frame", "number", "since"]
    assert flag["standing"] == ["20210716_20210728", "20210728_20210809", "20210809_20210821"]
    assert (flag["state"], flag["withdrawn"], flag["cleared"]) == ("raised", False, None)
    assert run(before, "scores") == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["pair"] for row in table] == [p for p in before.pairs() if p[9:] <= f"{LAST:%Y%m%d}"]
    assert sum(row["flagged"] == "True" for row in table) == 5
    assert run(before, "scores", "--evidence", "interval") == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 36
    assert run(before, "notices") == 0
    assert capsys.readouterr().out.startswith(f"{WAITING}: waits, 1 attempts, the last: ")


def test_the_waiting_notice_is_delivered_with_what_was_written_once_its_channel_answers(before, hook):
    url, came = hook
    [payload] = [row["payload"] for row in rows(ledger_of(before))["notice"] if row["key"] == WAITING]
    before.change(f'{CLOSED}"', f'{url}"\nallow_hosts = ["127.0.0.1"]')
    night, digest = before.nightly(LAST)
    assert (night.failures, digest["delivered"], digest["new_notices"], digest["undelivered"]) == ([], 1, 0, [])
    assert not [words for words in digest["warnings"] if "without a figure" in words]
    [(_, body)] = came
    event = json.loads(body)
    assert event["subject"] == RISING
    # receivers get one form of notices: the present one. What it says is what was written
    written, told = json.loads(payload.replace(" cm at once", " cm, first assessment")), event["data"]
    assert told.pop("version") == VERSION
    assert told.pop("unmeasured_summits") == []  # it was not written down then
    assert {name: told[name] for name in written} == written


def test_a_fit_on_the_same_pairs_finds_its_model_of_pairs_unchanged(before):
    """Intervals are fitted again: what they are fused from is by time and number now (decision 16)."""
    old = rows(ledger_of(before))
    versions = {row["version"] for row in old["model"]}
    counts = before.fit().counts
    same = versions == {__version__}  # another version fits again
    assert (counts["unchanged_models"], counts["fitted_models"]) == ((1, 1) if same else (0, 2))
    if same:
        kept = {row["model"] for row in old["model"] if row["evidence"] == "pair"}
        now = [row for row in rows(ledger_of(before))["model"] if row["model"] in kept]
        assert now == [row for row in old["model"] if row["model"] in kept]
        assert kept


def test_the_night_goes_on_in_the_same_flag_and_nothing_is_lost(before, hook):
    url, came = hook
    old = rows(ledger_of(before))
    files = {file.name: file.read_bytes() for file in before.notices}
    before.change(f'{CLOSED}"', f'{url}"\nallow_hosts = ["127.0.0.1"]')
    night, digest = before.nightly(AS_OF)
    assert night.failures == []
    assert digest["stored_pairs"] == 6
    assert digest["scored_pairs"] == 6
    assert digest["scored_intervals"] > 0
    [(stack, number, since, until)] = flagged(before)
    [flag] = old["episode"]
    assert (stack, number, since) == (RISING, 1, flag["since"])
    assert until >= flag["until"]
    assert (digest["new_notices"], len(came)) == (0, 1)
    assert {file.name: file.read_bytes() for file in before.notices} == files
    new = rows(ledger_of(before))
    for table in ("run", "failure", "interferogram", "model", "score"):
        kept = [like(row, old[table][0]) for row in new[table]] if old[table] else []
        assert [row for row in old[table] if row not in kept] == []
    kept = [like(row, old["notice"][0]) for row in new["notice"] if row["key"] in {row["key"] for row in old["notice"]}]
    changing = ("attempts", "delivered_at")
    assert [without(row, *changing) for row in kept] == [without(row, *changing) for row in old["notice"]]
    assert all(row["delivered_at"] for row in kept)
    # what was scored then stays in the store as it was
    with before.opened() as (s, _):
        for row in old["model"]:
            stored = s.store.read_scores(RISING, row["model"])
            assert stored.sizes["pair"] == sum(r["model"] == row["model"] and r["score"] is not None for r in new["score"])
