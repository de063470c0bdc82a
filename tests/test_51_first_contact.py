"""First contact: what a new user meets on the command line when something is missing, full, slow or stopped."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from installation import AS_OF, FIT, QUIET, SHORT, WIDE, command

from insar_anomaly import cli
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.parser import COMMANDS

SECRET = "INSTALLATION_TEST_SECRET"
HOOK = f'\n[[channel]]\nkind = "webhook"\nurl = "https://127.0.0.1/x"\nsecret_env = "{SECRET}"\n'
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _quiet_root_logger():
    """`main` sets up logging for the process; the next test gets it as it was."""
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = kept, level


def run(place, *words):
    """One command in this process; its exit code."""
    return cli.main(["-c", str(place.config), *map(str, words)])


def started(place, *words, **how):
    """One command in a process of its own."""
    line = command("-c", place.config, *words)
    return subprocess.run(line, **({"capture_output": True, "text": True, "check": False, "timeout": 300} | how))


def moved(place):
    """Quiet Peak moves away from its frame: its stack fails, the others go on."""
    catalogue = place.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("lon = 40.03\n", "lon = 43.0\n"))


# which command needs what


def test_commands_that_send_nothing_need_no_secret(fitted, capsys, monkeypatch):
    monkeypatch.delenv(SECRET, raising=False)
    fitted.config.write_text(fitted.config.read_text() + HOOK)
    for words in (["flags"], ["scores"], ["notices"], ["ingest"], ["expire"]):
        assert run(fitted, *words) == Exit.OK, words
    assert run(fitted, "fit", "--to", FIT.last) == Exit.BLIND
    capsys.readouterr()
    runs = fitted.rows("select count(*) from run")
    unset = f"environment variable {SECRET} is not set"
    assert run(fitted, "nightly", "--as-of", AS_OF) == Exit.USAGE
    assert unset in capsys.readouterr().err
    assert cli.main(["config", "--check", str(fitted.config)]) == Exit.USAGE
    assert unset in capsys.readouterr().err
    assert run(fitted, "doctor") == Exit.FAILED
    said = capsys.readouterr().out
    assert f"FAIL channel webhook: {unset}" in said
    assert "ok   workers" in said
    assert fitted.rows("select count(*) from run") == runs


def test_a_mistake_in_the_detector_stops_what_fits_and_scores_and_not_what_reads(ingested, capsys):
    ingested.change("dims = 20", "dim = 20")
    assert run(ingested, "ingest") == Exit.OK
    assert run(ingested, "flags") == Exit.OK
    for words in (["fit"], ["nightly"]):
        capsys.readouterr()
        assert run(ingested, *words) == Exit.USAGE
        assert "[detector] dim: unknown key; did you mean dims?" in capsys.readouterr().err


# what is logged


def test_v_logs_what_this_package_does_and_vv_what_the_libraries_do(ingested):
    loggers = {}
    for how in ("-v", "-vv"):
        done = started(ingested, how, "ingest")
        assert (done.returncode, done.stdout.splitlines()[0]) == (Exit.OK, "ingest: no new pairs")
        loggers[how] = {found[1] for found in re.finditer(r"^(?:DEBUG|INFO) (\w+)", done.stderr, re.M)}
    assert loggers["-v"] == {"insar_anomaly"}
    assert loggers["-vv"] > {"insar_anomaly"}
    assert started(ingested, "ingest").stderr == ""


def test_a_defect_is_one_sentence_and_its_traceback_is_for_v(ingested, caplog):
    caplog.set_level(logging.DEBUG, "insar_anomaly")
    with ingested.opened() as (_, one):
        one.fail(QUIET, "score", ValueError("x is no y"))
    [failure] = one.failures
    assert failure.error.startswith("ValueError: x is no y (a defect of insar-anomaly")
    [record] = [r for r in caplog.records if r.exc_info]
    assert record.levelno == logging.DEBUG


@pytest.mark.parametrize("words", [["ingest"], ["nightly", "--as-of", str(AS_OF)]], ids=lambda w: w[0])
def test_a_failure_is_said_once_and_on_standard_error(words, fresh):
    moved(fresh)
    fresh.only(990001, 990003)
    done = started(fresh, *words)
    assert done.returncode == Exit.FAILED
    assert "correct lat, lon or frames" not in done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith(f"insar-anomaly: {QUIET}: ingest: ")
    assert line.endswith("correct lat, lon or frames in the catalogue")


def test_a_fit_of_which_everything_failed_says_so(fresh, capsys):
    assert run(fresh, "fit", "--no-ingest") == Exit.FAILED
    said = capsys.readouterr()
    assert said.out.startswith("fit: nothing was fitted; 3 stacks failed\n")
    assert said.err.count("nothing is stored; run `insar-anomaly ingest` first") == 3


# exit codes


def test_every_exit_code_is_in_the_help_and_in_the_readme():
    done = subprocess.run(command("--help"), capture_output=True, text=True, check=True)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    sentence = re.search(r"Exit codes: (.*?)\. Running", readme)[1]
    for code in Exit:
        assert re.search(rf"^ +{int(code)}  {re.escape(code.words)}$", done.stdout, re.M), code
        assert re.search(rf"\b{int(code)}, ", sentence), code
    for one in COMMANDS:
        assert re.search(rf"^    {one.name} ", done.stdout, re.M), one.name
        assert f"`{one.name}" in readme, one.name


def test_blind_stacks_give_code_3_and_a_failure_counts_more(fitted, capsys):
    assert run(fitted, "-q", "nightly", "--as-of", AS_OF) == Exit.BLIND
    said = capsys.readouterr()
    assert said.out == ""
    assert f"990003/{SHORT}: blind: not calibrated" in said.err
    assert run(fitted, "ingest") == Exit.OK
    assert run(fitted, "--volcano", 990002, "nightly", "--as-of", AS_OF) == Exit.OK
    catalogue = fitted.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace(WIDE, "001A_00001_010102"))
    assert run(fitted, "nightly", "--as-of", AS_OF) == Exit.FAILED
    assert "not calibrated" in capsys.readouterr().out


# the command line itself


def test_options_of_every_command_stand_before_or_after_it(ingested, capsys):
    assert cli.main(["ingest", "-c", str(ingested.config), "--json", "--volcano", "990001", "--dry-run"]) == Exit.OK
    after = json.loads(capsys.readouterr().out)
    assert cli.main(["-c", str(ingested.config), "--json", "--volcano", "990001", "ingest", "--dry-run"]) == Exit.OK
    assert json.loads(capsys.readouterr().out) == after
    assert cli.main(["--volcano", "990001", "ingest", "-q", "-c", str(ingested.config), "--volcano", "123456"]) == Exit.USAGE
    assert "volcano 123456 is not in" in capsys.readouterr().err


def test_simulate_says_what_comes_next_and_that_command_works(tmp_path, capsys):
    assert cli.main(["simulate", str(tmp_path / "try"), "--seed", "1"]) == Exit.OK
    line = capsys.readouterr().out.splitlines()[-1]
    words = line.removeprefix("next: insar-anomaly ").split()
    assert cli.main([*words, "--dry-run"]) == Exit.OK
    assert capsys.readouterr().out.startswith("ingest, dry run: 804 new pairs")


def test_a_run_with_nothing_to_do_loads_nothing_for_work(ingested):
    ingested.change('kind = "inline"', 'kind = "local"')
    code = (
        f"import sys\nfrom insar_anomaly import cli\nprint(cli.main(['-c', {str(ingested.config)!r}, 'ingest']))\n"
        "print(sorted({'torch', 'sklearn', 'matplotlib', 'distributed', 'prefect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, *stale, code, loaded = done.stdout.splitlines()
    assert (first, code, loaded) == ("ingest: no new pairs", "0", "[]")
    assert [line for line in stale if "3 of 3 stacks are stale" not in line] == []


# stopped by a person


def processes(group):
    """Numbers of the living processes of a group."""
    out = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, owner = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(owner) == group and state != "Z":
            out.append(int(folder.name))
    return out


def until(happened, seconds=60):
    """Wait until something has happened; False where it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("pause", [None, 0.0, 0.3], ids=["once", "twice at once", "twice"])
