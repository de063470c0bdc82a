"""What a run costs: measured here and on workers, kept in the ledger, shown in the digest, and given to Prometheus."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from installation import AS_OF, RISING
from prometheus_client.parser import text_string_to_metric_families
from test_46_stored_forms import mistakes, schema

from insar_anomaly import cli, traffic
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.records import CostRow, RunRow, RunStatus
from insar_anomaly.pipeline.meter import WHOLE, Meter, spending, this_process
from insar_anomaly.report import digest as report
from insar_anomaly.report import metrics
from insar_anomaly.sources.base import Window
from insar_anomaly.sources.licsar import LicsarSource
from insar_anomaly.stack.prechecks import batch
from insar_anomaly.stack.store import Store

ROW = CostRow("assess", 3, 90, 12.5, 1.25, 30.0, 1000, 12, 5_000_000, 70_000, 200_000_000, 400_000_000)
RUN = RunRow(
    run=7,
    kind="nightly",
    as_of=date(2026, 1, 2),
    settings="{}",
    version="0",
    started=datetime(2026, 1, 2, 3, tzinfo=UTC),
    finished=datetime(2026, 1, 2, 4, tzinfo=UTC),
    status=RunStatus.FAILED,
    summary={"failures": 2, "blind": 1},
)


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def fail_after(seconds):
    burn(seconds)
    raise ZeroDivisionError


def work(seconds):
    """What a worker does: a task, measured."""
    with spending() as spent:
        burn(seconds)
        traffic.count(requests=5, commits=1, read=100, written=7)
    return spent.record


def elsewhere(seconds):
    """The same in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, seconds).result()


def test_a_stage_counts_its_own_time_and_traffic_and_adds_up():
    meter = Meter()
    for _ in range(2):
        with meter.stage("ingest"):
            burn(0.05)
            traffic.count(requests=2, read=10)
    [row] = meter.rows
    assert 0.1 <= row.driver_cpu_s <= row.wall_s + 0.1
    assert (row.requests, row.read_bytes, row.worker_cpu_s, row.tasks) == (4, 20, 0.0, 0)
    assert row.driver_peak_bytes > 10 * 2**20


def test_a_stage_that_fails_is_measured_too():
    meter = Meter()
    with pytest.raises(ZeroDivisionError), meter.stage("flag"):
        fail_after(0.02)
    assert meter.rows[0].driver_cpu_s >= 0.02


def test_a_worker_counts_beside_the_driver_and_a_task_in_the_driver_only_once():
    meter = Meter()
    with meter.stage("assess"):
        here = work(0.02)
        meter.add("assess", here, pairs=3)
    far = elsewhere(0.05)
    meter.add("assess", far, pairs=4)
    meter.add("assess", None, pairs=1)
    [row] = meter.rows
    assert here.process == this_process() != far.process
    assert (row.tasks, row.pairs, row.requests, row.commits, row.read_bytes, row.written_bytes) == (3, 8, 10, 2, 200, 14)
    assert row.worker_cpu_s == far.cpu_s >= 0.05
    assert row.worker_peak_bytes == far.peak_bytes


def test_the_whole_run_comes_last():
    meter = Meter()
    with meter.stage(WHOLE), meter.stage("ingest"), meter.stage("flag"):
        pass
    assert [row.stage for row in meter.rows] == ["flag", "ingest", WHOLE]


def test_a_store_counts_its_chunks_as_they_are_stored_and_its_commits(tmp_path, with_stacks):
    with with_stacks.opened() as (s, _):
        static = s.store.open(RISING, pairs=()).load()
    store = Store(str(tmp_path / "store"))
    store.create(RISING, static.drop_vars([n for n in static.variables if "pair" in static[n].dims]))
    rng = np.random.default_rng(5)
    shape = static["height"].shape
    noise = Window(rng.normal(size=shape).astype(np.float32), rng.integers(0, 255, shape).astype(np.uint8), 1.0)
    chunks = tmp_path / "store/stacks" / RISING / "chunks"
    static_chunks = set(chunks.iterdir())
    before = traffic.so_far()
    store.append(RISING, batch({"20300101_20300113": noise}))
    spent = traffic.so_far() - before
    new = [file.stat().st_size for file in set(chunks.iterdir()) - static_chunks]
    assert (spent.commits, spent.requests, len(new)) == (1, 2, 2)  # phase and coherence of the pair
    assert sum(new) <= spent.written <= sum(new) + 2000
    before = traffic.so_far()
    store.open(RISING)["phase"].load()
    assert (traffic.so_far() - before).read >= max(new)


