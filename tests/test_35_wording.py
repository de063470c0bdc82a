"""What a notice says: every kind in every language, names of any kind, and what machines and mail programs get of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_34_notify import mail_server
from test_46_stored_forms import COUPLE, EPISODE, PAYLOAD, mistakes, schema

from insar_anomaly.evidence.moved import Moved
from insar_anomaly.names import EvidenceKind
from insar_anomaly.notify import wording
from insar_anomaly.notify.alternatives import ALTERNATIVES, Speaks, alternatives
from insar_anomaly.notify.message import DISCLAIMERS, FIGURE_ID, FIGURE_LIMIT, Message
from insar_anomaly.notify.payload import Alone, Member, Payload
from insar_anomaly.report.figures.words import WORDS
from insar_anomaly.spoken import LANGUAGES
from insar_anomaly.spoken.sentences import clean

KINDS = {"raised", "escalated", "released", "reopened", "cleared", "withdrawn"}
MOVED = Moved(
    first=date(2017, 1, 4),
    last=date(2017, 1, 28),
    cm=-12.34,
    sigma_cm=0.56,
    quiet_cm=1.7,
    quiet_spans=24,
    lat=13.5912,
    lon=40.6823,
    km=1.62,
    bearing=127.0,
    area_km2=4.13,
    later=3,
    kept=0.97,
    height_correlation=0.12,
    height_cm=0.3,
    low_coherence=0.03,
    jumps=0.0002,
    season_quiet=14,
    season_highest=3.1,
)
TOLD = replace(PAYLOAD, motion=MOVED, as_of=date(2017, 2, 11))
EARLIER = replace(MOVED, cm=-5.1, area_km2=1.2, last=date(2017, 1, 16))
OF_KIND = {
    "raised": TOLD,
    "escalated": replace(
        TOLD,
        kind="escalated",
        before=EARLIER,
        growth=("peak", "area", "direction"),
        area_over_km2=8.4,
        before_over_km2=2.5,
        agrees=("221080/014A_07688_131313:1",),
    ),
    "released": replace(TOLD, kind="released"),
    "reopened": replace(TOLD, kind="reopened"),
    "cleared": replace(TOLD, kind="cleared", episode=replace(EPISODE, cleared=date(2020, 4, 1))),
    "withdrawn": replace(TOLD, kind="withdrawn", before=MOVED, motion=replace(MOVED, cm=0.3)),
}
EVERY = [(kind, language) for kind in OF_KIND for language in LANGUAGES]
MUCH = {
    "en": "Erta Ale, 12 cm away from the satellite, 4 to 28 January 2017",
    "es": "Erta Ale, 12 cm alejándose del satélite, del 4 al 28 de enero de 2017",
}
OPENS = {
    ("raised", "en"): f"Screening flag raised: {MUCH['en']}",
    ("escalated", "en"): f"Screening flag escalated: {MUCH['en']}",
    ("released", "en"): f"Screening flag still stands: {MUCH['en']}",
    ("reopened", "en"): f"Screening flag stands again: {MUCH['en']}",
    ("cleared", "en"): f"Screening flag cleared: {MUCH['en']}",
    ("withdrawn", "en"): f"Screening flag withdrawn: {MUCH['en']}",
    ("raised", "es"): f"Aviso de cribado: {MUCH['es']}",
    ("escalated", "es"): f"Aviso de cribado, en aumento: {MUCH['es']}",
    ("released", "es"): f"Aviso de cribado que se mantiene: {MUCH['es']}",
    ("reopened", "es"): f"Aviso de cribado que vuelve a estar en pie: {MUCH['es']}",
    ("cleared", "es"): f"Aviso de cribado cerrado: {MUCH['es']}",
    ("withdrawn", "es"): f"Aviso de cribado retirado: {MUCH['es']}",
}

LEADS = {
    "en": [
        "What moved: the ground at Erta Ale (GVP 221080), as the satellite sees it from track 79 (descending).",
        (
            "How much: 12.3 ± 1.1 cm away from the satellite (95 % range). In 95 of 100 quiet spans "
            "nothing on the scored ground exceeds 1.7 cm."
        ),
        "Where: 1.6 km south-east of the vent (13.591° N, 40.682° E); 4.1 km² moved by at least half as much.",
        ("When: 4 to 28 January 2017. That ended 14 days before the night of 11 February 2017, in which it was assessed."),
        ("How sure: the score 9.0 is over the threshold of 7.0 and higher than 99.5 % of this stack's quiet intervals."),
    ],
    "es": [
        ("Qué se movió: el suelo en Erta Ale (GVP 221080), tal como lo ve el satélite desde la órbita 79 (descendente)."),
        (
            "Cuánto: 12.3 ± 1.1 cm alejándose del satélite (intervalo del 95 %). En 95 de cada 100 periodos "
            "tranquilos, nada en el suelo evaluado supera 1.7 cm."
        ),
        (
            "Dónde: a 1.6 km al sureste del centro eruptivo (13.591° N, 40.682° E); 4.1 km² se movieron al "
            "menos la mitad de eso."
        ),
        (
            "Cuándo: del 4 al 28 de enero de 2017. Terminó 14 días antes de la noche del 11 de febrero de "
            "2017, en la que se evaluó."
        ),
        (
            "Con qué certeza: la puntuación 9.0 supera el umbral de 7.0 y el 99.5 % de las puntuaciones "
            "tranquilas de esta serie."
        ),
    ],
}


class Text(HTMLParser):
    """What a person reads of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.tags = "", set()
        self.feed(page)

    def handle_data(self, data):
        self.words += data

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


