"""The comparison: splits by date, labels or injections, one table, results kept; the same from the command line."""

from __future__ import annotations

import csv
import json
import subprocess
from datetime import date, timedelta

import numpy as np
import pytest
from installation import DATES, QUIET, RISING, WIDE, command

from insar_anomaly.errors import UsageError
from insar_anomaly.simulate import PointSource, Unrest, scene
from insar_anomaly.tools import benchmark
from insar_anomaly.tools.benchmark.cases import Labels
from insar_anomaly.tools.layouts.licsar import write_archive

SYSTEMS = ("ours", "matched-filter", "wnlml-b", "ganomaly", "diffusion", "cnn")
SPLIT = ("--train-until", str(DATES[11]), "--test-from", str(DATES[12]))


def run(installation, *words):
    return subprocess.run(command("-c", installation.config, *words), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def compared(with_stacks, tmp_path_factory):
    import installation as helper

    here = helper.copy(with_stacks, tmp_path_factory.mktemp("compared"))
    here.only(990001)
    out = here.folder / "out"
    words = ["benchmark", "--out", str(out), *SPLIT, "--peaks", "12", "--budget", "tiny", "--weights", "random"]
    for system in SYSTEMS:
        words += ["--system", system]
    return here, out, words, run(here, *words)


def test_one_table_has_every_system_with_intervals_rates_and_times(compared):
    _, out, _, done = compared
    assert done.returncode == 0, done.stderr
    table = (out / "benchmark.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| system")]
    assert [row.split(":")[0].strip("| ") for row in rows] == list(SYSTEMS)
    assert "AUROC 12 cm" in table
    assert "budget `tiny`" in table
    content = json.loads((out / "benchmark.json").read_text())
    by_system = {row["system"]: row for row in content["rows"]}
    for row in by_system.values():
        interval = row["auroc"]["12 cm"]
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1
        assert row["fit_s"] > 0
        assert 0 <= row["false_positives"]["low"] <= row["false_positives"]["high"] <= 1
    assert by_system["ours"]["auroc"]["12 cm"]["value"] > 0.9
    assert by_system["matched-filter"]["auroc"]["12 cm"]["value"] > 0.7
    for picture in (*out.glob("roc-*.png"), *out.glob("maps-*.png")):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(list(out.glob("*.png"))) == 2


def test_a_second_call_measures_nothing_again(compared):
    here, out, words, _ = compared
    before = {p.name: p.stat().st_mtime_ns for p in (out / "results").glob("*.json")}
    assert run(here, *words).returncode == 0
    assert {p.name: p.stat().st_mtime_ns for p in (out / "results").glob("*.json")} == before
    assert not list((out / "results").glob("*.checkpoint*"))


def test_labels_replace_injections_and_never_enter_the_training(ingested):
    ingested.only(990002)
    pairs = ingested.pairs()
    moving = [p for p in pairs if p[:8] <= f"{DATES[17]:%Y%m%d}" and p[9:] >= f"{DATES[18]:%Y%m%d}"]
    labels = ingested.folder / "labels.csv"
    with labels.open("w", newline="") as f:
        csv.writer(f).writerows([("frame", "pair", "label"), *((WIDE, p, 1) for p in moving)])
    words = ["--out", str(ingested.folder / "out"), *SPLIT, "--system", "ours", "--weights", "random"]
    done = run(ingested, "--json", "benchmark", *words, "--labels", str(labels))
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["rows"]
    assert row["stack"] == RISING
    assert row["auroc"]["labels"]["value"] > 0.9
    kept = json.loads(next((ingested.folder / "out" / "results").glob("*.json")).read_text())
    assert set(kept["positive"]["labels"]) == set(moving)
    assert not set(kept["negative"]) & set(moving)


def test_a_pair_across_the_split_is_in_neither_side():
    case = benchmark.Case("1/f", date(2021, 3, 1), date(2021, 3, 2), positives=frozenset({"20210401_20210413"}))
    pairs = ["20210101_20210113", "20210220_20210310", "20210310_20210322", "20210401_20210413"]
    assert case.split(pairs, 1) == (["20210101_20210113"], ["20210310_20210322"], ["20210401_20210413"])


