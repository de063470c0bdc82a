"""Figures: anchored scales, names of any kind, in every language; each is drawn for real and looked at by its numbers."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from test_46_stored_forms import CALIBRATION

from insar_anomaly.names import EvidenceKind
from insar_anomaly.report.figures import PairFigure, Scene, Track, calibration_png, lettering, pair_png
from insar_anomaly.report.figures.lettering import any_missing, drawable, lettered
from insar_anomaly.stack.schema import Grid

SIDE = 48
GRID = Grid(40.0, SIDE * 0.0005, 0.001, 0.001, (SIDE, SIDE))
RNG = np.random.default_rng(5)
DAYS = tuple(date(2020, 12, 20) + timedelta(days=12 * k) for k in range(8))
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2
QUIET = PairFigure(
    title="079D_07694_131313, track 79 (descending), 13 to 25 January 2021",
    grid=GRID,
    volcano=(0.0, 40.0 + SIDE * 0.0005),
    cm=RNG.normal(scale=0.3, size=(SIDE, SIDE)),
    coherence=np.full((SIDE, SIDE), 0.7),
    score_map=RNG.normal(scale=0.5, size=(12, 12)),
    stride=4,
    threshold=6.0,
    wavelength_m=0.0555,
    height=1000 - 10 * np.hypot(Y, X),
    look=(-0.62, -0.11, 0.78),
    way="D",
    before=("28 December 2020 to 9 January 2021", RNG.normal(scale=0.3, size=(SIDE, SIDE))),
    later=None,
    track=Track(DAYS, (0, 0.1, 0, 5, 5, 5.2, 5, 5), (DAYS[2], DAYS[3]), 0.3),
    peak=(0.004, 40.02),
    assessed="13 to 25 January 2021",
)
MOVING = replace(QUIET, cm=QUIET.cm + 14 * np.exp(-(X**2 + Y**2) / 60), score_map=QUIET.score_map * 30)
ODD = [
    "Mt $_{ Doom$",
    "$\\frac{1}{0}$",
    "富士山",
    "🌋 Volcán",
    "\ufe0f\u202e",
    "<b>&amp;</b>",
    "a\nb\tc\x00",
    "Þríhnúkagígur",
    "___^^^",
]


def pixels(png: bytes) -> np.ndarray:
    return mpl.image.imread(io.BytesIO(png), format="png")


def test_quiet_ground_has_the_same_scales_whatever_its_noise():
    for scale in (0.01, 1, 3):
        assert replace(QUIET, cm=QUIET.cm * scale).limit_cm == 3.0
        norm = replace(QUIET, score_map=QUIET.score_map * scale).score_scale
        assert (norm.vmin, norm.vmax) == (0.0, 12.0)
        assert norm(6.0) == pytest.approx(0.5)
        assert norm(QUIET.score_map * scale).max() < 0.5
    nothing = replace(QUIET, cm=np.full((SIDE, SIDE), np.nan), score_map=np.full((12, 12), np.nan))
    assert nothing.limit_cm == 3.0
    assert pair_png(nothing)


def test_larger_motion_widens_the_scale_and_the_threshold_stays_in_the_middle():
    assert 10 <= MOVING.limit_cm <= 15
    norm = MOVING.score_scale
    assert norm.vmax == pytest.approx(MOVING.score_map.max())
    assert norm(6.0) == pytest.approx(0.5)
    assert replace(MOVING, threshold=None).score_scale.vmax == pytest.approx(MOVING.score_map.max())


def test_a_quiet_map_is_paler_than_a_moving_one():
    def colourful(shown: PairFigure) -> float:
        rgb = pixels(pair_png(replace(shown, height=None, look=None, peak=None), title="t"))[120:480, 60:400, :3]
        return float((rgb.max(-1) - rgb.min(-1)).mean())

    wide = replace(MOVING, cm=QUIET.cm + 14 * np.exp(-(X**2 + Y**2) / 600))
    assert colourful(QUIET) < 0.5 * colourful(wide)


@pytest.mark.parametrize(("language", "stacks"), [("en", 1), ("es", 2)])
def test_the_figure_has_a_block_for_each_stack(language, stacks):
    image = pixels(pair_png(*[MOVING] * stacks, title="Screening flag withdrawn: Erta Ale (221080)", language=language))
    height, width, _ = image.shape
    assert width == 1210
    assert height == pytest.approx((0.7 + 7.3 * stacks) * 110, abs=2)


@pytest.mark.parametrize(
    "bare", [{"track": None, "before": None, "peak": None}, {"look": None, "height": None}, {"way": None}]
)
def test_what_is_not_known_is_left_out(bare):
    assert pixels(pair_png(replace(MOVING, **bare), title="t")).shape[1] == 1210


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_drawn_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = pair_png(replace(QUIET, title=name), title=name, note=name)
    assert drawn != pair_png(QUIET, title="t")


def test_odd_names_are_drawn_in_calibrations_too():
    name = " ".join(ODD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = calibration_png(name, EvidenceKind.INTERVAL, CALIBRATION, Scene(name, (0.0, 40.0), GRID))
    assert drawn != calibration_png("t", EvidenceKind.INTERVAL, CALIBRATION, Scene("t", (0.0, 40.0), GRID))


def test_a_dollar_stays_a_dollar():
    assert lettered("Mt $_{ Doom$")["s"] == "Mt $_{ Doom$"
    assert lettered("Mt $_{ Doom$")["parse_math"] is False


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_text_is_drawable_and_says_what_is_missing(text):
    shown = drawable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert all(lettering._family_with(c) for c in shown if c != "\n")
    assert any_missing([text]) == (shown.count("[U+") > text.count("[U+"))
    assert lettered(text)["family"][0] == "DejaVu Sans"


@pytest.fixture
def bare(monkeypatch):
    """A machine that has no fonts but Matplotlib's own."""
    plain = [one for one in font_manager.fontManager.ttflist if "mpl-data" in one.fname]
    manager = SimpleNamespace(ttflist=list(plain), addfont=lambda path: added(manager, path))
    monkeypatch.setattr(font_manager, "fontManager", manager)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    forget()
    yield monkeypatch
    forget()