def test_every_language_has_every_kind_and_every_word():
    for language in LANGUAGES:
        assert wording.kinds(language) == KINDS == set(OF_KIND)
        assert language in DISCLAIMERS
        assert WORDS[language].keys() == WORDS["en"].keys()


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_the_subject_says_volcano_what_how_much_and_when(kind, language):
    told = OF_KIND[kind]
    assert wording.subject(told, language) == OPENS[kind, language]
    assert wording.body(told, language).splitlines()[0] == OPENS[kind, language]
    assert wording.heading(kind, language) == OPENS[kind, language].partition(": Erta")[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_opens_with_what_how_much_where_when_and_how_sure(language):
    body = wording.body(TOLD, language)
    assert body.splitlines()[2:7] == LEADS[language]
    headings = [part.heading for part in wording.parts(TOLD, language)]
    assert [body.index(heading) for heading in headings] == sorted(body.index(heading) for heading in headings)
    assert [part.name for part in wording.parts(TOLD, language)] == list(wording.PARTS)
    for command in ("draw", "ack", "label"):
        assert f"insar-anomaly {command} 221080/079D_07694_131313:2" in body
    assert "insar-anomaly mute 221080 --until" in body


def test_growth_is_told_with_what_was_told_before():
    body = wording.body(OF_KIND["escalated"])
    more = "the score is over the threshold on more ground (8.4 km², 2.5 km² in the last notice)"
    assert f"the score is much higher, and {more}, and a flag from the other direction agrees." in body
    both = "\nBoth directions: flagged from the other direction too, at the same time: 221080/014A_07688_131313:1."
    assert both in body
    rare = {f"return_period_{name}": years for name, years in (("years", 20.0), ("low", 2.0), ("high", 400.0))}
    blind = replace(OF_KIND["escalated"], asked_return_period_years=5.0, unmeasured_summits=(TOLD.stack,), **rare)
    assert f"5 years.{both}\nBlind: " in wording.body(blind)
    assert (
        "What moved then and now: 5.1 ± 1.1 cm away from the satellite in the last notice (4 to 16 January 2017), "
        "12.3 ± 1.1 cm away from the satellite now (4 to 28 January 2017)."
    ) in body
    spanish = wording.body(OF_KIND["escalated"], "es")
    more = "la puntuación supera el umbral en más suelo (8.4 km²; en la última notificación, 2.5 km²)"
    assert f"la puntuación es mucho mayor, {more} y un aviso desde la otra dirección coincide." in spanish
    assert "unknown reason" in wording.body(replace(TOLD, kind="escalated", growth=("unknown reason",)))


def test_every_area_of_an_escalated_notice_says_what_it_is_the_area_of():
    """Of the ground over the threshold the old and the new one, of the motion only the one of now: nothing contradicts."""
    body = wording.body(OF_KIND["escalated"])
    assert re.findall(r"[\d.]+ km²[^,.;)]*", body) == [
        "8.4 km²",
        "2.5 km² in the last notice",
        "4.1 km² moved by at least half as much",
    ]
    unknown = wording.body(replace(OF_KIND["escalated"], before_over_km2=None))
    assert "the score is over the threshold on more ground (8.4 km²)" in unknown
    assert "on more ground, and" in wording.body(replace(OF_KIND["escalated"], area_over_km2=None))


@pytest.mark.parametrize("kind", ["raised", "escalated", "released", "reopened"])
def test_a_notice_of_a_flag_that_has_ended_says_so_first_and_on_what_date(kind):
    over = replace(OF_KIND[kind], episode=replace(EPISODE, cleared=date(2020, 4, 1)))
    first, _, second, *_ = wording.body(over).splitlines()
    assert first == OPENS[kind, "en"].replace(": ", " (cleared since): ", 1)
    assert second == (
        "It has ended since: the flag was cleared on 1 April 2020: nothing has been over the threshold since "
        "25 January 2020. This notice tells what was seen before."
    )
    assert wording.chat(over).splitlines()[1] == second
    assert second.partition(": ")[2] in Text(wording.html(over)).words
    gone = replace(over, episode=replace(over.episode, withdrawn=True))
    assert "(withdrawn since)" in wording.subject(gone)
    assert wording.body(gone).splitlines()[2].startswith("It has ended since: the flag was withdrawn on 1 April 2020: ")
    spanish = wording.body(over, "es").splitlines()
    assert spanish[0].startswith(OPENS[kind, "es"].partition(":")[0] + " (ya cerrado): ")
    assert spanish[2].startswith("Ya ha terminado: el aviso se cerró con fecha 1 de abril de 2020: ")
    assert over.outcome == kind  # to machines it is what it is


@pytest.mark.parametrize(
    ("evidence", "after", "said"),
    [
        (EvidenceKind.PAIR, 0, None),
        (EvidenceKind.INTERVAL, 1, None),
        (EvidenceKind.INTERVAL, 2, "with 1 acquisition after it"),
        (EvidenceKind.INTERVAL, 3, "with 2 acquisitions after it"),
        (EvidenceKind.ACQUISITION, 1, "with 1 acquisition after it"),
    ],
)
def test_an_intervals_own_second_acquisition_is_not_counted_as_one_after_it(evidence, after, said):
    line = next(one for one in wording.body(replace(TOLD, evidence=evidence, after=after)).splitlines() if "Assessed" in one)
    assert line.partition("), ")[2] == (said or "")


def test_of_both_directions_every_acquisition_after_the_shared_time_counts_once():
    """The second acquisition of the interval that ends later lies after the time that both share."""
    one = Member("221080/087A_1", EvidenceKind.INTERVAL, "20200101_20200113", 2, 8.0, "m", 7.0, flagged=False)
    other = replace(one, stack="221080/079D_2", pair="20200105_20200117", after=3)
    both = replace(TOLD, evidence=EvidenceKind.DIRECTIONS, pair="20200105_20200113", after=5, members=(one, other))
    assert both.later == 1 + 3
    said = wording.body(both)
    assert "with 4 acquisitions after it" in said
    assert "1 to 13 January 2020, with 1 acquisition after it" in said
    assert "5 to 17 January 2020, with 2 acquisitions after it" in said


def test_a_withdrawn_flag_says_what_is_left():
    body = wording.body(OF_KIND["withdrawn"])
    assert "The flag is withdrawn." in body
    assert "Left of it: 0.3 ± 1.1 cm towards the satellite (95 % range). That is within the noise of this place." in body
    assert "El aviso se retira." in wording.body(OF_KIND["withdrawn"], "es")
    as_of_old = replace(TOLD, kind="cleared", episode=replace(EPISODE, cleared=date(2020, 2, 1), withdrawn=True))
    assert wording.body(as_of_old).startswith("Screening flag withdrawn")


def test_the_return_period_is_told_where_it_is_known():
    rare = replace(
        TOLD,
        return_period_years=40.0,
        return_period_low=12.0,
        return_period_high=130.0,
        asked_return_period_years=12.0,
    )
    assert (
        "How sure: on quiet ground this stack reaches such a score once in 40 years (95 % range: 12 to 130). "
        "Notices are sent for what is rarer than once in 12 years."
    ) in wording.body(rare)
    assert "una vez cada 40 años (intervalo del 95 %: de 12 a 130)" in wording.body(rare, "es")
    assert Payload.read(rare.text).text == rare.text


@pytest.mark.parametrize(
    ("change", "name", "speaks"),
    [
        ({}, "weather", Speaks.AGAINST),
        ({"height_cm": -8.0}, "weather", Speaks.FOR),
        ({"kept": 0.1}, "weather", Speaks.FOR),
        ({"kept": None}, "weather", Speaks.OPEN),
        ({}, "unwrapping", Speaks.AGAINST),
        ({"jumps": 0.05}, "unwrapping", Speaks.FOR),
        ({"low_coherence": 0.7}, "unwrapping", Speaks.FOR),
        ({"low_coherence": None, "jumps": None}, "unwrapping", Speaks.UNKNOWN),
        ({}, "ionosphere", Speaks.UNKNOWN),
        ({"wavelength_m": 0.238, "bands": 0.8, "bands_cm": 4.0}, "ionosphere", Speaks.FOR),
        ({"wavelength_m": 0.238, "bands": 0.8, "bands_cm": 0.5}, "ionosphere", Speaks.AGAINST),
        ({"wavelength_m": 0.238, "bands": 0.3, "bands_cm": 2.0}, "ionosphere", Speaks.OPEN),
        ({"wavelength_m": 0.238}, "ionosphere", Speaks.UNKNOWN),
        ({}, "season", Speaks.AGAINST),
        ({"season_highest": 8.5}, "season", Speaks.FOR),
        ({"season_highest": None, "season_quiet": 0}, "season", Speaks.UNKNOWN),
    ],
)
def test_each_alternative_is_weighed_by_its_number(change, name, speaks):
    told = replace(TOLD, motion=replace(MOVED, **change))
    assert alternatives(told)[name] is speaks
    for language in LANGUAGES:
        assert wording.body(told, language)


def test_the_ionosphere_is_a_doubt_in_l_band_only():
    body = wording.body(replace(TOLD, motion=replace(MOVED, wavelength_m=0.238, bands=0.62, bands_cm=3.1)))
    assert "Ionosphere: at a wavelength of 24 cm it delays much more than in C band. 62 % of what the map shows" in body
    assert "bands across the flight, of 3.1 cm." in body
    spanish = wording.body(replace(TOLD, motion=replace(MOVED, wavelength_m=0.238)), "es")
    assert "Ionosfera: con una longitud de onda de 24 cm retrasa mucho más que en banda C. No se midieron bandas" in spanish
    for motion in (MOVED, replace(MOVED, wavelength_m=0.055)):
        assert "Ionosphere" not in wording.body(replace(TOLD, motion=motion))


def test_the_region_and_a_stormy_day_are_weighed_too():
    assert alternatives(TOLD)["region"] is Speaks.UNKNOWN
    assert alternatives(replace(TOLD, others_over=31, others_seen=40))["region"] is Speaks.FOR
    quiet = replace(TOLD, others_over=0, others_seen=40)
    assert alternatives(quiet)["region"] is Speaks.AGAINST
    assert "0 of 40 other stacks of the same date are over their threshold." in wording.body(quiet)
    stormy = replace(TOLD, alone={"20170104": Alone(11.0, 5.0)})
    assert alternatives(stormy)["weather"] is Speaks.FOR
    assert "the air of that day is the likelier cause" in wording.body(stormy)
    assert list(alternatives(TOLD)) == list(ALTERNATIVES)


def test_a_couple_tells_what_each_direction_sees():
    both = tuple(replace(COUPLE.members[0], stack=f"221080/{f}", motion=MOVED) for f in ("087A_1_1", "079D_2_2"))
    body = wording.body(replace(COUPLE, stack="221080/087A_1_1+079D_2_2", motion=MOVED, members=both))
    assert "as the satellite sees it from track 87 (ascending) and track 79 (descending)." in body
    assert "From track 79 (descending): 12.3 ± 1.1 cm away from the satellite, flagged by itself too." in body


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_could_not_be_measured_is_said_so(language):
    body = wording.body(PAYLOAD, language)
    assert {"en": "How much: it could not be measured.", "es": "Cuánto: no se pudo medir."}[language] in body
    assert "None" not in body
    bare = replace(TOLD, motion=replace(MOVED, sigma_cm=None, quiet_cm=None, quiet_spans=0, height_correlation=None))
    assert {"en": "too little quiet time", "es": "muy pocos periodos tranquilos"}[language] in wording.body(bare, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_kind_without_a_template_is_told_all_the_same(language):
    told = replace(TOLD, kind="noted")
    assert LANGUAGES[language].states["noted"] in wording.subject(told, language)
    assert "unheard-of" in wording.subject(replace(TOLD, kind="unheard-of"), language)
    assert "1.6 km" in wording.body(told, language)


@pytest.mark.parametrize(("kind", "language"), EVERY)
def test_the_page_says_what_the_text_says(kind, language):
    told = OF_KIND[kind]
    page = Text(wording.html(told, language, figure=True))
    for part in wording.parts(told, language):
        for label, words in part.lines:
            assert label in page.words
            assert words in page.words
    assert DISCLAIMERS[language] in page.words
    assert "img" in page.tags
    assert "img" not in Text(wording.html(told, language)).tags
    assert "None" not in page.words


NAMES = st.text(min_size=1, max_size=60) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "Mt $_{ Doom$",
        "富士山",
        "🌋",
        "a\r\nBcc: all@example.org",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "x => y",
        "&amp;",
    ]
)


