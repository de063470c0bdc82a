"""The Prefect lines of infra/README.md as they stand, against a real server and a real worker; what deployments accept."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile
from pathlib import Path

import httpx
import installation
import psutil
import pytest
from installation import AS_OF, RISING, Installation, flagged

from insar_anomaly import pipeline
from insar_anomaly.report.digest import lines

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "infra" / "README.md"
PORT = "4200"
DAY = date(2023, 12, 31)
"""The night that the README screens by hand."""
VOLCANOES = "Quiet Peak, Rising Cone, Silent Caldera"
PATIENCE_S = 180


def block(title):
    """The indented lines after a marker in infra/README.md."""
    _, marker, after = README.read_text(encoding="utf-8").partition(f"<!-- prefect: {title} -->\n\n")
    assert marker, f"infra/README.md has no block {title!r}"
    return [line[4:] for line in takewhile(lambda line: line.startswith("    "), after.splitlines())]


@dataclass(frozen=True)
class Site:
    """A clone of the repository with a fitted installation in it, whose configuration is ``night.toml``."""

    place: Installation
    home: Path
    port: int

    @property
    def environment(self):
        """Nothing of Prefect from outside; a ledger that only the environment names."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "INSAR_ANOMALY_"))}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
            "NO_PROXY": "127.0.0.1,localhost",
            "INSAR_ANOMALY_LEDGER": f"sqlite:///{self.place.folder}/ledger.sqlite",
            "PREFECT_HOME": str(self.home),
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }

    def script(self, title):
        """A block of the README as a shell gets it; only the port is another."""
        lines = block(title)
        assert any(PORT in line for line in lines)
        return ["bash", "-e", "-c", "\n".join(line.replace(PORT, str(self.port)) for line in lines)]

    def api(self, method, path, **body):
        """A call of the server's API; None where it does not answer or does not know the path."""
        with contextlib.suppress(httpx.TransportError), httpx.Client(trust_env=False, timeout=30) as client:
            answer = client.request(method, f"http://127.0.0.1:{self.port}/api{path}", json=body or None)
            return answer.json() if answer.is_success else None
        return None

    def final(self, identity):
        """The final state of a flow run."""

        def state():
            run = self.api("GET", f"/flow_runs/{identity}")
            return run and run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") and run["state"]

        return waited(state, f"flow run {identity} ends")

    def processes(self):
        """Every process that was started with this home."""
        mine = []
        for one in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if one.environ().get("PREFECT_HOME") == str(self.home) and one.pid != os.getpid():
                    mine.append(one)
        return mine


def waited(look, what):
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{PATIENCE_S} s were not enough: {what}")


