"""Labels: tolerant reading of what people wrote, honest splits, and the published figures that need no image."""

from __future__ import annotations

import importlib
import json
import shutil
import tomllib
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insar_anomaly.calibration.labels import (
    Label,
    case_studies,
    mark,
    near_misses,
    read_csv,
    read_expert_csv,
    read_pair,
    read_positive_lists,
    split_by_date,
)
from insar_anomaly.errors import UsageError

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_lists = pytest.mark.skipif(not SHARED.is_dir(), reason="the published lists do not come with the package")


WRITTEN = [" 20191204-20191216 ", "2019-12-04_2019-12-16", "2019/12/4 2019/12/16", "2019-12-04-2019-12-16"]
WRITTEN += ["20191204_20191216.geo.unw.png", "Taal/20191204_20191216_gacos"]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_pair_is_read_however_it_is_written(text: str) -> None:
    assert read_pair(text) == ("20191204_20191216", [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("20191304_20191216", "20191304 is not a day of the calendar"),
        ("20190230_20190301", "20190230 is not a day"),
        ("2019120_20191216", "1 dates found"),
        ("20191204_20191216_20191228", "3 dates found"),
        ("20191204_20191204", "both dates are the same"),
        ("", "0 dates found"),
    ],
)
def test_what_is_no_pair_is_left_out_with_a_reason(text: str, why: str) -> None:
    pair, slips = read_pair(text)
    assert pair is None
    assert [slip.read for slip in slips] == [""]
    assert why in str(slips[0])
    assert "left out" in str(slips[0])


def test_certain_slips_are_mended_and_doubtful_ones_read_as_written() -> None:
    exchanged, (slip,) = read_pair("20191216_20191204")
    assert exchanged == slip.read == "20191204_20191216"
    assert slip.why == "the later date stands first"
    doubtful, (slip,) = read_pair("20220702_20220706")
    assert doubtful == slip.read == "20220702_20220706"
    assert "4 days" in slip.why
    assert str(slip).startswith("'20220702_20220706' read as")


acquired = st.dates(date(2014, 10, 1), date(2030, 1, 1))


@given(acquired, st.integers(1, 60), st.booleans(), st.sampled_from(["_", "-", " "]))
def test_any_pair_comes_back_earlier_date_first(first: date, steps: int, exchanged: bool, between: str) -> None:
    ends = [first, first + timedelta(days=6 * steps)]
    written = between.join(f"{day:%Y%m%d}" for day in (reversed(ends) if exchanged else ends))
    pair, slips = read_pair(written)
    assert pair == f"{ends[0]:%Y%m%d}_{ends[1]:%Y%m%d}"
    assert len(slips) == exchanged


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading(text: str) -> None:
    pair, slips = read_pair(text)
    assert (pair is not None) or slips


def test_near_misses_are_one_digit_or_one_exchange_away() -> None:
    known = ["20181101_20181113", "20181012_20181111", "20190101_20190113"]
    assert near_misses("20181110_20181113", known) == ["20181101_20181113"]
    assert near_misses("20191012_20181111", known) == ["20181012_20181111"]
    assert near_misses("20190101_20190113", known) == []
    assert near_misses("2019", known) == []


