"""The supervised column of the poster, recomputed from published probabilities and two sets of labels: no image needed.

    python benchmarks/poster_labels.py --labels DIR [--json OUT] [--draws 1000]

DIR holds three files, which do not come with this package: the published maximum probability of a supervised CNN for
every interferogram (supervised_maxprob_poster_volcanoes.csv), the authors' positive date pairs
(weighted_padim_positive_labels.json) and the labels of independent experts (thalia_labels_4frames.csv).
Exit code 0 where every figure is reproduced, 1 where one is not, 2 where the files cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from insar_anomaly.calibration import labels as judged
from insar_anomaly.calibration.metrics import Estimate, auroc, auroc_interval, proportion
from insar_anomaly.errors import UsageError

SCORES = "supervised_maxprob_poster_volcanoes.csv"
AUTHORS = "weighted_padim_positive_labels.json"
EXPERTS = "thalia_labels_4frames.csv"
LISTED = {"casiri": "nevados_casiri"}  # the list of probabilities has its own name for one volcano
POSITIVES = {
    ("taal", None): "positives_taal",
    ("agung", None): "positives_agung",
    ("lamongan", "105D"): "positives_lamongan_105D",
    ("casiri", None): "positives_casiri_54D",
}
FRAMES = {
    ("taal", "032D"): "032D_07536_111313",
    ("taal", "142A"): "142A_07606_131313",
    ("agung", "032D"): "032D_09854_070505",
}
ONLY = {"agung": " 032D"}  # the experts looked at one of its two frames
# volcano, track, first secondary date, which of several entries of a pair counts, the figure to reproduce
FIGURES: list[tuple[str, str | None, str | None, str, float]] = [
    ("taal", None, None, "all", 0.947),
    ("taal", None, "2019-01-01", "all", 0.944),
    ("agung", None, None, "all", 0.545),
    ("agung", None, "2017-09-01", "all", 0.517),
    ("agung", None, "2018-01-01", "all", 0.519),
    ("lamongan", "105D", None, "all", 0.877),
    ("lamongan", "105D", "2019-01-01", "all", 0.879),
    ("casiri", None, None, "first", 0.347),
    ("casiri", None, None, "last", 0.497),
    ("casiri", None, None, "maximum", 0.538),
    ("casiri", None, None, "all", 0.444),
]
LAWU = (8, 234)
AGREED = {"taal": (17, 17), "agung": (2, 105)}


@dataclass(frozen=True)
class Row:
    """One printed figure: AUROC, or for Lawu a rate, with its interval, and what it was expected to be."""

    name: str
    labels: str
    pairs: int
    positives: int
    value: Estimate
    no_straddler: float | None  # the same without the pairs that straddle the first date of the test
    expected: float | None

    @property
    def reproduced(self) -> bool:
        """True where the value equals the expected figure to three digits, or none is expected."""
        return self.expected is None or round(self.value.value, 3) == round(self.expected, 3)


@dataclass(frozen=True)
class Agreement:
    """How many pairs both label sets call unrest, one of them only, or neither; Cohen's kappa is 1 agreed, 0 chance."""

    volcano: str
    experts: str
    both: int
    authors_only: int
    experts_only: int
    neither: int
    kappa: float

    def __str__(self) -> str:
        counts = f"authors {self.both + self.authors_only}, of which experts agree on {self.both};"
        rest = f"experts only {self.experts_only}; neither {self.neither}; kappa {self.kappa:.2f}"
        return f"{self.volcano:6} {self.experts:18} {counts} {rest}"


def listed(folder: Path) -> pd.DataFrame:
    """The published maximum probabilities, one row per entry, with `pair` and the track without its question mark."""
    path = folder / SCORES
    try:
        table = pd.read_csv(path, dtype={"primary": str, "secondary": str})
        table["pair"] = table["primary"] + "_" + table["secondary"]
        table["track"] = table["track_inferred"].str.rstrip("?")
        table["p"] = table["cnn_max_prob"].astype(float)
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path}: cannot be read ({error}); give the folder of the published lists with --labels"
        ) from error
    return table


def reading(table: pd.DataFrame, which: str) -> pd.DataFrame:
    """One entry per pair (first, last or maximum) or all: some pairs stand in the list with several values."""
    if which == "all":
        return table
    column = {"first": table["entry"] == 1, "last": table["entry"] == table["entries"]}
    if which in column:
        return table[column[which]]
    return table.loc[table.groupby("pair")["p"].idxmax()]


