"""What goes away, answers 503, fills up or stops: the run waits, tries again, or fails that stack by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import installation
import pytest
from installation import AS_OF, FIT, Installation, command, ledger_content, store_content
from proxies import Line, unavailable

from insar_anomaly.errors import WorkersFailed
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline import finished
from insar_anomaly.pipeline.cluster import Workers

WHOLE = bool(os.environ.get("WHOLE_SUITES"))
OK = (0, 3)
NIGHT = ("nightly", "--as-of", f"{AS_OF}")


def in_bucket(place: Installation, bucket, endpoint: str) -> None:
    bucket.upload(place.archive, "licsar")
    place.change('store = "store"', f'store = "{bucket.url}/screening"')
    place.change('url = "archive"', f'url = "{bucket.url}/licsar"')
    place.change("[ingest]", f'[storage]\nendpoint_url = "{endpoint}"\n\n[ingest]')


def test_a_store_that_answers_503_to_every_fifth_request(built, bucket, tmp_path):
    """Archive and store alike; what comes out is what comes out without."""
    here, there = (installation.copy(built, tmp_path / name) for name in ("here", "there"))
    for place in (here, there):
        place.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
        place.only(990002)
    stages = (("ingest",), ("fit", "--to", f"{FIT.last}"), NIGHT)
    stages = stages if WHOLE else stages[:1]  # the store is asked most where pairs come in
    with unavailable(bucket.endpoint, every=5) as (endpoint, refused):
        in_bucket(here, bucket, endpoint)
        for words in stages:
            done = subprocess.run([*command("-c", here.config), *words], capture_output=True, text=True, check=False)
            assert done.returncode in OK, done
        assert refused[0] > 20
    for words in stages:
        subprocess.run([*command("-c", there.config), *words], capture_output=True, check=True)
    assert without_fingerprints(here) == without_fingerprints(there)
    here.change(f'endpoint_url = "{endpoint}"', f'endpoint_url = "{bucket.endpoint}"')
    assert store_content(here) == store_content(there)


def without_fingerprints(place: Installation) -> object:
    """The ledger, without what tells a file of a folder from an object of a bucket."""
    content = ledger_content(place)
    content["interferogram"] = [(stack, pair, *rest) for stack, pair, _, *rest in content["interferogram"]]
    return content


def test_a_ledger_that_goes_away_for_a_while(built, server, tmp_path, monkeypatch):
    """A minute and a half is waited for at most; here it is some seconds (all of a minute with WHOLE_SUITES)."""
    away_s = 60.0 if WHOLE else 4.0
    place = installation.copy(built, tmp_path / "here")
    place.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    url = urlsplit(server)
    line = Line(url.hostname, url.port)
    name = f"away{time.monotonic_ns()}"
    monkeypatch.setenv("INSAR_ANOMALY_LEDGER", server.replace(f":{url.port}", f":{line.port}"))
    subprocess.run(["psql", server, "-qc", f"create database {name}"], check=True, capture_output=True)
    monkeypatch.setenv(
        "INSAR_ANOMALY_LEDGER", server.replace(f":{url.port}", f":{line.port}").removesuffix("postgres") + name
    )
    with subprocess.Popen(
        [*command("-c", place.config), "ingest"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        with Ledger(server.removesuffix("postgres") + name) as ledger:
            while not ledger.runs():
                time.sleep(0.05)
        line.cut()
        time.sleep(away_s)
        line.join()
        said = run.communicate()
    with Ledger(server.removesuffix("postgres") + name) as ledger:
        first = ledger.runs(1)[0]
        # a transaction that was under way is lost: its stack fails by name, and the next run goes on
        assert first.status in ("ok", "failed"), said
        assert run.returncode in (0, 1, 3), said
        again = subprocess.run([*command("-c", place.config), "ingest"], capture_output=True, text=True, check=False)
        assert again.returncode in OK, again
        stored = {str(stack): sorted(ledger.seen(str(stack))) for stack in ledger.stacks()}
    assert [len(pairs) for pairs in stored.values()] == [57, 57, 30] or all(len(p) > 20 for p in stored.values())
    line.end()


def test_a_worker_whose_disk_is_full_fails_its_stacks_by_name(learned, small_disk, tmp_path):
    folder, remount = small_disk
    remount("size=20m")
    place = installation.copy(learned, tmp_path / "here")
    inline, local = 'kind = "inline"', 'kind = "local"\nworkers = 2'
    place.change(inline, local)
    before = store_content(place)
    full = place.folder / "store" / "stacks" / "990003"
    shutil.move(full, folder / "stacks")
    full.symlink_to(folder / "stacks")
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as out:
        while out.write(b"\0" * 4096) == 4096:
            pass
    done = subprocess.run([*command("-c", place.config), *NIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    assert "990003" in done.stderr
    assert "990001" not in done.stderr
    assert "Traceback" not in done.stderr
    filler.unlink()
    place.change(local, inline)  # a night in this process starts at once
    run, _ = place.night()
    assert run.failures == []
    after = store_content(place)
    assert all(set(before[name][0]) <= set(after[name][0]) for name in before if "/" in name and " " not in name)


# -- the cluster


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(finished, "_LOOK_S", 0.3)
    monkeypatch.setattr(finished, "_PATIENCE_S", 2.0)


def paused(client, worker) -> None:
    """Pause a worker, as Dask does where its memory is nearly full, and wait until the scheduler knows.

    It must have no limit of memory: what watches that would let it go on at once.
    """
    from distributed.core import Status

    worker.loop.add_callback(setattr, worker, "status", Status.paused)
    while {info["status"] for info in client.scheduler_info()["workers"].values()} != {"paused"}:
        time.sleep(0.05)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@contextmanager
def one_worker():
    """A cluster of one worker in this process: the hands that use it, its client, and the worker."""
    from distributed import Client, LocalCluster

    how = {"threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
    with LocalCluster(n_workers=1, **how) as cluster, Client(cluster) as client:
        hands = Workers(lambda: client)
        _ = hands.client
        yield hands, client, next(iter(cluster.workers.values()))


def test_workers_that_are_all_paused_are_given_up_in_words(impatient):
    with one_worker() as (hands, client, worker):
        paused(client, worker)
        found = list(hands.fan_out(nap, [0.0, 0.0]))
        assert [type(error) for _, _, error in found] == [WorkersFailed] * 2
        assert "no worker of the cluster takes work (1 paused)" in str(found[0][2])


def test_a_worker_that_is_paused_for_a_while_is_waited_for(impatient, monkeypatch):
    from distributed.core import Status

    monkeypatch.setattr(finished, "_PATIENCE_S", 30.0)
    with one_worker() as (hands, client, worker):
        paused(client, worker)
        threading.Timer(1.5, worker.loop.add_callback, (setattr, worker, "status", Status.running)).start()
        assert [result for _, result, _ in hands.fan_out(nap, [0.0, 0.01])] == [0.0, 0.01]


def test_a_scheduler_that_is_gone_is_given_up_in_words(impatient):
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0")
    with Client(cluster) as client:
        hands = Workers(lambda: client)
        _ = hands.client
        closing = threading.Timer(0.5, cluster.close)
        closing.start()
        found = list(hands.fan_out(nap, [30.0, 30.0]))
        closing.join()
        assert len(found) == 2
        words = " ".join(str(error) for _, _, error in found)
        assert "scheduler" in words or "workers" in words


def hungry(megabytes: int) -> int:
    """Take memory, and write to all of it."""
    taken = bytearray(megabytes * 2**20)
    taken[:: 2**12] = b"x" * len(taken[:: 2**12])
    time.sleep(1.0)
    return len(taken)


def test_a_task_that_needs_more_memory_than_its_worker_has_fails_alone_in_words():
    from distributed import Client, LocalCluster

    from insar_anomaly.pipeline.local import _set_up_dask

    _set_up_dask()
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", memory_limit="500 MiB"
        ) as cluster,
        Client(cluster) as client,
    ):
        hands = Workers(lambda: client)
        _ = hands.client
        found = {task: (result, error) for task, result, error in hands.fan_out(hungry, [10, 2000, 11])}
    assert found[10][1] is None
    assert found[11][1] is None
    assert isinstance(found[2000][1], WorkersFailed)
    assert "its memory may be too small" in str(found[2000][1])