def test_a_source_in_a_folder_counts_the_bytes_of_its_files(built):
    source = LicsarSource(str(built.archive))
    frame = source.frames()[0]
    listed = source.pairs(frame)[0][0]
    size = built.phase(listed.pair, frame).stat().st_size + built.coherence(listed.pair, frame).stat().st_size
    before = traffic.so_far()
    source.read(listed, {"here": source.grid(frame)})
    assert 0.9 * size < (traffic.so_far() - before).read < 3 * size + 2**20


def test_a_source_in_a_bucket_counts_every_request(built, bucket):
    frame = next(iter(built.archive.iterdir())).name
    bucket.upload(built.archive / frame, f"licsar/{frame}")
    storage = {"endpoint_url": bucket.endpoint, "client_kwargs": {"region_name": "us-east-1"}}
    source = LicsarSource(f"{bucket.url}/licsar", storage)
    asked = []
    source._archive.fs.s3.meta.events.register("before-send.s3", lambda request, **_: asked.append(request.url))
    before = traffic.so_far()
    listed = source.pairs(frame)[0][0]
    source.read(listed, {"here": source.grid(frame)})
    spent = traffic.so_far() - before
    assert len(asked) > 5
    assert spent.requests == len(asked)
    assert spent.read >= built.phase(listed.pair, frame).stat().st_size


