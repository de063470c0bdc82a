"""The command line: exit codes, what goes to which stream, and nothing done that was not asked for."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from installation import AS_OF, BLIND, CONFIG, DATES, FIT, QUIET, RISING, SHORT, WIDE, command, flagged, ledger_content

from insar_anomaly import __version__, cli
from insar_anomaly.errors import Verdict
from insar_anomaly.names import Period
from insar_anomaly.pipeline import period_asked
from insar_anomaly.pipeline import scoring as tasks

COLUMNS = ["gvp", "frame", "pair", "score", "threshold", "flagged", "verdict", "snapshot", "model", "reason"]


@pytest.fixture(autouse=True)
def _quiet_root_logger():
    """`main` sets up logging for the process; the next test gets it as it was."""
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = kept, level


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


# what needs no installation


def test_help_version_and_mistakes_answer_at_once_without_the_heavy_libraries():
    code = (
        "import sys\nfrom insar_anomaly import cli\n"
        "for words in (['--help'], ['nightly', '--help'], ['--version'], ['nonsense'], ['ingest', '--from', 'x']):\n"
        "    try:\n        cli.main(words)\n    except SystemExit as end:\n        print('code', end.code)\n"
        "heavy = {'torch', 'torchvision', 'xarray', 'dask', 'sklearn', 'scipy', 'zarr', 'icechunk', 'rasterio',\n"
        "         'matplotlib', 'sqlalchemy', 'pandas', 'prefect', 'numpy', 'pydantic'}\n"
        "print('loaded', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == ["code 0"] * 3 + ["code 2"] * 2
    assert "loaded []" in done.stdout
    assert f"insar-anomaly {__version__}" in done.stdout
    assert "'x' is not a date: write YYYY-MM-DD" in done.stderr
    assert "invalid choice: 'nonsense'" in done.stderr


def test_the_printed_defaults_are_a_configuration_that_passes_its_own_check(tmp_path, capsys):
    assert cli.main(["config"]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "config.toml"
    file.write_text(text.replace('url = "..."', 'url = "archive"'))
    assert cli.main(["config", "--check", str(file)]) == 2
    assert "volcanoes.toml: cannot be read" in capsys.readouterr().err
    (tmp_path / "volcanoes.toml").write_text('[[volcano]]\ngvp = 221080\nname = "A"\nlat = 1\nlon = 2\nframes = ["F"]\n')
    (tmp_path / "archive/079D_07694_131313").mkdir(parents=True)
    assert cli.main(["config", "--check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"
    assert "false_alarms_per_year = 1.0" in text
    assert "dims = 100" in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("folds = 2", "fold = 2", "[calibrate] fold: unknown key"),
        ("folds = 2", "folds = 1", "[calibrate] folds: give a whole number from 2 to 20, not 1"),
        ("dims = 20", "dim = 20", "[detector] dim: unknown key; did you mean dims?"),
        ("dims = 20", 'dims = "many"', "[detector] dims: "),
        ("[detector]", '[detector]\nkind = "padimm"', "[detector] "),
        ('kind = "inline"', 'kind = "address"', '[cluster] kind = "address" needs address'),
        ('kind = "files"', 'kind = "pigeon"', "channel"),
        ("[calibrate]", "[calibrate", "not valid TOML"),
        ('store = "store"', "store = 3", "store: give text between quotes, not 3"),
    ],
)
def test_a_mistake_in_the_configuration_is_named_with_file_and_key_and_exit_code_2(old, new, words, tmp_path, capsys):
    file = tmp_path / "config.toml"
    assert old in CONFIG
    file.write_text(CONFIG.replace(old, new, 1))
    assert cli.main(["config", "--check", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert str(file) in said.err
    assert words in said.err
    assert cli.main(["-c", str(file), "nightly"]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


def test_a_command_without_a_configuration_says_how_to_get_one(tmp_path, capsys):
    assert cli.main(["nightly"]) == 2
    assert "insar-anomaly -c FILE" in capsys.readouterr().err
    assert cli.main(["-c", str(tmp_path / "none.toml"), "nightly"]) == 2
    assert "No such file" in capsys.readouterr().err


# a night by hand


def test_a_night_by_hand_ends_with_a_digest_and_the_code_of_its_blind_stack(fitted, capsys):
    assert run(fitted, "nightly", "--as-of", AS_OF) == 3
    said = capsys.readouterr()
    assert f"Screening of {AS_OF} (ok): 3 stacks" in said.out
    assert f"Rising Cone {RISING}" in said.out
    assert f"{BLIND}: not calibrated" in said.out
    assert "Traceback" not in said.err
    assert run(fitted, "flags") == 0
    assert f"{RISING}:1: " in capsys.readouterr().out
    assert run(fitted, "--json", "flags", "--open") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (int(row["gvp"]), row["frame"], row["number"]) == (990002, WIDE, 1)
    assert run(fitted, "--volcano", 990001, "flags") == 0
    assert capsys.readouterr().out == "no flags\n"


def test_json_goes_alone_to_standard_output(fitted, capsys):
    assert run(fitted, "--json", "nightly", "--as-of", AS_OF) == 3
    digest = json.loads(capsys.readouterr().out)
    assert digest["open_flags"][0]["stack"] == RISING
    assert digest["new_notices"] == 1
    assert run(fitted, "--json", "ingest") == 0
    assert json.loads(capsys.readouterr().out)["new_pairs"] == 0
    assert run(fitted, "--json", "fit", "--to", FIT.last) == 3
    result = json.loads(capsys.readouterr().out)
    assert result["unchanged_models"] == 8  # three stacks, three kinds of evidence, one of them too short
    assert list(result["blind"]) == [BLIND]


def test_quiet_prints_nothing_unless_something_failed(fitted, capsys):
    fitted.only(990002)
    assert run(fitted, "-q", "nightly", "--as-of", AS_OF) == 0
    assert capsys.readouterr().out == ""
    catalogue = fitted.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace(WIDE, "001A_00001_010102"))
    assert run(fitted, "-q", "ingest") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"did you mean {WIDE}" in said.err


def test_a_failed_stack_gives_exit_code_1_and_is_in_json_and_in_the_ledger(fresh, capsys):
    catalogue = fresh.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("lon = 40.03\n", "lon = 43.0\n"))
    assert run(fresh, "--json", "ingest") == 1
    result = json.loads(capsys.readouterr().out)
    assert [(f["stack"], f["stage"]) for f in result["failures"]] == [(QUIET, "ingest")]
    assert fresh.rows("select stack, stage from failure") == [(QUIET, "ingest")]
    assert fresh.rows("select status from run") == [("failed",)]
    assert set(fresh.verdicts(RISING).values()) == {0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--volcano", "123456", "ingest"], "volcano 123456 is not in"),
        (["ingest", "--from", "2021-05-01", "--to", "2021-05-01"], "--from 2021-05-01 is not before --to 2021-05-01"),
        (["scores", "--csv", "/no/such/folder/out.csv"], "/no/such/folder/out.csv: No such file"),
    ],
)
def test_a_mistake_in_a_command_gives_exit_code_2_and_does_nothing(words, said, fitted, capsys):
    before = ledger_content(fitted)
    assert run(fitted, *words) == 2
    assert said in capsys.readouterr().err
    assert ledger_content(fitted) == before


def test_a_mistake_in_the_catalogue_gives_exit_code_2(fitted, capsys):
    (fitted.folder / "volcanoes.toml").write_text('[[volcano]]\ngvp = 1\nname = "x"\nlat = 0\nlon = 0\nframes = ["a"]\n')
    assert run(fitted, "nightly") == 2
    assert "gvp: give a whole number from 100000 to 999999, not 1" in capsys.readouterr().err


def test_a_dry_run_counts_and_writes_nothing(fresh, capsys):
    assert run(fresh, "--json", "ingest", "--dry-run") == 0
    counted = json.loads(capsys.readouterr().out)["new_pairs"]
    assert counted == 2 * len(fresh.pairs()) + len(fresh.pairs(SHORT))
    assert not [p for p in (fresh.folder / "store").rglob("*") if p.is_file()]
    assert not any(ledger_content(fresh).values())
    assert run(fresh, "--json", "ingest") == 0
    assert json.loads(capsys.readouterr().out)["stored_pairs"] == counted
    assert run(fresh, "--json", "ingest", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["new_pairs"] == 0


def test_fit_ingests_what_is_new_first_unless_it_is_told_not_to(fresh, capsys):
    fresh.only(990002)
    fresh.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    assert run(fresh, "fit", "--to", FIT.last, "--no-ingest") == 1
    assert f"{RISING}: nothing is stored; run `insar-anomaly ingest` first" in capsys.readouterr().err
    assert fresh.rows("select count(*) from interferogram") == [(0,)]
    assert run(fresh, "--json", "fit", "--to", FIT.last) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["stored_pairs"], result["fitted_models"]) == (len(fresh.pairs()), 3)  # of all dates: the night needs them
    assert run(fresh, "--json", "fit", "--to", FIT.last) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["new_pairs"], result["unchanged_models"]) == (0, 3)


@pytest.mark.parametrize(
    ("first", "last", "as_of", "period"),
    [
        (None, None, None, None),
        (DATES[1], None, DATES[9], Period(DATES[1], DATES[9])),
        (None, DATES[5], DATES[9], Period(None, DATES[5])),
        (None, DATES[9], DATES[5], Period(None, DATES[5])),
    ],
)
def test_a_period_ends_with_the_runs_date_at_the_latest(first, last, as_of, period):
    assert period_asked(first, last, as_of) == period


def test_one_volcano_only(fresh, capsys):
    assert run(fresh, "--volcano", 990001, "ingest", "--from", f"{DATES[2]:%Y%m%d}", "--to", DATES[5]) == 0
    assert [row[0] for row in fresh.rows("select distinct stack from interferogram")] == [QUIET]
    assert len(fresh.verdicts(QUIET)) == 3 + 2 + 1


def test_scores_are_a_table_of_every_pair_with_these_columns(fitted, capsys):
    run(fitted, "-q", "nightly", "--as-of", AS_OF)
    capsys.readouterr()
    assert run(fitted, "scores") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == COLUMNS
    assert len(rows) == 150
    mine = [r for r in rows if f"{r['gvp']}/{r['frame']}" == RISING]
    assert [r["pair"] for r in mine] == fitted.pairs()
    over = [r for r in mine if r["flagged"] == "True"]
    assert len(over) == 6
    assert all(float(r["score"]) > float(r["threshold"]) for r in over)
    assert {int(r["verdict"]) for r in mine} == {Verdict.OK, Verdict.IN_FIT}
    assert all((r["score"] == "") == (int(r["verdict"]) == Verdict.IN_FIT) for r in mine)
    assert all(r["model"] and r["snapshot"] for r in mine)
    out = fitted.folder / "scores.csv"
    assert run(fitted, "--volcano", 990002, "scores", "--csv", out) == 0
    assert f"{out}: 60 pairs" in capsys.readouterr().err
    assert list(csv.DictReader(io.StringIO(out.read_text()))) == mine


def test_expire_says_how_many_snapshots_it_forgot_and_the_night_goes_on(fitted, capsys):
    assert run(fitted, "--json", "expire") == 0
    assert json.loads(capsys.readouterr().out).get("expired_snapshots", 0) == 0
    assert run(fitted, "--json", "expire", "--days", 0) == 0
    assert json.loads(capsys.readouterr().out)["expired_snapshots"] > 0
    tasks._scorer.cache_clear()
    assert run(fitted, "-q", "nightly", "--as-of", AS_OF) == 3
    assert flagged(fitted)[0][0] == RISING


def test_doctor_says_what_is_there_and_what_is_not(fitted, capsys, closed_port):
    assert run(fitted, "doctor") == 0
    said = capsys.readouterr().out
    assert "ok   catalogue: 3 volcanoes on 2 frames" in said
    assert f"2 frames ({WIDE}, {SHORT}), 2 of the catalogue's" in said
    assert "ok   ledger: " in said
    assert "FAIL" not in said
    fitted.change('url = "archive"', 'url = "elsewhere"')
    fitted.change('kind = "inline"', f'kind = "address"\naddress = "tcp://127.0.0.1:{closed_port()}"')
    assert run(fitted, "doctor") == 1
    said = capsys.readouterr().out
    assert f"FAIL source {fitted.folder}/elsewhere" in said
    assert "FAIL frames: 2 of the catalogue's are in no source" in said
    assert "FAIL workers: address: no Dask scheduler answers" in said
    assert "ok   store" in said


def test_doctor_finds_what_cannot_be_written_used_or_read(fitted, capsys, monkeypatch):
    monkeypatch.setenv("HOOK", "whsec_c2VjcmV0")
    fitted.change('figures = "figures"', 'figures = "/proc/figures"')
    fitted.change('folder = "notices"', 'folder = "/proc/notices"')
    fitted.change('weights = "random"', 'weights = "nowhere.safetensors"')
    email = '\n[[channel]]\nkind = "email"\nhost = "h"\nsender = "us@example.org"\n'
    fitted.config.write_text(fitted.config.read_text() + email)
    (fitted.folder / "volcanoes.toml").write_text("[[volcano]]\n")
    assert run(fitted, "--json", "doctor") == 1
    findings = {f["what"]: (f["ok"], f["words"]) for f in json.loads(capsys.readouterr().out)}
    bad = {what for what, (ok, _) in findings.items() if not ok}
    assert bad == {"catalogue", "figures", "channel files", "detector"}
    assert "nowhere.safetensors" in findings["detector"][1]
    assert findings["channel email"][0]


# what config --check and doctor say of the places that a configuration names


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere", "nowhere does not exist"),
        (
            f"archive/{WIDE}",
            "is a frame's own folder (it holds interferograms); write the folder of the frames in [[source]]",
        ),
        (f"archive/{WIDE}/interferograms", "is a folder of interferograms inside a frame; write the folder of the frames"),
    ],
)
def test_a_source_that_is_no_archive_is_told_by_check_doctor_and_ingest(path, words, fresh, capsys):
    fresh.change('url = "archive"', f'url = "{path}"')
    assert run(fresh, "config", "--check", fresh.config) == 2
    said = capsys.readouterr().err
    assert f"{fresh.config}:7: [[source]] url: {fresh.folder}/{path} " in said
    assert words in said
    assert run(fresh, "doctor") == 1
    assert words in capsys.readouterr().out
    assert run(fresh, "ingest") == 1
    assert words in capsys.readouterr().err
    if path != "nowhere":
        assert f'url = "{fresh.archive}"' in said


def test_a_source_one_folder_too_high_is_told_by_doctor_and_ingest(fresh, capsys):
    shutil.move(fresh.archive, fresh.folder / "data" / "archive")
    fresh.change('url = "archive"', 'url = "data"')
    right = f'write url = "{fresh.folder}/data/archive" in [[source]]'
    assert run(fresh, "doctor") == 1
    assert right in capsys.readouterr().out
    assert run(fresh, "ingest") == 1
    assert right in capsys.readouterr().err


def test_swapped_lat_and_lon_are_told_by_name_by_doctor_and_ingest(fresh, capsys):
    assert run(fresh, "doctor") == 0
    assert "ok   boxes: every volcano lies in its frames, 2 of which were compared" in capsys.readouterr().out
    catalogue = fresh.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("lat = 0.0\nlon = 40.03\n", "lat = 40.03\nlon = 0.0\n"))
    assert run(fresh, "doctor") == 1
    said = capsys.readouterr().out
    assert "FAIL volcano 990001 Quiet Peak: frame" in said
    assert "lat and lon of the volcano seem to be swapped" in said
    assert run(fresh, "ingest") == 1
    assert "lat and lon of the volcano seem to be swapped" in capsys.readouterr().err


def test_notices_lists_what_waits_and_drops_it_with_a_reason(fitted, capsys, closed_port):
    fitted.only(990002)
    hook = f'\n[[channel]]\nkind = "webhook"\nurl = "http://127.0.0.1:{closed_port()}/x"\n'
    fitted.config.write_text(fitted.config.read_text() + hook)
    assert run(fitted, "-q", "nightly", "--as-of", AS_OF) == 1
    capsys.readouterr()
    assert run(fitted, "notices") == 0
    said = capsys.readouterr().out
    key = f"{RISING}:1:raised:webhook"
    assert said.startswith(f"{key}: waits, 1 attempts, the last: ")
    assert run(fitted, "notices", "--drop", key) == 2
    assert run(fitted, "notices", "--drop", "nobody", "--why", "x") == 2
    assert "--drop nobody: no notice with this key waits" in capsys.readouterr().err
    assert run(fitted, "notices", "--retry", key) == 2  # it waits, and is not parked
    assert run(fitted, "notices", "--drop", key, "--why", "moved") == 0
    assert capsys.readouterr().out.endswith("no notice waits\n")
    delivered = f"{RISING}:1:raised:files"
    assert run(fitted, "notices", "--drop", delivered, "--why", "x") == 2  # it has arrived
    capsys.readouterr()
    assert run(fitted, "notices", "--all") == 0
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"{key}: dropped: moved") for line in said)
    assert any(": arrived " in line for line in said)


def test_a_volcano_that_the_ledger_does_not_know_is_a_mistake(fitted, capsys):
    for word in ("scores", "flags", "notices"):
        assert run(fitted, "--volcano", 123456, word) == 2
        assert "the ledger holds nothing of it, but of 3 other volcanoes" in capsys.readouterr().err


def test_json_and_a_csv_file_are_both_written(fitted, capsys, tmp_path):
    assert run(fitted, "--json", "scores", "--csv", tmp_path / "s.csv") == 0
    assert len(json.loads(capsys.readouterr().out)) == len((tmp_path / "s.csv").read_text().splitlines()) - 1


def test_a_second_run_works_beside_a_first_but_not_beside_one_of_a_version_without_leases(ingested, capsys):
    with ingested.opened():
        assert run(ingested, "ingest") == 0
    with ingested.opened() as (s, _):
        before = s.ledger._database
    capsys.readouterr()
    with before.lock():  # what a run of such a version holds: the whole ledger
        assert run(ingested, "ingest") == 1
    assert f"is held by insar_anomaly process {os.getpid()}" in capsys.readouterr().err
    assert run(ingested, "ingest") == 0


def test_an_interrupt_ends_with_130_keeps_what_was_committed_and_goes_on(fresh):
    fresh.only(990001)
    fresh.change("batch = 16", "batch = 1")
    with subprocess.Popen(
        command("-c", fresh.config, "ingest"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if fresh.rows("select count(*) from interferogram") != [(0,)]:
                    break
            except sqlite3.OperationalError:
                pass  # the database is not made yet
            time.sleep(0.02)
        one.send_signal(signal.SIGINT)
        _, err = one.communicate(timeout=60)
    assert one.returncode == 130
    assert "stopped; what was committed is kept" in err
    assert "Traceback" not in err
    assert 0 < len(fresh.rows("select * from interferogram")) < 60
    assert fresh.rows("select status from run") == [("failed",)]
    assert fresh.ingest().failures == []
    assert len(fresh.rows("select * from interferogram")) == 60


def test_a_closed_pipe_ends_quietly(ingested):
    import shlex

    words = shlex.join([*command("-c", ingested.config, "scores")])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} | head -1"], capture_output=True, text=True, check=False
    )
    assert done.stdout == ",".join(COLUMNS) + "\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("words", [["scores"], ["--json", "flags"], ["export", "stacks"], ["--help"], ["scores", "--help"]])
def test_a_pipe_that_is_closed_before_the_output_gives_141_and_no_word(words, ingested):
    import shlex

    called = f"env -u PYTHONUNBUFFERED {shlex.join(command('-c', ingested.config, *words))} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", called], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
