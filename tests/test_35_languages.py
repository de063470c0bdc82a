"""Every text that people get exists in every language: templates, kinds of notices, and what a Spanish route gets."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import outbox
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox import NIGHT, webhook
from receivers import receiving

import insar_anomaly
from insar_anomaly import cli
from insar_anomaly.errors import Verdict
from insar_anomaly.flags.events import FlagEvent
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.together import Together
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.people_rows import ActKind, Label
from insar_anomaly.ledger.records import CostRow
from insar_anomaly.names import EvidenceKind, FlagName
from insar_anomaly.notify.message import DISCLAIMERS
from insar_anomaly.pipeline.messages import worded
from insar_anomaly.pipeline.night_notices import tell_night
from insar_anomaly.report.changes import FlagChange
from insar_anomaly.report.digest import OF_A_NIGHT, Blind, Digest, Failure, OpenFlag, lines
from insar_anomaly.report.states import stale_of
from insar_anomaly.serve.pages import _words as page_words
from insar_anomaly.spoken import LANGUAGES, Language
from insar_anomaly.spoken.sentences import said, sentences, template
from insar_anomaly.stack.freshness import StackState

ROOT = Path(insar_anomaly.__file__).parent
ROOMS = sorted(folder.parent.name for folder in ROOT.glob("*/templates"))
OTHERS = sorted(set(LANGUAGES) - {"en"})
STACK = "221080/001A_00001_010101"
STALE = StackState(
    NIGHT, date(2021, 6, 1), 121, 12, date(2021, 6, 13), missed=5, listed=3, accepted=9, summit=0.1, stale=True
)
NOTED = OpenFlag(
    STACK, "Erta Ale", 1, NIGHT, NIGHT, "p", "p", 2.0, 1.0, 1, "m", EvidenceKind.PAIR, 1.5, 1, "why", FlagState.NOTED
)
REJECTIONS = [one for one in Verdict if Verdict.OK < one < Verdict.IN_FIT]
DIGEST = Digest(
    NIGHT,
    1,
    "nightly",
    2,
    dict.fromkeys(OF_A_NIGHT, 3),
    (NOTED, replace(NOTED, number=2, state=FlagState.RAISED, pairs_over=4, evidence=EvidenceKind.INTERVAL, told=Told.TOLD)),
    (Failure(STACK, "ingest", "the disk is full"),),
    (Blind(STACK, "too few pairs"),),
    tuple(f"key {number}" for number in range(12)),
    ("a warning",),
    (CostRow("night", *[3] * 11),),
    {STACK: replace(STALE, acquisitions={"20210601": 1})}
    | {f"22108{n}/001A_00001_010101": replace(STALE, age_days=n, stale=False) for n in range(1, 9)}
    | {"221089/001A_00001_010101": StackState(NIGHT)},
    "the level",
    tuple(
        FlagChange(what, STACK, n, "Erta Ale", FlagState.CLEARED, NIGHT, NIGHT, "p", 2.0, 1.0, NIGHT, Told.DELIVERED)
        for n, what in enumerate(FlagEvent, 1)
    ),
    dict.fromkeys(REJECTIONS, 3) | {Verdict.NO_DATA: 1},
)
GROUP = Together(date(2026, 3, 2), "014A", 31, 40, (FlagName(STACK, 1),))
MESSAGES = {
    ("notify", "messages/group"): {"number": 2, "region": "22", "kinds": [("raised", 1), ("released", 1)], "parts": []},
    ("notify", "messages/limit_begins"): {"channel": "mail", "most": 5, "waiting": 3},
    ("notify", "messages/limit_ends"): {"channel": "mail", "since": datetime(2026, 3, 2, 3, 5, tzinfo=UTC)},
    ("notify", "messages/parked"): {
        "channel": "mail",
        "key": "k",
        "refused": 3,
        "error": "no",
        "first": "one",
        "more": 2,
        "said": "it",
    },
    ("notify", "messages/test"): {"destination": "mail"},
    ("notify", "messages/region"): {"group": GROUP, "held": [outbox.payload(221080)]},
    ("report", "digest"): {"digest": DIGEST, "number": 1, "text": "the digest"},
    ("report", "noted"): {"as_of": NIGHT, "flags": [NOTED]},
    ("report", "failure"): {"as_of": NIGHT, "failures": DIGEST.failures},
    ("report", "stale"): {"stack": STACK, "state": STALE},
}
"""Every text that is no notice of a flag, with values to say."""


def names(room: str, language: str) -> list[str]:
    return sorted(sentences(room, language).list_templates())


def shape(value: object) -> object:
    """What of a template has to be the same in every language: its macros with their arguments, the keys of its tables."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return tuple(value.arguments) if hasattr(value, "arguments") else type(value).__name__