def test_a_csv_is_read_with_and_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "\ufeffframe,pair,label,note\n032D_07536_111313,20191204_20191216,1,dyke\n,2019-12-16 2019-12-04,0,\n"
        "032D_07536_111313,20191204_20191216,1,again\n",
        encoding="utf-8",
    )
    labels, slips = read_csv(path)
    assert labels == [Label("032D_07536_111313", "20191204_20191216", 1), Label(None, "20191204_20191216", 0)]
    assert [(slip.where, slip.read) for slip in slips] == [("line 3", "20191204_20191216"), ("line 4", "")]
    path.write_text("pair,label\n20191204_20191216, 1\n", encoding="utf-8")
    assert read_csv(path) == ([Label(None, "20191204_20191216", 1)], [])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pair,label\n20191304_20191216,1\n", ["line 2", "20191304_20191216", "YYYYMMDD_YYYYMMDD"]),
        ("pair,label\n20191204_20191216,1\n20191204_20191222,yes\n", ["line 3", "'yes'", "0 (quiet) or 1 (unrest)"]),
        ("pair,label\n20191204_20191216,-1\n", ["line 2", "'-1'", "0 (quiet)"]),
        ("pair,label\n20191204_20191216\n", ["line 2", "one value per column", "commas"]),
        ("pair,label\n20191204_20191216,1,2\n", ["line 2", "one value per column"]),
        ("pair;label\n20191204_20191216;1\n", ["line 1", "label, pair", "comma"]),
        ("", ["line 1", "no column"]),
        ("pair,label\n20191204_20191216,1\n20191216_20191204,0\n", ["line 3", "20191204_20191216", "keep one"]),
        ('pair,label\n"20191204_20191216,1\n', ["cannot be read as a CSV"]),
    ],
)
def test_a_bad_csv_names_file_line_value_and_remedy(tmp_path: Path, text: str, named: list[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        read_csv(path)
    assert all(word in str(error.value) for word in ["mine.csv", *named])


def test_a_file_that_is_no_text_or_not_there_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"pair,label\n\xff\xfe,1\n")
    for name in ("binary.csv", "absent.csv"):
        with pytest.raises(UsageError, match=name):
            read_csv(tmp_path / name)


def test_experts_count_earthquakes_unless_asked_not_to(tmp_path: Path) -> None:
    path = tmp_path / "experts.csv"
    path.write_text(
        "frame,primary,secondary,thalia_deform,label,phase\n"
        "032D_09854_070505,20180724,20180805,1,Earthquake,\n"
        "032D_09854_070505,20170921,20171027,1,Deformation,Unrest\n"
        "032D_09854_070505,20160921,20161027,0,Non_Deformation,Rest\n",
        encoding="utf-8",
    )
    labels, slips = read_expert_csv(path)
    assert ([label.label for label in labels], slips) == ([1, 1, 0], [])
    volcanic, _ = read_expert_csv(path, earthquakes=False)
    assert volcanic == labels[1:]


def test_lists_of_positives_are_read_past_their_slips(tmp_path: Path) -> None:
    path = tmp_path / "lists.json"
    entries = ["20191204_20191216", "20191204_20191216", "2019120_20191216", "20191012_20181111"]
    path.write_text(json.dumps({"labels": {"positives_a": entries, "positives_b": []}}), encoding="utf-8")
    lists, slips = read_positive_lists(path)
    assert lists == {
        "positives_a": [Label(None, "20191204_20191216", 1), Label(None, "20181111_20191012", 1)],
        "positives_b": [],
    }
    assert len(slips) == 3
    assert {slip.where for slip in slips} == {"positives_a"}
    for wrong in ("[1]", '{"labels": {"a": 3}}', "{", '{"other": {}}'):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(UsageError, match=r"lists\.json"):
            read_positive_lists(path)


def test_silence_means_quiet() -> None:
    assert mark(["20191204_20191216", "20191204_20191222"], ["20191204_20191222", "20200101_20200113"]) == [0, 1]


some_pairs = st.lists(
    st.tuples(acquired, st.integers(1, 40)).map(lambda p: f"{p[0]:%Y%m%d}_{p[0] + timedelta(days=6 * p[1]):%Y%m%d}"),
    max_size=30,
)


@given(some_pairs, acquired, st.integers(1, 400))
def test_a_split_shares_no_date_and_loses_no_pair(pairs: list[str], until: date, gap: int) -> None:
    start = until + timedelta(days=gap)
    split = split_by_date(pairs, until, start)
    assert sorted(split.train + split.test + split.neither) == sorted(pairs)
    trained = {day for pair in split.train for day in pair.split("_")}
    tested = {day for pair in split.test for day in pair.split("_")}
    assert not trained & tested
    assert max(trained, default="") <= f"{until:%Y%m%d}"
    assert min(tested, default="9") >= f"{start:%Y%m%d}"
    for pair in split.neither:
        reference, secondary = pair.split("_")
        assert secondary > f"{until:%Y%m%d}"
        assert reference < f"{start:%Y%m%d}"


def test_a_pair_across_the_split_is_in_neither_side() -> None:
    pairs = ["20181207_20181231", "20181225_20190106", "20190101_20190113"]
    split = split_by_date(pairs, date(2018, 12, 31), date(2019, 1, 1))
    assert (split.train, split.neither, split.test) == ((pairs[0],), (pairs[1],), (pairs[2],))
    with pytest.raises(UsageError, match="not after"):
        split_by_date(pairs, date(2019, 1, 1), date(2019, 1, 1))
    with pytest.raises(UsageError, match="nonsense"):
        split_by_date(["nonsense"], date(2018, 12, 31), date(2019, 1, 1))


def test_the_registry_of_case_studies_is_consistent() -> None:
    cases = case_studies()
    assert list(cases) == ["taal", "agung", "lamongan", "casiri", "lawu"]
    counts = {name: {len(pairs) for pairs in case.positives.values()} for name, case in cases.items()}
    assert counts == {"taal": {17}, "agung": {139}, "lamongan": {48, 20}, "casiri": {174}, "lawu": {0}}
    systems = ["padim", "nlml", "wmaha", "wnlml", "ganomaly", "diffusion", "supervised"]
    for name, case in cases.items():
        assert set(case.positives) == set(case.frames)
        assert case.train_until < case.test_from
        assert case.split in {"stated", "inferred"}
        assert 100_000 <= case.gvp <= 999_999
        assert list(case.poster) == systems
        assert all(isinstance(v, int) if name == "lawu" else 0 < v < 1 for v in case.poster.values())
    assert [cases[name].poster["wnlml"] for name in cases] == [0.97, 0.93, 0.97, 0.65, 8]
    assert {name: len(case.slips) for name, case in cases.items() if case.slips} == {"lamongan": 5, "casiri": 1}


def test_no_listed_positive_lies_in_the_training_span_but_lamongans() -> None:
    for name, case in case_studies().items():
        pairs = sorted({pair for listed in case.positives.values() for pair in listed})
        early = split_by_date(pairs, case.train_until, case.test_from).train
        assert bool(early) == (name == "lamongan"), early


def test_the_registry_says_where_its_facts_come_from() -> None:
    text = resources.files("insar_anomaly.calibration").joinpath("case_studies.toml").read_text(encoding="utf-8")
    assert all(word in text for word in ("2405.18487", "weighted_padim", "Apache-2.0", "Smithsonian", "LiCSAR"))
    names = [group["list"] for entry in tomllib.loads(text).values() for group in entry["positives"]]
    assert len(set(names)) == len(names) == 7


@needs_lists
def test_frames_and_volcano_numbers_stand_in_the_catalogue() -> None:
    index = set(pd.read_csv(SHARED / "catalogue" / "licsar_frames_2023-04.csv")["frame"])
    known = pd.read_csv(SHARED / "catalogue" / "volcano_frames.csv").dropna(subset=["gvp_number"])
    frames = {frame for case in case_studies().values() for frame in case.frames}
    assert frames - index == {"105D_09757_111111"}
    seen = []
    for case in case_studies().values():
        rows = known[known["gvp_number"] == case.gvp]
        seen += [case.name] * bool(len(rows))
        assert set(rows["gvp_name"]) <= {case.volcano}
        assert all(abs(rows["lat"] - case.lat) < 0.01)
        assert all(abs(rows["lon"] - case.lon) < 0.01)
    assert seen == ["taal", "agung", "casiri"]


def poster_labels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("poster_labels")


@needs_lists
def test_the_published_figures_are_reproduced(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "figures.json"
    code = poster_labels(monkeypatch).main(["--labels", str(SHARED / "labels"), "--json", str(out), "--draws", "20"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "No image needed" in printed
    content = json.loads(out.read_text(encoding="utf-8"))
    values = [round(row["value"]["value"], 3) for row in content["rows"] if row["expected"] is not None]
    assert values == [0.947, 0.944, 0.545, 0.517, 0.519, 0.877, 0.879, 0.347, 0.497, 0.538, 0.444, 0.034]
    assert "lawu 003D 8 FP of 234" in printed
    assert 0.47 not in {round(value, 2) for value in values}
    cells = {(cell["volcano"], cell["experts"]): (cell["both"], cell["authors_only"]) for cell in content["agreement"]}
    assert cells == {("taal", "experts"): (17, 0), ("agung", "experts"): (2, 103)}
    assert len(content["slips"]) == 6
    page = (ROOT / "docs" / "poster-labels.md").read_text(encoding="utf-8")
    for row in content["rows"]:
        assert f"{row['value']['value']:.3f}" in page


@needs_lists
def test_a_figure_that_differs_is_exit_code_1(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    module = poster_labels(monkeypatch)
    for name in (module.SCORES, module.AUTHORS, module.EXPERTS):
        shutil.copy(SHARED / "labels" / name, tmp_path / name)
    (tmp_path / module.SCORES).chmod(0o644)
    table = pd.read_csv(tmp_path / module.SCORES, dtype={"primary": str, "secondary": str})
    table.loc[table["popescu_positive"] == 1, "cnn_max_prob"] = 0.0
    table.to_csv(tmp_path / module.SCORES, index=False)
    assert module.main(["--labels", str(tmp_path), "--draws", "2"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_absent_lists_are_exit_code_2(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert poster_labels(monkeypatch).main(["--labels", str(tmp_path)]) == 2
    assert "--labels" in capsys.readouterr().err
