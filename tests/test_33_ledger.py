"""The ledger, every method on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgres import PASSWORD

import insar_anomaly
from insar_anomaly.errors import Busy, ConfigError, StoreFailed, Verdict
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.database import _alembic, newest_revision
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.records import Decision, EpisodeRow, FailureRow, ModelRow, NewNotice, PairRow, ScoreRow, Seen
from insar_anomaly.ledger.tables import VERSION_TABLE, metadata
from insar_anomaly.names import EvidenceKind

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
    stack=STACK,
    number=1,
    since=date(2020, 1, 1),
    until=date(2020, 1, 13),
    first_pair=PAIRS[0],
    peak_pair=PAIRS[0],
    peak_score=5.0,
    threshold=3.5,
    pairs_over=1,
    model="m1",
    state=FlagState.RAISED,
    told=5.0,
)
NOTICE = NewNotice(f"{STACK}:1:raised:files", "files", "raised", '{"score": 5.0}')


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger(url) as opened:
        yield opened


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Two pairs scored by one model, one pair rejected."""
    ledger.record_pairs(STACK, [pair_row(PAIRS[0]), pair_row(PAIRS[1])])
    ledger.record_pairs(STACK, [replace(pair_row(PAIRS[2]), verdict=Verdict.LOW_COHERENCE, snapshot=None)])
    ledger.publish(STACK, MODEL)
    ledger.record_scores(STACK, [score_row(PAIRS[1], 2.0), score_row(PAIRS[0], 5.0)])
    return ledger


def pair_row(pair: str) -> PairRow:
    return PairRow(pair=pair, uri=f"s3://b/{pair}", fingerprint="f1", verdict=Verdict.OK, detail="", snapshot="S1")


def score_row(pair: str, score: float | None, **other: object) -> ScoreRow:
    row = ScoreRow(pair, "m1", score, threshold=3.5, verdict=Verdict.OK, percentile=50.0, snapshot="S2")
    return replace(row, **other)


def keep(episodes, scores, counted):
    """Decide that nothing changes."""
    return Decision(episodes)


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


HOLD = "with ledger._database.lock():\n    print('held', flush=True)\n    input()"


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
            ledger._database.lock(),
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
            with ledger._database.lock():
                return
        except Busy:
            time.sleep(0.1)
    pytest.fail("the lock outlived its process")


def test_the_lock_is_exclusive_within_a_process_and_free_afterwards(ledger):
    for _ in range(3):
        with ledger._database.lock():
            with pytest.raises(Busy, match=f"process {os.getpid()} on"), ledger._database.lock():
                pass
            ledger.record_pairs(STACK, [pair_row(PAIRS[0])])
    with pytest.raises(ZeroDivisionError), ledger._database.lock():
        _ = 1 / 0
    with ledger._database.lock():
        pass


def test_runs_share_what_a_change_of_the_tables_needs_alone(ledger, url):
    with other_process(url, HOLD.replace("lock()", "lock(shared=True)")) as other:
        assert other.stdout.readline() == "held\n"
        with ledger.in_use(), ledger.in_use():
            ledger.record_pairs(STACK, [pair_row(PAIRS[0])])
        with pytest.raises(Busy, match="held by"), ledger._database.lock():
            pytest.fail("the tables are changed while a run works")
    with other_process(url, HOLD) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=f"process {other.pid} on"), ledger.in_use():
            pytest.fail("a run works while the tables are changed")


# runs


def test_runs(ledger):
    first = ledger.start_run("nightly", date(2020, 2, 1), "{}", "0.1.0")
    second = ledger.start_run("nightly", None, settings="{}", version="0.1.0")
    ledger.finish_run(second, "ok", {"stacks": 3})
    newest, oldest = ledger.runs()
    assert (newest.run, newest.status, newest.summary) == (second, "ok", {"stacks": 3})
    assert (oldest.run, oldest.status, oldest.finished) == (first, "interrupted", None)
    assert oldest.as_of == date(2020, 2, 1)
    assert newest.started.tzinfo == UTC
    assert abs((datetime.now(UTC) - newest.finished).total_seconds()) < 60
    assert len(ledger.runs(1)) == 1