def content(room: str, name: str, language: str) -> dict[str, object]:
    made = page_words(language) if room == "serve" else template(room, name.removesuffix(".j2"), language)
    return {key: shape(value) for key, value in vars(made).items() if not key.startswith("_")}


@pytest.fixture(autouse=True)
def _filters():
    from insar_anomaly.notify import wording

    for language in LANGUAGES:
        wording._sentences(language)


@pytest.mark.parametrize("language", OTHERS)
def test_every_template_has_the_same_macros_and_tables_in_every_language(language):
    assert ROOMS == ["notify", "report", "serve"]
    for room in ROOMS:
        assert names(room, language) == names(room, "en")
        for name in names(room, "en"):
            mine, english = content(room, name, language), content(room, name, "en")
            own = {"acquisitions", "days", "quiet", "reasons_of"}  # helpers of a language that counts otherwise
            assert {key: one for key, one in mine.items() if key not in own} == english, (room, name)


@pytest.mark.parametrize("field", [one.name for one in fields(Language)])
def test_every_language_has_every_word(field):
    english = getattr(LANGUAGES["en"], field)
    for language in OTHERS:
        found = getattr(LANGUAGES[language], field)
        assert type(found) is type(english)
        if not isinstance(english, str):
            assert len(found) == len(english)
    assert LANGUAGES["en"].states.keys() == {str(state) for state in FlagState}
    assert LANGUAGES["en"].told.keys() == {str(one) for one in Told}


def test_no_text_is_left_out_of_these_tests():
    known = {(room, name.removesuffix(".j2")) for room in ("notify", "report") for name in names(room, "en")}
    assert {one for one in known if one[0] == "report" or "/" in one[1]} == set(MESSAGES)


@pytest.mark.parametrize(("room", "kind"), MESSAGES)
def test_every_text_is_said_in_every_language_and_each_is_another(room, kind):
    values = MESSAGES[room, kind]
    english = said(room, kind, "en", **values)
    for language in LANGUAGES:
        found = said(room, kind, language, **values)
        assert found.subject
        assert found.body
        assert "None" not in found.subject + found.body
        assert (found.subject == english.subject) == (language == "en")
        assert (found.body == english.body) == (language == "en" or kind == "digest")  # its body is made of lines


def test_the_words_of_pages_are_those_of_the_ledger():
    for language in LANGUAGES:
        words = page_words(language)
        assert words.labels.keys() == {str(label) for label in Label}
        assert words.acts.keys() == {str(kind) for kind in ActKind}


def english_in(text: str) -> list[str]:
    """English words of a text that no Spanish one has, apart from commands."""
    text = re.sub(r"`[^`]*`|docs/\S+", "", text)
    return re.findall(r"\b(?:the|flags?|notices?|which|and|with|newest|days|of|stacks?)\b", text)


@pytest.mark.parametrize("language", OTHERS)
def test_a_digest_says_the_same_in_every_language(language):
    english, mine = lines(DIGEST), lines(DIGEST, language=language)
    assert len(mine) == len(english)
    for here, there in zip(mine, english, strict=True):
        assert len(here) - len(here.lstrip()) == len(there) - len(there.lstrip())
        assert sorted(re.findall(r"\d+", here)) == sorted(re.findall(r"\d+", there))
    programs = {"key", "disk", "level", "warning", "pairs"}  # see DIGEST: what was handed in as a program's words
    own = [line for line in mine if not any(word in line for word in programs)]
    assert english_in("\n".join(own)) == []


def a_state():
    days = st.integers(0, 400)
    near = st.none() | st.dates(date(2021, 1, 1), NIGHT)
    return st.builds(
        StackState,
        as_of=st.just(NIGHT),
        newest=near,
        age_days=days,
        repeat_days=st.none() | st.integers(1, 24),
        expected=st.just(NIGHT),
        missed=st.integers(0, 30),
        listed=st.none() | st.integers(0, 5),
        listed_newest=near,
        stale=st.just(True),
    )


