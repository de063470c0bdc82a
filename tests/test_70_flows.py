"""The flows as somebody starts them, each in a process of its own, and what Prefect's database holds afterwards."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import installation
import pytest
import yaml
from installation import AS_OF, BLIND, FIT, QUIET, RISING, SHORT, WIDE, flagged

ROOT = Path(__file__).resolve().parents[1]
LOST = "002D_00002_020203"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prefect's home for this module: the first start on an empty one takes 20 s."""
    return tmp_path_factory.mktemp("prefect")


def start(home, flow, *words):
    """Run ``python -m flows.<flow>``; returns the finished process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(home), "PREFECT_LOGGING_LEVEL": "ERROR", "NO_PROXY": "127.0.0.1,localhost"}
    line = [sys.executable, "-m", f"flows.{flow}", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def recorded(home):
    """Newest flow run: its name, its state, and (task run, state) of its tasks, as the database has them."""
    with closing(sqlite3.connect(f"file:{home / 'prefect.db'}?mode=ro", uri=True)) as database:
        query = "select r.id, f.name, r.state_type from flow_run r join flow f on f.id = r.flow_id order by r.created"
        *_, (identity, name, state) = database.execute(query)
        tasks = database.execute("select name, state_type from task_run where flow_run_id = ? order by created", [identity])
        return name, state, list(tasks)


@pytest.fixture(scope="module")
def night(home, with_models, tmp_path_factory):
    """A fitted installation, its finished flow ``nightly``, and what was recorded of that."""
    place = installation.copy(with_models, tmp_path_factory.mktemp("night"))
    place.change("[detector]", '[heartbeat]\nfile = "life.json"\n[status]\nfile = "status.json"\n\n[detector]')
    return place, start(home, "nightly", "-c", place.config, "--as-of", AS_OF), recorded(home)


@pytest.fixture(scope="module")
def bad_fit(home, night, with_stacks, tmp_path_factory):
    """The flow ``fit`` where one of three stacks fails: its frame is not in the archive."""
    place = installation.copy(with_stacks, tmp_path_factory.mktemp("fit"))
    place.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    catalogue = place.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace(SHORT, LOST))
    return place, start(home, "fit", "-c", place.config, "--to", FIT.last), recorded(home)


def test_the_night_ends_well_with_its_digest_its_flag_and_all_of_its_tasks(night):
    place, done, (name, state, tasks) = night
    assert done.returncode == 0, done.stderr
    assert f"Screening of {AS_OF} (ok): 3 stacks" in done.stdout
    assert f"Rising Cone {RISING}: escalated flag 1, since" in done.stdout
    assert f"{BLIND}: not calibrated" in done.stdout
    assert (name, state) == ("nightly", "COMPLETED")
    volcanoes = "Quiet Peak, Rising Cone, Silent Caldera"
    assert [n for n, _ in tasks] == [f"ingest, assess, flag: {volcanoes}", "hold together", "canary", "notify", "digest"]
    assert {s for _, s in tasks} == {"COMPLETED"}
    assert [row[0] for row in flagged(place)] == [RISING]
    assert len(place.notices) == 1


def test_the_flow_gives_its_signs_of_life_and_writes_the_status(night):
    place, *_ = night
    life = json.loads((place.folder / "life.json").read_text())
    assert (life["outcome"], life["kind"], life["as_of"]) == ("blind", "nightly", AS_OF.isoformat())
    status = json.loads((place.folder / "status.json").read_text())
    assert [one["state"] for one in status["volcanoes"]] == ["no_flag", "flagged", "blind"]


def test_a_date_in_the_future_is_refused_before_any_server_starts(night, tmp_path):
    place, *_ = night
    done = start(tmp_path / "never", "nightly", "-c", place.config, "--as-of", "2171-01-01")
    assert done.returncode == 2
    assert "2171-01-01, is in the future: today is" in done.stderr
    assert not (tmp_path / "never" / "prefect.db").exists()


def test_a_flow_and_the_command_line_leave_the_same_ledger(night, with_models, tmp_path):
    twin = installation.copy(with_models, tmp_path / "twin")
    twin.nightly()
    assert installation.ledger_content(twin) == installation.ledger_content(night[0])


def test_a_failing_stack_fails_the_flow_after_the_others_are_done(bad_fit):
    place, done, (name, state, tasks) = bad_fit
    assert done.returncode == 1, done.stderr
    assert f"990003/{LOST} (ingest): frame {LOST} is not in {place.archive}; did you mean {SHORT}" in done.stdout
    assert f"990003/{LOST} (fit): 990003/{LOST}: nothing is stored" in done.stdout
    assert "6 fitted models" in done.stdout
    assert (name, state) == ("fit", "FAILED")
    assert [n.split(":")[0] for n, _ in tasks] == ["ingest, fit", "level"]
    assert {s for _, s in tasks} == {"COMPLETED"}
    assert place.rows("select distinct stack from model order by stack") == [(QUIET,), (RISING,)]
    assert place.rows("select status from run order by run desc limit 1") == [("failed",)]


def test_the_flow_backfill_replays_what_the_night_found(home, night, with_models, tmp_path):
    place = installation.copy(with_models, tmp_path / "here")
    done = start(home, "backfill", "-c", place.config, "--to", AS_OF, "--replay", "--frame", WIDE)
    assert done.returncode == 0, done.stderr
    name, state, tasks = recorded(home)
    assert (name, state) == ("backfill", "COMPLETED")
    assert tasks == [("backfill: Quiet Peak, Rising Cone", "COMPLETED"), ("replay", "COMPLETED")]
    assert flagged(place) == flagged(night[0])
    assert place.notices == []
    refused = start(home, "backfill", "-c", place.config, "--send")
    assert refused.returncode == 1
    assert "give replay too" in refused.stdout


def test_a_mistake_in_the_configuration_ends_with_exit_code_2_before_any_server_starts(tmp_path):
    (tmp_path / "config.toml").write_text("nonsense = 1\n")
    done = start(tmp_path / "home", "nightly", "-c", tmp_path / "config.toml")
    assert done.returncode == 2
    assert "nonsense: unknown key" in done.stderr
    assert not (tmp_path / "home" / "prefect.db").exists()


def test_every_deployment_names_a_flow_a_utc_cron_and_queues_instead_of_overlapping():
    from prefect import Flow

    with (ROOT / "infra" / "prefect.yaml").open(encoding="utf-8") as file:
        deployments = yaml.safe_load(file)["deployments"]
    assert {d["name"] for d in deployments} >= {"nightly", "fit", "backfill"}
    for deployment in deployments:
        path, _, name = deployment["entrypoint"].partition(":")
        assert (ROOT / path).is_file()
        flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        assert isinstance(flow, Flow)
        assert flow.name == deployment["name"]
        assert set(deployment["parameters"]) <= set(flow.parameters.properties)
        if flow.name == "backfill":  # a person starts it, and no night waits in its queue
            assert deployment["work_pool"]["work_queue_name"] == "backfill"
            continue
        assert deployment["work_pool"]["work_queue_name"] == "nightly"
        assert deployment["schedules"]
        assert {s["timezone"] for s in deployment["schedules"]} == {"UTC"}
        assert all(len(s["cron"].split()) == 5 for s in deployment["schedules"])
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
