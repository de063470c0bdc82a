"""The night's digest: what was screened, flagged, failed, and which stacks are blind; made even when all is quiet.

``digest.schema.json`` describes its JSON form, ``digest-<date>.json`` in the figures' folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.events import FlagEvent
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.records import CanaryRow, CostRow
from insar_anomaly.names import EvidenceKind
from insar_anomaly.report.changes import FlagChange, ages, in_turn, rejected_rows
from insar_anomaly.report.states import arrivals, beside, partly_of, stale_of, state_row, unjudged, unmeasured_of
from insar_anomaly.spoken import DEFAULT, one_line
from insar_anomaly.spoken.sentences import template
from insar_anomaly.stack.freshness import RECENT, SUMMIT_KM, StackState

VERSION = 7
"""Of the JSON form. 1: no ``version``; an open flag had ``cleared``, ``withdrawn`` and ``standing``. 2: no ``costs``.
3: no ``states``, ``stale`` and ``unmeasured_summits``, and no ``stale`` in an open flag. 4: no
``level``, and no ``state`` in an open flag. 5: no ``partly_measured``; ``new_pairs`` held replaced and returned pairs as
well, and there were no counts of these and of withdrawn ones. 6: no ``changes`` and ``rejected``, and no ``told`` in an
open flag. Nothing was renamed since 2."""


_LONGEST = 10
"""Lines of a long list that a digest has in words; its JSON form has all of them."""


class Count(StrEnum):
    """What a run counts.

    Pairs that it reads are new (no version of them was ever accepted), replaced by their provider, or returned after they
    had been withdrawn; see `to_read`. Those that it withdraws are counted apart. ``changed_pairs`` are pairs whose files
    differ from what was read of them, whether or not they are read now.
    """

    NEW_PAIRS = "new_pairs"
    REPLACED_PAIRS = "replaced_pairs"
    RETURNED_PAIRS = "returned_pairs"
    WITHDRAWN_PAIRS = "withdrawn_pairs"
    STORED_PAIRS = "stored_pairs"
    REJECTED_PAIRS = "rejected_pairs"
    CHANGED_PAIRS = "changed_pairs"
    FITTED_MODELS = "fitted_models"
    FITTED_PAIRS = "fitted_pairs"
    UNCHANGED_MODELS = "unchanged_models"
    RANDOM_BACKBONES = "random_backbones"
    LABELS_LEFT_OUT = "labels_left_out"
    LABELS_KEPT_QUIET = "labels_kept_quiet"
    SCORED_PAIRS = "scored_pairs"
    SCORED_INTERVALS = "scored_intervals"
    SCORED_ACQUISITIONS = "scored_acquisitions"
    SCORED_DIRECTIONS = "scored_directions"
    OLD_FLAGS = "old_flags"
    NEW_NOTICES = "new_notices"
    UNSENT_NOTICES = "unsent_notices"
    DELIVERED = "delivered"
    EXPIRED_SNAPSHOTS = "expired_snapshots"

    @classmethod
    def scored(cls, kind: EvidenceKind) -> Count:
        """The count of assessments of a kind of evidence that got a score."""
        return {
            EvidenceKind.PAIR: cls.SCORED_PAIRS,
            EvidenceKind.INTERVAL: cls.SCORED_INTERVALS,
            EvidenceKind.ACQUISITION: cls.SCORED_ACQUISITIONS,
            EvidenceKind.DIRECTIONS: cls.SCORED_DIRECTIONS,
        }[kind]


OF_PAIRS = (Count.NEW_PAIRS, Count.REPLACED_PAIRS, Count.RETURNED_PAIRS, Count.WITHDRAWN_PAIRS)
"""What becomes of the pairs that a source lists, or lists no more. Every ingest has these counts, also where they are 0."""


def to_read(counts: Mapping[Count, int]) -> int:
    """Pairs of which files are read: new, replaced and returned ones."""
    return sum(counts.get(one, 0) for one in (Count.NEW_PAIRS, Count.REPLACED_PAIRS, Count.RETURNED_PAIRS))


OF_A_NIGHT = (
    Count.NEW_PAIRS,
    Count.REPLACED_PAIRS,
    Count.RETURNED_PAIRS,
    Count.WITHDRAWN_PAIRS,
    Count.STORED_PAIRS,
    Count.REJECTED_PAIRS,
    Count.CHANGED_PAIRS,
    Count.SCORED_PAIRS,
    Count.SCORED_INTERVALS,
    Count.SCORED_ACQUISITIONS,
    Count.SCORED_DIRECTIONS,
    Count.OLD_FLAGS,
    Count.NEW_NOTICES,
    Count.DELIVERED,
)
"""Counts that a digest always has, also where they are 0."""


@dataclass(frozen=True)
class Failure:
    """A stack that could not go on, the stage where it stopped, and the reason with its remedy."""

    stack: str
    stage: str
    error: str


@dataclass(frozen=True)
class Blind:
    """A stack that can raise no flag, and why."""

    stack: str
    why: str


@dataclass(frozen=True)
class OpenFlag:
    """An open flag, raised or only noted, see `state`; `told` says whether a notice of it was sent, None where an earlier
    version did not write that down. `threshold` is the one that raised it; the fields from `evidence` to `pairs_over_now`
    say what the present one finds.

    `evidence` and `threshold_now` are None where the stack has no model any more; `stale` says why nothing new can clear the
    flag, None where something can.
    """

    stack: str
    name: str
    number: int
    since: date
    until: date
    first_pair: str
    peak_pair: str
    peak_score: float
    threshold: float
    pairs_over: int
    model: str
    evidence: EvidenceKind | None
    threshold_now: float | None
    pairs_over_now: int
    stale: str | None = None
    state: FlagState = FlagState.RAISED
    told: Told | None = None


@dataclass(frozen=True)
class Digest:
    """What one night did and what is open after it. `counts` has every count of `OF_A_NIGHT`.

    `costs` are of the stages that had ended when the digest was made; the ledger has those of the whole run. `states` has
    each stack that the night has been through. `level` says in words from where on flags are told; None where no fit has
    found it. `changes` are the flags that changed in the night, in all of its runs; None where an earlier version did not
    write that down. `rejected` counts the rejected pairs by their reason. `canary` is None where none was flown.
    """

    as_of: date
    run: int
    kind: str
    stacks: int
    counts: Mapping[Count, int]
    open_flags: tuple[OpenFlag, ...]
    failures: tuple[Failure, ...]
    blind: tuple[Blind, ...]
    undelivered: tuple[str, ...]
    warnings: tuple[str, ...]
    costs: tuple[CostRow, ...] = ()
    states: Mapping[str, StackState] = field(default_factory=dict)
    level: str | None = None
    changes: tuple[FlagChange, ...] | None = None
    rejected: Mapping[Verdict, int] = field(default_factory=dict)
    canary: CanaryRow | None = None

    @property
    def status(self) -> str:
        """``ok``, or ``failed`` where any stack failed."""
        return "failed" if self.failures else "ok"

    def failed_reading(self) -> dict[str, str]:
        """What the stacks that failed while they were read say."""
        return unread(self.failures)

    def as_dict(self) -> dict[str, object]:
        """The JSON form."""
        flags = [
            {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(flag).items()}
            for flag in self.open_flags
        ]
        return {
            "version": VERSION,
            "as_of": self.as_of.isoformat(),
            "run": self.run,
            "kind": self.kind,
            "status": self.status,
            "stacks": self.stacks,
            **{count.value: number for count, number in self.counts.items()},
            "rejected": rejected_rows(self.rejected),
            "level": self.level,
            "canary": canary_row(self.canary) if self.canary else None,
            "changes": [one.as_dict() for one in self.changes or ()],
            "open_flags": flags,
            "failures": [asdict(failure) for failure in self.failures],
            "blind": [asdict(one) for one in self.blind],
            "stale": [asdict(one) for one in stale_of(self.states, self.failed_reading())],
            "unmeasured_summits": [asdict(one) for one in unmeasured_of(self.states)],
            "partly_measured": [asdict(one) for one in partly_of(self.states)],
            "states": [state_row(stack, state) for stack, state in sorted(self.states.items())],
            "undelivered": list(self.undelivered),
            "warnings": list(self.warnings),
            "costs": [_rounded(row) for row in self.costs],
        }

    @property
    def text(self) -> str:
        """The JSON form as text."""
        return json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"


def canary_row(row: CanaryRow) -> dict[str, object]:
    """The JSON form of a canary."""
    return asdict(row) | {"night": row.night.isoformat(), "seen": row.seen}


def lines(digest: Digest, *, failures: bool = True, language: str = DEFAULT) -> list[str]:
    """The digest in words, most urgent first; without `failures` where these are printed elsewhere.

    Errors and warnings stand in it as the program says them, in English.
    """
    say, counts, states = template("report", "digest", language), digest.counts, digest.states
    titles = say.titles
    sent = [_line(say.flag(flag)) for flag in digest.open_flags if flag.state.told]
    noted = [_line(say.flag(flag)) for flag in digest.open_flags if not flag.state.told]
    out = [_line(say.first(digest))]
    out += _changes(digest, say)
    out += _listed(titles["open"], sent) or [f"  {_line(say.none_open())}"]
    out += _listed(titles["noted"], noted)
    out += _listed(titles["failed"], [_line(say.failure(one)) for one in digest.failures if failures])
    out += _listed(titles["blind"], [_line(say.blind(one)) for one in digest.blind])
    stale = [_stale(digest, one.stack, say, failures=failures) for one in stale_of(states)]
    out += _listed(titles["stale"], _first(stale, say, "insar-anomaly doctor"))
    out += _listed(titles["summit"], _summits(digest, say))
    partly = [
        _line(say.partly(one.stack, states[one.stack], RECENT, beside(one.stack, states))) for one in partly_of(states)
    ]
    out += _listed(titles["partly"], _first(partly, say, "insar-anomaly doctor"))
    out += _listed(titles["undelivered"], _first(digest.undelivered, say))
    out += _listed(titles["warnings"], digest.warnings)
    out += _listed(titles["new"], [_line(say.arrival(stack, days, age)) for stack, days, age in arrivals(states)])
    out += _listed(titles["age"], _ages(digest, say))
    out += [f"  {_line(say.old(counts[Count.OLD_FLAGS]))}"] if counts[Count.OLD_FLAGS] else []
    out.append(f"  {_line(say.counts({count.value: number for count, number in counts.items()}))}")
    if digest.rejected:
        out.append(f"  {_line(say.rejected(sum(digest.rejected.values()), in_turn(digest.rejected)))}")
    out += [f"  {_line(say.level(digest.level))}"] if digest.level else []
    out += [f"  {_line(say.canary(digest.canary))}"] if digest.canary else []
    return out + _listed(titles["cost"], [cost_words(row, language) for row in digest.costs])


def unread(failures: Sequence[Failure]) -> dict[str, str]:
    """Stacks that failed while they were read, and the first reason of each."""
    return {one.stack: one.error for one in reversed(failures) if one.stage == "ingest"}


def _stale(digest: Digest, stack: str, say: Any, *, failures: bool) -> str:
    """A stale stack, in words; without `failures` where these are printed elsewhere."""
    state = digest.states[stack]
    why = unjudged(stack, state, digest.failed_reading())
    return _line(say.stale(stack, state, why if failures else bool(why)))


def cost_words(row: CostRow, language: str = DEFAULT) -> str:
    """What a stage took, in one line: seconds, CPU, traffic and memory, without what is 0."""
    return _line(template("report", "digest", language).cost(row, size_words))


def size_words(number: int) -> str:
    """Bytes in decimal units, as object stores charge them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000  # type: ignore[assignment]
    return f"{number:.3g} {unit}"


