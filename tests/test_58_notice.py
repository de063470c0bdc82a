"""A notice and its figure from end to end: its numbers against what was simulated, and `draw`."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from installation import (
    AS_OF,
    DATES,
    FIT,
    KM,
    NORTH,
    RISING,
    SHORT,
    STEP,
    UNREST,
    WEST,
    WIDE,
    Installation,
    command,
    flagged,
)
from test_46_stored_forms import mistakes, schema

from insar_anomaly import cli
from insar_anomaly.notify import wording
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.telling import telling
from insar_anomaly.spoken import LANGUAGES

PNG = b"\x89PNG\r\n\x1a\n"
FLAG = f"{RISING}:1"


@pytest.fixture(scope="module")
def flagged_once(with_models, tmp_path_factory) -> Installation:
    """After the night that raises the flag of Rising Cone. Shared: read it, never change it."""
    import installation

    place = installation.copy(with_models, tmp_path_factory.mktemp("flagged"))
    place.only(990002)
    run, _ = place.nightly()
    assert (run.failures, run.warnings) == ([], [])
    return place


def content(place: Installation) -> dict:
    [notice] = place.notices
    return json.loads(notice.read_text())


def stored(place: Installation) -> Payload:
    [(text,)] = place.rows("select payload from notice")
    return Payload.read(text)


def test_the_numbers_of_a_notice_are_those_that_were_simulated(flagged_once):
    told = content(flagged_once)["payload"]["motion"]
    source = UNREST.source
    assert told["cm"] == pytest.approx(source.peak_cm, abs=2 * told["sigma_cm"])
    assert told["sigma_cm"] < 1.5
    # the place of the largest line-of-sight motion, from the source's own formula
    phase = np.abs(source.phase((64, 124), pixel_km=(KM, KM)))
    row, col = np.unravel_index(phase.argmax(), phase.shape)
    lat, lon = NORTH - (row + 0.5) * STEP, WEST + (col + 0.5) * STEP
    assert np.hypot(told["lat"] - lat, told["lon"] - lon) * KM / STEP < 0.3
    east, north = (told["lon"] - WEST - 0.094) * KM / STEP, told["lat"] * KM / STEP
    assert told["km"] == pytest.approx(np.hypot(east, north), abs=0.01)
    half = (phase >= phase.max() / 2).sum() * KM * KM
    assert told["area_km2"] == pytest.approx(half, rel=0.25)
    assert (told["first"], told["last"]) == (DATES[17].isoformat(), DATES[18].isoformat())
    assert told["later"] == 3
    assert told["kept"] == pytest.approx(1, abs=0.1)
    assert told["quiet_spans"] >= 5


def test_the_text_tells_these_numbers(flagged_once):
    notice = content(flagged_once)
    told, words = notice["payload"]["motion"], LANGUAGES["en"]
    when = words.span(DATES[17], DATES[18])
    assert notice["subject"].startswith("Screening flag raised: Rising Cone, 1")
    assert notice["subject"].endswith(f"cm towards the satellite, {when}")
    assert f"{told['cm']:.1f} ± {2 * told['sigma_cm']:.1f} cm towards the satellite" in notice["body"]
    assert notice["language"] == "en"
    assert "cid:" in notice["html"]
    assert mistakes(schema("notify", "notice"), notice["payload"]) == []
    assert (flagged_once.folder / "notices" / notice["figure"]).read_bytes().startswith(PNG)


def test_the_event_is_the_interval_that_holds_the_motion_not_the_one_beside_it(flagged_once):
    told = stored(flagged_once)
    beside = replace(told, pair=f"{DATES[18]:%Y%m%d}_{DATES[19]:%Y%m%d}", after=3)
    with flagged_once.opened() as (s, run):
        moved = telling(s, run, beside.text).told.motion
    assert (moved.first, moved.last) == (DATES[17], DATES[18])
    assert moved.cm == pytest.approx(content(flagged_once)["payload"]["motion"]["cm"], abs=0.5)


@pytest.mark.parametrize("kind", ["escalated", "released", "cleared", "withdrawn"])
def test_other_kinds_are_measured_and_drawn_too_while_the_data_are_there(flagged_once, kind):
    told = replace(stored(flagged_once), kind=kind, as_of=AS_OF + timedelta(days=12))
    with flagged_once.opened() as (s, run):
        found = telling(s, run, told.text)
        assert telling(s, run, told.text) is found  # another channel's notice is not measured again
    assert run.warnings == []
    assert found.figure.startswith(PNG)
    assert (found.told.before is not None) == (kind in ("escalated", "withdrawn"))
    assert found.told.motion.first == DATES[17]
    for language in LANGUAGES:
        assert "Rising Cone" in wording.body(found.told, language)


def test_bands_across_the_flight_are_measured_where_the_wavelength_is_long(flagged_once, monkeypatch):
    for module in ("evidence.moved", "pipeline.weighing"):  # from here on 5.5 cm count as long
        monkeypatch.setattr(f"insar_anomaly.{module}.L_BAND_FROM_M", 0.05)
    assert content(flagged_once)["payload"]["motion"]["bands"] is None
    with flagged_once.opened() as (s, run):
        told = telling(s, run, stored(flagged_once).text).told
    assert run.warnings == []
    assert 0 <= told.motion.bands <= 1
    assert 0 <= told.motion.bands_cm < abs(told.motion.cm)
    assert "Ionosphere: at a wavelength of 6 cm" in wording.body(told)


def test_a_channel_has_its_language(fitted):
    fitted.only(990002)
    fitted.change('kind = "files"', 'kind = "files"\nlanguage = "es"')
    fitted.nightly()
    notice = content(fitted)
    assert notice["subject"].startswith("Aviso de cribado: Rising Cone, 1")
    assert "del 28 de julio al 9 de agosto de 2021" in notice["subject"]
    assert "no es un nivel de alerta ni un pronóstico" in notice["body"]


def test_draw_draws_a_flag_that_made_no_notice(fitted):
    fitted.only(990002)
    fitted.nightly(AS_OF + timedelta(days=1000))
    assert (fitted.notices, [row[:2] for row in flagged(fitted)]) == ([], [(RISING, 1)])
    done = subprocess.run(command("-c", fitted.config, "draw", FLAG), capture_output=True, text=True, check=True)
    file = fitted.folder / "figures" / "flags" / f"990002_{WIDE}_1.png"
    assert str(file) in done.stdout
    assert file.read_bytes().startswith(PNG)


@pytest.mark.parametrize("days", [0, 5])
def test_draw_draws_a_day_of_a_stack(flagged_once, tmp_path, capsys, days):
    day = (DATES[17] + timedelta(days=days)).isoformat()
    words = ["--json", "-c", str(flagged_once.config), "draw", RISING, day, "--out", str(tmp_path / "new" / "a.png")]
    assert cli.main([*words, "--language", "es"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path / "new" / "a.png")}
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.svg", b"<?xml"), ("a.pdf", b"%PDF-"), ("a.JPG", b"\xff\xd8\xff"), ("a.jpeg", b"\xff\xd8\xff"), ("a", PNG)],
)
def test_draw_writes_the_format_of_the_files_ending(flagged_once, tmp_path, capsys, name, begins):
    file, again = tmp_path / name, tmp_path / "again" / name
    for one in (file, again):
        assert cli.main(["-q", "-c", str(flagged_once.config), "draw", FLAG, "--out", str(one)]) == 0
    assert file.read_bytes().startswith(begins)
    assert file.read_bytes() == again.read_bytes()


def test_draw_refuses_a_format_that_it_does_not_write(flagged_once, tmp_path, capsys):
    assert cli.main(["-c", str(flagged_once.config), "draw", FLAG, "--out", str(tmp_path / "a.gif")]) == 2
    assert cli.main(["-c", str(flagged_once.config), "draw", FLAG, "--out", "/dev/null/a.png"]) == 2
    said = capsys.readouterr().err
    assert "figures are not written as .gif; name a file that ends in .jpeg, .jpg, .pdf, .png or .svg" in said
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"{RISING}:7"], f"has no flag 7. Its flags: {FLAG}"),
        ([RISING], f"write a flag, as in {RISING}:1, or a date after the stack"),
        ([RISING.replace("2/0", "2/O")], f"the nearest are {RISING}"),
        ([RISING, "2031-01-01"], f"nothing assessed holds 2031-01-01. The nearest are {DATES[18]} to {DATES[19]}"),
        ([RISING, FIT.first.isoformat()], "The nearest are"),
        ([f"990003/{SHORT}:1"], f"the nearest are {RISING}"),
    ],
)
def test_draw_refuses_what_is_not_there_and_names_the_nearest(flagged_once, capsys, words, said):
    assert cli.main(["-c", str(flagged_once.config), "draw", *words]) == 2
    assert said in capsys.readouterr().err
