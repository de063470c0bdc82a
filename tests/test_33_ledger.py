"""The ledger, every method on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres import PASSWORD, binaries, postgres_server

import insar_anomaly
from insar_anomaly.errors import Busy, ConfigError, StoreFailed, Verdict
from insar_anomaly.ledger.database import _alembic
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, NewNotice, PairRow, ScoreRow
from insar_anomaly.ledger.tables import VERSION_TABLE, metadata

STACK, OTHER = "221080/079D_07694_131313", "211060/124D_04854_171313"
PAIRS = ["20200101_20200113", "20200113_20200125", "20200101_20200125"]
MODEL = ModelRow(
    model="m1",
    detector="padim",
    settings="{}",
    fit_from=date(2016, 1, 1),
    fit_to=date(2019, 12, 31),
    pairs=120,
    snapshot="S0",
    version="0.1.0",
    threshold=3.5,
    policy="far",
    calibration='{"auroc": 0.9}',
    why="",
)
EPISODE = EpisodeRow(
    number=1,
    since=date(2020, 1, 1),
    until=date(2020, 1, 13),
    first_pair=PAIRS[0],
    peak_pair=PAIRS[0],
    peak_score=5.0,
    threshold=3.5,
    pairs_over=1,
    cleared=None,
    model="m1",
)
NOTICE = NewNotice(f"{STACK}:1:raised:files", "files", "raised", '{"score": 5.0}')


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if binaries() is None:
        pytest.skip("no PostgreSQL server binaries (initdb, pg_ctl) on this machine")
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/folder/ledger.db"
    server_url: str = request.getfixturevalue("server")
    name = "t" + re.sub(r"\W", "", str(tmp_path.name).lower())[:40] + str(time.monotonic_ns())
    with _engine(server_url).connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
        admin.exec_driver_sql(f"CREATE DATABASE {name}")
    return server_url.removesuffix("postgres") + name


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger(url) as opened:
        yield opened


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Two pairs scored by one model, one pair rejected."""
    ledger.record_pairs(STACK, [pair_row(PAIRS[0]), pair_row(PAIRS[1])])
    ledger.record_pairs(STACK, [replace(pair_row(PAIRS[2]), verdict=32, snapshot=None)])
    ledger.publish(STACK, MODEL)
    ledger.record_scores(STACK, [score_row(PAIRS[1], 2.0), score_row(PAIRS[0], 5.0)])
    return ledger


def pair_row(pair: str) -> PairRow:
    return PairRow(pair=pair, uri=f"s3://b/{pair}", fingerprint="f1", verdict=0, detail="", snapshot="S1")


def score_row(pair: str, score: float | None, **other: object) -> ScoreRow:
    row = ScoreRow(pair, "m1", score, threshold=3.5, verdict=0, percentile=50.0, snapshot="S2")
    return replace(row, **other)


def keep(episodes, scores, counted):
    """A step that changes nothing."""
    return episodes, []


@contextmanager
def _connection(url: str) -> Iterator[sa.Connection]:
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _engine(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)


