"""Digests that earlier nights have written: found by their date, and read back."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from insar_anomaly.errors import UsageError
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.records import CanaryRow, CostRow
from insar_anomaly.names import EvidenceKind, JsonObject
from insar_anomaly.report.changes import FlagChange, rejected_of_rows
from insar_anomaly.report.digest import OF_A_NIGHT, VERSION, Blind, Count, Digest, Failure, OpenFlag
from insar_anomaly.report.states import state_of_row


def digest_text(folder: str | Path, night: date | None = None) -> str:
    """The digest of a night, JSON, from the folder of figures; None is the newest night.

    Raises
    ------
    UsageError
        where there is none, or it cannot be read.
    """
    place, files = Path(folder), dict[date, Path]()
    for file in place.glob("digest-*.json"):
        try:
            files[date.fromisoformat(file.stem.removeprefix("digest-"))] = file
        except ValueError:
            continue
    if not files:
        raise UsageError(
            f"{place} holds no digest: every `insar-anomaly nightly` writes one there; run it, or set `figures` to the "
            "folder in which the nights have written theirs"
        )
    chosen = max(files) if night is None else night
    if chosen not in files:
        near = sorted(sorted(files, key=lambda day: abs((day - chosen).days))[:2])
        raise UsageError(f"{place} holds no digest of {chosen}; the nearest are of {' and '.join(map(str, near))}")
    try:
        return files[chosen].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{files[chosen]} cannot be read ({problem}); run that night again") from None


def read_digest(text: str) -> Digest:
    """From the JSON form of this version or an earlier one: what those did not have is left empty.

    Raises
    ------
    UsageError
        where the text is no digest, or one of newer code.
    """
    try:
        content: JsonObject = json.loads(text)
        newer = content.get("version", 1) > VERSION
        found = None if newer else _digest(content)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as problem:
        raise UsageError(f"the stored digest cannot be read ({problem!r}): run that night again") from None
    if found is None:
        raise UsageError(
            f"the digest is of version {content['version']} and was written by newer code: upgrade this installation, or "
            "read it with --json"
        )
    return found


def _digest(content: JsonObject) -> Digest:
    counts = {Count(name): number for name, number in content.items() if name in {count.value for count in Count}}
    return Digest(
        as_of=date.fromisoformat(content["as_of"]),
        run=content["run"],
        kind=content["kind"],
        stacks=content["stacks"],
        counts={count: counts.get(count, 0) for count in OF_A_NIGHT},
        open_flags=tuple(_flag(one) for one in content["open_flags"]),
        failures=tuple(Failure(**one) for one in content["failures"]),
        blind=tuple(Blind(**one) for one in content["blind"]),
        undelivered=tuple(content["undelivered"]),
        warnings=tuple(content["warnings"]),
        costs=tuple(CostRow(**_known(CostRow, one)) for one in content.get("costs", ())),
        states=dict(state_of_row(row) for row in content.get("states", ())),
        level=content.get("level"),
        canary=_canary(content.get("canary")),
        changes=tuple(FlagChange.of_row(row) for row in content["changes"]) if "changes" in content else None,
        rejected=rejected_of_rows(content.get("rejected", ())),
    )


def _canary(row: JsonObject | None) -> CanaryRow | None:
    if row is None:
        return None
    known = _known(CanaryRow, row)
    return CanaryRow(**known | {"night": date.fromisoformat(row["night"]), "evidence": EvidenceKind(row["evidence"])})


def _flag(row: JsonObject) -> OpenFlag:
    known = _known(OpenFlag, row)
    days = {name: date.fromisoformat(row[name]) for name in ("since", "until")}
    evidence = None if row.get("evidence") is None else EvidenceKind(row["evidence"])
    state = next(one for one in FlagState if one == row.get("state", FlagState.RAISED))
    told = Told(row["told"]) if row.get("told") else None
    return OpenFlag(**known | days | {"evidence": evidence, "state": state, "told": told})


def _known(kind: type[Any], row: JsonObject) -> JsonObject:
    """What this version knows of a row."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in row.items() if name in names}
