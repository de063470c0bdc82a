"""The rehearsal: its world, its server that counts, and a night of six volcanoes through both."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from insar_anomaly import cli
from insar_anomaly.errors import UsageError
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.tools.rehearse.archive import EVERY_DAYS, World
from insar_anomaly.tools.rehearse.command import run
from insar_anomaly.tools.rehearse.rehearsal import Plan
from insar_anomaly.tools.rehearse.server import serving


def test_the_world_has_three_stacks_per_frame_and_its_nights_come_after_its_past():
    world = World(7, nights=2)
    assert world.groups == 3
    assert [len(world.stacks(group)) for group in range(3)] == [6, 6, 2]
    every = [stack for group in range(3) for stack in world.stacks(group)]
    assert len(set(every)) == 2 * 7
    assert world.day(2) - world.day(0) == timedelta(2 * EVERY_DAYS)
    assert world.day(2) == world.days[-1]


def test_the_server_counts_what_it_is_asked_and_lists_what_begins_with_a_prefix(monkeypatch):
    import boto3

    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with serving() as server:
        client = boto3.client("s3", endpoint_url=server.url)
        client.create_bucket(Bucket="one")
        before = server.asked()
        for key in ("a/1", "a/2", "ab/1", "b/1"):
            client.put_object(Bucket="one", Key=key, Body=b"12345")
        client.put_object(Bucket="one", Key="a/2", Body=b"1234567")
        client.delete_object(Bucket="one", Key="a/1")
        listed = client.list_objects_v2(Bucket="one", Prefix="a", Delimiter="/")
        assert client.get_object(Bucket="one", Key="a/2")["Body"].read() == b"1234567"
        asked = server.asked().since(before)
    assert [one["Prefix"] for one in listed["CommonPrefixes"]] == ["a/", "ab/"]
    assert dict(asked.requests) == {("one", "PUT"): 5, ("one", "DELETE"): 1, ("one", "LIST"): 1, ("one", "GET"): 1}
    requests, read, written = asked.of("one")
    assert requests == 8
    assert written >= 27  # a client may wrap what it sends in chunks with checksums
    assert read > 7


def test_a_stack_is_copied_in_the_ledger_as_a_whole(fitted):
    with Ledger(f"sqlite:///{fitted.folder}/ledger.sqlite") as ledger:
        name = next(str(stack) for stack in ledger.stacks())
        ledger.copy_stack(name, ["999999/001A_00001_010101"])
        assert ledger.seen("999999/001A_00001_010101") == ledger.seen(name) != {}
        assert ledger.models("999999/001A_00001_010101") == ledger.models(name) != []
        assert ledger.assessments("999999/001A_00001_010101", "pair") == []  # nothing was scored yet


def test_a_night_of_six_volcanoes_runs_whole_and_its_cost_is_printed(tmp_path, capsys):
    folder = tmp_path / "rehearsal"
    words = ["rehearse", "--volcanoes", "6", "--pixels", "24", "--workers", "0", "--folder", str(folder), "--keep"]
    assert cli.main(["--json", *words]) == 0
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["volcanoes"], told["stacks"], told["failures"], told["blind"]) == (6, 12, 0, 0)
    assert told["pairs"] == 12 * 3
    assert list(told["stages"]) == ["ingest", "assess", "flag", "hold together", "canary", "notify", "digest"]
    assert told["driver_cpu_s"] > 0.1
    assert told["worker_cpu_s"] < told["driver_cpu_s"]  # without workers there is none to speak of
    assert told["requests"]["archive GET"] >= 2 * 3 * 4  # two files of three pairs of four frames
    assert told["requests"]["store PUT"] > 12
    assert told["read_bytes"] > 100_000
    with Ledger(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        newest = ledger.runs()[0]
        assert (newest.kind, newest.summary["stored_pairs"], newest.summary["scored_pairs"]) == ("nightly", 36, 36)
        # copies and the original were given the same evidence, and found the same
        scores = {
            stack.gvp: [row.score for row in ledger.assessments(str(stack), "pair")]
            for stack in ledger.stacks()
            if stack.frame.endswith("A_00000_010101") or stack.frame.endswith("A_00001_010101")
        }
    assert scores[100000] == scores[100003]
    assert scores[100000] != scores[100001]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="not empty"):
        next(run(Plan(World(3), tmp_path), None, keep=False))
    assert (tmp_path / "mine.txt").exists()


def test_the_help_says_that_everything_is_simulated(capsys):
    with pytest.raises(SystemExit):
        cli.main(["rehearse", "--help"])
    assert "Everything is simulated" in capsys.readouterr().out
