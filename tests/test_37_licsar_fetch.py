"""`licsar fetch`: a frame is copied whole, continued where a connection broke, and never spoiled or emptied."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date

import installation
import pytest
import web
from installation import DATES, WIDE

from insar_anomaly.cli import main
from insar_anomaly.config.sections import Storage
from insar_anomaly.errors import NotInFrame
from insar_anomaly.pipeline import storage_options
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.licsar import LicsarSource
from insar_anomaly.tools.licsar_fetch import check, manifest_of, mirror, plan

PAIR = f"{DATES[17]:%Y%m%d}_{DATES[18]:%Y%m%d}"


@pytest.fixture
def archive(built, tmp_path):
    """A small archive below its track, as the portal has it: two pairs, metadata, one delay."""
    place = installation.Installation(tmp_path / "own")
    frame = place.archive / "1" / WIDE
    shutil.copytree(built.archive / WIDE / "metadata", frame / "metadata")
    for pair in (built.pairs()[0], PAIR):
        shutil.copytree(built.phase(pair).parent, frame / "interferograms" / pair)
        (frame / "interferograms" / pair / f"{pair}.geo.unw.png").write_bytes(b"a picture")
    day = PAIR[9:]
    (frame / "epochs" / day).mkdir(parents=True)
    shutil.copy(frame / "metadata" / f"{WIDE}.geo.hgt.tif", frame / "epochs" / day / f"{day}.sltd.geo.tif")
    return place.archive


def fetched(url, to, **how):
    source = Archive(url)
    return mirror(source, plan(source, WIDE, **how), frame=WIDE, to=to, at_a_time=2)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same_files(to, archive):
    """The copy's files beside the manifest, all equal to the archive's."""
    held = content(to / WIDE)
    held.pop("manifest.json")
    original = content(archive / "1" / WIDE)
    assert held == {name: original[name] for name in held}
    return set(held)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_frame_is_copied_with_what_a_source_reads_and_reads_the_same(ranges, archive, tmp_path):
    with web.serving(archive, ranges=ranges) as served:
        done = fetched(served.url, tmp_path / "to", epochs=True)
    assert done.failures == {}
    names = same_files(tmp_path / "to", archive)
    assert done.fetched == done.files == len(names) == 4 + len(list((archive / "1" / WIDE / "metadata").iterdir())) + 1
    assert not [name for name in names if name.endswith(".png")]
    listed = LicsarSource(str(tmp_path / "to")).pairs(WIDE)
    assert [one.pair for one in listed.pairs] == [one.pair for one in LicsarSource(str(archive)).pairs(WIDE).pairs]
    assert check(tmp_path / "to" / WIDE) == {}


def test_a_second_fetch_asks_for_no_file_and_a_changed_one_alone_is_fetched_again(archive, tmp_path):
    with web.serving(archive) as served:
        fetched(served.url, tmp_path / "to")
        gets = served.count("GET")
        assert fetched(served.url, tmp_path / "to").fetched == 0
        pages = served.count("GET") - gets
        assert pages <= 8
        path = archive / "1" / WIDE / "interferograms" / PAIR / f"{PAIR}.geo.unw.tif"
        path.write_bytes(path.read_bytes() + b"more")
        again = fetched(served.url, tmp_path / "to")
        assert again.fetched == 1
    same_files(tmp_path / "to", archive)


def test_a_connection_that_breaks_in_the_middle_of_a_file_is_continued_where_it_broke(archive, tmp_path):
    big = archive / "1" / WIDE / "metadata" / f"{WIDE}.geo.big.tif"
    big.write_bytes(os.urandom(1_000_000))
    with web.serving(archive) as served:
        served.broken |= {f"/1/{WIDE}/{p.relative_to(archive / '1' / WIDE)}" for p in big.parent.iterdir() if p != big}
        served.break_after = 200_000
        assert fetched(served.url, tmp_path / "to").failures == {}
        asked = [span for method, path, span in served.asked if method == "GET" and path.endswith("big.tif")]
        assert asked.count("bytes=0-262143") == 2  # the broken one, and the same part again
        assert len(asked) == 5
    same_files(tmp_path / "to", archive)


def test_what_a_fetch_that_was_killed_has_left_is_continued_and_of_another_version_is_not(archive, tmp_path):
    big = archive / "1" / WIDE / "metadata" / f"{WIDE}.geo.big.tif"
    big.write_bytes(os.urandom(1_000_000))
    whole = big.read_bytes()
    with web.serving(archive) as served:
        source = Archive(served.url)
        [one] = [one for one in plan(source, WIDE) if one.place.endswith("big.tif")]
        import hashlib

        version = hashlib.sha256(f"{one.entry.size} {one.entry.mark}".encode()).hexdigest()[:12]
        folder = tmp_path / "to" / WIDE / "metadata"
        folder.mkdir(parents=True)
        (folder / f".{big.name}.{version}.part").write_bytes(whole[:900_000])
        (folder / f".{big.name}.0123456789ab.part").write_bytes(b"of another version")
        mirror(source, [one], frame=WIDE, to=tmp_path / "to")
        spans = [span for method, path, span in served.asked if method == "GET" and path.endswith("big.tif")]
        assert spans == ["bytes=900000-999999"]
    assert content(folder) == {big.name: whole}


def test_one_file_that_cannot_be_had_is_named_and_the_others_are_fetched(archive, tmp_path):
    with web.serving(archive) as served:
        source = Archive(served.url)
        wanted = plan(source, WIDE)
        lost = archive / "1" / WIDE / "interferograms" / PAIR / f"{PAIR}.geo.cc.tif"
        lost.unlink()
        done = mirror(source, wanted, frame=WIDE, to=tmp_path / "to")
    assert list(done.failures) == [f"interferograms/{PAIR}/{PAIR}.geo.cc.tif"]
    assert done.fetched == done.files - 1


def test_what_the_server_has_no_longer_stays(archive, tmp_path):
    with web.serving(archive) as served:
        fetched(served.url, tmp_path / "to")
        before = content(tmp_path / "to" / WIDE)
        shutil.rmtree(archive / "1" / WIDE / "interferograms" / PAIR)
        done = fetched(served.url, tmp_path / "to")
    assert done.gone == [f"interferograms/{PAIR}/{PAIR}.geo.{end}.tif" for end in ("cc", "unw")]
    assert content(tmp_path / "to" / WIDE).keys() == before.keys()
    assert set(done.gone) <= manifest_of(tmp_path / "to" / WIDE).keys()


def test_since_leaves_out_older_pairs_and_their_delays(archive):
    places = {one.place for one in plan(Archive(str(archive)), WIDE, since=DATES[18], epochs=True)}
    assert {place.split("/")[1] for place in places if place.startswith("interferograms")} == {PAIR}
    assert f"epochs/{PAIR[9:]}/{PAIR[9:]}.sltd.geo.tif" in places
    with pytest.raises(NotInFrame):
        plan(Archive(str(archive)), "999D_99999_999999")
    late = {one.place for one in plan(Archive(str(archive)), WIDE, since=date(2030, 1, 1), epochs=True)}
    assert {place.split("/")[0] for place in late} == {"metadata"}


def test_a_manifest_that_was_not_written_costs_no_second_fetch(archive, tmp_path):
    with web.serving(archive) as served:
        done = fetched(served.url, tmp_path / "to")
        before = manifest_of(tmp_path / "to" / WIDE)
        (tmp_path / "to" / WIDE / "manifest.json").unlink()
        assert fetched(served.url, tmp_path / "to").fetched == 0
    assert manifest_of(tmp_path / "to" / WIDE) == before
    assert len(before) == done.files


def test_a_bucket_is_copied_too(archive, bucket, tmp_path):
    bucket.upload(archive, "licsar")
    source = Archive(f"{bucket.url}/licsar", storage_options(Storage(endpoint_url=bucket.endpoint)))
    done = mirror(source, plan(source, WIDE), frame=WIDE, to=tmp_path / "to")
    assert done.failures == {}
    same_files(tmp_path / "to", archive)


def test_the_command_fetches_checks_and_says_what_is_wrong(archive, tmp_path, capsys):
    to = str(tmp_path / "to")
    with web.serving(archive) as served:
        words = ["licsar", "fetch", WIDE, "--to", to, "--from", f"{served.url}/"]
        assert main([*words, "--dry-run", "--json"]) == 0
        counted = json.loads(capsys.readouterr().out)
        assert not (tmp_path / "to").exists()
        assert main(words) == 0
        assert f"{counted['files']} files fetched, 0 were there already, 0 failed" in capsys.readouterr().out
    assert main([*words, "--check"]) == 0
    assert "every file is as it was fetched" in capsys.readouterr().out
    path = tmp_path / "to" / WIDE / "interferograms" / PAIR / f"{PAIR}.geo.unw.tif"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    assert main([*words, "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        f"interferograms/{PAIR}/{PAIR}.geo.unw.tif": "has another checksum; remove it and fetch again"
    }
    assert main(["licsar", "fetch", WIDE, "--to", str(tmp_path / "none"), "--check"]) == 2
    assert "fetch the frame first" in capsys.readouterr().err


@pytest.mark.parametrize("below", ["a file", "proc"])
def test_a_folder_that_cannot_be_made_is_refused_once(below, archive, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"x")
    to = tmp_path / "file" / "here" if below == "a file" else "/proc/nowhere"
    assert main(["licsar", "fetch", WIDE, "--from", str(archive), "--to", str(to)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "it cannot be made; give a folder that can be written in --to" in said


def test_remedies_are_those_of_the_command(archive, tmp_path, capsys):
    for frame, words in (
        ("9", "; correct FRAME, or give the folder of the frames in --from"),
        (WIDE[:-1] + "2", f"did you mean {WIDE}?"),
    ):
        assert main(["licsar", "fetch", frame, "--from", str(archive), "--to", str(tmp_path / "to")]) == 1
        said = capsys.readouterr().err
        assert words in said
        assert "catalogue" not in said
        assert "[[source]]" not in said
    assert main(["licsar", "fetch", WIDE, "--from", str(tmp_path / "none"), "--to", str(tmp_path / "to")]) == 1
    said = capsys.readouterr().err
    assert "[[source]]" not in said
    assert "--from" in said