def test_ctrl_c_with_workers_is_one_sentence_code_130_and_no_process_is_left(pause, ingested):
    ingested.change('kind = "inline"', 'kind = "local"\nworkers = 2')
    line = command("-c", ingested.config, "fit", "--to", FIT.last)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, process_group=0, **pipes) as one:
        # the command, Python's tracker of semaphores and two workers
        assert until(lambda: len(processes(one.pid)) == 4 or one.poll() is not None)
        assert one.poll() is None
        os.killpg(one.pid, signal.SIGINT)
        if pause is not None:
            time.sleep(pause)
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGINT)
        out, err = one.communicate(timeout=60)
    assert one.returncode == Exit.STOPPED
    assert out == ""
    assert err == "insar-anomaly: stopped; what was committed is kept, and the same command goes on from there\n"
    assert until(lambda: processes(one.pid) == [])
    assert ingested.rows("select * from model") == []
    assert run(ingested, "ingest") == Exit.OK  # the lock is free


# a disk that is full


def test_a_full_scratch_folder_of_the_workers_is_named_with_its_remedy(fresh, small_disk):
    disk, _ = small_disk
    (disk / "filler").write_bytes(bytes(280 * 1024))
    fresh.change('kind = "inline"', 'kind = "local"\nworkers = 1')
    done = started(fresh, "ingest", env=os.environ | {"DASK_TEMPORARY_DIRECTORY": str(disk)})
    assert done.returncode == Exit.FAILED
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert f"{disk}/insar-anomaly-workers-" in line
    assert "No space left on device" in line
    assert "another folder in the environment variable DASK_TEMPORARY_DIRECTORY" in line
    assert [file.name for file in disk.iterdir()] == ["filler"]
    assert started(fresh, "ingest").returncode == Exit.OK


