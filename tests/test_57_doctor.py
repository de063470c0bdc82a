"""What `doctor` tries: a commit that must conflict, the frames of each source, one pair read whole, and no endless wait."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import closing
from datetime import timedelta

import pytest
from installation import AS_OF, BLIND, DATES, QUIET, SHORT, WIDE, command, read_tif, write_tif
from proxies import unconditional

from insar_anomaly import cli
from insar_anomaly.errors import SourceUnavailable, StoreFailed
from insar_anomaly.stack.store import Store
from insar_anomaly.tools.doctor.finding import within


def listed_findings(installation, capsys, *words, code=0):
    """What `doctor` says as JSON, in its order."""
    assert cli.main(["-c", str(installation.config), "--json", "doctor", *map(str, words)]) == code
    return json.loads(capsys.readouterr().out)


def findings(installation, capsys, *words, code=0):
    """What `doctor` says as JSON, by what it is of."""
    return {one["what"]: one for one in listed_findings(installation, capsys, *words, code=code)}


def frame_finding(found):
    """The finding of a pair that was read."""
    [one] = [finding for what, finding in found.items() if ", frame " in what]
    return one


# the store


def test_a_bucket_is_tried_with_two_commits_of_which_it_refuses_one_and_is_left_empty(bucket):
    words = Store(f"{bucket.url}/deep", bucket.endpoint).probe()
    assert "a second one at the same time was refused" in words
    assert bucket.objects() == []


def test_a_bucket_that_ignores_conditions_is_told_with_what_to_use_instead(bucket):
    with unconditional(bucket.endpoint) as endpoint, pytest.raises(StoreFailed) as told:
        Store(f"{bucket.url}/deep", endpoint).probe()
    words = str(told.value)
    assert "ignores conditional writes (If-None-Match, If-Match)" in words
    assert "Name a folder in `store`" in words
    assert "Amazon S3 or MinIO" in words
    assert bucket.objects() == []


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    assert "locked" in Store(str(tmp_path / "store")).probe()
    assert list((tmp_path / "store").iterdir()) == []


# the sources


def test_doctor_lists_the_frames_of_a_source_and_reads_one_pair_with_its_physics(ingested, capsys):
    found = findings(ingested, capsys)
    source = found[f"source {ingested.archive}"]
    assert f"2 frames ({WIDE}, {SHORT}), 2 of the catalogue's; listed in " in source["words"]
    assert source["details"]["frames"] == 2
    assert source["details"]["seconds"] < 60
    pair = frame_finding(found)
    newest = ingested.pairs()[-1]
    for words in (
        "60 pairs listed in ",
        f"{newest} read in ",
        "wavelength 5.547 cm",
        "phase positive away from the satellite, as the provider writes it",
        "satellites unknown",
        "time of day unknown",
        "54 x 54 pixels of 0.001 x 0.001 degrees from 0.0270 N, 40.0030 E",
        "of the summit measured",
        "mean coherence 0.",
    ):
        assert words in pair["words"]
    details = pair["details"]
    assert (details["pair"], details["shape"], details["sign"]) == (newest, [54, 54], 1)
    assert details["wavelength_m"] == pytest.approx(0.0554658, abs=1e-6)
    assert 0 < details["mean_coherence"] < 1
    assert details["box_measured"] > 0.8


def test_frames_of_the_catalogue_that_one_source_lacks_are_named(ingested, capsys):
    (ingested.archive / SHORT).rename(ingested.folder / SHORT)
    found = findings(ingested, capsys, code=1)
    assert f"not here: 1 of the catalogue's ({SHORT})" in found[f"source {ingested.archive}"]["words"]
    assert found["frames"]["details"] == {"missing": [SHORT]}


def test_a_newest_pair_that_cannot_be_read_gives_way_to_the_one_before_and_three_do_not(ingested, capsys):
    *_, third, second, newest = ingested.pairs()
    ingested.phase(newest).write_bytes(b"half")
    assert frame_finding(findings(ingested, capsys))["details"]["pair"] == second
    for pair in (second, third):
        ingested.phase(pair).write_bytes(b"half")
    bad = frame_finding(findings(ingested, capsys, code=1))
    assert not bad["ok"]
    assert third in bad["words"]
    assert "upload it again" in bad["words"]


def test_doctor_says_that_a_night_would_reject_the_pair(ingested, capsys):
    newest = ingested.coherence(ingested.pairs()[-1])
    write_tif(newest, read_tif(newest) * 0 + 5)
    words = frame_finding(findings(ingested, capsys))["words"]
    assert "a night would reject it: " in words
    assert "mean coherence is too low" in words


def test_stale_data_are_among_the_findings(ingested, capsys):
    found = findings(ingested, capsys)
    assert "3 stacks up to the night of" in found["data"]["words"]
    assert {row["stack"] for row in found["data"]["details"]["states"]} >= {QUIET}
    ingested.nightly(AS_OF + timedelta(days=100))
    found = findings(ingested, capsys, code=1)
    assert f"newest acquisition {DATES[-1]}, 103 days old" in found[f"stack {QUIET}"]["words"]
    assert not found[f"stack {QUIET}"]["ok"]


# nothing is waited for without end


def test_an_examination_that_takes_too_long_is_left_alone():
    begun = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"listing of the moon: no answer within 0\.1 s.*--limit"):
        within(0.1, "listing of the moon", lambda: time.sleep(3))
    assert time.monotonic() - begun < 2


def test_what_an_examination_finds_and_what_it_raises_comes_through():
    found, seconds = within(10, "a sum", lambda: 1 + 1)
    assert (found, seconds < 10) == (2, True)
    with pytest.raises(ZeroDivisionError):
        within(10, "a quotient", lambda: 1 / 0)


@pytest.mark.usefixtures("s3_environment")
def test_a_source_that_never_answers_is_a_finding_and_the_others_go_on(ingested):
    import socket

    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        more = f'\n[[source]]\nurl = "s3://nowhere/frames"\n[storage]\nendpoint_url = "{endpoint}"\n'
        ingested.config.write_text(ingested.config.read_text() + more)
        begun = time.monotonic()
        words = command("-c", ingested.config, "doctor", "--limit", "2")
        done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 1, done.stderr
    assert "FAIL source s3://nowhere/frames: listing of s3://nowhere/frames: no answer within 2 s" in done.stdout
    assert "ok   workers" in done.stdout
    assert time.monotonic() - begun < 150


@pytest.mark.parametrize("limit", ["0", "-1", "soon", "inf", "nan"])
def test_a_limit_is_a_number_of_seconds(limit, ingested, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["-c", str(ingested.config), "doctor", f"--limit={limit}"])
    assert stopped.value.code == 2
    assert "is not a number of seconds above 0" in capsys.readouterr().err


# what a night would leave out, or take from elsewhere


def test_what_cannot_be_listed_is_named_and_a_pair_of_the_future_is_no_sample(ingested, capsys):
    folder = ingested.archive / WIDE / "interferograms"
    newest = ingested.pairs()[-1]
    (folder / "20211022_20211103").symlink_to("/nowhere")
    (folder / "20210105_20990101").mkdir()
    for kind in ("unw", "cc"):
        copy = folder / "20210105_20990101" / f"20210105_20990101.geo.{kind}.tif"
        copy.write_bytes((folder / newest / f"{newest}.geo.{kind}.tif").read_bytes())
    said = [one for one in listed_findings(ingested, capsys, code=1) if ", frame " in one["what"]]
    words = "\n".join(one["words"] for one in said)
    assert f"1 thing left out of the listing: {folder}/20211022_20211103: it is a link to nowhere; bring back" in words
    assert "1 pair of the future, first 20210105_20990101; correct its name, or remove it" in words
    assert f"{newest} read in " in words
    assert [one["ok"] for one in said] == [False, False, True]


def test_a_joined_frame_is_examined_with_the_layers_of_all_its_sources(ingested, capsys, tmp_path):
    second = tmp_path / "second"
    for pair in ingested.pairs()[:3]:
        place = second / WIDE / "interferograms" / pair
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ingested.phase(pair).parent)
    ingested.change("[ingest]", f'[[source]]\nurl = "{second}"\n\n[ingest]')
    found = findings(ingested, capsys)
    assert f"{ingested.pairs()[2]} read in " in found[f"source {second}, frame {WIDE}"]["words"]


def test_only_the_volcanoes_that_are_asked_for_are_examined(ingested, capsys):
    (ingested.archive / SHORT).rename(ingested.folder / SHORT)
    found = findings(ingested, capsys, "--volcano", 990001)
    assert "frames" not in found
    assert found["catalogue"]["words"] == "1 volcano on 1 frame"


def test_a_stack_with_the_nominal_look_vector_is_named_with_the_remedy(fresh, capsys):
    import shutil

    fresh.only(990003)
    kept = fresh.folder / "U.tif"
    layer = fresh.archive / SHORT / "metadata" / f"{SHORT}.geo.U.tif"
    shutil.move(layer, kept)
    fresh.ingest()
    words = findings(fresh, capsys)["look vector"]["words"]
    assert f"1 stack with the nominal look vector, first {BLIND}" in words
    assert f"`insar-anomaly restack {BLIND}` takes them" in words
    shutil.move(kept, layer)
    assert cli.main(["-c", str(fresh.config), "restack", BLIND]) == 0
    capsys.readouterr()
    assert "look vector" not in findings(fresh, capsys)