def part(table: pd.DataFrame, volcano: str, track: str | None, since: str | None) -> pd.DataFrame:
    """The rows of one volcano, of one track where it is given, whose secondary date is not before `since`."""
    rows = table[table["volcano"] == LISTED.get(volcano, volcano)]
    rows = rows if track is None else rows[rows["track"] == track]
    return rows if since is None else rows[rows["secondary"] >= since.replace("-", "")]


def row(name: str, source: str, rows: pd.DataFrame, *, since: str | None, expected: float | None, draws: int) -> Row:
    """AUROC of the probabilities against column `truth`, with its bootstrap interval by acquisition date."""
    dates = [pair.split("_") for pair in rows["pair"]]
    value = auroc_interval(rows["p"], rows["truth"], dates, draws=draws)
    both = None
    if since is not None:
        start = date.fromisoformat(since)
        inside = rows[rows["pair"].isin(judged.split_by_date(rows["pair"], start - timedelta(days=1), start).test)]
        both = auroc(inside.loc[inside["truth"] == 0, "p"], inside.loc[inside["truth"] == 1, "p"])
    return Row(name, source, len(rows), int(rows["truth"].sum()), value, both, expected)


def authors_rows(table: pd.DataFrame, lists: dict[str, list[judged.Label]], draws: int) -> list[Row]:
    """Every figure of the supervised column under the authors' labels, where an unlisted pair is a negative."""
    found = []
    for volcano, track, since, which, expected in FIGURES:
        rows = reading(part(table, volcano, track, since), which)
        positives = [label.pair for label in lists[POSITIVES[volcano, track]]]
        rows = rows.assign(truth=judged.mark(rows["pair"], positives))
        several = f" {which} entries" if volcano == "casiri" else ""
        name = f"{volcano} {track or ''}".strip() + (f" from {since[:7]}" if since else "") + several
        found.append(row(name, "authors", rows, since=since, expected=expected, draws=draws))
    return found


def experts_rows(
    table: pd.DataFrame, lists: dict[str, list[judged.Label]], experts: dict[str, list[judged.Label]], draws: int
) -> list[Row]:
    """The same volcanoes under the experts' labels, beside the authors' on exactly those pairs."""
    found = []
    for volcano, since in [(name, since) for name, _, since, *_ in FIGURES if name in AGREED]:
        name = f"{volcano}{ONLY.get(volcano, '')}" + (f" from {since[:7]}" if since else "")
        count = 0
        for source, judgements in experts.items():
            seen = {(label.frame, label.pair): label.label for label in judgements}
            rows = part(table, volcano, None, since)
            frames = [FRAMES.get((volcano, track)) for track in rows["track"]]
            rows = rows.assign(truth=[seen.get(key, -1) for key in zip(frames, rows["pair"], strict=True)])
            rows = rows[rows["truth"] >= 0]
            if len(rows) == count:
                continue  # the experts saw no earthquake here: the same row again
            count = len(rows)
            found.append(row(name, source, rows, since=since, expected=None, draws=draws))
            if source == "experts":
                rows = rows.assign(truth=judged.mark(rows["pair"], [x.pair for x in lists[f"positives_{volcano}"]]))
                found.append(row(name, "authors, same pairs", rows, since=since, expected=None, draws=draws))
    return found


