"""A ledger without its store, a store without its ledger: every command says so, and a true first run is not stopped."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest
from installation import AS_OF, BLIND, FIT, RISING, Installation, flagged, store_content

from insar_anomaly import cli
from insar_anomaly.errors import Lost
from insar_anomaly.stack.contents import kinds_held

RUNS = [
    ("ingest",),
    ("ingest", "--dry-run"),
    ("fit", "--to", str(FIT.last)),
    ("nightly", "--as-of", str(AS_OF)),
    ("expire",),
]
READS = [("flags",), ("scores",), ("notices",)]


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


def without_ledger(place: Installation) -> Installation:
    for file in place.folder.glob("ledger.sqlite*"):
        file.unlink()
    return place


def without_store(place: Installation) -> Installation:
    shutil.rmtree(place.folder / "store")
    return place


# ------------------------------------------------------------------------------------------------------ the ledger


@pytest.mark.parametrize("words", RUNS + READS, ids=" ".join)
def test_every_command_says_that_the_ledger_of_a_store_is_gone_and_does_nothing(words, fitted, capsys):
    before = store_content(fitted)
    without_ledger(fitted)
    for _ in range(2):  # the first one has made a new file, which is no ledger of this store either
        assert run(fitted, *words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert f"{fitted.folder}/ledger.sqlite is empty, but the store {fitted.folder}/store holds models" in said.err
        assert "Restore it from its copy, or correct `ledger` in the configuration" in said.err
    assert fitted.rows("select * from run") == []
    shutil.rmtree(fitted.folder / "store" / "models")
    assert {stack: held for stack, held in store_content(fitted).items() if stack in before} == {
        stack: before[stack] for stack in before if " " not in stack
    }


def test_config_check_and_doctor_say_that_the_ledger_is_gone(fitted, capsys):
    assert run(fitted, "config", "--check", fitted.config) == 0
    capsys.readouterr()
    without_ledger(fitted)
    assert run(fitted, "config", "--check", fitted.config) == 2
    assert f"{fitted.config}:2: the ledger {fitted.folder}/ledger.sqlite is empty, but" in capsys.readouterr().err
    assert not (fitted.folder / "ledger.sqlite").exists()
    assert run(fitted, "doctor") == 1
    assert "FAIL ledger and store: the ledger sqlite:///" in capsys.readouterr().out
    assert run(fitted, "config", "--check", fitted.config) == 2  # the file is there now, and nothing is in it


def test_with_models_and_scores_moved_away_the_stacks_are_taken_over_with_a_warning(fitted):
    fitted.nightly()
    kept = store_content(fitted)[RISING]
    without_ledger(fitted)
    with pytest.raises(Lost, match=r"holds models and scores of earlier runs"):
        fitted.nightly()
    for kind in ("models", "scores"):
        shutil.move(fitted.folder / "store" / kind, fitted.folder / kind)
    run = fitted.ingest()
    assert (run.failures, run.counts["stored_pairs"]) == ([], 0)
    assert [words for words in run.warnings if "is new, but the store" in words and "taken over" in words] == run.warnings
    assert store_content(fitted)[RISING] == kept
    assert fitted.ingest().warnings == []
    assert fitted.fit().failures == []
    fitted.nightly()
    assert flagged(fitted)[0][0] == RISING


# ------------------------------------------------------------------------------------------------------ the store


@pytest.mark.parametrize("words", RUNS[2:], ids=" ".join)
def test_a_run_says_that_the_store_of_a_ledger_is_gone(words, fitted, capsys):
    without_store(fitted)
    assert run(fitted, *words) == 2
    said = capsys.readouterr().err
    assert f"the store {fitted.folder}/store is empty, but the ledger sqlite:///" in said
    assert "Mount or restore the store, or correct `store`" in said
    assert "insar-anomaly ingest" in said
    assert "widen" not in said
    assert run(fitted, "flags") == 0  # the ledger has all that it needs


def test_config_check_and_doctor_say_that_the_store_is_gone(fitted, capsys):
    without_store(fitted)
    assert run(fitted, "config", "--check", fitted.config) == 2
    assert f"{fitted.config}:1: the store {fitted.folder}/store is empty, but the ledger" in capsys.readouterr().err
    assert run(fitted, "--json", "doctor") == 1
    findings = {f["what"]: f for f in json.loads(capsys.readouterr().out)}
    assert [what for what, finding in findings.items() if not finding["ok"]] == ["ledger and store"]


def test_ingest_reads_the_pairs_of_a_lost_store_again_with_a_warning(fitted):
    kept = {stack: held for stack, held in store_content(fitted).items() if " " not in stack}
    without_store(fitted)
    run = fitted.ingest()
    assert run.failures == []
    assert any("is empty, but the ledger" in words for words in run.warnings)
    assert fitted.fit().failures == []
    assert {stack: held for stack, held in store_content(fitted).items() if stack in kept} == kept


def test_a_store_that_lost_some_stacks_stops_nothing(fitted):
    shutil.rmtree(fitted.folder / "store" / "stacks" / BLIND)
    run, _ = fitted.nightly()
    assert run.failures == []


# ------------------------------------------------------------------------------------------------------ neither


def test_a_first_run_is_stopped_by_nothing(fresh, capsys):
    assert run(fresh, "config", "--check", fresh.config) == 0
    assert run(fresh, "flags") == 0
    assert run(fresh, "config", "--check", fresh.config) == 0
    assert run(fresh, "doctor") == 0
    assert run(fresh, "ingest", "--dry-run") == 0
    assert kinds_held(str(fresh.folder / "store"), {}) == frozenset()
    assert run(fresh, "ingest") == 0
    assert run(fresh, "config", "--check", fresh.config) == 0
    assert "is new" not in capsys.readouterr().err


def test_a_first_run_that_was_killed_between_store_and_ledger_goes_on(ingested):
    with sqlite3.connect(ingested.folder / "ledger.sqlite") as database:
        database.execute("delete from interferogram")
    run = ingested.ingest()
    assert (run.failures, run.warnings, run.counts["stored_pairs"]) == ([], [], 0)


def test_an_older_or_broken_ledger_is_left_to_the_run_by_the_check(ingested, capsys):
    (ingested.folder / "ledger.sqlite").write_bytes(b"no database" * 1000)
    assert run(ingested, "config", "--check", ingested.config) == 0
    assert (ingested.folder / "ledger.sqlite").read_bytes().startswith(b"no database")
    capsys.readouterr()


def test_a_store_in_a_bucket_is_looked_at_in_one_listing(fitted, bucket, monkeypatch, capsys, closed_port):
    options = {"anon": False, "endpoint_url": bucket.endpoint, "client_kwargs": {"region_name": "us-east-1"}}
    assert kinds_held(f"{bucket.url}/store", options) == frozenset()
    bucket.upload(fitted.folder / "store" / "models", "store/models")
    assert kinds_held(f"{bucket.url}/store", options) == {"models"}
    away = options | {"endpoint_url": f"http://127.0.0.1:{closed_port()}"}
    assert kinds_held(f"{bucket.url}/store", away) is None
    without_ledger(fitted)
    fitted.change('store = "store"', f'store = "{bucket.url}/store"')
    fitted.change("[ingest]", f'[storage]\nendpoint_url = "{bucket.endpoint}"\n\n[ingest]')
    for words in (("flags",), ("nightly", "--as-of", AS_OF)):
        assert run(fitted, *words) == 2
        assert f"but the store {bucket.url}/store holds models of earlier runs" in capsys.readouterr().err