@given(NAMES, st.sampled_from(EVERY))
def test_any_name_is_harmless_and_stands_as_it_is(name, which):
    kind, language = which
    told = replace(OF_KIND[kind], volcano=name)
    subject, body = wording.subject(told, language), wording.body(told, language)
    assert len(subject.splitlines()) == 1
    assert len(body.splitlines()) == len(wording.body(OF_KIND[kind], language).splitlines())
    page = Text(wording.html(told, language))
    assert "script" not in page.tags
    shown = clean(name)
    assert shown in body
    assert shown in page.words


def test_every_kind_fits_the_schema_and_comes_back():
    for told in OF_KIND.values():
        assert mistakes(schema("notify", "notice"), told.as_dict()) == []
        assert Payload.read(told.text).text == told.text
    assert {one.name for one in fields(Moved)} == set(MOVED.as_dict())


def test_a_payload_of_the_second_version_is_read():
    old = json.loads(PAYLOAD.text) | {"version": 2}
    new = ("motion", "before", "growth", "agrees", "area_over_km2", "others_over", "others_seen")
    new += tuple(name for name in old if "return_period" in name)
    read = Payload.read(json.dumps({name: value for name, value in old.items() if name not in new}))
    assert read.text == PAYLOAD.text


def message(figure: bytes | None = b"\x89PNG not much", language: str = "en") -> Message:
    told = OF_KIND["raised"]
    return Message(
        key="k",
        kind="raised",
        stack=told.stack,
        subject=wording.subject(told, language),
        body=wording.body(told, language),
        payload=told.as_dict(),
        figure=figure,
        created=datetime(2020, 1, 1, tzinfo=UTC),
        language=language,
        html=wording.html(told, language, figure=figure is not None),
        brief=wording.chat(told, language),
    )