def lawu_row(table: pd.DataFrame) -> Row:
    """False positives at the quiet control: P >= 0.5 in the second half, by date, of frame 003D."""
    rows = part(table, "lawu", "003D", None).sort_values(["primary", "secondary"])
    half = rows.iloc[len(rows) // 2 :]
    flagged, total = int((half["p"] >= 0.5).sum()), len(half)
    name = f"lawu 003D {flagged} FP of {total}"
    return Row(name, "authors", total, 0, proportion(flagged, total), None, LAWU[0] / LAWU[1])


def agreement(lists: dict[str, list[judged.Label]], source: str, experts: list[judged.Label]) -> list[Agreement]:
    """How both label sets judge the pairs that the experts saw."""
    found = []
    for volcano in AGREED:
        frames = {frame for (name, _), frame in FRAMES.items() if name == volcano}
        positives = {label.pair for label in lists[f"positives_{volcano}"]}
        ours = [(label.label, int(label.pair in positives)) for label in experts if label.frame in frames]
        both, authors, alone, neither = (ours.count(cell) for cell in ((1, 1), (0, 1), (1, 0), (0, 0)))
        n = len(ours)
        chance = ((both + authors) * (both + alone) + (neither + authors) * (neither + alone)) / n**2
        kappa = ((both + neither) / n - chance) / (1 - chance)
        found.append(Agreement(volcano, source, both, authors, alone, neither, kappa))
    return found


def as_shipped(lists: dict[str, list[judged.Label]]) -> bool:
    """True where the registry of case studies holds the same positive pairs as the authors' file."""
    theirs = {frozenset(label.pair for label in entries) for entries in lists.values()}
    return theirs == {frozenset(pairs) for case in judged.case_studies().values() for pairs in case.positives.values()}


def show(rows: list[Row], cases: dict[str, judged.CaseStudy]) -> None:
    """Print the figures as a table."""
    form = "{:26} {:20} {:>5} {:>4}  {:22} {:>9}  {:>9} {:>6}  {}"
    print(form.format("what", "labels", "pairs", "pos", "value [95 %]", "no strad.", "expected", "poster", "").rstrip())
    for r in rows:
        both = "" if r.no_straddler is None else f"{r.no_straddler:.3f}"
        wanted, verdict = ("", "") if r.expected is None else (f"{r.expected:.3f}", "ok" if r.reproduced else "DIFFERS")
        printed = cases[r.name.split()[0]].poster["supervised"]
        poster = f"{printed:.2f}" if printed < 1 else f"{printed:.0f} FP"
        shown = (r.name, r.labels, r.pairs, r.positives, str(r.value), both, wanted, poster if verdict else "", verdict)
        print(form.format(*shown).rstrip())


def show_slips(slips: list[judged.Slip], table: pd.DataFrame) -> None:
    """Print what was odd in the lists, with the pairs of that volcano and track that may have been meant."""
    print(f"\nSlips in the lists: {len(slips)}")
    for slip in slips:
        kind, _, place = slip.where.partition("_")  # positives_lamongan_3D
        volcano, _, track = place.partition("_")
        known = part(table, volcano, track.zfill(4) if track else None, None)["pair"]
        meant = judged.near_misses(slip.text, known) if kind == "positives" else []
        print(f"  {slip}" + (f"; perhaps {' or '.join(meant)}" if meant else ""))


def main(argv: list[str] | None = None) -> int:
    """Read, recompute, print. 0 all figures reproduced, 1 some not, 2 the files cannot be used."""
    parser = argparse.ArgumentParser(
        description="The poster's supervised column from published probabilities: no image needed."
    )
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="DIR", help=f"folder with {SCORES}, {AUTHORS}, {EXPERTS}"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the same as JSON")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws (default 1000)")
    args = parser.parse_args(argv)
    try:
        return report(args.labels, args.json, args.draws)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2


def report(folder: Path, out: Path | None, draws: int) -> int:
    """Recompute every figure from the files in a folder, print them, and say with 0 or 1 whether all came out."""
    table = listed(folder)
    lists, slips = judged.read_positive_lists(folder / AUTHORS)
    experts, odd = judged.read_expert_csv(folder / EXPERTS)
    volcanic, _ = judged.read_expert_csv(folder / EXPERTS, earthquakes=False)
    slips += odd
    lawu = lawu_row(table)
    rows = [*authors_rows(table, lists, draws), lawu]
    rows += experts_rows(table, lists, {"experts": experts, "experts, volcanic": volcanic}, draws)
    agreed, shipped = agreement(lists, "experts", experts), as_shipped(lists)
    print("No image needed: published maximum probabilities of a supervised CNN against two sets of labels.\n")
    show(rows, judged.case_studies())
    print("\nBoth label sets on the pairs the experts saw")
    for cell in [*agreed, *(a for a in agreement(lists, "experts, volcanic", volcanic) if a.volcano in ONLY)]:
        print(f"  {cell}")
    show_slips(slips, table)
    same = {cell.volcano: (cell.both, cell.both + cell.authors_only) for cell in agreed} == AGREED
    # a rate of three digits alone would let 8 of 235 pass
    done = all(r.reproduced for r in rows) and same and lawu.pairs == LAWU[1]
    print(f"\nThe package's registry holds the same pairs: {'yes' if shipped else 'NO'}.")
    print(f"All figures reproduced: {'yes' if done else 'NO'}.")
    if out is not None:
        content = {name: [asdict(x) for x in found] for name, found in (("rows", rows), ("slips", slips))}
        content["agreement"] = [asdict(cell) for cell in agreed]
        out.write_text(json.dumps({**content, "registry": shipped, "reproduced": done}, indent=1), encoding="utf-8")
    return 0 if done and shipped else 1


if __name__ == "__main__":
    sys.exit(main())