def _rounded(row: CostRow) -> dict[str, object]:
    """A stage's costs for JSON, seconds to the millisecond."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(row).items()}


def _changes(digest: Digest, say: Any) -> list[str]:
    """The flags that changed in the night, by name; that there are none, where that is known."""
    if digest.changes is None:
        return []
    out = []
    for what in FlagEvent:
        mine = [_line(say.change(one)) for one in digest.changes if one.what is what]
        out += _listed(say.changed[what], _first(mine, say, "insar-anomaly flags"))
    return out or [f"  {_line(say.none_changed())}"]


def _ages(digest: Digest, say: Any) -> list[str]:
    """How old the data are: the oldest by name, and how many more there are."""
    oldest, rest, without = ages(digest.states)
    lines = [_line(say.age(stack, state.newest, state.age_days)) for stack, state in oldest]
    lines += [_line(say.younger(len(rest), rest[0], rest[-1]))] if rest else []
    return lines + ([_line(say.without(without))] if without else [])


def _summits(digest: Digest, say: Any) -> list[str]:
    """The stacks that are blind at their summit, in words."""
    hidden = [(one.stack, digest.states[one.stack]) for one in unmeasured_of(digest.states)]
    return [_line(say.summit(stack, state, SUMMIT_KM, RECENT)) for stack, state in hidden]


def _first(entries: Sequence[str], say: Any, command: str = "insar-anomaly notices") -> list[str]:
    """The first of many, how many more there are, and the command that lists them."""
    more = len(entries) - _LONGEST
    return [*entries[:_LONGEST], *([_line(say.more(more, command))] if more > 0 else [])]


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    return [f"  {title}:", *(f"    {entry}" for entry in entries)] if entries else []


def _line(text: object) -> str:
    """What a macro says, without the line breaks of its template."""
    return one_line(str(text))