def test_machines_get_the_text_and_the_bytes_of_the_figure():
    sent = message()
    data = sent.data
    assert mistakes(schema("notify", "notice"), data) == []
    assert (data["subject"], data["text"], data["language"]) == (sent.subject, sent.text, "en")
    assert base64.b64decode(data["figure"]["base64"]) == sent.figure
    assert data["figure"]["sha256"] == hashlib.sha256(sent.figure).hexdigest()
    assert message(None).data["figure"] is None
    large = replace(sent, figure=b"x" * (FIGURE_LIMIT + 1), figure_url="https://example.org/1.png").data["figure"]
    assert "base64" not in large
    assert large["url"] == "https://example.org/1.png"
    assert DISCLAIMERS["es"] in message(language="es").text


def test_chat_is_short_and_says_the_most():
    for language in LANGUAGES:
        brief = wording.chat(TOLD, language)
        assert brief.splitlines()[0] == OPENS["raised", language]
        assert "12.3 ± 1.1 cm" in brief
        assert len(brief) < len(wording.body(TOLD, language)) * 0.6


def test_an_email_has_the_text_the_page_and_the_figure_inside_the_page():
    with mail_server() as (mailbox, email):
        for figure in (b"\x89PNG not much", None):
            email().deliver(message(figure, "es"))
    with_figure, without = mailbox.mails
    assert f"cid:{FIGURE_ID}" in with_figure.get_body(("html",)).get_content()
    assert with_figure.get_body(("plain",)).get_content().splitlines()[0] == OPENS["raised", "es"]
    [picture] = [part for part in with_figure.walk() if part.get_content_type() == "image/png"]
    assert picture["Content-ID"] == f"<{FIGURE_ID}>"
    assert picture.get_content() == b"\x89PNG not much"
    assert [part.get_content_type() for part in without.walk()] == ["multipart/alternative", "text/plain", "text/html"]
