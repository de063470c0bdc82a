"""Leases: one owner at a time, whatever dies, sleeps, skips or writes rubbish."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from leased_stack import batch_of, new_stack

import insar_anomaly
from insar_anomaly.errors import Busy, StackFailed, StoreFailed
from insar_anomaly.ledger.leases import Held, Lease
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.owner import Owner
from insar_anomaly.pipeline.leases import holding, patiently
from insar_anomaly.stack.store import Store, Writer

STACK = "221080/079D_07694_131313"


@pytest.fixture
def ledger(url):
    with Ledger(url) as opened:
        yield opened


def change(url: str, **values: object) -> None:
    """Write into the only lease, as whatever spoils a database would."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    words = ", ".join(f"{name} = :{name}" for name in values)
    with engine.begin() as tx:
        tx.execute(sa.text(f"UPDATE lease SET {words}"), values)
    engine.dispose()


def owner(what: str = "run 1 (nightly)") -> Owner:
    return Owner.here(what)


def test_one_owner_at_a_time_and_numbers_that_rise(ledger):
    first = ledger.take(STACK, owner(), seconds=60)
    refused = ledger.take(STACK, owner("run 2 (backfill)"), seconds=60)
    assert isinstance(first, Lease)
    assert isinstance(refused, Held)
    assert "run 1 (nightly), process" in refused.words
    assert ledger.held() == {STACK: refused.words}
    ledger.release(first)
    second = ledger.take(STACK, owner("run 2 (backfill)"), seconds=60)
    assert isinstance(second, Lease)
    assert second.fence > first.fence
    assert second.overtaken == ""  # it was given back
    assert not ledger.holds(first)
    assert ledger.holds(second)


def test_the_same_owner_gets_the_same_lease_again(ledger):
    me = owner()
    assert ledger.take(STACK, me, seconds=60).fence == ledger.take(STACK, me, seconds=60).fence


def test_a_lease_that_is_not_renewed_expires_and_its_owner_is_named(ledger):
    first = ledger.take(STACK, owner(), seconds=0.3)
    assert ledger.holds(first)
    time.sleep(0.2)
    assert ledger.renew({STACK: first}, seconds=0.3) == set()
    time.sleep(0.2)
    assert isinstance(ledger.take(STACK, owner("other"), seconds=60), Held)
    time.sleep(0.2)
    assert ledger.holds(first)  # it has expired, and nobody has taken it
    second = ledger.take(STACK, owner("other"), seconds=60)
    assert second.overtaken == first.owner.words
    assert ledger.renew({STACK: first}, seconds=60) == {STACK}
    ledger.release(first)  # too late: nothing of the new owner's
    assert ledger.holds(second)


def test_a_dead_owner_on_this_machine_loses_its_lease_at_once(ledger):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = replace(owner(), pid=ended.pid)
    ledger.take(STACK, dead, seconds=3600)
    taken = ledger.take(STACK, owner("other"), seconds=60)
    assert isinstance(taken, Lease)
    assert taken.overtaken == dead.words


@pytest.mark.parametrize("changed", [{"started": "1"}, {"pid": 2**22 - 1}])
def test_a_process_that_has_the_number_of_another_is_not_taken_for_it(ledger, changed):
    ledger.take(STACK, replace(owner(), **changed), seconds=3600)
    assert isinstance(ledger.take(STACK, owner("other"), seconds=60), Lease)


def test_an_owner_of_another_machine_cannot_be_called_dead(ledger, url):
    ledger.take(STACK, replace(owner(), host="elsewhere", boot="another-boot", pid=2**22 - 1), seconds=3600)
    found = ledger.take(STACK, owner("other"), seconds=60)
    # an SQLite ledger belongs to one machine: that was the same one, before it was started anew
    assert isinstance(found, Lease if url.startswith("sqlite") else Held)


