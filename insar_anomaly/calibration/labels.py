"""Labels: which pairs somebody called unrest, read tolerantly, split by date, and the poster's five case studies.

A pair is `YYYYMMDD_YYYYMMDD`, earlier date first (UTC dates of the two acquisitions). Lists made by hand hold slips:
what is certain is mended, what is doubtful is read as written, and both come back as `Slip` rows for the caller to
print.
"""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib import resources
from pathlib import Path

from insar_anomaly.errors import UsageError
from insar_anomaly.names import JsonObject, Pair

# eight digits, or year, month and day set apart by one of - . /
_DATE = re.compile(r"(?<!\d)(?:(\d{4})(\d{2})(\d{2})|(\d{4})[-./](\d{1,2})[-./](\d{1,2}))(?!\d)")
_REPEAT_DAYS = 6  # Sentinel-1: each satellite returns after 12 days, two of them alternate


@dataclass(frozen=True)
class Label:
    """One judged pair: frame (None where the list names none), pair, and 1 (unrest) or 0 (quiet)."""

    frame: str | None
    pair: str
    label: int


@dataclass(frozen=True)
class Slip:
    """An oddity in a list: the text as written, what was read ("" where it was left out), why, and where it stands."""

    text: str
    read: str
    why: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.text!r} {'read as ' + self.read if self.read else 'left out'}; {self.why}"


@dataclass(frozen=True)
class Split:
    """Pairs before, after and across a split by date; no acquisition date is in both `train` and `test`."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    neither: tuple[str, ...]


@dataclass(frozen=True)
class CaseStudy:
    """One volcano of the poster.

    `positives` holds the authors' positive pairs by frame and `slips` what was odd in their list; `train_until` and
    `test_from` are the last day of training and the first of the test, both included, and `split` says whether the
    authors stated them or we inferred them. `poster` is its row of the table by system: AUROC, or for Lawu a count of
    false positives.
    """

    name: str
    volcano: str
    gvp: int
    lat: float
    lon: float
    event: str
    frames: tuple[str, ...]
    train_until: date
    test_from: date
    split: str
    poster: Mapping[str, float]
    positives: Mapping[str, tuple[str, ...]]
    slips: tuple[Slip, ...]


def read_pair(text: str) -> tuple[str | None, list[Slip]]:
    """The pair in a text, and what was odd about it. None where the text does not hold two different calendar dates.

    File names and dates with separators are read without remark; exchanged dates are put in order; a time span that
    Sentinel-1 cannot have (no multiple of 6 days) is read as written, because which of the dates is wrong is a guess.
    """
    found, wrong = [], ""
    for match in _DATE.finditer(text):
        year, month, day = (int(part) for part in match.groups() if part is not None)
        try:
            found.append(date(year, month, day))
        except ValueError:
            wrong = f"{match[0]} is not a day of the calendar"
    if wrong or len(found) != 2:
        return None, [Slip(text, "", wrong or f"{len(found)} dates found, a pair has two")]
    first, second = sorted(found)
    if first == second:
        return None, [Slip(text, "", "both dates are the same")]
    pair, days = Pair(first, second).name, (second - first).days
    odd = ["the later date stands first"] if found[0] > found[1] else []
    if days % _REPEAT_DAYS:
        odd.append(f"{days} days is no multiple of {_REPEAT_DAYS}, so one of its dates is not of this track")
    return pair, [Slip(text, pair, "; ".join(odd))] if odd else []


def near_misses(text: str, known: Iterable[str]) -> list[str]:
    """Known pairs one wrong digit, or two exchanged neighbours, away from a text: what its writer may have meant."""
    return sorted(pair for pair in set(known) if _one_slip_apart(text, pair))


def _one_slip_apart(text: str, pair: str) -> bool:
    differ = [i for i, (a, b) in enumerate(zip(text, pair, strict=False)) if a != b]
    if len(text) != len(pair) or not differ or len(differ) > 2:
        return False
    i, j = differ[0], differ[-1]
    return i == j or (j == i + 1 and text[i] == pair[j] and text[j] == pair[i])


def read_csv(path: str | Path) -> tuple[list[Label], list[Slip]]:
    """Labels from a CSV with the columns `pair` and `label` (0 quiet, 1 unrest) and, where it has one, `frame`.

    Further columns are ignored. A row that repeats an earlier one is left out with a slip.

    Raises
    ------
    UsageError
        where the file cannot be read, a column is missing, a pair or a label is not one, or two rows disagree.
    """
    kept, slips, seen = list[Label](), list[Slip](), dict[tuple[str | None, str], int]()
    for line, row in _rows(path, {"pair", "label"}):
        label, odd = _label(path, line, row.get("frame", ""), row["pair"], row["label"])
        slips += odd
        before = seen.setdefault((label.frame, label.pair), label.label)
        if before != label.label:
            raise UsageError(f"{path}, line {line}: label {label.label} of {label.pair} was {before} above; keep one")
        if len(seen) == len(kept):
            slips.append(Slip(row["pair"], "", f"{label.pair} stands in the list already", f"line {line}"))
        else:
            kept.append(label)
    return kept, slips


def read_expert_csv(path: str | Path, *, earthquakes: bool = True) -> tuple[list[Label], list[Slip]]:
    """Labels of the independent experts: columns `frame`, `primary`, `secondary`, `thalia_deform` (0 or 1) and `label`.

    They count the ground motion of an earthquake as deformation; with `earthquakes=False` such pairs are left out,
    being neither quiet ground nor a volcano's unrest.

    Raises
    ------
    UsageError
        as `read_csv`.
    """
    kept, slips = [], list[Slip]()
    for line, row in _rows(path, {"frame", "primary", "secondary", "thalia_deform", "label"}):
        pair = f"{row['primary']}_{row['secondary']}"
        label, odd = _label(path, line, row["frame"], pair, row["thalia_deform"])
        slips += odd
        if earthquakes or row["label"].strip().lower() != "earthquake":
            kept.append(label)
    return kept, slips


def _rows(path: str | Path, needed: set[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = sorted(needed - set(reader.fieldnames or []))
            if missing:
                columns = f"no column {', '.join(missing)} in {reader.fieldnames}"
                raise UsageError(f"{path}, line 1: {columns}; name it in the first line, comma separated")
            for row in reader:
                if None in row or None in row.values():
                    values = f"{list(row.values())} has not one value per column"
                    raise UsageError(f"{path}, line {reader.line_num}: {values}; mend the commas")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as a CSV ({error}); save it as comma separated UTF-8 text") from error


def _label(path: str | Path, line: int, frame: str, pair: str, value: str) -> tuple[Label, list[Slip]]:
    read, slips = read_pair(pair)
    if read is None:
        raise UsageError(f"{path}, line {line}: pair {pair!r}: {slips[0].why}; write YYYYMMDD_YYYYMMDD")
    if value.strip() not in {"0", "1"}:
        raise UsageError(f"{path}, line {line}: label {value!r} of pair {pair!r}: write 0 (quiet) or 1 (unrest)")
    return Label(frame.strip() or None, read, int(value)), [replace(slip, where=f"line {line}") for slip in slips]


def read_positive_lists(path: str | Path) -> tuple[dict[str, list[Label]], list[Slip]]:
    """The authors' lists of positive pairs: a JSON object whose `labels` names lists of date pairs; every label is 1.

    An entry that cannot be read is left out with a slip, since the list is somebody else's and cannot be mended here.

    Raises
    ------
    UsageError
        where the file cannot be read or does not hold such lists.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON ({error}); give the file of positive pairs") from error
    lists = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(lists, dict) or not all(isinstance(entries, list) for entries in lists.values()):
        raise UsageError(f"{path}: no object 'labels' with lists of pairs; give the file of positive pairs")
    labels, slips = {}, list[Slip]()
    for name, entries in lists.items():
        pairs, odd = _read_list(name, entries)
        slips += odd
        labels[name] = [Label(None, pair, 1) for pair in pairs]
    return labels, slips