def added(manager, path):
    manager.ttflist.append(font_manager.ttfFontProperty(font_manager.get_font(path)))


def forget():
    for one in (lettering._fonts, lettering._family_with, lettering._newly_installed):
        one.cache_clear()
    lettering._said.clear()


def test_characters_without_a_font_are_written_as_their_numbers_and_the_log_names_a_font_once(bare, caplog):
    assert drawable("富士山 (283030)") == "[U+5BCC U+58EB U+5C71] (283030)"
    assert drawable("Volcán 🌋") == "Volcán [U+1F30B]"
    assert drawable("ኤርታ ዓሌ, " + "火" * 12).endswith(" [" + " ".join(["U+706B"] * 8) + " ...]")
    assert drawable("Mt $_{ Doom$") == "Mt $_{ Doom$"
    [cjk, symbols, letters] = [record.getMessage() for record in caplog.records]
    assert "no font on this machine has 富 (U+5BCC" in cjk
    assert "Noto Sans CJK (Debian package fonts-noto-cjk)" in cjk
    assert "fonts-symbola" in symbols
    assert "fonts-noto-core" in letters


def test_a_font_that_was_installed_after_matplotlib_made_its_list_is_found(bare, tmp_path):
    """The list is kept in a file, and is not made again when a font is installed."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for step, point in enumerate(((100, 0), (100, 800), (800, 800), (800, 0))):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    box = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "fuji"])
    font.setupCharacterMap({ord("富"): "fuji"})
    font.setupGlyf({".notdef": box, "fuji": box})
    font.setupHorizontalMetrics({".notdef": (900, 100), "fuji": (900, 100)})
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "One Kanji", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=900)
    font.setupPost()
    font.save(tmp_path / "OneKanji.ttf")
    bare.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "OneKanji.ttf")])
    assert drawable("富士") == "富[U+58EB]"
    assert lettered("富")["family"] == ["DejaVu Sans", "One Kanji"]


def test_figures_of_the_same_scene_are_the_same_bytes():
    assert pair_png(MOVING, title="t") == pair_png(MOVING, title="t")


@pytest.mark.parametrize("grid", [GRID, None])
def test_the_calibration_has_the_volcano_and_its_place(grid):
    one = calibration_png("221080/079D", EvidenceKind.INTERVAL, CALIBRATION, Scene("Erta Ale", (13.6, 40.67), grid))
    other = calibration_png("221080/079D", EvidenceKind.INTERVAL, CALIBRATION, Scene("Erta Ale", (13.7, 40.67), grid))
    assert one != other