RUBBISH = [
    {"owner": "rubbish", "expires": -1e300},
    {"owner": "{}", "expires": 1e300},
    {"owner": '{"pid": "x"}', "expires": float("inf")},
    {"owner": "", "expires": float("nan"), "heartbeat": None},
    {"owner": "x", "expires": None},
    {"owner": "x", "fence": -5, "expires": 0.0},
    {"owner": '{"pid": Infinity}', "expires": 0.0},
    {"owner": "[" * 200_000, "fence": 2**62, "expires": 0.0},
]


@pytest.mark.parametrize("values", RUBBISH, ids=str)
def test_rubbish_in_the_table_is_taken_over(ledger, url, values):
    first = ledger.take(STACK, owner(), seconds=60)
    ledger.release(first)
    change(url, **values)
    taken = ledger.take(STACK, owner(), seconds=60)
    assert isinstance(taken, Lease)
    assert first.fence <= taken.fence < 2**53
    assert ledger.holds(taken)
    assert isinstance(ledger.take(STACK, owner("other"), seconds=60), Held)


def test_text_where_sqlite_should_have_numbers(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        ledger.take(STACK, owner(), seconds=60)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as database, database:
            database.execute("UPDATE lease SET fence = 'many', expires = 'soon', heartbeat = x'00', taken = 'never'")
        assert ledger.held() == {}
        taken = ledger.take(STACK, owner(), seconds=60)
        assert ledger.holds(taken)


def test_clocks_of_owners_may_differ(ledger, monkeypatch):
    ledger.take(STACK, owner(), seconds=60)
    ahead = time.time
    for skew in (600, -600):
        monkeypatch.setattr(time, "time", lambda skew=skew: ahead() + skew)
        assert isinstance(ledger.take(STACK, owner("other"), seconds=60), Held)


def test_numbers_go_on_where_the_ledger_was_lost(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/first.db") as ledger:
        for _ in range(3):
            lease = ledger.take(STACK, owner(), seconds=60)
            ledger.release(lease)
    time.sleep(0.01)
    with Ledger(f"sqlite:///{tmp_path}/second.db") as ledger:
        assert ledger.take(STACK, owner(), seconds=60).fence > lease.fence


def test_of_many_that_ask_at_once_one_gets_it(url):
    found: list[object] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        with Ledger(url) as mine:
            start.wait()
            found.append(mine.take(STACK, owner(f"run {number}"), seconds=60))

    Ledger(url).close()
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in sorted(found, key=lambda one: isinstance(one, Held))] == [Lease] + [Held] * 7


def test_a_holder_beats_and_gives_back(ledger):
    with holding(ledger, [STACK, "x/y"], what="run 1", seconds=0.4) as held:
        time.sleep(1.0)
        with holding(ledger, [STACK], what="run 2", seconds=0.4) as refused:
            assert list(refused.busy) == [STACK]
            assert refused.leases == {}
        held.insist(STACK)
        assert held.writer(STACK).fence == held.leases[STACK].fence
    assert ledger.held() == {}


def test_who_was_overtaken_may_not_commit(ledger, url):
    with holding(ledger, [STACK], what="run 1", seconds=60) as held:
        change(url, expires=0.0)
        with holding(ledger, [STACK], what="run 2", seconds=60) as other:
            assert other.leases[STACK].overtaken == held.leases[STACK].owner.words
            with pytest.raises(StackFailed, match="another process has taken its work over"):
                held.writer(STACK).insist()
        with pytest.raises(StackFailed):  # nor later, when the other has given it back
            held.insist(STACK)


def test_who_waits_says_for_whom_and_how_long(ledger):
    said: list[str] = []
    with holding(ledger, [STACK], what="run 7 (backfill)", seconds=60):
        waiting = patiently(ledger, [STACK], what="run 8", lease_s=60, wait_s=0.5, say=said.append)
        with pytest.raises(Busy, match=r"run 7 \(backfill\).*waited for 0.5 seconds"), waiting:
            pytest.fail("two hold it")
    assert len(said) == 1
    with patiently(ledger, [STACK], what="run 8", lease_s=60, wait_s=0.5, say=said.append) as held:
        held.insist(STACK)


def test_an_owner_is_read_as_it_was_written():
    me = owner()
    assert Owner.read(me.text) == me
    assert not me.dead(one_machine=True)
    for rubbish in ("", "[]", "null", "3", json.dumps({"pid": 3}), me.text[:-5]):
        assert Owner.read(rubbish) is None


PAUSED = """
import sys, time
import numpy as np, xarray as xr
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline.leases import holding
from insar_anomaly.stack.store import Store
sys.path.insert(0, {tests!r})
from leased_stack import batch_of
ledger, store = Ledger({url!r}), Store({store!r}, {endpoint!r})
with holding(ledger, [{stack!r}], what="run 1 (nightly)", seconds=1.0) as held:
    writer = held.writer({stack!r})
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.append({stack!r}, batch_of("20200101_20200113"), writer=writer)
        print("committed", flush=True)
    except Exception as problem:
        print(type(problem).__name__, problem, flush=True)
"""


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    """A store's URL and endpoint."""
    if request.param == "folder":
        return f"{tmp_path}/store", None
    bucket = request.getfixturevalue("bucket")
    return f"{bucket.url}/store", bucket.endpoint


def test_a_process_that_was_paused_and_comes_back_cannot_commit(place, tmp_path):
    """SIGSTOP while it holds the lease, another takes over and commits, SIGCONT."""
    url, (store_url, endpoint) = f"sqlite:///{tmp_path}/ledger.db", place
    store = Store(store_url, endpoint)
    with Ledger(url) as ledger:
        with holding(ledger, [STACK], what="run 0", seconds=60) as held:
            store.create(STACK, new_stack(), writer=held.writer(STACK))
        tests = str(Path(__file__).parent)
        script = PAUSED.format(tests=tests, url=url, store=store_url, endpoint=endpoint, stack=STACK)
        environment = {**os.environ, "PYTHONPATH": str(Path(insar_anomaly.__file__).parents[1])}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", script], text=True, env=environment, **pipes) as paused:
            assert paused.stdout.readline() == "ready\n"
            paused.send_signal(signal.SIGSTOP)
            waiting = patiently(ledger, [STACK], what="run 2", lease_s=60, wait_s=30, say=print)
            with waiting as held:
                assert "run 1 (nightly)" in held.leases[STACK].overtaken
                store.seize(STACK, held.writer(STACK))
                store.append(STACK, batch_of("20200113_20200125"), writer=held.writer(STACK))
            paused.send_signal(signal.SIGCONT)
            paused.stdin.write("go on\n")
            paused.stdin.flush()
            answer = paused.stdout.readline()
            assert answer.startswith("StackFailed"), answer
            assert "another process has taken its work over" in answer
    assert store.pairs(STACK) == ["20200113_20200125"]


def test_a_session_that_was_begun_before_the_takeover_cannot_be_committed(place):
    """The last word: the lease was looked at, then came the pause, then the commit."""
    store_url, endpoint = place
    store = Store(store_url, endpoint)
    store.create(STACK, new_stack(), writer=Writer(1, "one", lambda: None))

    def overtaken() -> None:
        if not endpoint:  # in a folder, nobody can come between: the lock is held
            return
        later = Writer(2, "two", lambda: None)
        store.seize(STACK, later)

    if endpoint:
        with pytest.raises(StoreFailed, match="a writer with a later lease"):
            store.append(STACK, batch_of("20200101_20200113"), writer=Writer(1, "one", overtaken))
        assert store.pairs(STACK) == []
    store.append(STACK, batch_of("20200101_20200113"), writer=Writer(3, "three", lambda: None))
    with pytest.raises(StoreFailed, match=r"a writer with a later lease \(number 3\)"):
        store.append(STACK, batch_of("20200113_20200125"), writer=Writer(2, "two", lambda: None))
    assert store.pairs(STACK) == ["20200101_20200113"]
    assert "fence" not in store.open(STACK).attrs
