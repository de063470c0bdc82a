"""Runs at the same time, on real worker processes: only the same stack waits, and nothing is done twice."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace

import installation
import pytest
from installation import AS_OF, QUIET, RISING, Installation, command, ledger_content, store_content

from insar_anomaly import cli
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline import Spread, night_stages, open_installation
from insar_anomaly.pipeline.ingest import locate
from insar_anomaly.pipeline.leases import holding
from insar_anomaly.pipeline.share import Done, given_to, work_share
from insar_anomaly.pipeline.spread import shares_of

WHOLE = bool(os.environ.get("WHOLE_SUITES"))
SEED = 20261127
OK = (0, 3)
"""Exit codes of a night in which nothing failed: one stack is blind."""
NIGHT = ("nightly", "--as-of", f"{AS_OF}")


@pytest.fixture(scope="module")
def alone(learned, tmp_path_factory):
    """What one night by itself leaves behind."""
    place = installation.copy(learned, tmp_path_factory.mktemp("alone"))
    run, _ = place.night()
    assert run.failures == []
    return content(place)


def content(place: Installation) -> tuple[object, ...]:
    return ledger_content(place), store_content(place), [path.name for path in place.notices]


def start(place: Installation, *words: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command("-c", place.config), *words], text=True, **pipes)


INLINE, LOCAL = 'kind = "inline"', 'kind = "local"\nworkers = {}\n'


def with_workers(place: Installation, number: int = 2) -> Installation:
    place.change(INLINE, LOCAL.format(number))
    return place


def without_workers(place: Installation, number: int = 2) -> Installation:
    """Inline again: what a run left behind does not depend on who goes on, and a night in this process starts at once."""
    place.change(LOCAL.format(number), INLINE)
    return place


def test_two_nights_at_once_end_as_one(learned, alone, tmp_path):
    place = with_workers(installation.copy(learned, tmp_path / "here"))
    with ExitStack() as undo:
        nights = [undo.enter_context(start(place, *NIGHT)) for _ in range(2)]
        said = [night.communicate() for night in nights]
    assert [night.returncode in OK for night in nights] == [True, True], said
    assert content(place) == alone
    delivered = place.rows("select count(*), sum(attempts) from notice where delivered_at is not null")
    assert delivered == [(1, 1)]


def test_a_night_a_backfill_a_fit_and_a_person_at_once(learned, alone, tmp_path):
    place = with_workers(installation.copy(learned, tmp_path / "here"), 1)  # each run has one: three of them work at once
    runs = (NIGHT, ("backfill", "--as-of", f"{AS_OF}"), ("fit", "--no-ingest", "--to", f"{installation.FIT.last}"))
    with ExitStack() as undo:
        going = [undo.enter_context(start(place, *words)) for words in runs]
        time.sleep(1.0)
        person = [cli.main(["-c", str(place.config), words]) for words in ("flags", "scores", "notices")]
        said = [run.communicate() for run in going]
    assert person == [0, 0, 0]
    assert [run.returncode in OK for run in going] == [True] * 3, said
    run, _ = without_workers(place, 1).night()
    assert run.failures == []
    assert content(place) == alone


def test_only_the_same_stack_waits_and_says_for_whom(learned, tmp_path):
    place = installation.copy(learned, tmp_path / "here")
    with place.opened("nightly") as (s, run), ExitStack() as undo:
        undo.enter_context(holding(s.ledger, [RISING], what="run 77 (backfill)", seconds=60))
        spread = Spread(night_stages(), s, run)
        spread.finish([volcano for volcano in s.volcanoes if volcano.gvp != 990002])  # the others do not wait
        assert place.rows("select count(*) > 0 from score where stack = ? and pair > '20210900'", QUIET) == [(True,)]
        undo.close()
        spread.finish()
        assert run.failures == []
        who = f"run 77 (backfill), process {os.getpid()} on {os.uname().nodename}"
        assert [words for words in run.warnings if words.startswith(RISING)] == [
            f"{RISING}: this run waited for {who}, which worked on it"
        ]
        assert s.ledger.held().keys() == {f"run/{run.number}"}


def test_a_stack_that_is_held_for_too_long_fails_by_name(learned, tmp_path):
    place = installation.copy(learned, tmp_path / "here")
    place.change('kind = "inline"', 'kind = "inline"\nwait_s = 0.5')
    with Ledger(f"sqlite:///{place.folder}/ledger.sqlite") as other, holding(other, [RISING], what="run 77", seconds=60):
        run, _ = place.night()
    assert [(f.stack, "held by run 77" in f.error) for f in run.failures] == [(RISING, True)]
    assert "[cluster] wait_s" in run.failures[0].error
    run, _ = place.night()
    assert run.failures == []
    assert len(place.notices) == 1


@pytest.mark.parametrize("number", range(10 if WHOLE else 2))
def test_a_driver_or_a_worker_that_is_killed_at_a_random_moment(learned, alone, tmp_path, number):
    place = with_workers(installation.copy(learned, tmp_path / "here"))
    moment = random.Random(SEED + number).uniform(2.0, 9.0)
    print(f"seed {SEED}, {'driver' if number % 2 else 'worker'} killed after {moment:.2f} s")
    with start(place, *NIGHT) as night:
        time.sleep(moment)
        if number % 2:
            night.kill()
        else:
            for worker in workers_of(night.pid)[:1]:
                os.kill(worker, signal.SIGKILL)
        night.communicate()
    run, _ = without_workers(place).night()
    assert run.failures == []
    assert content(place) == alone


def workers_of(parent: int) -> list[int]:
    """Worker processes of a run: children that run Dask's workers."""
    found = subprocess.run(["pgrep", "-P", str(parent), "-f", "spawn_main"], capture_output=True, check=False, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_through_the_scheduler_go_names_and_counts(learned, tmp_path):
    """At most 4 KB for each pair, there and back: no window, no score map, no model."""
    place = with_workers(installation.copy(learned, tmp_path / "here"))
    with open_installation(place.config) as s, s.run("nightly", AS_OF) as run:
        with given_to(s.workers, s.config, s.volcanoes) as given:
            stages = tuple(stage for stage in night_stages() if stage.scope.value == "stack")
            shares = [replace(share, given=given) for share in shares_of(locate(s, run), run, stages)]
            found = list(s.workers.fan_out(work_share, shares))
        assert [error for _, _, error in found] == [None] * len(found)
        for share, done, _ in found:
            assert isinstance(done, Done)
            print(len(pickle.dumps(share)), len(pickle.dumps(done)), done.tally)
            assert len(pickle.dumps(share)) + len(pickle.dumps(done)) < 4096
            run.add(done.tally)
        pairs = sum(row.pairs for row in run.meter.rows if row.stage == "ingest")
        assert pairs == run.counts["new_pairs"] > 0
        assert all(row.worker_cpu_s > 0 for row in run.meter.rows if row.stage in ("ingest", "assess"))
    assert place.rows("select count(*) from score where stack = ?", RISING) != [(0,)]
    assert (RISING,) in place.rows("select distinct stack from episode")


def test_a_run_whose_process_was_killed_is_closed_by_the_next(learned, tmp_path):
    place = with_workers(installation.copy(learned, tmp_path / "here"))
    with start(place, *NIGHT) as night:
        while ("running",) not in place.rows("select status from run"):
            time.sleep(0.05)
        with place.opened("test") as (s, run):
            assert s.ledger.held()[f"run/{run.number - 1}"].startswith("nightly, process ")
        assert ("running",) in place.rows("select status from run")  # it lives, so it is not closed
        night.kill()
        night.communicate()
    with place.opened("test"):
        pass
    assert ("interrupted",) in place.rows("select status from run")
    assert ("running",) not in place.rows("select status from run")
