"""The flows as an operator runs them: exit codes, digest, and a history in Prefect's own database that is whole."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path

import installation as helper
import pytest
import yaml
from installation import AS_OF, FIT, flagged

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One Prefect home for the module: its database is made once."""
    return tmp_path_factory.mktemp("prefect")


def flow(home, name, *words):
    """Run a flow in a process of its own on an ephemeral server."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_API")}
    environment = keep | {"PREFECT_HOME": str(home), "PREFECT_LOGGING_LEVEL": "WARNING"}
    command = [sys.executable, "-m", f"flows.{name}", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=400)


def history(home, name):
    """State of the newest flow run of that name, and name -> state of its task runs."""
    with closing(sqlite3.connect(f"file:{home / 'prefect.db'}?mode=ro", uri=True)) as database:
        identity, state = database.execute(
            "select flow_run.id, flow_run.state_type from flow_run join flow on flow.id = flow_run.flow_id "
            "where flow.name = ? order by flow_run.created desc limit 1",
            (name,),
        ).fetchone()
        tasks = dict(database.execute("select name, state_type from task_run where flow_run_id = ?", (identity,)))
    return state, tasks


def test_fit_and_nightly_run_whole_and_their_history_is_recorded_whole(home, built, tmp_path):
    here = helper.copy(built, tmp_path / "here")
    here.only(990001, 990002)
    here.change('kind = "inline"', 'kind = "inline"\nvolcanoes_per_task = 1')
    done = flow(home, "fit", "-c", here.config, "--from", FIT.first, "--to", FIT.last)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 fitted models" in done.stdout
    state, tasks = history(home, "fit")
    assert state == "COMPLETED"
    assert sorted(tasks) == ["fit: Quiet Peak", "fit: Rising Cone", "ingest: Quiet Peak", "ingest: Rising Cone"]
    assert set(tasks.values()) == {"COMPLETED"}
    done = flow(home, "nightly", "-c", here.config, "--as-of", AS_OF)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Rising Cone" in done.stdout
    state, tasks = history(home, "nightly")
    assert state == "COMPLETED"
    assert len(tasks) == 8
    assert set(tasks.values()) == {"COMPLETED"}
    assert [row[0] for row in flagged(here)] == [helper.RISING]
    assert len(here.notices) == 1


def test_a_failing_stack_fails_the_flow_after_the_others_are_done(home, fitted):
    fitted.only(990001, 990002)
    text = (fitted.folder / "volcanoes.toml").read_text().replace("gvp = 990001", "gvp = 990009")
    (fitted.folder / "volcanoes.toml").write_text(text.replace(f'frames = ["{helper.WIDE}"]', 'frames = ["9X"]', 1))
    done = flow(home, "nightly", "-c", fitted.config, "--as-of", AS_OF)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "990009/9X" in done.stdout
    state, tasks = history(home, "nightly")
    assert state == "FAILED"
    assert set(tasks.values()) == {"COMPLETED"}
    assert [row[0] for row in flagged(fitted)] == [helper.RISING]


def test_a_wrong_configuration_ends_with_two_before_any_server_starts(tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[calibrate]\npolicy = 'guess'\n")
    done = flow(tmp_path / "unused", "nightly", "-c", wrong)
    assert done.returncode == 2
    assert f"{wrong}:2: [calibrate] policy" in done.stderr
    assert not (tmp_path / "unused" / "prefect.db").exists()


def test_deployments_name_flows_that_exist_and_never_overlap():
    content = yaml.safe_load((ROOT / "infra/prefect.yaml").read_text())
    assert {d["name"] for d in content["deployments"]} >= {"nightly", "fit"}
    for deployment in content["deployments"]:
        file, name = deployment["entrypoint"].split(":")
        assert getattr(import_module(file.removesuffix(".py").replace("/", ".")), name).name == deployment["name"]
        for schedule in deployment["schedules"]:
            assert schedule["timezone"] == "UTC"
            assert re.fullmatch(r"(\S+ ){4}\S+", schedule["cron"])
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