def test_a_full_disk_under_the_figures_is_named_with_its_remedy(ingested, small_disk, capsys):
    disk, _ = small_disk
    (disk / "figures" / "calibration").mkdir(parents=True)
    (disk / "filler").write_bytes(bytes(292 * 1024))
    ingested.only(990003)
    ingested.change('figures = "figures"', f'figures = "{disk}/figures"')
    ingested.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    assert run(ingested, "fit", "--to", FIT.last) == Exit.FAILED
    said = capsys.readouterr().err
    assert f"{disk}/figures/calibration/990003_{SHORT}.png: No space left on device; free space on its disk" in said
    assert "Traceback" not in said
    assert ingested.rows("select count(*) from model where evidence = 'pair'") == [(1,)]


@pytest.mark.parametrize("words", ["scores", "flags", "config"])
def test_a_full_disk_under_standard_output_is_one_sentence(words, ingested):
    with Path("/dev/full").open("w") as full:
        done = started(ingested, words, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == Exit.FAILED
    assert done.stderr.startswith("insar-anomaly: standard output: No space left on device; ")
    assert len(done.stderr.splitlines()) == 1


def test_an_archive_that_does_not_fit_on_its_disk_is_one_sentence(small_disk, capsys):
    disk, _ = small_disk
    assert cli.main(["simulate", str(disk / "try")]) == Exit.USAGE
    said = capsys.readouterr().err
    assert f"insar-anomaly: {disk}/try/archive/" in said
    assert "free space on its disk, or name another folder" in said
    assert not list(disk.rglob("*.part"))