def test_finishing_an_unknown_run_is_loud(ledger):
    with pytest.raises(StoreFailed, match="no run with run 7"):
        ledger.finish_run(7, "ok", {})


def test_failures(ledger):
    run = ledger.start_run("nightly", None, "{}", "0.1.0")
    ledger.record_failure(run, STACK, "score", "boom")
    ledger.record_failure(run, OTHER, "ingest", "bang")
    assert ledger.failures(run) == [
        FailureRow(run=run, stack=STACK, stage="score", error="boom"),
        FailureRow(run=run, stack=OTHER, stage="ingest", error="bang"),
    ]
    assert ledger.failures(run + 1) == []


# pairs, models, scores


def test_pairs_are_replaced_not_doubled(ledger):
    ledger.record_pairs(STACK, [])
    ledger.record_pairs(STACK, [pair_row(PAIRS[0]), pair_row(PAIRS[1])])
    ledger.record_pairs(STACK, [replace(pair_row(PAIRS[0]), fingerprint="f2", verdict=Verdict.LOW_COHERENCE)])
    assert ledger.seen(STACK) == {PAIRS[0]: Seen("f2", Verdict.LOW_COHERENCE), PAIRS[1]: Seen("f1", Verdict.OK)}
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


def test_the_current_model_is_found_by_the_index_and_no_other_models_calibration_is_read(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        for number in range(5):
            for kind in EvidenceKind:
                ledger.publish(STACK, replace(MODEL, model=f"{kind} {number}", evidence=kind))
        newest = [f"{kind} 4" for kind in EvidenceKind]
        with ledger._transaction(writes=True) as tx:  # whoever reads one of the others fails
            others = sa.text("UPDATE model SET calibration = CAST(x'ff' AS TEXT) WHERE model NOT IN :kept")
            tx.execute(others.bindparams(sa.bindparam("kept", newest, expanding=True)))
        with pytest.raises(StoreFailed, match="(?i)utf-8"):
            ledger.models(STACK)
        asked: list[tuple[str, object]] = []
        listen = (ledger._database._engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        sa.event.listen(*listen)
        assert [ledger.current(STACK, kind) for kind in EvidenceKind] == [
            replace(MODEL, model=f"{kind} 4", evidence=kind) for kind in EvidenceKind
        ]
        sa.event.remove(*listen)
    asked = [(query, values) for query, values in asked if query.startswith("SELECT")]
    assert len(asked) == len(EvidenceKind)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        for query, values in asked:
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert plan == ["SEARCH model USING INDEX ix_model_current (stack=? AND evidence=?)"]
            assert "LIMIT" in query


def test_a_model_is_found_by_its_name(filled):
    assert filled.model(STACK, "m1") == MODEL
    assert filled.model(STACK, "m2") is None
    assert filled.model(OTHER, "m1") is None


def test_scores_are_idempotent_and_stay_considered(filled):
    assert filled.scored(STACK, "m1") == {(PAIRS[0], 0): 0, (PAIRS[1], 0): 0}
    filled.advance(STACK, "m1", keep)
    filled.record_scores(STACK, [score_row(PAIRS[0], 6.0)])
    seen = []
    filled.advance(STACK, "m1", lambda episodes, scores, _: (seen.extend(scores), keep(episodes, scores, _))[1])
    assert seen == []
    assert [row.score for row in filled.scores()] == [6.0, None, 2.0]
    assert filled.scored(STACK, "m2") == {}


def test_numpy_numbers_and_nan_are_stored_as_numbers_and_none(filled):
    row = score_row(
        PAIRS[0], np.float32(1.5), threshold=float("nan"), verdict=Verdict.NOT_CALIBRATED, percentile=np.float64(2)
    )
    filled.record_scores(STACK, [row])
    (stored,) = (row for row in filled.scores() if row.pair == PAIRS[0])
    assert (stored.score, stored.threshold, stored.verdict) == (1.5, None, 61)
    assert type(stored.score) is float


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
    assert [row.score for row in filled.scores(STACK)] == [5.0, None, 2.0]  # by the model of pairs, as before


def test_every_look_at_an_interval_is_kept_and_only_other_inputs_are_considered_again(filled):
    filled.publish(STACK, INTERVALS)
    filled.record_scores(STACK, [look_row(PAIRS[0], 2, 1.0), look_row(PAIRS[0], 1, 5.0)])
    assert filled.scored(STACK, "mi") == {(PAIRS[0], 1): 7, (PAIRS[0], 2): 7}
    seen = []

    def watching(episodes, scores, counted):
        seen.append(([(row.after, row.score) for row in scores], counted))
        return keep(episodes, scores, counted)

    filled.advance(STACK, "mi", watching)
    filled.record_scores(STACK, [look_row(PAIRS[0], 1, 5.0), look_row(PAIRS[0], 2, 3.0, inputs=8)])
    filled.advance(STACK, "mi", watching)
    # the name was over at its first look: the pair that came late does not count it twice
    assert seen == [([(1, 5.0), (2, 1.0)], set()), ([(2, 3.0)], {PAIRS[0]})]
    assert [(row.after, row.flagged) for row in filled.assessments(STACK, "interval")] == [(1, True), (2, True)]
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
    filled.advance(STACK, "m1", lambda *_: Decision([EPISODE], [NOTICE]))
    before = (filled.scores(), filled.episodes(), filled.notices(), filled.models(STACK), filled.seen(STACK))
    filled.publish(STACK, INTERVALS)
    filled.record_scores(STACK, [look_row(PAIRS[0], 1, 5.0)])
    with filled._transaction(writes=True) as tx:
        command.downgrade(_alembic(connection=tx), "0002")
        assert "after" not in {column["name"] for column in sa.inspect(tx).get_columns("score")}
    with Ledger(url) as again:
        after = (again.scores(), again.episodes(), again.notices(), again.models(STACK), again.seen(STACK))
        [episode] = after[1]
        assert episode.standing == {"*"}  # nothing that is assessed later withdraws it
        after[1][:] = [replace(episode, standing=frozenset())]
        assert after == before
        assert again.advance(STACK, "m1", keep)[0] == 0
        with _connection(url) as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
            assert compare_metadata(context, metadata) == []


def test_states_are_made_from_the_two_columns_before_them_and_go_back(filled, url):
    raised = replace(EPISODE, number=3, since=date(2020, 9, 1), until=date(2020, 9, 13), standing=frozenset({"a", "b"}))
    cleared = replace(EPISODE, state=FlagState.CLEARED, cleared=date(2020, 5, 1))
    withdrawn = replace(EPISODE, number=2, state=FlagState.WITHDRAWN, cleared=date(2020, 6, 1))
    filled.advance(STACK, "m1", lambda *_: Decision([cleared, withdrawn, raised], [NOTICE]))
    before = (filled.scores(), filled.episodes(), filled.notices(), filled.models(STACK), filled.seen(STACK))
    with filled._transaction(writes=True) as tx:
        command.downgrade(_alembic(connection=tx), "0003")
        query = sa.text("SELECT number, cleared IS NULL, withdrawn, standing FROM episode ORDER BY number")
        old = [(number, bool(still), bool(gone), standing) for number, still, gone, standing in tx.execute(query)]
        assert sa.inspect(tx).get_indexes("model") == []
    assert old == [(1, False, False, "[]"), (2, False, True, "[]"), (3, True, False, '["a", "b"]')]
    with Ledger(url) as again:
        assert (again.scores(), again.episodes(), again.notices(), again.models(STACK), again.seen(STACK)) == before
        assert [row.number for row in again.episodes(open_only=True)] == [3]
        with _connection(url) as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
            assert compare_metadata(context, metadata) == []


def test_a_ledger_before_areas_and_withdrawals_is_brought_up_to_date_without_a_loss(filled, url):
    """Down and up again: a flag counts as withdrawn once where people had been told that it was raised."""
    gone = {"state": FlagState.WITHDRAWN, "cleared": date(2020, 6, 1), "told": 5.0}
    heard = replace(EPISODE, **gone, withdrawals=1)
    unheard = replace(EPISODE, **gone, number=2)
    raised = replace(EPISODE, number=3, since=date(2020, 9, 1), until=date(2020, 9, 13), told=5.0)
    notices = [NewNotice(f"{STACK}:{number}:raised:files", "files", "raised", "{}") for number in (1, 3)]
    filled.advance(STACK, "m1", lambda *_: Decision([heard, unheard, raised], notices))
    filled.record_scores(STACK, [replace(score_row(PAIRS[0], 5.0), area=3.5)])
    before = (filled.scores(), filled.episodes(), filled.notices(), filled.models(STACK), filled.seen(STACK))
    with filled._transaction(writes=True) as tx:
        command.downgrade(_alembic(connection=tx), "0011")
        for table, column in (("score", "area"), ("superseded", "area"), ("episode", "withdrawals")):
            assert column not in {one["name"] for one in sa.inspect(tx).get_columns(table)}
    with Ledger(url) as again:
        assert (again.scores(), again.episodes(), again.notices(), again.models(STACK), again.seen(STACK)) == before
        assert [row.area for row in again.score_rows(STACK, PAIRS[0])] == [None]
        with _connection(url) as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
            assert compare_metadata(context, metadata) == []


# the copy before a change of the tables


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The file of a ledger as the version before left it, over 200 kB of it."""
    file = tmp_path / "older" / "ledger.db"
    with Ledger(f"sqlite:///{file}") as ledger:
        ledger.publish(STACK, replace(MODEL, calibration=json.dumps({"negatives": [0.5] * 40_000})))
        ledger.record_pairs(STACK, [pair_row(PAIRS[0])])
        ledger.advance(STACK, "m1", lambda *_: Decision([replace(EPISODE, standing=frozenset({"a"}))], [NOTICE]))
        with ledger._transaction(writes=True) as tx:
            command.downgrade(_alembic(connection=tx), "0003")
    return file


def dump(file: Path) -> list[str]:
    """Everything that a SQLite file holds."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return list(database.iterdump())


def names(folder: Path) -> set[str]:
    """Files of a folder but those that SQLite makes for the time in which it is open, and the lock."""
    return {file.name for file in folder.iterdir() if not file.name.endswith(("-wal", "-shm", ".lock"))}


def test_an_older_ledger_is_copied_before_it_is_brought_up_to_date(older, caplog):
    before = dump(older)
    copy = older.with_name(f"ledger.db.before-{newest_revision()}")
    with Ledger(f"sqlite:///{older}") as ledger:
        assert [row.state for row in ledger.episodes()] == [FlagState.RAISED]
    assert names(older.parent) == {"ledger.db", copy.name}
    assert dump(copy) == before
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("0003",)]
        assert old.execute("SELECT withdrawn, standing FROM episode").fetchall() == [(0, '["a"]')]
        assert old.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert f"{older} is brought up to date; a copy of it as it was is {copy}" in caplog.text
    # whoever goes back to the copy can open it with this version too
    copy.rename(older)
    Ledger(f"sqlite:///{older}").close()
    assert names(older.parent) == {"ledger.db", copy.name}


def test_the_copy_has_what_still_waits_in_the_write_ahead_log(older):
    with closing(sqlite3.connect(older)) as other:
        other.execute("UPDATE interferogram SET detail = 'written a moment ago'")
        other.commit()
        assert older.with_name("ledger.db-wal").stat().st_size > 0
        Ledger(f"sqlite:///{older}").close()
    assert any("written a moment ago" in line for line in dump(older.with_name(f"ledger.db.before-{newest_revision()}")))


def test_a_copy_is_never_overwritten_and_a_new_or_current_ledger_gets_none(older, tmp_path, caplog):
    copy = older.with_name(f"ledger.db.before-{newest_revision()}")
    copy.write_text("precious")
    Ledger(f"sqlite:///{older}").close()
    assert copy.read_text() == "precious"
    assert f"{copy} is there already and is kept" in caplog.text
    for _ in range(2):
        Ledger(f"sqlite:///{tmp_path}/fresh/ledger.db").close()
    assert names(tmp_path / "fresh") == {"ledger.db"}


def test_what_a_killed_process_left_of_a_copy_is_made_anew(older):
    part = older.with_name(f"ledger.db.before-{newest_revision()}.part")
    part.write_bytes(older.read_bytes()[:8192])
    before = dump(older)
    Ledger(f"sqlite:///{older}").close()
    assert not part.exists()
    assert dump(older.with_name(f"ledger.db.before-{newest_revision()}")) == before


def test_without_room_for_the_copy_the_ledger_stays_as_it_was(older):
    before = dump(older)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # no file may grow over it: as on a full disk
    try:
        with pytest.raises(ConfigError, match=r"that copy cannot be made \(.+\); the ledger is as it was: make room"):
            Ledger(f"sqlite:///{older}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (names(older.parent), dump(older)) == ({"ledger.db"}, before)
    Ledger(f"sqlite:///{older}").close()
    assert dump(older.with_name(f"ledger.db.before-{newest_revision()}")) == before


def test_in_a_folder_that_cannot_be_written_the_ledger_stays_as_it_was(older):
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to other users
        folder = Path(place)
        folder.chmod(0o755)
        file = folder / "ledger.db"
        shutil.copy(older, file)
        before = dump(file)
        with closing(sqlite3.connect(file)) as reader:  # it keeps the write-ahead log in place, which nobody could make
            reader.execute("SELECT count(*) FROM run").fetchall()
            (folder / "ledger.db.lock").touch()
            for one in folder.iterdir():
                one.chmod(0o666)
            folder.chmod(0o555)
            why = rf"before-{newest_revision()}.*cannot be made.*make the folder writable"
            with as_nobody(), pytest.raises(ConfigError, match=why):
                Ledger(f"sqlite:///{file}")
            folder.chmod(0o755)
        assert (names(folder), dump(file)) == ({"ledger.db"}, before)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_score_table_is_every_pair_with_its_current_score(filled):
    filled.record_pairs(OTHER, [pair_row(PAIRS[0])])
    filled.advance(STACK, "m1", keep)
    rows = filled.scores()
    assert [(row.gvp, row.frame, *astuple(row)[1:-1]) for row in rows] == [
        (211060, "124D_04854_171313", PAIRS[0], None, None, False, 0, "S1", None),
        (221080, "079D_07694_131313", PAIRS[0], 5.0, 3.5, True, 0, "S2", "m1"),
        (221080, "079D_07694_131313", PAIRS[2], None, None, False, 32, None, None),
        (221080, "079D_07694_131313", PAIRS[1], 2.0, 3.5, False, 0, "S2", "m1"),
    ]
    assert {type(row.flagged) for row in rows} == {bool}
    assert filled.scores(STACK) == rows[1:]
    filled.publish(STACK, replace(MODEL, model="m2"))
    assert [row.score for row in filled.scores(STACK)] == [None, None, None]


# advance and the outbox


def test_advance_gives_new_scores_in_order_of_date(filled):
    seen = []

    def step(episodes, scores, counted):
        seen.append((episodes, [(row.pair, row.score) for row in scores]))
        return Decision([EPISODE], [NOTICE])

    assert filled.advance(STACK, "m1", step)[0] == 1
    assert filled.advance(STACK, "m1", step)[0] == 0  # the key is in the outbox already
    assert seen == [([], [(PAIRS[0], 5.0), (PAIRS[1], 2.0)]), ([EPISODE], [])]
    assert [row.key for row in filled.pending()] == [NOTICE[0]]
    assert [row.pair for row in filled.scores(STACK) if row.flagged] == [PAIRS[0]]


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
        filled.advance(STACK, "m1", lambda _, scores, __: (seen.extend(row.pair for row in scores), Decision([]))[1])
    assert seen == PAIRS[:2]
    assert [row.pair for row in filled.scores(STACK) if row.flagged] == [PAIRS[0]]
    with filled._transaction(writes=False) as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM score WHERE considered").scalar() == 4


def test_a_step_that_raises_leaves_nothing(filled):
    def step(episodes, scores, counted):
        raise ZeroDivisionError

    before = filled.scores()
    with pytest.raises(ZeroDivisionError):
        filled.advance(STACK, "m1", step)
    assert (filled.scores(), filled.episodes(), filled.pending()) == (before, [], [])


def test_an_episode_of_another_stack_is_refused(filled):
    with pytest.raises(ValueError, match=f"{OTHER} was decided on from scores of {STACK}"):
        filled.advance(STACK, "m1", lambda *_: Decision([EPISODE, replace(EPISODE, stack=OTHER)]))
    assert filled.episodes() == []


def test_a_second_writer_waits_and_decides_on_what_the_first_has_left(filled, url):
    """Without the lock of the ledger, which a run holds: even then no score is decided on twice, and none is lost."""
    seen, done = [], threading.Event()

    def second():
        with Ledger(url) as other:
            other.advance(
                STACK, "m1", lambda episodes, scores, _: (seen.append((episodes, scores)), keep(episodes, [], _))[1]
            )
        done.set()

    thread = threading.Thread(target=second)

    def first(episodes, scores, counted):
        assert len(scores) == 2
        thread.start()
        assert not done.wait(1)  # time enough to go wrong; it decides nothing else
        return Decision([EPISODE], [NOTICE])

    assert filled.advance(STACK, "m1", first)[0] == 1
    thread.join()
    assert seen == [([EPISODE], [])]


def test_a_write_that_fails_halfway_leaves_nothing(filled):
    broken = NewNotice(NOTICE.key + "2", "files", "raised", None)
    with pytest.raises(StoreFailed, match=r"(?i)not.null.*nothing was half written"):
        filled.advance(STACK, "m1", lambda *_: Decision([EPISODE], [NOTICE, broken]))
    assert (filled.episodes(), filled.pending()) == ([], [])
    assert filled.advance(STACK, "m1", lambda _, scores, __: Decision([EPISODE] * len(scores[:1]), [NOTICE]))[0] == 1


def test_episodes(filled):
    closed = replace(EPISODE, state=FlagState.CLEARED, cleared=date(2020, 5, 1), pairs_over=2)
    second = replace(EPISODE, number=2, since=date(2020, 6, 1), until=date(2020, 6, 13))
    filled.advance(STACK, "m1", lambda *_: Decision([EPISODE]))
    filled.advance(STACK, "m1", lambda *_: Decision([closed, second]))
    assert filled.episodes() == [closed, second]
    assert [(row.gvp, row.frame) for row in filled.episodes()] == [(221080, "079D_07694_131313")] * 2
    assert [row.number for row in filled.episodes(STACK, open_only=True)] == [2]
    assert filled.episodes(OTHER) == []


def test_the_outbox(filled):
    second = NewNotice(NOTICE.key + "2", "email", "cleared", "{}", after=NOTICE.key)
    orphan = NewNotice(NOTICE.key + "3", "email", "cleared", "{}", after="never sent")
    assert filled.advance(STACK, "m1", lambda *_: Decision([], [NOTICE, second, orphan]))[0] == 2
    first, second = filled.pending()
    assert (first.key, first.stack, first.channel, first.kind, first.payload) == (NOTICE[0], STACK, *NOTICE[1:4])
    assert (first.attempts, first.last_error, first.delivered_at) == (0, None, None)

    filled.failed(first.key, error="refused")
    assert [(row.attempts, row.last_error) for row in filled.pending()] == [(1, "refused"), (0, None)]
    for _ in range(50):
        filled.failed(first.key, error="refused again")
    assert [row.key for row in filled.pending()] == [first.key, second.key]  # never given up by itself

    filled.delivered(second.key)
    filled.drop(first.key, "the hook is gone")
    assert filled.pending() == []
    assert [(row.key, row.dropped, row.delivered_at is None) for row in filled.notices()] == [
        (first.key, "the hook is gone", True),
        (second.key, None, False),
    ]
    with pytest.raises(StoreFailed, match="no notice with key 'nobody'"):
        filled.delivered("nobody")


def test_delivered_keeps_the_first_moment_in_utc(filled, url):
    filled.advance(STACK, "m1", lambda *_: Decision([], [NOTICE]))

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
    assert filled.advance(STACK, "m1", lambda *_: Decision([EPISODE]))[0] == 0
    filled.publish(STACK, replace(MODEL, threshold=1.0), lambda row: replace(row, threshold=1.0))
    assert [(row.score, row.threshold) for row in filled.scores(STACK) if row.model] == [(5.0, 1.0), (2.0, 1.0)]
    seen = []
    filled.advance(
        STACK, "m1", lambda _, scores, counted: (seen.append(([r.pair for r in scores], counted)), Decision([]))[1]
    )
    assert seen == [(PAIRS[:2], {PAIRS[0]})]  # the first was over the old threshold: it is not to be counted twice
    assert [row.pair for row in filled.scores(STACK) if row.flagged] == PAIRS[:2]
    # published once more with the same threshold nothing is considered again
    filled.publish(STACK, replace(MODEL, threshold=1.0), lambda row: replace(row, threshold=1.0))
    filled.advance(STACK, "m1", lambda _, scores, __: (seen.append(scores), Decision([]))[1])
    assert seen[-1] == []


def test_a_judge_that_raises_leaves_the_old_threshold(filled):
    def judge(row):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        filled.publish(STACK, replace(MODEL, threshold=1.0), judge)
    assert filled.current(STACK) == MODEL
    assert {row.threshold for row in filled.scores(STACK) if row.model} == {3.5}


def test_what_one_model_has_judged_another_does_not_judge_again(filled):
    filled.advance(STACK, "m1", lambda *_: Decision([]))
    filled.record_pairs(STACK, [pair_row("20200125_20200206")])
    filled.record_scores(STACK, [score_row("20200125_20200206", 9.0, threshold=None, verdict=Verdict.NOT_CALIBRATED)])
    filled.advance(STACK, "m1", lambda *_: Decision([]))
    filled.publish(STACK, replace(MODEL, model="m2"))
    rows = [score_row(pair, 8.0, model="m2") for pair in (*PAIRS[:2], "20200125_20200206")]
    filled.record_scores(STACK, rows)
    seen = []
    filled.advance(STACK, "m2", lambda _, scores, __: (seen.extend(r.pair for r in scores), Decision([]))[1])
    assert seen == ["20200125_20200206"]  # the first model had no threshold for it
    assert sum(row.flagged for row in filled.scores(STACK)) == 3


def test_what_is_written_together_is_one_transaction(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger, Ledger(f"sqlite:///{tmp_path}/ledger.db") as other:
        run = ledger.start_run("nightly", None, "{}", "0")
        with ledger.together(), ledger.together():
            ledger.record_failure(run, "1/A", "flag", "one")
            ledger.record_failure(run, "1/B", "flag", "two")
            assert len(ledger.failures(run)) == 2  # it sees what it has written
            assert other.failures(run) == []
        assert len(other.failures(run)) == 2

        def broken():
            ledger.record_failure(run, "1/C", "flag", "three")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), ledger.together():
            broken()
        assert len(ledger.failures(run)) == len(other.failures(run)) == 2
        ledger.record_failure(run, "1/D", "flag", "four")
        assert len(other.failures(run)) == 3