@given(a_state(), st.sampled_from(sorted(LANGUAGES)))
def test_whatever_made_a_stack_stale_is_said_with_its_numbers(state, language):
    words = said("report", "stale", language, stack=STACK, state=state)
    [english] = stale_of({STACK: state})
    if language == "en":
        assert words.body == english.words
    else:
        assert english_in(words.body) == []
    assert sorted(re.findall(r"\d+", words.body)) == sorted(re.findall(r"\d+", english.words))


# ------------------------------------------------------------------------------------------------------ a Spanish route


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def data(receiver) -> list[dict]:
    return [json.loads(body)["data"] for _, body in receiver.came]


def test_a_spanish_route_gets_what_is_said_of_a_night_in_spanish(tmp_path):
    with receiving() as receiver:
        kinds = '["digest", "noted", "failure", "stale"]'
        route = f'[[route]]\nchannel = "webhook"\nlanguage = "es"\nkinds = {kinds}\n'
        place = outbox.build(tmp_path, webhook(receiver.url) + route)
        with place.opened("nightly", NIGHT) as (s, run):
            tell_night(s, run, DIGEST)
        found = {one["kind"]: one for one in data(receiver)}
    assert {kind: one["subject"] for kind, one in found.items()} == {
        "digest": "Cribado del 2021-09-30 (con fallos): 2 series, 1 aviso abierto",
        "noted": "Cribado del 2021-09-30: 1 aviso anotado",
        "failure": "Cribado del 2021-09-30: 1 fallo",
        "stale": f"Ya no llega nada utilizable: {STACK}",
    }
    assert all(one["language"] == "es" and DISCLAIMERS["es"] in one["text"] for one in found.values())
    assert "la siguiente se esperaba el 2021-06-13 y faltaron 5 repeticiones de 12 días" in found["stale"]["text"]


def test_a_spanish_channel_gets_groups_and_limits_in_spanish(tmp_path):
    with receiving() as receiver:
        place = outbox.build(
            tmp_path,
            webhook(receiver.url, language="es", group_above=2, max_per_hour=1),
            gvps=[221000, 221001, 221002, 343100],
        )
        place.put(221000, 221001, 221002, 343100)
        place.deliver()
        group, begins = data(receiver)
        with place.opened("notify", NIGHT) as (s, _):
            s.ledger.limit("webhook", datetime.now(UTC) - timedelta(hours=2))
        place.change("max_per_hour = 1", "max_per_hour = 9")
        place.deliver()
        ends = data(receiver)[-1]
    assert group["subject"] == "Avisos de cribado: 3 de la región 22 (emitido: 3)"
    assert "Aviso de cribado: Volcano 221001, una señal inusual" in group["text"]
    assert begins["subject"] == "Límite de avisos alcanzado: 1 en espera"
    assert ends["subject"] == "El límite de avisos ha terminado"
    assert {one["language"] for one in (group, begins, ends)} == {"es"}


def test_what_is_parked_and_a_test_come_in_the_language_of_the_channel_that_gets_them(tmp_path):
    with receiving(answer=lambda body: 422) as refuses, receiving() as takes:
        place = outbox.build(tmp_path, webhook(refuses.url, park_after=1) + webhook(takes.url, language="es"), gvps=[221000])
        place.put(221000)
        place.deliver()
        assert cli.main(["-c", str(place.config), "notify", "--test", "webhook-2"]) == 0
        parked, test = data(takes)
    assert parked["subject"].startswith("El canal webhook no lo acepta: Aviso de cribado: Volcano 221000")
    assert "lo rechazó 1 noche y queda apartado" in parked["text"]
    assert test["subject"] == "[PRUEBA] insar-anomaly: prueba de webhook-2"
    assert test["text"].startswith("ESTO ES UNA PRUEBA")
    assert "Esto es solo una prueba." in test["text"]
    assert DISCLAIMERS["es"] not in test["text"]


def test_words_that_an_earlier_version_put_into_the_outbox_are_english(tmp_path):
    place = outbox.build(tmp_path, '[[channel]]\nkind = "files"\nfolder = "notices"\nlanguage = "es"\n')
    from insar_anomaly.ledger.records import NewNotice

    old = json.dumps({"subject": "Screening", "body": "quiet", "payload": {"kind": "digest"}})
    with place.opened("put", NIGHT) as (s, _):
        s.ledger.put("", [NewNotice("digest:1:files", "files", "digest", old)])
        [row] = s.ledger.pending()
    assert worded(row).language == "en"
    assert DISCLAIMERS["en"] in worded(row).text