def start(script: str) -> subprocess.Popen[str]:
    """A second Python that finds the same package."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONPATH": str(Path(insar_anomaly.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", script], text=True, env=environment, **pipes)


@contextmanager
def other_process(url: str, code: str) -> Iterator[subprocess.Popen[str]]:
    """A second Python with an open `ledger`; it prints a line when it has done `code`, then waits for its end."""
    process = start(f"from insar_anomaly.ledger import Ledger\nledger = Ledger({url!r})\n{code}\n")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


HOLD = "with ledger.lock():\n    print('held', flush=True)\n    input()"


# schema and opening


def test_tables_and_migrations_agree(ledger, url):
    with _connection(url) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_opening_again_changes_nothing(filled, url):
    with Ledger(url) as again:
        assert again.scores() == filled.scores()


def test_opening_leaves_logging_alone(url, capfd):
    before = (logging.root.level, list(logging.root.handlers), logging.getLogger("alembic").level)
    Ledger(url).close()
    assert (logging.root.level, list(logging.root.handlers), logging.getLogger("alembic").level) == before
    assert not logging.getLogger("insar_anomaly.ledger").disabled
    assert capfd.readouterr() == ("", "")


def test_several_processes_may_create_the_tables_at_once(url):
    script = f"from insar_anomaly.ledger import Ledger\nLedger({url!r}).close()"
    processes = [start(script) for _ in range(3)]
    assert [process.communicate() for process in processes] == [("", "")] * 3
    with Ledger(url) as ledger:
        assert ledger.runs() == []


def test_a_newer_schema_is_refused(ledger, url):
    with _connection(url) as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ConfigError, match="newer insar_anomaly: upgrade") as refused:
        Ledger(url)
    assert PASSWORD not in str(refused.value)


def test_sqlite_is_set_up_for_crashes_and_readers(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger, ledger._transaction(writes=False) as tx:
        pragmas = [
            tx.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        ]
    assert pragmas == ["wal", 1, 2, 30000]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot be understood"),
        (f"postgresql://u:{PASSWORD}@host:port/x", "cannot be understood"),
        (f"mysql://u:{PASSWORD}@host/x", "cannot live in 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:////dev/null/folder/ledger.db", "cannot open the ledger sqlite:////dev/null/folder/ledger.db"),
        (f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", r"cannot open the ledger postgresql\+psycopg://u:\*\*\*@127.0.0.1:1"),
        (f"postgresql://127.0.0.1:1/x?user=u&password={PASSWORD}", "cannot open the ledger"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url, words):
    with pytest.raises(ConfigError, match=words) as refused:
        Ledger(url)
    assert PASSWORD not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_wrong_password_is_not_shown(server):
    with pytest.raises(ConfigError, match="authentication failed") as refused:
        Ledger(server.replace(PASSWORD, "wr0ng-word"))
    assert "wr0ng-word" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_text("not a database, but long enough to look at" * 50)
    with pytest.raises(ConfigError, match="not a database"):
        Ledger(f"sqlite:///{tmp_path}/ledger.db")


# lock


def test_a_second_process_gets_busy_and_is_told_who(ledger, url):
    with other_process(url, HOLD) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(Busy, match=r"held by insar_anomaly process \d+ on .* since 20\d\d.*wait until") as refused,
            ledger.lock(),
        ):
            pytest.fail("two hold the lock")
        assert f"process {holder.pid} " in str(refused.value)
        assert PASSWORD not in str(refused.value)
        assert ledger.runs() == []  # reading needs no lock


def test_the_lock_is_free_again_after_a_kill(ledger, url):
    with other_process(url, HOLD) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    for _ in range(100):  # the server needs a moment to notice
        try:
            with ledger.lock():
                return
        except Busy:
            time.sleep(0.1)
    pytest.fail("the lock outlived its process")


def test_the_lock_is_exclusive_within_a_process_and_free_afterwards(ledger):
    for _ in range(3):
        with ledger.lock():
            with pytest.raises(Busy, match=f"process {os.getpid()} on"), ledger.lock():
                pass
            ledger.record_pairs(STACK, [pair_row(PAIRS[0])])
    with pytest.raises(ZeroDivisionError), ledger.lock():
        _ = 1 / 0
    with ledger.lock():
        pass


# runs


def test_runs(ledger):
    first = ledger.start_run("nightly", date(2020, 2, 1), "{}", "0.1.0")
    second = ledger.start_run("nightly", None, settings="{}", version="0.1.0")
    ledger.finish_run(second, "ok", {"stacks": 3})
    newest, oldest = ledger.runs()
    assert (newest["run"], newest["status"], newest["summary"]) == (second, "ok", {"stacks": 3})
    assert (oldest["run"], oldest["status"], oldest["finished"]) == (first, "interrupted", None)
    assert oldest["as_of"] == date(2020, 2, 1)
    assert newest["started"].tzinfo == UTC
    assert abs((datetime.now(UTC) - newest["finished"]).total_seconds()) < 60
    assert len(ledger.runs(1)) == 1


def test_finishing_an_unknown_run_is_loud(ledger):
    with pytest.raises(StoreFailed, match="no run with run 7"):
        ledger.finish_run(7, "ok", {})


def test_failures(ledger):
    run = ledger.start_run("nightly", None, "{}", "0.1.0")
    ledger.record_failure(run, STACK, "score", "boom")
    ledger.record_failure(run, OTHER, "ingest", "bang")
    assert ledger.failures(run) == [
        {"run": run, "stack": STACK, "stage": "score", "error": "boom"},
        {"run": run, "stack": OTHER, "stage": "ingest", "error": "bang"},
    ]
    assert ledger.failures(run + 1) == []


# pairs, models, scores


def test_pairs_are_replaced_not_doubled(ledger):
    ledger.record_pairs(STACK, [])
    ledger.record_pairs(STACK, [pair_row(PAIRS[0]), pair_row(PAIRS[1])])
    ledger.record_pairs(STACK, [replace(pair_row(PAIRS[0]), fingerprint="f2", verdict=Verdict.LOW_COHERENCE)])
    assert ledger.seen(STACK) == {PAIRS[0]: ("f2", 32), PAIRS[1]: ("f1", 0)}
    assert ledger.seen(OTHER) == {}


def test_the_model_published_last_is_current(ledger):
    assert ledger.current(STACK) is None
    newer = replace(MODEL, model="m2", threshold=None, why="too few negatives")
    ledger.publish(STACK, MODEL)
    ledger.publish(STACK, newer)
    ledger.publish(OTHER, MODEL)
    assert ledger.current(STACK) == newer
    ledger.publish(STACK, replace(MODEL, threshold=4.0))
    assert ledger.models(STACK) == [replace(MODEL, threshold=4.0), newer]
    assert ledger.current(OTHER) == MODEL


def test_scores_are_idempotent_and_stay_considered(filled):
    assert filled.scored(STACK, "m1") == {(PAIRS[0], 0): 0, (PAIRS[1], 0): 0}
    filled.advance(STACK, "m1", keep)
    filled.record_scores(STACK, [score_row(PAIRS[0], 6.0)])
    seen = []
    filled.advance(STACK, "m1", lambda episodes, scores, _: (seen.extend(scores), keep(episodes, scores, _))[1])
    assert seen == []
    assert [row["score"] for row in filled.scores()] == [6.0, None, 2.0]
    assert filled.scored(STACK, "m2") == {}


def test_numpy_numbers_and_nan_are_stored_as_numbers_and_none(filled):
    row = score_row(
        PAIRS[0], np.float32(1.5), threshold=float("nan"), verdict=Verdict.NOT_CALIBRATED, percentile=np.float64(2)
    )
    filled.record_scores(STACK, [row])
    (stored,) = (row for row in filled.scores() if row["pair"] == PAIRS[0])
    assert (stored["score"], stored["threshold"], stored["verdict"]) == (1.5, None, 61)
    assert type(stored["score"]) is float


def test_a_score_without_its_model_is_refused(filled):
    with pytest.raises(StoreFailed, match=r"(?i)foreign key"):
        filled.record_scores(STACK, [score_row(PAIRS[0], 1.0, model="nobody's")])


# intervals and acquisitions


INTERVALS = replace(MODEL, model="mi", evidence="interval", threshold=2.0)


def look_row(name: str, after: int, score: float, inputs: int = 7) -> ScoreRow:
    seen = date(2020, 1, 1) + timedelta(days=12 * after)
    return score_row(name, score, model="mi", threshold=2.0, after=after, inputs=inputs, seen=seen)


def test_each_evidence_has_a_current_model_of_its_own(filled):
    filled.publish(STACK, INTERVALS)
    assert (filled.current(STACK), filled.current(STACK, "interval")) == (MODEL, INTERVALS)
    assert filled.current(STACK, "acquisition") is None
    assert [row["score"] for row in filled.scores(STACK)] == [5.0, None, 2.0]  # by the model of pairs, as before


def test_every_look_at_an_interval_is_kept_and_only_other_inputs_are_considered_again(filled):
    filled.publish(STACK, INTERVALS)
    filled.record_scores(STACK, [look_row(PAIRS[0], 2, 1.0), look_row(PAIRS[0], 1, 5.0)])
    assert filled.scored(STACK, "mi") == {(PAIRS[0], 1): 7, (PAIRS[0], 2): 7}
    seen = []

    def watching(episodes, scores, counted):
        seen.append(([(row.after, row.score) for row in scores], counted))
        return episodes, []

    filled.advance(STACK, "mi", watching)
    filled.record_scores(STACK, [look_row(PAIRS[0], 1, 5.0), look_row(PAIRS[0], 2, 3.0, inputs=8)])
    filled.advance(STACK, "mi", watching)
    # the name was over at its first look: the pair that came late does not count it twice
    assert seen == [([(1, 5.0), (2, 1.0)], set()), ([(2, 3.0)], {PAIRS[0]})]
    assert [(row["after"], row["flagged"]) for row in filled.assessments(STACK, "interval")] == [(1, True), (2, True)]
    assert filled.assessments(STACK, "acquisition") == []


def test_scores_are_considered_in_the_order_in_which_they_could_be_made(filled):
    filled.publish(STACK, INTERVALS)
    later = score_row("20200113_20200125", 1.0, model="mi", after=1, inputs=1, seen=date(2020, 1, 25))
    filled.record_scores(STACK, [look_row(PAIRS[0], 3, 1.0), later, look_row(PAIRS[0], 1, 1.0)])
    seen = []
    filled.advance(STACK, "mi", lambda e, scores, _: (seen.extend((r.pair, r.after) for r in scores), keep(e, scores, _))[1])
    assert seen == [(PAIRS[0], 1), (PAIRS[1], 1), (PAIRS[0], 3)]


def test_an_interval_named_like_a_judged_pair_is_judged_all_the_same(filled):
    filled.advance(STACK, "m1", keep)
    filled.publish(STACK, INTERVALS)
    filled.record_scores(STACK, [look_row(PAIRS[0], 1, 5.0)])
    seen = []
    filled.advance(STACK, "mi", lambda e, scores, _: (seen.extend(scores), keep(e, scores, _))[1])
    assert [row.pair for row in seen] == [PAIRS[0]]


def test_what_another_model_judged_on_fewer_pairs_is_judged_again(filled):
    """A refit must not close the door on pairs that come late."""
    filled.publish(STACK, INTERVALS)
    filled.record_scores(STACK, [look_row(PAIRS[0], 1, 1.0), look_row(PAIRS[1], 1, 1.0)])
    filled.advance(STACK, "mi", keep)
    filled.publish(STACK, replace(INTERVALS, model="mj"))
    late = [replace(look_row(PAIRS[0], 1, 30.0, inputs=8), model="mj"), replace(look_row(PAIRS[1], 1, 30.0), model="mj")]
    filled.record_scores(STACK, late)
    seen = []
    filled.advance(STACK, "mj", lambda e, scores, _: (seen.extend(r.pair for r in scores), keep(e, scores, _))[1])
    assert seen == [PAIRS[0]]  # the other one is what the first model saw


def test_a_ledger_of_pairs_alone_is_brought_up_to_date_without_a_loss(filled, url):
    """Down to the schema before looks, and up again: what pairs, flags and notices say stays."""
    filled.advance(STACK, "m1", lambda *_: ([EPISODE], [NOTICE]))
    before = (filled.scores(), filled.episodes(), filled.notices(), filled.models(STACK), filled.seen(STACK))
    filled.publish(STACK, INTERVALS)
    filled.record_scores(STACK, [look_row(PAIRS[0], 1, 5.0)])
    with filled._transaction(writes=True) as tx:
        command.downgrade(_alembic(connection=tx), "0002")
        assert "after" not in {column["name"] for column in sa.inspect(tx).get_columns("score")}
    with Ledger(url) as again:
        after = (again.scores(), again.episodes(), again.notices(), again.models(STACK), again.seen(STACK))
        assert [row.pop("standing") for row in after[1]] == ['["*"]']  # nothing that is looked at later withdraws it
        assert [row.pop("standing") for row in before[1]] == ["[]"]
        assert after == before
        assert again.advance(STACK, "m1", keep) == 0
        with _connection(url) as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
            assert compare_metadata(context, metadata) == []


def test_the_score_table_is_every_pair_with_its_current_score(filled):
    filled.record_pairs(OTHER, [pair_row(PAIRS[0])])
    filled.advance(STACK, "m1", keep)
    columns = ["gvp", "frame", "pair", "score", "threshold", "flagged", "verdict", "snapshot", "model"]
    rows = filled.scores()
    assert [list(row) for row in rows] == [columns] * 4
    assert [tuple(row.values()) for row in rows] == [
        ("211060", "124D_04854_171313", PAIRS[0], None, None, False, 0, "S1", None),
        ("221080", "079D_07694_131313", PAIRS[0], 5.0, 3.5, True, 0, "S2", "m1"),
        ("221080", "079D_07694_131313", PAIRS[2], None, None, False, 32, None, None),
        ("221080", "079D_07694_131313", PAIRS[1], 2.0, 3.5, False, 0, "S2", "m1"),
    ]
    assert filled.scores(STACK) == rows[1:]
    filled.publish(STACK, replace(MODEL, model="m2"))
    assert [row["score"] for row in filled.scores(STACK)] == [None, None, None]


# advance and the outbox


def test_advance_gives_new_scores_in_order_of_date(filled):
    seen = []

    def step(episodes, scores, counted):
        seen.append((episodes, [(row.pair, row.score) for row in scores]))
        return [EPISODE], [NOTICE]

    assert filled.advance(STACK, "m1", step) == 1
    assert filled.advance(STACK, "m1", step) == 0  # the key is in the outbox already
    assert seen == [([], [(PAIRS[0], 5.0), (PAIRS[1], 2.0)]), ([EPISODE], [])]
    assert [row.key for row in filled.pending()] == [NOTICE[0]]
    assert [row["pair"] for row in filled.scores(STACK) if row["flagged"]] == [PAIRS[0]]


def test_scores_with_another_verdict_are_considered_and_never_flagged(filled):
    filled.record_pairs(STACK, [pair_row("20200125_20200206"), pair_row("20200206_20200218")])
    filled.record_scores(
        STACK,
        [
            score_row("20200125_20200206", 9.0, verdict=Verdict.IN_FIT),
            score_row("20200206_20200218", 9.0, threshold=None, verdict=Verdict.NOT_CALIBRATED),
        ],
    )
    seen = []
    for _ in range(2):
        filled.advance(STACK, "m1", lambda _, scores, __: (seen.extend(row.pair for row in scores), keep([], [], set()))[1])
    assert seen == PAIRS[:2]
    assert [row["pair"] for row in filled.scores(STACK) if row["flagged"]] == [PAIRS[0]]
    with filled._transaction(writes=False) as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM score WHERE considered").scalar() == 4


def test_a_step_that_raises_leaves_nothing(filled):
    def step(episodes, scores, counted):
        raise ZeroDivisionError

    before = filled.scores()
    with pytest.raises(ZeroDivisionError):
        filled.advance(STACK, "m1", step)
    assert (filled.scores(), filled.episodes(), filled.pending()) == (before, [], [])


def test_a_write_that_fails_halfway_leaves_nothing(filled):
    broken = NewNotice(NOTICE.key + "2", "files", "raised", None)
    with pytest.raises(StoreFailed, match=r"(?i)not.null.*nothing was half written"):
        filled.advance(STACK, "m1", lambda episodes, scores, _: ([EPISODE], [NOTICE, broken]))
    assert (filled.episodes(), filled.pending()) == ([], [])
    assert filled.advance(STACK, "m1", lambda episodes, scores, _: ([EPISODE] * len(scores[:1]), [NOTICE])) == 1


def test_episodes(filled):
    closed = replace(EPISODE, cleared=date(2020, 5, 1), pairs_over=2)
    second = replace(EPISODE, number=2, since=date(2020, 6, 1), until=date(2020, 6, 13))
    filled.advance(STACK, "m1", lambda episodes, scores, _: ([EPISODE], []))
    filled.advance(STACK, "m1", lambda episodes, scores, _: ([closed, second], []))
    gvp_frame = {"gvp": "221080", "frame": "079D_07694_131313"}
    assert filled.episodes() == [{**gvp_frame, **asdict(closed)}, {**gvp_frame, **asdict(second)}]
    assert [row["number"] for row in filled.episodes(STACK, open_only=True)] == [2]
    assert filled.episodes(OTHER) == []


def test_the_outbox(filled):
    second = NewNotice(NOTICE.key + "2", "email", "cleared", "{}", after=NOTICE.key)
    orphan = NewNotice(NOTICE.key + "3", "email", "cleared", "{}", after="never sent")
    assert filled.advance(STACK, "m1", lambda *_: ([], [NOTICE, second, orphan])) == 2
    first, second = filled.pending()
    assert (first.key, first.stack, first.channel, first.kind, first.payload) == (NOTICE[0], STACK, *NOTICE[1:4])
    assert (first.attempts, first.last_error, first.delivered_at) == (0, None, None)

    filled.failed(first.key, "refused")
    assert [(row.attempts, row.last_error) for row in filled.pending()] == [(1, "refused"), (0, None)]
    for _ in range(50):
        filled.failed(first.key, "refused again")
    assert [row.key for row in filled.pending()] == [first.key, second.key]  # never given up by itself

    filled.delivered(second.key)
    filled.drop(first.key, "the hook is gone")
    assert filled.pending() == []
    assert [(row["key"], row["dropped"], row["delivered_at"] is None) for row in filled.notices()] == [
        (first.key, "the hook is gone", True),
        (second.key, None, False),
    ]
    with pytest.raises(StoreFailed, match="no notice with key 'nobody'"):
        filled.delivered("nobody")


def test_delivered_keeps_the_first_moment_in_utc(filled, url):
    filled.advance(STACK, "m1", lambda episodes, scores, _: ([], [NOTICE]))

    def moment() -> datetime:
        with filled._transaction(writes=False) as tx:
            found = tx.execute(sa.select(metadata.tables["notice"].c.delivered_at)).scalar_one()
        assert isinstance(found, datetime)
        return found

    filled.delivered(NOTICE[0])
    first = moment()
    time.sleep(0.01)
    filled.delivered(NOTICE[0])
    assert moment() == first
    assert first.tzinfo == UTC
    assert abs((datetime.now(UTC) - first).total_seconds()) < 60


# failures of the database


def test_a_full_disk_is_reported_with_its_remedy(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.record_pairs(STACK, [pair_row(PAIRS[0])])
        with ledger._transaction(writes=False) as tx:  # the pool hands the same connection out again
            tx.exec_driver_sql("PRAGMA max_page_count=1")
        many = [replace(pair_row(PAIRS[0]), pair=f"p{number}", detail="x" * 2000) for number in range(200)]
        with pytest.raises(StoreFailed, match=f"ledger sqlite:///{tmp_path}/ledger.db: .*full.*disk has space"):
            ledger.record_pairs(STACK, many)
        assert list(ledger.seen(STACK)) == [PAIRS[0]]


def test_a_locked_file_and_a_lost_table_surface_as_store_failed(ledger, url):
    with _connection(url) as connection:
        connection.exec_driver_sql("DROP TABLE failure")
    with pytest.raises(StoreFailed, match="failure") as failed:
        ledger.record_failure(1, STACK, "score", "boom")
    assert PASSWORD not in str(failed.value)


def test_the_database_may_be_shared_with_another_alembic(url):
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    with _connection(url) as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('somebody else')")
    with Ledger(url) as ledger:
        assert ledger.runs() == []


def test_reading_while_another_connection_writes(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        writer = sqlite3.connect(path)
        try:
            writer.execute("BEGIN IMMEDIATE")
            assert ledger.seen(STACK) == {}
        finally:
            writer.close()


def test_a_new_threshold_judges_stored_scores_again_in_the_same_transaction(filled):
    assert filled.advance(STACK, "m1", lambda *_: ([EPISODE], [])) == 0
    filled.publish(STACK, replace(MODEL, threshold=1.0), lambda row: replace(row, threshold=1.0))
    assert [(row["score"], row["threshold"]) for row in filled.scores(STACK) if row["model"]] == [(5.0, 1.0), (2.0, 1.0)]
    seen = []
    filled.advance(STACK, "m1", lambda _, scores, counted: (seen.append(([r.pair for r in scores], counted)), ([], []))[1])
    assert seen == [(PAIRS[:2], {PAIRS[0]})]  # the first was over the old threshold: it is not to be counted twice
    assert [row["pair"] for row in filled.scores(STACK) if row["flagged"]] == PAIRS[:2]
    # published once more with the same threshold nothing is considered again
    filled.publish(STACK, replace(MODEL, threshold=1.0), lambda row: replace(row, threshold=1.0))
    filled.advance(STACK, "m1", lambda _, scores, __: (seen.append(scores), ([], []))[1])
    assert seen[-1] == []


def test_a_judge_that_raises_leaves_the_old_threshold(filled):
    def judge(row):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        filled.publish(STACK, replace(MODEL, threshold=1.0), judge)
    assert filled.current(STACK) == MODEL
    assert {row["threshold"] for row in filled.scores(STACK) if row["model"]} == {3.5}


def test_what_one_model_has_judged_another_does_not_judge_again(filled):
    filled.advance(STACK, "m1", lambda *_: ([], []))
    filled.record_pairs(STACK, [pair_row("20200125_20200206")])
    filled.record_scores(STACK, [score_row("20200125_20200206", 9.0, threshold=None, verdict=Verdict.NOT_CALIBRATED)])
    filled.advance(STACK, "m1", lambda *_: ([], []))
    filled.publish(STACK, replace(MODEL, model="m2"))
    rows = [score_row(pair, 8.0, model="m2") for pair in (*PAIRS[:2], "20200125_20200206")]
    filled.record_scores(STACK, rows)
    seen = []
    filled.advance(STACK, "m2", lambda _, scores, __: (seen.extend(r.pair for r in scores), ([], []))[1])
    assert seen == ["20200125_20200206"]  # the first model had no threshold for it
    assert sum(row["flagged"] for row in filled.scores(STACK)) == 3