def _read_list(name: str, entries: Iterable[object]) -> tuple[list[str], list[Slip]]:
    pairs, slips = dict[str, None](), list[Slip]()
    for entry in entries:
        pair, odd = read_pair(str(entry))
        slips += odd
        if pair in pairs:
            slips.append(Slip(str(entry), "", f"{pair} stands in the list already"))
        elif pair is not None:
            pairs[pair] = None
    return list(pairs), [replace(slip, where=name) for slip in slips]


def mark(pairs: Iterable[str], positives: Collection[str]) -> list[int]:
    """1 for a pair that is listed as positive, 0 for every other: the authors' convention, silence means quiet."""
    listed = set(positives)
    return [int(pair in listed) for pair in pairs]


def split_by_date(pairs: Iterable[str], train_until: date, test_from: date) -> Split:
    """Split pairs by date, never by file: both acquisitions up to `train_until`, both from `test_from` on, or neither.

    A pair across the split shares atmosphere (and perhaps ground motion) with both sides, so it is in neither.

    Raises
    ------
    UsageError
        where `test_from` is not after `train_until`, or a text is not a pair.
    """
    if test_from <= train_until:
        raise UsageError(f"test_from {test_from} is not after train_until {train_until}: a day would be on both sides")
    train, test, neither = list[str](), list[str](), list[str]()
    for text in pairs:
        pair, slips = read_pair(text)
        if pair is None:
            raise UsageError(f"pair {text!r}: {slips[0].why}; write YYYYMMDD_YYYYMMDD")
        dates = Pair.of(pair)
        side = train if dates.last <= train_until else test if dates.first >= test_from else neither
        side.append(text)
    return Split(tuple(train), tuple(test), tuple(neither))


def case_studies() -> dict[str, CaseStudy]:
    """The poster's five case studies by name, from `case_studies.toml` in this package (sources are named there)."""
    text = resources.files("insar_anomaly.calibration").joinpath("case_studies.toml").read_text(encoding="utf-8")
    return {name: _case(name, entry) for name, entry in tomllib.loads(text).items()}


def _case(name: str, entry: JsonObject) -> CaseStudy:
    positives, slips = dict[str, tuple[str, ...]](), list[Slip]()
    for group in entry.pop("positives"):
        pairs, odd = _read_list(group["list"], group["pairs"].split())
        slips += odd
        positives |= dict.fromkeys(group["frames"], tuple(pairs))
    frames = tuple(entry.pop("frames"))
    return CaseStudy(name=name, frames=frames, positives=positives, slips=tuple(slips), **entry)
