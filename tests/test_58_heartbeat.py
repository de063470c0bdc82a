"""Signs of life: what a service like Healthchecks, Icinga and a file hear of every run, also of those that fail."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import installation
import pytest
from installation import AS_OF, RISING, command

from insar_anomaly import cli, config
from insar_anomaly.errors import ConfigError
from insar_anomaly.ledger import Ledger
from insar_anomaly.notify import pulse
from insar_anomaly.notify.pulse import Check, Moment, NotTold, Result
from insar_anomaly.tools.doctor.heartbeat import heartbeat_findings


@dataclass
class Service:
    """A server that takes signs of life, and misbehaves on request: `how` is ok, 500, hang, drip or redirect."""

    how: str = "ok"
    url: str = ""
    heard: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def paths(self):
        return [urlsplit(path).path for path, _, _ in self.heard]


@contextmanager
def serving(how: str = "ok") -> Iterator[Service]:
    it = Service(how)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            it.heard.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
            if it.how == "hang":
                it.over.wait(30)
                return
            if it.how == "drip":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                for _ in range(300):
                    if it.over.wait(0.1):
                        return
                    self.wfile.write(b".")
                    self.wfile.flush()
                return
            status = {"ok": 200, "500": 500, "redirect": 302, "unknown": 404}[it.how]
            words = {"results": [{"code": 200.0, "status": "Successfully processed check result."}]}
            content = json.dumps(words).encode() if status == 200 else b"out of order"
            self.send_response(status)
            if it.how == "redirect":
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    it.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield it
    finally:
        it.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def rising(learned, tmp_path):
    """The volcano that rises, fitted with a fast detector."""
    place = installation.copy(learned, tmp_path / "here")
    place.only(990002)
    return place


def watched(place, service, **more):
    lines = [f'url = "{service.url}/ping/secret"', 'file = "life.json"', *(f"{k} = {v}" for k, v in more.items())]
    place.change("[detector]", "[heartbeat]\n" + "\n".join(lines) + "\n\n[detector]")


def life(place):
    return json.loads((place.folder / "life.json").read_text())


def test_a_night_tells_its_start_and_its_end(rising):
    with serving() as service:
        watched(rising, service)
        run, _ = rising.nightly()
    assert service.paths == ["/ping/secret/start", "/ping/secret"]
    rids = {parse_qs(urlsplit(path).query)["rid"][0] for path, _, _ in service.heard}
    assert len(rids) == 1  # a service measures the run by it
    said = life(rising)
    assert (said["outcome"], said["run"], said["as_of"], said["failures"]) == ("ok", run.number, AS_OF.isoformat(), [])
    assert said["counts"]["delivered"] == 1
    assert not list(rising.folder.glob(".life*"))
    with Ledger(config.load(rising.config).ledger) as ledger:
        assert {row.way: row.error for row in ledger.pulses()} == {"url": None, "file": None}


def test_a_night_in_which_a_stack_failed_tells_that(rising):
    with serving() as service:
        watched(rising, service)
        (rising.archive / "001A_00001_010101").rename(rising.archive / "gone")
        run, _ = rising.nightly()
    assert run.failures
    assert service.paths == ["/ping/secret/start", "/ping/secret/fail"]
    assert RISING in service.heard[-1][1]
    assert (life(rising)["outcome"], life(rising)["failures"][0]["stack"]) == ("failed", RISING)


@pytest.mark.parametrize(
    ("problem", "outcome", "words"),
    [
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
        (KeyboardInterrupt(), "interrupted", "interrup"),
    ],
)
def test_an_exception_and_a_person_who_stops_it_are_told(rising, problem, outcome, words):
    with serving() as service:
        watched(rising, service)
        with pytest.raises(type(problem)), rising.opened("nightly"):
            raise problem
    assert service.paths == ["/ping/secret/start", "/ping/secret/fail"]
    assert words in service.heard[-1][1]
    assert life(rising)["outcome"] == outcome


def test_a_night_that_a_service_manager_stops_is_told(rising):
    with serving() as service:
        watched(rising, service)
        words = command("-q", "-c", rising.config, "nightly", "--as-of", AS_OF)
        service.how = "hang"  # the night waits for the answer to its first ping, and is stopped there
        night = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        while not service.heard:
            assert night.poll() is None
            time.sleep(0.05)
        service.how = "ok"
        night.send_signal(signal.SIGTERM)
        service.over.set()
        assert night.wait(60) == 130
        assert "stopped; what was committed is kept" in night.stderr.read()
        night.stderr.close()
    assert service.paths == ["/ping/secret/start", "/ping/secret/fail"]
    assert life(rising)["outcome"] == "interrupted"
    assert rising.rows("select status from run order by run desc limit 1") == [("failed",)]


def test_a_run_that_cannot_begin_is_told(rising, capsys):
    with serving() as service:
        watched(rising, service)
        rising.change('ledger = "sqlite:///ledger.sqlite"', 'ledger = "postgresql://nobody@127.0.0.1:1/none"')
        assert cli.main(["-q", "-c", str(rising.config), "nightly", "--as-of", str(AS_OF)]) == 2
    assert service.paths == ["/ping/secret/fail"]
    assert "could not begin: cannot open the ledger" in service.heard[0][1]
    assert life(rising)["outcome"] == "failed"
    assert "cannot open the ledger" in capsys.readouterr().err


def test_other_runs_do_not_keep_the_check_of_the_night_alive(rising):
    with serving() as service:
        watched(rising, service)
        rising.ingest()
        assert service.heard == []
        rising.change('url = "http', 'runs = ["nightly", "ingest"]\nurl = "http')
        rising.ingest()
        assert len(service.heard) == 2


@pytest.mark.parametrize("how", ["hang", "drip", "500", "redirect"])
def test_a_service_that_misbehaves_ends_no_night_and_costs_its_deadline(rising, how, caplog):
    with serving(how) as service:
        watched(rising, service, timeout_s=0.5)
        begun = time.monotonic()
        with rising.opened("nightly") as (_, run):
            pass
        assert time.monotonic() - begun < 5
    expected = {
        "hang": "has not answered within 0.5 s|ReadTimeout",
        "drip": "has not answered within 0.5 s",
        "500": "answered 500: out of order",
        "redirect": "it redirects: put the final address",
    }[how]
    assert run.failures == []
    assert any(re.search(expected, words) for words in run.warnings), run.warnings
    assert "secret" not in " ".join([*run.warnings, caplog.text])
    assert life(rising)["outcome"] == "ok"
    with Ledger(config.load(rising.config).ledger) as ledger:
        url = {row.way: row for row in ledger.pulses()}["url"]
    assert url.arrived is None
    assert url.error


def test_nobody_listens(rising):
    with serving() as service:
        pass
    with pytest.raises(NotTold, match=r"^127\.0\.0\.1: ConnectError"):
        pulse.ping(f"{service.url}/x", Moment.END, "", rid="1", deadline_s=2)


def test_the_address_keeps_its_query_and_its_path():
    with serving() as service:
        pulse.ping(f"{service.url}/a/b/?key=7", Moment.FAILURE, "ü" * 20_000, rid="r", deadline_s=5)
    path, body, _ = service.heard[0]
    assert path == "/a/b/fail?key=7&rid=r"
    assert len(body.encode()) <= 10_000


def test_icinga_gets_a_passive_check_result(rising, monkeypatch):
    monkeypatch.setenv("ICINGA", "pass word")
    with serving() as icinga:
        rising.change(
            "[detector]",
            f'[heartbeat]\nicinga_url = "{icinga.url}/"\nicinga_host = "obs"\nicinga_user = "night"\n'
            'icinga_password_env = "ICINGA"\n[detector]',
        )
        with rising.opened("nightly"):
            pass
    [(path, text, headers)] = icinga.heard
    body = json.loads(text)
    assert path == "/v1/actions/process-check-result"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"night:pass word").decode()
    assert headers["accept"] == "application/json"
    assert (body["type"], body["exit_status"]) == ("Service", 0)
    assert body["filter_vars"] == {"wanted_host": "obs", "wanted_service": "insar-anomaly"}
    assert body["performance_data"] == ["failures=0", "blind=0"]
    assert body["execution_start"] <= body["execution_end"] <= time.time() + 1
    kept = rising.rows("select settings from run order by run desc limit 1")[0][0]
    assert json.loads(kept)["heartbeat"]["icinga_url"] == "127.0.0.1 (the rest is not kept: it may hold a password)"


def test_icinga_that_knows_no_such_service_is_named():
    check = Check("http://127.0.0.1", "obs", "night", "u", "p")
    with serving("unknown") as icinga, pytest.raises(NotTold, match="knows no service 'night' of host 'obs'"):
        pulse.passive_check(
            Check(icinga.url, check.host, check.service, "u", "p"), Result(0, "fine", 1.0, 2.0), deadline_s=5
        )
    assert "p" not in repr(check).replace("127", "").split("user=")[1]


def test_settings_of_icinga_belong_together(rising):
    rising.change("[detector]", '[heartbeat]\nicinga_url = "https://icinga.example.org:5665"\n[detector]')
    with pytest.raises(ConfigError) as said:
        config.load(rising.config)
    for key in ("icinga_host", "icinga_user", "icinga_password_env"):
        assert f"[heartbeat] icinga_url: a check result needs it; write {key} too" in str(said.value)


def test_doctor_says_when_the_heartbeat_last_arrived(rising):
    settings = config.load(rising.config)
    assert list(heartbeat_findings(settings)) == []
    with serving() as service:
        watched(rising, service, timeout_s=5)
        settings = config.load(rising.config)
        before = {one.what: one for one in heartbeat_findings(settings)}
        assert before["heartbeat url"].ok
        assert "no sign of life was given yet" in before["heartbeat url"].words
        with rising.opened("nightly"):
            pass
        well = {one.what: one for one in heartbeat_findings(settings)}["heartbeat url"]
        service.how = "500"
        with rising.opened("nightly"):
            pass
    ill = {one.what: one for one in heartbeat_findings(settings)}["heartbeat url"]
    assert (well.ok, ill.ok) == (True, False)
    arrived = datetime.fromisoformat(str(well.details["arrived"]))
    assert datetime.now(UTC) - arrived < timedelta(minutes=5)
    assert ill.details["arrived"] == well.details["arrived"]  # the last one that did
    assert "answered 500" in ill.words


def test_a_file_that_cannot_be_written_is_a_warning(rising):
    rising.change("[detector]", '[heartbeat]\nfile = "archive/001A_00001_010101/interferograms"\n[detector]')
    with rising.opened("nightly") as (_, run):
        pass
    assert run.failures == []
    assert any("name a file in a folder that can be written" in words for words in run.warnings)


def test_the_ledger_keeps_the_last_sign_that_arrived(url):
    with Ledger(url) as ledger:
        ledger.record_pulse("url", None)
        [first] = ledger.pulses()
        ledger.record_pulse("url", "it rained")
        [second] = ledger.pulses()
        assert (second.arrived, second.error) == (first.arrived, "it rained")
        assert second.tried >= first.tried
        ledger.record_pulse("url", None)
        [third] = ledger.pulses()
        assert third.error is None
        assert third.arrived > first.arrived