@contextlib.contextmanager
def running(site, title, log):
    """A block of the README in a shell of its own; at the end everything that it started is ended."""
    with log.open("wb") as out:
        shell = subprocess.Popen(
            site.script(title), cwd=site.place.folder, env=site.environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield shell
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(site.processes(), timeout=15)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        shell.wait(timeout=15)
        psutil.wait_procs(alive, timeout=15)
        assert site.processes() == []


@pytest.fixture(scope="module")
def site(with_models, tmp_path_factory):
    """The clone, before any server is there."""
    place = installation.copy(with_models, tmp_path_factory.mktemp("site"))
    place.change('ledger = "sqlite:///ledger.sqlite"', 'ledger = "sqlite:///elsewhere.sqlite"')
    place.config.rename(place.folder / "night.toml")
    for folder in ("flows", "infra"):
        (place.folder / folder).symlink_to(ROOT / folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Site(place, tmp_path_factory.mktemp("prefect"), port)


@pytest.fixture(scope="module")
def served(site, tmp_path_factory):
    """The site once the first block of the README has brought its worker to work."""
    log = tmp_path_factory.mktemp("log") / "block.log"
    with running(site, "server, deployments, worker", log) as shell:

        def ready():
            assert shell.poll() is None, log.read_text()
            workers = site.api("POST", "/work_pools/screening/workers/filter", offset=0)
            return bool(workers)

        waited(ready, f"the worker reports:\n{log.read_text()}")
        yield site


@pytest.fixture(scope="module")
def runs(served):
    """State of a fit with wrong parameters, as the UI would send them; the README's night, and its flow run."""
    fit = served.api("GET", "/deployments/name/fit/fit")
    wrong = {"first": "2023-13-31", "last": 20210901, "again": "perhaps"}
    path = f"/deployments/{fit['id']}/create_flow_run"
    refused = waited(lambda: served.api("POST", path, parameters=wrong), "a busy server takes the run")
    done = subprocess.run(
        served.script("one night"),
        cwd=served.place.folder,
        env=served.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    nightly = served.api("GET", "/deployments/name/nightly/nightly")
    query = {"deployment_id": {"any_": [nightly["id"]]}, "state": {"type": {"not_any_": ["SCHEDULED"]}}}
    [run] = served.api("POST", "/flow_runs/filter", flow_runs=query)
    return served.final(refused["id"]), done, run


def test_the_readmes_lines_screen_a_night_of_the_configuration_that_they_name(runs, served):
    _, done, run = runs
    assert done.returncode == 0, done.stdout + done.stderr
    assert run["state"]["type"] == "COMPLETED"
    assert run["parameters"] == {"config": f"{served.place.folder}/night.toml", "as_of": str(DAY)}
    assert [row[0] for row in flagged(served.place)] == [RISING]
    query = "select kind, as_of, status from run order by run desc limit 1"
    assert served.place.rows(query) == [("nightly", str(DAY), "ok")]


def test_the_server_keeps_every_task_of_the_night(runs, served):
    _, _, run = runs

    def ended():
        query = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        tasks = [(one["name"], one["state_type"]) for one in served.api("POST", "/task_runs/filter", **query)]
        return len(tasks) >= 4 and all(state == "COMPLETED" for _, state in tasks) and tasks

    expected = {f"ingest, assess, flag: {VOLCANOES}", "hold together", "canary", "notify", "digest"}
    assert {name for name, _ in waited(ended, "four task runs are recorded")} == expected


def test_the_nights_state_says_what_the_command_prints(runs, with_models, tmp_path):
    twin = installation.copy(with_models, tmp_path / "twin")
    with twin.opened("nightly", DAY) as (s, run):
        digest = pipeline.nightly(s, run)
    # what it cost, at the end, is every run's own
    messages = ("\n".join(lines(digest)), runs[2]["state"]["message"])
    said, told = (message.partition("\n  cost:") for message in messages)
    assert said[0].startswith("Screening of 2023-12-31 (ok): 3 stacks\n")
    assert told[0] == said[0]
    assert told[1]


def test_a_run_with_wrong_parameters_fails_with_each_name_value_and_form_and_does_nothing(runs, served):
    state, _, _ = runs
    assert state["type"] == "FAILED"
    wrong = [line for line in state["message"].splitlines() if line.startswith(" - ")]
    assert wrong == [
        " - first: '2023-13-31' is not a date: write YYYY-MM-DD",
        " - again: 'perhaps' is neither true nor false: write one of these",
    ]
    assert served.place.rows("select count(*) from run where kind = 'fit'") == [(1,)]  # the one that made the models


def test_without_a_server_no_flow_pretends_to_have_run(site, closed_port, tmp_path):
    nobody = site.environment | {
        "PREFECT_API_URL": f"http://127.0.0.1:{closed_port()}/api",
        "PREFECT_HOME": str(tmp_path / "home"),
    }
    before = site.place.rows("select count(*) from run")
    attempts = (
        ["prefect", "deployment", "run", "nightly/nightly"],
        [sys.executable, "-m", "flows.nightly", "-c", "night.toml", "--as-of", str(AS_OF)],
    )
    asked, started = (
        subprocess.run(
            line, cwd=site.place.folder, env=nobody, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        for line in attempts
    )
    assert asked.returncode != 0
    assert started.returncode == 1
    assert f"{nobody['PREFECT_API_URL']} (PREFECT_API_URL) does not answer" in started.stderr
    assert "insar-anomaly -c FILE" in started.stderr
    assert "Traceback" not in started.stderr
    assert site.place.rows("select count(*) from run") == before


# what deployments accept


@pytest.mark.parametrize("given", [str(DAY), "20231231", 20231231, DAY, datetime(2023, 12, 31, 4, tzinfo=UTC)])
def test_a_date_is_accepted_as_text_as_a_number_and_as_a_date(given):
    from flows.nightly import nightly

    taken = nightly.validate_parameters({"config": "night.toml", "as_of": given, "last": given})
    assert taken == {"config": "night.toml", "as_of": DAY, "first": None, "last": DAY}
    assert type(taken["as_of"]) is date


@pytest.mark.parametrize(("given", "meant"), [(True, True), (False, False), ("true", True), ("False", False)])
def test_a_truth_value_is_accepted_as_such_and_as_text(given, meant):
    from flows.fit import fit

    taken = fit.validate_parameters({"config": Path("night.toml"), "again": given, "ingest": given})
    assert (taken["config"], taken["again"], taken["ingest"]) == ("night.toml", meant, meant)


@pytest.mark.parametrize(
    ("parameter", "given", "said"),
    [
        ("as_of", "soon", "as_of: 'soon' is not a date: write YYYY-MM-DD"),
        ("first", "31.12.2023", "first: '31.12.2023' is not a date: write YYYY-MM-DD"),
        ("last", 2023, "last: '2023' is not a date: write YYYY-MM-DD"),
        ("config", "", "config: no file is named: export INSAR_ANOMALY_CONFIG and deploy again, or write config="),
        ("config", 7, "config: 7 is not the path of a file: write config=/path/to/night.toml"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name_its_value_and_the_right_form(parameter, given, said):
    from prefect.exceptions import ParameterTypeError

    from flows.nightly import nightly

    with pytest.raises(ParameterTypeError) as caught:
        nightly.validate_parameters({"config": "night.toml", parameter: given})
    assert f" - {said}" in str(caught.value)


def test_a_flow_that_our_own_error_ends_says_that_error_and_nothing_else():
    from flows import stages
    from insar_anomaly.errors import ConfigError

    def work():
        raise ConfigError("night.toml:3: nonsense: unknown key")

    state = stages.ended("nightly", work)
    assert (state.is_failed(), state.message) == (True, "nightly: night.toml:3: nonsense: unknown key")


def test_the_servers_form_asks_for_dates():
    from flows.nightly import nightly

    dates = {name: nightly.parameters.properties[name]["anyOf"] for name in ("as_of", "first", "last")}
    assert all({"type": "string", "format": "date"} in forms for forms in dates.values())
