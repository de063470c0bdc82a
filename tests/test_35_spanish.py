"""No English in what a Spanish reader gets: every kind of notice, digest and page is made and searched for English words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html import unescape
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from test_35_languages import DIGEST, GROUP, MESSAGES, STACK, STALE
from test_35_wording import MOVED, OF_KIND, TOLD
from test_46_stored_forms import COUPLE, PAYLOAD

import insar_anomaly
from insar_anomaly.calibration.budget import Level
from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.samples import Sample
from insar_anomaly.calibration.threshold import Target, threshold_of
from insar_anomaly.calibration.trial import Trial
from insar_anomaly.flags.mutes import Mute
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.people_rows import ActKind, ActRow, Label
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import Target as Muted
from insar_anomaly.notify import wording
from insar_anomaly.notify.message import DISCLAIMERS, OF_A_TEST
from insar_anomaly.notify.payload import Alone
from insar_anomaly.report.digest import Blind, Failure, lines
from insar_anomaly.report.figures.words import WORDS
from insar_anomaly.serve import pages
from insar_anomaly.spoken import LANGUAGES
from insar_anomaly.spoken.reasons import in_language
from insar_anomaly.spoken.sentences import said

ROOT = Path(insar_anomaly.__file__).parent
DAY, NOW = date(2026, 3, 2), datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
SAME = {"cm", "km", "mm", "dd", "cpu", "utc", "url", "gvp", "no", "probable", "use", "error", "youden"}
"""What is Spanish too, and units."""
NAMES = {"erta", "ale", "fuego", "ada", "abc", "mail", "amended"}
"""Names in the values that are told, which stand as they are."""
TARGET = Target("fpr", 1.0, 0.01, 0.99, 5, 60)
QUIET = Trial(np.array([["2021-01-01", "2021-01-13"]] * 20, "datetime64[D]"), np.linspace(0, 1, 20), {}, 2.0)
LOUD = replace(QUIET, positive={Sample.parse("4 cm"): np.array([5.0, 6.0])})
LEVELS = [
    Level(1 / 24, 12.0, Estimate(11.0, 4.0, 12.0), 300, 450.0, short=short, without=without)
    for short, without in product((False, True), (0, 4))
] + [Level(float("inf"), 12.0, Estimate(1.0, 0.5, 2.0), 3, 4.0)]


def reasons() -> list[str]:
    """What the program itself says of thresholds, of the level and of blind stacks."""
    policies = ("false-alarms-per-year", "fpr", "youden", "quantile")
    found = [
        threshold_of(one, replace(TARGET, policy=policy), in_sample=np.linspace(0, 1, 9))[1]
        for one, policy in product((QUIET, LOUD), policies)
    ]
    found.append(threshold_of(QUIET, replace(TARGET, min_pairs=99))[1])
    blind = re.findall(r'run\.blind\[\w+\] = f?"([^"]+)"', (ROOT / "pipeline" / "assess.py").read_text())
    assert len(blind) >= 3
    return [*found, *(one.words for one in LEVELS), *(one.replace("{model.why}", found[0]) for one in blind)]


def notices(language: str) -> list[str]:
    """Every kind of notice of a flag, with all that one may say, and with nothing known."""
    one = replace(COUPLE.members[0], stack="221080/079D_2_2", motion=MOVED)
    lost = {"sigma_cm": None, "kept": None, "height_correlation": None, "low_coherence": None, "jumps": None}
    lost |= {"season_highest": None, "season_quiet": 0}
    motions = [
        MOVED,
        replace(MOVED, **lost),
        replace(MOVED, wavelength_m=0.238, bands=0.8, bands_cm=4.0, km=0.1, cm=0.5, jumps=0.05, low_coherence=0.7),
        replace(MOVED, wavelength_m=0.238, height_cm=-8.0, kept=0.5, later=1, season_quiet=1, season_highest=8.5),
    ]
    alone = {"20170104": Alone(11.0, 5.0), "20170116": Alone(6.0, 5.0), "20170128": Alone(1.0, 5.0), "20170203": None}
    alone |= {"20170209": Alone(1.0, None)}
    rare = {"return_period_years": 2e4, "return_period_low": 12.0, "return_period_high": 9e5}
    more = [
        *(replace(told, motion=motion) for told, motion in product(OF_KIND.values(), motions)),
        replace(TOLD, **rare, asked_return_period_years=12.0, alone=alone, others_over=31, others_seen=40),
        replace(TOLD, others_over=0, others_seen=40, percentile=100.0, unmeasured_summits=(STACK,), lon=-90.404),
        replace(TOLD, partly_measured={STACK: 0.4}, link="https://example.org/flag"),
        replace(COUPLE, stack="221080/087A_1_1+079D_2_2", motion=MOVED, members=(one, replace(one, motion=None))),
        PAYLOAD,
        replace(PAYLOAD, kind="amended"),
    ]
    more += [replace(TOLD, policy=policy) for policy in ("false-alarms-per-year", "fpr", "youden", "quantile")]
    more += [replace(TOLD, calibration=replace(TOLD.calibration, why=why)) for why in reasons()]
    plain = replace(TOLD.calibration, why=reasons()[0])
    more = [one if one.calibration.why != TOLD.calibration.why else replace(one, calibration=plain) for one in more]
    return [text for told in more for text in (wording.body(told, language), wording.chat(told, language))]


def nights(language: str) -> list[str]:
    """What is said of a night, and every other message."""
    stages = (
        "ingest",
        "fit",
        "assess",
        "assess couples",
        "flag",
        "flag couples",
        "hold together",
        "canary",
        "notify",
        "restack",
    )
    told = [
        replace(
            DIGEST,
            failures=(Failure("every stack", "level", "x"), *(Failure(STACK, stage, "x") for stage in stages)),
            blind=tuple(Blind(STACK, why) for why in reasons()),
            level=level.words,
            warnings=(),
            undelivered=("x",) * 12,
            costs=tuple(replace(DIGEST.costs[0], stage=stage) for stage in (*stages, "settle", "replay", "backfill", "run")),
        )
        for level in LEVELS
    ]
    texts = ["\n".join(lines(one, language=language)) for one in told]
    groups = [replace(GROUP, platforms=("S1A", "S1C")), replace(GROUP, platforms=("S1A", "S1A")), replace(GROUP, track=None)]
    kinds = [(str(state), 2) for state in FlagState] + [("released", 1), ("reopened", 3)]
    every = [*MESSAGES.items(), (("notify", "messages/group"), MESSAGES["notify", "messages/group"] | {"kinds": kinds})]
    every += [(("notify", "messages/region"), {"group": one, "held": [replace(TOLD, volcano="Fuego")]}) for one in groups]
    every += [(("report", "stale"), {"stack": STACK, "state": replace(STALE, **how)}) for how in STATES]
    for (room, kind), given in every:
        values = given | {"held": [replace(TOLD, volcano="Fuego")]} if "held" in given else given
        if kind != "digest":
            words = said(room, kind, language, **(values | {"error": "x", "said": "x", "first": "x", "failures": []}))
            texts.append(f"{words.subject}\n{words.body}")
    return texts


STATES = [
    {"newest": None, "listed_newest": DAY},
    {"listed": None},
    {"listed": 0},
    {"listed_newest": DAY},
    {"repeat_days": None},
    {"missed": 1},
]


def served(language: str) -> list[str]:
    """Every page, with every act and every form."""
    acts = [ActRow(STACK, 1, ActKind.LABELLED, "Ada", NOW, "x", label=label, confidence=1.0) for label in Label]
    acts += [ActRow(STACK, 1, kind, "Ada", NOW, until=DAY) for kind in ActKind]
    rows = [EpisodeRow(STACK, 1, DAY, DAY, "p", "20260302_20260314", 9.0, 5.0, 1, "m", state) for state in FlagState]
    rows.append(replace(rows[0], state=FlagState.CLEARED, cleared=DAY))
    mutes = [Mute(Muted("22*"), DAY, "Ada", "x", NOW), Mute(Muted(STACK), DAY, "Ada", "", NOW)]
    shown = pages.Shown("Fuego", "flag?x", "figure?x", [], mutes, unmutable=True, latest=DAY, done=0)
    texts = [pages.flag_page(row, acts, shown, language) for row in rows]
    texts += [pages.flag_page(rows[0], [], replace(shown, mutes=[], done=None), language)]
    say = pages._words(language)
    texts += [pages.message(kind, why, language, "x", "y", "z") for kind in say.titles for why in say.reasons]
    return [re.sub(r"<style>.*?</style>", "", one, flags=re.DOTALL) for one in texts]


def words_of(text: str) -> set[str]:
    """The words of a text that a reader takes for the language's own: no tags, commands, names or keys."""
    text = re.sub(r"\((?:o bien|or) [^)]*\)|`[^`]*`|docs/\S+|\[\[?\w+\]\]?|https?://\S+|<[^>]*>", " ", unescape(text))
    text = re.sub(r"\{\w+[^}]*\}|insar-anomaly[^\n<,;]*|\S*[\d_/=]\S*", " ", text)
    return set(re.findall(r"[a-zñáéíóúü]{2,}", text.casefold()))


