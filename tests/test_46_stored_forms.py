"""What is stored or sent as JSON: it fits the schemas in the package, comes back as it was, and older forms are read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from installation import AS_OF, RISING
from jsonschema import Draft202012Validator

from insar_anomaly.calibration.detectability import Detectability, Peak
from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.record import VERSION, Calibration, Curve
from insar_anomaly.calibration.samples import LABELLED, QUIET, Age, Sample, injected
from insar_anomaly.evidence.protocol import Assessed
from insar_anomaly.names import EvidenceKind
from insar_anomaly.notify import wording
from insar_anomaly.notify.payload import Alone, EpisodeTold, Member, Payload, Reliability
from insar_anomaly.report.digest import OF_A_NIGHT, Count


def schema(room: str, name: str) -> Draft202012Validator:
    """A schema of the package, itself checked."""
    content = json.loads(resources.files(f"insar_anomaly.{room}").joinpath(f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(content)
    return Draft202012Validator(content, format_checker=Draft202012Validator.FORMAT_CHECKER)


def mistakes(validator: Draft202012Validator, content: object) -> list[str]:
    """What does not fit, one line each."""
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


SIGHT = Detectability(Peak(2.0), Peak(8.0, ">"), np.array([[1.0, 2.0], [3.0, 4.0]]), (0.25, 0.75))
CALIBRATION = Calibration(
    policy="fpr",
    threshold=7.0,
    why="false positive rate",
    negatives=(1.0, 2.0, 3.5),
    years=1.5,
    false_alarms=Estimate(0.5, 0.1, 1.9),
    false_positives=Estimate(0.0, 0.0, 0.4),
    detection={injected(4): Estimate(0.9, 0.8, 1.0), injected(4, Age.FIRST): Estimate(0.5, 0.4, 0.6)},
    auroc={injected(4): 0.99, LABELLED: 0.5},
    roc={injected(4): Curve((0.0, 1.0), (0.0, 1.0))},
    detectability=SIGHT,
    assessments={QUIET: (Assessed(date(2020, 1, 1), date(2020, 1, 13), 2, date(2020, 1, 25), 1.25),)},
)
EPISODE = EpisodeTold(2, date(2020, 1, 1), date(2020, 1, 25), "20200101_20200113", "20200113_20200125", 9.0, 3, None)
PAYLOAD = Payload(
    kind="raised",
    stack="221080/079D_07694_131313",
    gvp=221080,
    volcano="Erta Ale",
    lat=13.6,
    lon=40.67,
    evidence=EvidenceKind.INTERVAL,
    pair="20200101_20200113",
    after=2,
    score=9.0,
    threshold=7.0,
    percentile=99.5,
    episode=EPISODE,
    policy="fpr",
    calibration=Reliability.of(CALIBRATION),
    model="0123456789abcdef",
    snapshot="ABC",
    as_of=date(2020, 2, 1),
    pair_age_days=19,
    alone={"20200101": Alone(1.0, 5.0), "20200113": None},
)
COUPLE = replace(
    PAYLOAD,
    stack="221080/087A_1+079D_2",
    evidence=EvidenceKind.DIRECTIONS,
    alone={},
    members=(Member("221080/087A_1", EvidenceKind.INTERVAL, "20200101_20200113", 1, 8.0, "m", 7.5, flagged=True),),
)

SAMPLES = st.one_of(
    st.sampled_from([QUIET, LABELLED]),
    st.builds(injected, st.floats(0.1, 1000).map(lambda peak: float(f"{peak:g}")), st.sampled_from(Age)),
)


@given(SAMPLES)
def test_a_sample_comes_back_from_its_printed_form(sample):
    assert Sample.parse(str(sample)) == sample


def test_the_printed_forms_of_earlier_versions_are_read():
    assert Sample.parse("4 cm at once") == injected(4, Age.FIRST)
    with pytest.raises(ValueError, match="names no sample"):
        Sample.parse("four centimetres")


def test_a_calibration_fits_its_schema_and_comes_back_as_it_was():
    assert mistakes(schema("calibration", "calibration"), json.loads(CALIBRATION.text)) == []
    back = Calibration.read(CALIBRATION.text)
    assert back.text == CALIBRATION.text
    assert (back.detection, back.auroc, back.assessments) == (
        CALIBRATION.detection,
        CALIBRATION.auroc,
        CALIBRATION.assessments,
    )
    assert (back.detectability.half, back.detectability.edges) == (SIGHT.half, SIGHT.edges)
    np.testing.assert_array_equal(back.detectability.map_cm, SIGHT.map_cm)


def test_a_stack_that_is_not_calibrated_fits_the_schema_too():
    bare = Calibration("fpr", None, "3 quiet scores", (), 0.0, auroc={injected(2): float("nan")})
    assert mistakes(schema("calibration", "calibration"), json.loads(bare.text)) == []
    assert np.isnan(Calibration.read(bare.text).auroc[injected(2)])


def test_a_calibration_of_the_first_version_is_read():
    content = json.loads(CALIBRATION.text)
    del content["version"]
    content["looks"] = content.pop("assessments")
    for name in ("detection", "auroc", "roc"):
        content[name] = {key.replace(", first assessment", " at once"): value for key, value in content[name].items()}
    assert Calibration.read(json.dumps(content)).text == CALIBRATION.text
    assert Calibration.read(json.dumps(content | {"detectability": {}})).detectability is None


def test_a_calibration_of_newer_code_is_refused_with_the_remedy():
    content = json.loads(CALIBRATION.text) | {"version": VERSION + 1}
    with pytest.raises(ValueError, match="upgrade this installation"):
        Calibration.read(json.dumps(content))


@pytest.mark.parametrize("payload", [PAYLOAD, COUPLE], ids=["stack", "couple"])
def test_a_payload_fits_its_schema_and_comes_back_as_it_was(payload):
    assert mistakes(schema("notify", "notice"), payload.as_dict()) == []
    assert mistakes(schema("notify", "notice"), json.loads(payload.text)) == []
    assert Payload.read(payload.text).text == payload.text


def test_a_payload_of_the_first_version_is_read():
    old = json.loads(PAYLOAD.text)
    for name in ("version", "evidence", "after", "alone", "members"):
        del old[name]
    old["calibration"]["detection"] = {"4 cm at once": [0.5, 0.4, 0.6]}
    read = Payload.read(json.dumps(old))
    assert (read.evidence, read.after, read.alone, read.members) == (EvidenceKind.PAIR, 0, {}, ())
    assert read.calibration.detection == {injected(4, Age.FIRST): Estimate(0.5, 0.4, 0.6)}


def test_the_schema_refuses_what_is_missing_or_unknown():
    validator = schema("notify", "notice")
    content = PAYLOAD.as_dict()
    for name in content:
        assert mistakes(validator, {key: value for key, value in content.items() if key != name})
    assert mistakes(validator, content | {"alert_level": "red"})


def test_a_notice_opens_with_what_happened_and_how_sure_that_is():
    text = wording.body(PAYLOAD)
    first, *_ = text.splitlines()
    assert first == wording.subject(PAYLOAD) == "Screening flag raised: Erta Ale, an unusual signal, 1 to 13 January 2020"
    order = [
        "a signal that is not like the quiet past of Erta Ale (GVP 221080), from track 79 (descending)",
        "How sure: the score 9.0 is over the threshold of 7.0 and higher than 99.5 %",
        "What else it could be",
        "What to do next",
        "Flag: 221080/079D_07694_131313:2",
        "interval 1 to 13 January 2020 (20200101_20200113), with 1 acquisition after it",
        "Score: 9; threshold 7",
        "model 0123",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_withdrawn_flag_is_called_withdrawn():
    gone = replace(PAYLOAD, kind="cleared", episode=replace(EPISODE, cleared=date(2020, 2, 1), withdrawn=True))
    assert gone.outcome == "withdrawn"
    assert "The flag is withdrawn" in wording.body(gone)
    assert "is over the threshold any more" in wording.body(gone)
    cleared = replace(PAYLOAD, kind="cleared", episode=replace(EPISODE, cleared=date(2020, 4, 1)))
    assert "Nothing has been over the threshold since 25 January 2020" in wording.body(cleared)


def test_what_a_night_stores_and_sends_fits_the_schemas(fitted):
    run, digest = fitted.nightly()
    assert run.failures == []
    assert mistakes(schema("report", "digest"), digest) == []
    assert set(OF_A_NIGHT) <= set(digest)
    assert {count.value for count in run.counts} <= {count.value for count in Count}
    [notice] = fitted.notices
    assert mistakes(schema("notify", "notice"), json.loads(notice.read_text())["payload"]) == []
    stored = fitted.rows("select calibration from model")
    assert stored
    for (text,) in stored:
        assert mistakes(schema("calibration", "calibration"), json.loads(text)) == []
        assert Calibration.read(text).text == text
    assert json.loads(notice.read_text())["payload"]["as_of"] == str(AS_OF)
    assert json.loads(notice.read_text())["stack"] == RISING