def test_usage_mistakes_end_with_two_and_name_the_remedy(fresh):
    for words, said in (
        (["benchmark"], "--train-until"),
        (["benchmark", *SPLIT, "--system", "nonsense"], "choose among ours"),
        (["benchmark", *SPLIT, "--budget", "huge"], "choose among small"),
        (["benchmark", "--cases"], "none of the case studies' frames is here"),
    ):
        done = run(fresh, *words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_the_case_studies_bring_their_own_split_positives_and_poster_row():
    stacks = ["273070/032D_07536_111313", "264020/032D_09854_070505", QUIET]
    cases, missing = benchmark.case_study_cases(stacks)
    assert [case.stack for case in cases] == stacks[:2]
    assert cases[0].poster["wnlml"] == 0.97
    assert cases[0].labelled
    assert len(cases[0].positives) == 17
    assert cases[0].train_until < cases[0].test_from
    assert any("Casiri" in words or "Lawu" in words for words in missing)
    with pytest.raises(UsageError, match="none of the case studies"):
        benchmark.case_study_cases([QUIET])


def test_one_command_measures_the_case_studies_whose_frames_are_there_beside_the_poster(fresh):
    days = [date(2018, 1, 6) + timedelta(days=12 * i) for i in range(14)]
    days += [
        date(2019, 9, 1),
        date(2019, 9, 13),
        date(2019, 9, 25),
        date(2019, 10, 7),
        date(2019, 10, 19),
        date(2019, 10, 31),
    ]
    days += [date(2019, 12, 18), date(2019, 12, 30), date(2020, 1, 11), date(2020, 1, 17), date(2020, 1, 23)]
    eruption = Unrest(PointSource(32, 32, depth_km=1.2, peak_cm=15.0), date(2020, 1, 12), date(2020, 1, 13))
    rng = np.random.default_rng(5)
    taal = scene((64, 64), rng, dates=days, motion=[eruption], pixel_km=(0.11, 0.11), turbulence_rad=0.5)
    write_archive(fresh.archive, "032D_07536_111313", taal, west=120.9975 - 0.032, north=14.0106 + 0.032)
    out = fresh.folder / "out"
    words = ["--out", str(out), "--weights", "random", "--system", "ours", "--system", "nlml-b"]
    done = run(fresh, "benchmark", "--cases", *words)
    # the other frames are not there: their stacks fail, Taal is measured all the same
    assert done.returncode == 1
    assert "Agung: 264020/156A_09814_081406 is not in the store" in done.stderr
    table = (out / "benchmark.md").read_text()
    assert "## 273070/032D_07536_111313" in table
    assert "| system | Taal |" in table
    rows = {line[2:].split(":")[0]: line for line in table[table.index("## Beside") :].splitlines() if line.startswith("| ")}
    assert rows["nlml-b"].endswith("(0.97) |")
    assert float(rows["ours"].split("|")[2].split("[")[0]) > 0.9


def test_every_system_and_budget_builds_a_detector():
    from insar_anomaly.pipeline.parts import build_detector

    for name, system in benchmark.SYSTEMS.items():
        for budget in benchmark.BUDGETS:
            detector, cleaning = benchmark.settings_of(name, budget=budget, weights="random", seed=1)
            built = build_detector(detector, {})
            assert detector.kind == system.kind
            assert set(built.inputs) <= {"phase", "tile", "valid"}
            assert cleaning.range_form == ("clip" if system.tiles == "poster" else "tanh")


def test_detection_at_one_flag_a_year_counts_flags_not_pairs():
    pairs = [f"{y}{m:02}01_{y}{m:02}13" for y in (2021, 2022) for m in range(1, 13)][:13]
    negative = dict(zip(pairs, np.linspace(1, 2, 13), strict=True))
    measured = benchmark.Measured(
        "1/f", "ours", {}, 10, negative, {"4 cm": dict.fromkeys(pairs, 1.5)}, list(np.linspace(0, 1, 20)), 1.0, 0.1, ""
    )
    row = benchmark.summed(measured, seed=0)
    # the scores rise month by month: one flag grows as the threshold falls, so it falls to the lowest score,
    # where counting pairs would have stopped at the second highest
    assert row.detected == {"4 cm": 1.0}
    assert row.false_positives.value == 1.0


def label_file(folder, rows):
    file = folder / "labels.csv"
    with file.open("w", newline="") as f:
        csv.writer(f).writerows([("frame", "pair", "label"), *rows])
    return file


def test_labels_that_match_nothing_are_a_mistake_and_those_that_match_in_part_are_told(tmp_path):
    file = label_file(tmp_path, [("999X_1", "20210401_20210413", 1)])
    with pytest.raises(UsageError, match=r"no label is of a frame that is here \(.*001A.*999X_1"):
        Labels.read(str(file)).remarks([QUIET])
    file = label_file(tmp_path, [("999X_1", "20210401_20210413", 1), (WIDE, "20210401_20210413", 1)])
    said = "\n".join(Labels.read(str(file)).remarks([QUIET, RISING]))
    assert "1 labels are of frames that are not here, first 999X_1" in said
    assert "every pair that it does not list counts as quiet" in said
    assert "hold for all volcanoes on it" in said


def test_where_labels_name_quiet_pairs_no_other_pair_is_a_negative(tmp_path):
    pairs = [f"20210{m}01_20210{m}13" for m in range(4, 8)]
    file = label_file(tmp_path, [(WIDE, pairs[0], 1), (WIDE, pairs[1], 0), (WIDE, pairs[2], 0)])
    positives, negatives = Labels.read(str(file)).of(QUIET)
    case = benchmark.Case(QUIET, date(2021, 3, 1), date(2021, 3, 2), positives=positives, negatives=negatives)
    assert case.split(pairs, 1) == ([], pairs[1:3], pairs[:1])