TEXTS = {"notices": notices, "nights": nights, "pages": served}


@pytest.mark.parametrize("which", TEXTS)
def test_no_english_word_stands_in_a_spanish_text(which):
    english = set().union(*(words_of(one) for make in TEXTS.values() for one in make("en")))
    for text in TEXTS[which]("es"):
        assert not (words_of(text) & english) - SAME - NAMES, text


def test_longitudes_west_of_greenwich_are_named_in_the_readers_language():
    west = replace(TOLD, motion=replace(MOVED, lat=-0.83, lon=-91.17), unmeasured_summits=(STACK,), lat=-0.37, lon=269.596)
    assert "(0.830° S, 91.170° W)" in wording.body(west)
    assert "0.370° S, 90.404° W" in wording.body(west)
    assert "(0.830° S, 91.170° O)" in wording.body(west, "es")
    assert "0.370° S, 90.404° O" in wording.body(west, "es")
    assert LANGUAGES["es"].place(13.601, 40.67) == "13.601° N, 40.670° E"


@pytest.mark.parametrize("words", reasons())
def test_what_the_program_says_of_thresholds_and_levels_has_a_spanish_sentence_with_the_same_numbers(words):
    spanish = in_language(words, "es")
    assert in_language(words, "en") == words
    assert spanish != words
    assert not words_of(spanish) & words_of(words) - SAME
    assert sorted(re.findall(r"[\d.]+\d", spanish)) == sorted(re.findall(r"[\d.]+\d", words))


def test_a_sentence_that_nobody_knows_stays_as_it_is():
    assert in_language("a plugin's own words; not fitted: run `x`", "es") == "a plugin's own words; sin ajustar: ejecute `x`"


def test_the_texts_of_figures_and_disclaimers_have_no_english_word_either():
    for every in (WORDS, DISCLAIMERS, OF_A_TEST):
        english, spanish = (words_of(" ".join(text.values()) if isinstance(text, dict) else text) for text in every.values())
        assert not spanish & english - SAME - {"radar"}