def test_costs_are_kept_in_the_ledger_and_replaced_as_a_whole(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        number = ledger.start_run("nightly", AS_OF, "{}", "0")
        ledger.record_costs(number, [replace(ROW, stage="ingest"), ROW])
        assert [row.stage for row in ledger.costs(number)] == ["ingest", "assess"]
        ledger.record_costs(number, [ROW])
        assert ledger.costs(number) == [ROW]
        assert ledger.newest_runs() == []  # it has not ended
        ledger.finish_run(number, "ok", {})
        again = ledger.start_run("nightly", AS_OF, "{}", "0")
        ledger.finish_run(again, "ok", {})
        fit = ledger.start_run("fit", AS_OF, "{}", "0")
        ledger.finish_run(fit, "failed", {"failures": 1})
        assert [(run.kind, run.run) for run in ledger.newest_runs()] == [("fit", fit), ("nightly", again)]
        assert ledger.costs(again) == []


def families(text):
    """What Prometheus' own parser reads: (metric, labels) -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def test_the_text_is_what_prometheus_reads():
    found = families(metrics.exposition([(RUN, [ROW])]))
    night, stage = (("kind", "nightly"),), (("kind", "nightly"), ("stage", "assess"))
    assert found["insar_anomaly_run_success", night] == 0
    assert found["insar_anomaly_run_failures", night] == 2
    assert found["insar_anomaly_run_end_timestamp_seconds", night] == RUN.finished.timestamp()
    assert found["insar_anomaly_stage_worker_cpu_seconds", stage] == 30
    assert found["insar_anomaly_stage_read_bytes", stage] == 5_000_000
    assert {name for name, _ in found} == {f"insar_anomaly_{one.name}" for one in metrics._STAGES} | {
        f"insar_anomaly_run_{name}" for name in ("success", "failures", "blind", "end_timestamp_seconds")
    }


@given(st.text(), st.floats(0, 1e18))
def test_any_name_and_number_survive_the_format(name, number):
    text = metrics.exposition([(replace(RUN, kind=name), [replace(ROW, wall_s=number)])])
    labels = (("kind", name), ("stage", "assess"))
    # the format has lines: other line ends inside a label are Prometheus' to keep, and its Python parser splits at them
    if not set(name) & set("\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        assert families(text)["insar_anomaly_stage_duration_seconds", labels] == number


@contextmanager
def gateway(status=200, pause_s=0.0):
    """A web server that takes PUT; its address and what came (path, content type, body)."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            came.append((self.path, self.headers["content-type"], self.rfile.read(int(self.headers["content-length"]))))
            time.sleep(pause_s)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", came
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_replaces_the_job_in_the_gateway():
    with gateway() as (url, came):
        metrics.push("x 1\n", url)
        metrics.push("x 2\n", f"{url}/prefix/")
        metrics.push("x 3\n", f"{url}/metrics/job/other/instance/a")
    assert [path for path, _, _ in came] == [
        "/metrics/job/insar_anomaly",
        "/prefix/metrics/job/insar_anomaly",
        "/metrics/job/other/instance/a",
    ]
    assert {kind for _, kind, _ in came} == {"text/plain; version=0.0.4; charset=utf-8"}
    assert [body for _, _, body in came] == [b"x 1\n", b"x 2\n", b"x 3\n"]


def test_a_gateway_that_refuses_is_silent_or_gone_is_named_without_its_password(closed_port):
    with gateway(status=400) as (url, _), pytest.raises(metrics.NotPushed, match=r"127\.0\.0\.1 answered 400"):
        metrics.push("x 1\n", url)
    with gateway(pause_s=1.0) as (url, _), pytest.raises(metrics.NotPushed, match="ReadTimeout"):
        metrics.push("x 1\n", url, patience_s=0.2)
    with pytest.raises(metrics.NotPushed) as refused:
        metrics.push("x 1\n", f"http://us:hunter2@127.0.0.1:{closed_port()}")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(metrics.NotPushed, match="not pushed"):
        metrics.push("x 1\n", "http://[::")


def test_a_metrics_file_is_replaced_in_one_step(tmp_path):
    file = tmp_path / "collector" / "insar_anomaly.prom"
    metrics.write("x 1\n", file)
    metrics.write("x 2\n", file)
    assert file.read_text() == "x 2\n"
    assert [one.name for one in file.parent.iterdir()] == ["insar_anomaly.prom"]


def test_a_run_writes_its_costs_to_ledger_file_and_gateway(fresh, capsys):
    fresh.config.write_text(fresh.config.read_text() + '\n[metrics]\nfile = "metrics/insar_anomaly.prom"\n')
    with gateway() as (url, came):
        assert cli.main(["-c", str(fresh.config), "--json", "ingest", "--metrics-url", url]) == 0
    text = (fresh.folder / "metrics/insar_anomaly.prom").read_text()
    [(_, _, body)] = came
    assert body.decode() == text
    labels = (("kind", "ingest"), ("stage", WHOLE))
    found = families(text)
    assert found["insar_anomaly_stage_written_bytes", labels] > 10_000
    assert found["insar_anomaly_run_success", (("kind", "ingest"),)] == 1
    (first, *_), (stage, wall, commits) = fresh.rows("select stage, wall_s, commits from cost order by stage = 'run'")
    assert first == "ingest"
    assert (stage, found["insar_anomaly_stage_duration_seconds", labels]) == (WHOLE, wall)
    assert found["insar_anomaly_stage_commits", labels] == commits >= 3


def test_metrics_that_cannot_be_given_away_are_a_warning_and_fail_nothing(fresh, closed_port, capsys):
    secret = f"http://us:hunter2@127.0.0.1:{closed_port()}"
    more = f'\n[metrics]\nfile = "config.toml/insar_anomaly.prom"\npush_url = "{secret}"\n'
    fresh.config.write_text(fresh.config.read_text() + more)
    run = fresh.ingest()
    assert run.failures == []
    file, push = run.warnings
    assert "[metrics] file" in file
    assert "not pushed to 127.0.0.1" in push
    assert all("hunter2" not in str(row) for row in (*run.warnings, *fresh.rows("select settings, summary from run")))


def test_an_address_that_is_none_is_refused_before_anything_is_done(fresh, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["-c", str(fresh.config), "ingest", "--metrics-url", "gateway:9091"])
    assert ended.value.code == 2
    assert "http://127.0.0.1:9091" in capsys.readouterr().err
    assert not (fresh.folder / "ledger.sqlite").exists()


def test_the_digest_shows_what_its_stages_took(fitted):
    _, night = fitted.night()
    night = replace(night, costs=(replace(ROW, stage="ingest"), ROW))
    content = json.loads(night.text)
    assert mistakes(schema("report", "digest"), content) == []
    assert content["costs"][1]["worker_cpu_s"] == 30.0
    assert report.lines(night)[-1].strip() == (
        "assess: 12.5 s over all processes, CPU 1.2 s here, CPU 30.0 s on workers, 90 pairs or assessments, 1000 requests, "
        "12 commits, 5 MB read, 70 kB written, 200 MB peak memory here, 400 MB peak memory of the largest worker"
    )
    assert report.cost_words(CostRow("flag", wall_s=0.5)) == "flag: 0.5 s over all processes"
