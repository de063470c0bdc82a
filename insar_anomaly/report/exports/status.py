"""The installation's state after a night, for a web page or a monitor: ``status.json``.

``status.schema.json`` describes it. A key is never renamed or removed within a version, and `VERSION` grows with a change
that breaks a reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import groupby

from insar_anomaly.report.digest import Digest
from insar_anomaly.report.exports.columns import Flag, StackNow
from insar_anomaly.stack.freshness import StackState

VERSION = 1


class Standing(StrEnum):
    """What can be said of a stack or a volcano, the most urgent first. None of them says that a volcano is quiet.

    A flag is open that people are told of; a stack failed in the night; a flag is only noted; the stack is blind, so that it
    raises no flag; nothing usable comes any more; it was assessed and no flag is open; no night has been through it.
    """

    FLAGGED = "flagged"
    FAILED = "failed"
    NOTED = "noted"
    BLIND = "blind"
    STALE = "stale"
    NO_FLAG = "no_flag"
    NEVER_ASSESSED = "never_assessed"


@dataclass(frozen=True)
class Status:
    """What is known after a night.

    Parameters
    ----------
    digest : the night's own
    stacks : every stack of the catalogue
    flags : open flags, noted ones and those of couples included, as they stand after the newest night that was ever run
    blind : stack -> why it raises no flag
    waiting : notices that have not arrived
    version : of this package
    newest : the newest night that was ever run, None where the ledger knows none; another one than the digest's where that
        stands for a night of the past
    generated : when this is written
    """

    digest: Digest
    stacks: Sequence[StackNow]
    flags: Sequence[Flag]
    blind: Mapping[str, str]
    waiting: int
    version: str
    disclaimer: str
    newest: date | None = None
    generated: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def text(self) -> str:
        """The JSON form."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def as_dict(self) -> dict[str, object]:
        """The content of the JSON form."""
        night, rows = self.digest, [self._stack(one) for one in self.stacks]
        volcanoes = list(self._volcanoes(rows))
        return {
            "version": VERSION,
            "generated": self.generated.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "software": f"insar-anomaly {self.version}",
            "disclaimer": self.disclaimer,
            "night": {
                "as_of": night.as_of.isoformat(),
                "run": night.run,
                "status": night.status,
                "counts": {count.value: number for count, number in night.counts.items()},
                "failures": [{"stack": one.stack, "stage": one.stage, "error": one.error} for one in night.failures],
                "warnings": list(night.warnings),
                "notices_waiting": self.waiting,
            },
            "totals": {
                "flags_as_of": max(night.as_of, self.newest or night.as_of).isoformat(),
                "volcanoes": len(volcanoes),
                "stacks": len(rows),
                "open_flags": sum(flag.episode.state.told for flag in self.flags),
                "noted_flags": sum(not flag.episode.state.told for flag in self.flags),
                **{one.value: sum(row["state"] == one.value for row in volcanoes) for one in Standing},
            },
            "data_age_days": _span(night.as_of, [one.state for one in self.stacks if one.state]),
            "volcanoes": volcanoes,
        }

    def _volcanoes(self, rows: Sequence[dict[str, object]]) -> Iterator[dict[str, object]]:
        together = zip(self.stacks, rows, strict=True)
        for gvp, pairs in groupby(together, key=lambda pair: pair[0].volcano.gvp):
            mine = list(pairs)
            volcano, stacks = mine[0][0].volcano, [row for _, row in mine]
            flags = [flag for flag in self.flags if flag.episode.gvp == gvp]
            standings = [str(row["state"]) for row in stacks] + [_of_flag(flag).value for flag in flags]
            yield {
                "gvp": gvp,
                "name": volcano.name,
                "lat": volcano.lat,
                "lon": volcano.lon,
                "state": next(one.value for one in Standing if one.value in standings),
                "open_flags": [_flag(flag) for flag in flags],
                "stacks": stacks,
            }

    def _stack(self, one: StackNow) -> dict[str, object]:
        state = one.state
        return {
            "stack": one.stack,
            "state": self._standing(one).value,
            "as_of": _day(state.as_of if state else None),
            "newest": _day(state.newest if state else None),
            "age_days": state.age_days if state else None,
            "stale": state.stale if state else None,
            "blind": self.blind.get(one.stack),
            "open_flags": one.open_flags,
            "noted_flags": one.noted_flags,
        }

    def _standing(self, one: StackNow) -> Standing:
        found = {
            Standing.FLAGGED: one.open_flags > 0,
            Standing.FAILED: any(failure.stack == one.stack for failure in self.digest.failures),
            Standing.NOTED: one.noted_flags > 0,
            Standing.NEVER_ASSESSED: one.state is None,
            Standing.BLIND: one.stack in self.blind,
            Standing.STALE: one.state is not None and one.state.stale,
        }
        return next((standing for standing, true in found.items() if true), Standing.NO_FLAG)


def _of_flag(flag: Flag) -> Standing:
    return Standing.FLAGGED if flag.episode.state.told else Standing.NOTED


def _flag(flag: Flag) -> dict[str, object]:
    episode = flag.episode
    return {
        "flag": flag.name,
        "state": episode.state.value,
        "told": flag.told.value,
        "since": episode.since.isoformat(),
        "until": episode.until.isoformat(),
        "peak_pair": episode.peak_pair,
        "peak_score": episode.peak_score,
        "threshold": episode.threshold,
    }


def _span(night: date, states: Sequence[StackState]) -> dict[str, object]:
    """Least and largest age of the data of the stacks that a night has been through."""
    mine = [state for state in states if state.as_of == night]
    known = [state.age_days for state in mine if state.age_days is not None]
    found = {"least": min(known, default=None), "most": max(known, default=None)}
    return {"as_of": night.isoformat(), "stacks": len(mine), **found}


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
