"""Products of two wavelengths under one frame; reasons of rejections that differ."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import pytest
import rasterio
from installation import AS_OF, NORTH, QUIET, STEP, WEST, WIDE, read_tif, write_tif
from web import serving

from insar_anomaly import cli
from insar_anomaly.errors import Verdict
from insar_anomaly.ledger.records import PairRow
from insar_anomaly.pipeline.corrections import say_rejected

L_BAND = """
[[source]]
kind = "folder"
url = "lband"
frame = "{frame}"
pattern = "*/{{reference}}_{{secondary}}.geo.unw.tif"
coherence_pattern = "*/{{reference}}_{{secondary}}.geo.cc.tif"
unit = "rad"
positive = "away"
reference = "earlier"
wavelength_m = 0.238

[ingest]
"""


@pytest.fixture
def both(fresh):
    """A frame of which a second source has ten pairs in L band, all written later."""
    fresh.only(990001)
    for pair in fresh.pairs()[:10]:
        shutil.copytree(fresh.phase(pair).parent, fresh.folder / "lband" / pair)
    fresh.change("[ingest]\n", L_BAND.format(frame=WIDE))
    return fresh


def test_products_of_another_band_are_refused_in_one_sentence_and_replace_nothing(both, capsys):
    words = (
        f"frame {WIDE} holds products of two wavelengths, 5.55 cm and 23.8 cm; the stack is C band; 10 L-band pairs are "
        "refused, first "
    )
    for night in range(3):
        run = both.ingest(AS_OF + timedelta(days=night))
        assert [one for one in run.warnings if "band" in one or "replaced" in one or "rejected" in one] == [
            one for one in run.warnings if one.startswith(words)
        ]
        assert sum(one.startswith(words) for one in run.warnings) == 1
        assert run.failures == []
        assert set(both.verdicts(QUIET).values()) == {Verdict.OK}
        assert both.rows("select count(*) from interferogram where uri like '%lband%'") == [(0,)]
    assert cli.main(["--json", "-c", str(both.config), "doctor"]) == 1
    found = [one for one in json.loads(capsys.readouterr().out) if one["what"] == f"frame {WIDE}"]
    assert [one["ok"] for one in found] == [False]
    assert found[0]["words"].startswith(words)


def test_reasons_that_differ_under_one_verdict_are_said_with_their_numbers(ingested):
    details = [f"/a/{n}.tif: cut short; upload it again" for n in range(4)]
    details += ["/a/8.tif: it is empty; upload it again"] * 2 + ["/a/9.tif: in cold storage; restore it"]
    details += ["/a/10.tif: a fourth reason"]
    rows = [PairRow(f"2021010{n + 1}_20210110", "", "", Verdict.UNREADABLE, text, None, 0) for n, text in enumerate(details)]
    with ingested.opened() as (_, run):
        say_rejected(run, QUIET, rows)
    [line] = run.warnings
    assert "20210101_20210110 and 7 more rejected, verdict 20" in line
    assert "/a/0.tif: cut short" in line
    assert "2 pairs otherwise: /a/8.tif: it is empty" in line
    assert "1 pair otherwise: /a/9.tif: in cold storage" in line
    assert "1 pair for further reasons" in line


def test_one_rejected_pair_is_no_pairs(ingested, capsys):
    pair = ingested.pairs()[0]
    ingested.only(990001)
    new = ingested.archive / WIDE / "interferograms" / "20190101_20190113"
    shutil.copytree(ingested.phase(pair).parent, new)
    for file in new.iterdir():
        file.rename(new / file.name.replace(pair, new.name))
    phase = new / f"{new.name}.geo.unw.tif"
    write_tif(phase, 0 * read_tif(phase) + 1)
    assert cli.main(["-c", str(ingested.config), "ingest", "--as-of", str(AS_OF)]) == 0
    assert "1 rejected pair" in capsys.readouterr().out.split("\n")[0].split(", ")[-1:][0]


def test_a_volcano_of_which_everything_is_excluded_fails_by_name_in_every_command(fresh, capsys):
    words = "Silent Caldera (990003): exclude covers the whole box, and nothing is left to assess; make"
    fresh.only(990003)
    file = fresh.folder / "volcanoes.toml"
    file.write_text(file.read_text() + "exclude = [[[39.0, -1.0], [42.0, -1.0], [42.0, 1.0], [39.0, 1.0]]]\n")
    for line in (["ingest"], ["doctor"], ["config", "--check"]):
        given = [str(fresh.config)] if line[0] == "config" else []
        assert cli.main([*([] if given else ["-c", str(fresh.config)]), *line, *given]) in (1, 2)
        told = capsys.readouterr()
        assert words in told.out + told.err, line


def test_doctor_names_a_box_that_changed_since_the_stack_was_made(ingested, capsys):
    ingested.only(990001)
    file = ingested.folder / "volcanoes.toml"
    file.write_text(file.read_text().replace("box_km = 6", "box_km = 5"))
    assert cli.main(["--json", "-c", str(ingested.config), "doctor"]) == 1
    [found] = [one for one in json.loads(capsys.readouterr().out) if one["what"] == f"box of {QUIET}"]
    assert not found["ok"]
    assert f"run `insar-anomaly restack {QUIET}`, or correct" in found["words"]


def test_doctor_names_polygons_that_changed_since_the_fit(fitted, capsys):
    def found():
        cli.main(["--json", "-c", str(fitted.config), "doctor"])
        told = json.loads(capsys.readouterr().out)
        return [one for one in told if one["what"].startswith("polygons of ")]

    fitted.only(990001)
    assert found() == []
    file = fitted.folder / "volcanoes.toml"
    file.write_text(file.read_text() + "exclude = [[[40.0, 0.0], [40.01, 0.0], [40.01, 0.01]]]\n")
    [one] = found()
    assert not one["ok"]
    assert one["what"] == f"polygons of {QUIET}"
    assert "run `insar-anomaly fit`" in one["words"]


def test_a_stale_stack_whose_frame_failed_names_that_failure(fresh, capsys):
    fresh.only(990001)
    fresh.change("[detector]", '[preprocess]\nremove = ["height"]\n\n[detector]')
    for height in (fresh.archive / WIDE).rglob("*hgt*"):
        height.unlink()
    run, digest = fresh.nightly()
    [failure] = [one.error for one in run.failures if one.stack == QUIET]
    [stale] = digest["stale"]
    assert stale["remedy"] == f"the stack failed, so that no pair could be judged: {failure}"
    assert cli.main(["--json", "-c", str(fresh.config), "doctor"]) == 1
    [found] = [one for one in json.loads(capsys.readouterr().out) if one["what"] == f"stack {QUIET}"]
    assert found["words"].endswith(f"; {stale['remedy']}")
    assert not any("scores" in words for words in run.warnings)


def test_a_file_that_cannot_be_read_now_costs_its_pair_and_is_tried_again_the_next_night(fresh):
    fresh.only(990001)
    pair = fresh.pairs()[3]
    with serving(fresh.archive) as web:
        fresh.change('url = "archive"', f'url = "{web.url}/"')
        web.refused = {f"{pair}.geo.unw.tif"}
        run = fresh.ingest()
        assert run.failures == []
        assert pair not in fresh.verdicts(QUIET)
        assert set(fresh.verdicts(QUIET)) == set(fresh.pairs()) - {pair}
        [words] = [one for one in run.warnings if "tried again" in one]
        assert words.startswith(f"{QUIET}: 1 pair could not be read now and is tried again in the next run: ")
        assert f"{pair}.geo.unw.tif: the server answers 403 Forbidden" in words
        web.refused = set()
        run = fresh.ingest(AS_OF + timedelta(days=1))
    assert fresh.verdicts(QUIET)[pair] == Verdict.OK
    assert not any("tried again" in one for one in run.warnings)


def test_a_source_that_is_gone_names_its_path_once(ingested):
    ingested.archive.rename(ingested.folder / "elsewhere")
    run = ingested.ingest()
    for failure in run.failures:
        assert failure.error.count(str(ingested.archive)) == 1
        assert "does not exist; correct url in [[source]]" in failure.error


def test_a_night_counts_what_a_separate_ingest_has_rejected_since_the_last_digest(fresh):
    fresh.only(990001)
    phase = fresh.phase(fresh.pairs()[0])
    write_tif(phase, 0 * read_tif(phase) + 1)
    assert fresh.ingest().counts["rejected_pairs"] == 1
    words = "rejected by other runs since the last digest: 1 pair; `insar-anomaly scores --csv FILE` lists"
    assert any(one.startswith(words) for one in fresh.nightly()[1]["warnings"])
    assert not any("other runs" in one for one in fresh.nightly(AS_OF + timedelta(days=1))[1]["warnings"])


def test_a_night_with_a_frame_on_another_grid_counts_each_pair_once_and_gives_one_remedy(ingested):
    ingested.only(990001)
    for pair in ingested.pairs():
        for path in (ingested.phase(pair), ingested.coherence(pair)):
            write_tif(path, read_tif(path), transform=rasterio.Affine(STEP, 0, WEST + STEP / 2, 0, -STEP, NORTH))
    for night in range(2):
        run = ingested.ingest(AS_OF + timedelta(days=night))
    assert run.counts["replaced_pairs"] == 60
    assert run.counts["rejected_pairs"] == 0
    assert sum(f"insar-anomaly restack {QUIET}" in words for words in run.warnings) == 1
    assert not any("replace it by a product of the same frame" in words for words in run.warnings)
