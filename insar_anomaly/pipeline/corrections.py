"""What a source shows of stored pairs, where it is not what was stored: replaced files, and pairs that are gone.

A replaced file is taken in as a new version once it has looked the same on two nights: a file that is still being written
grows. A pair is withdrawn once several complete listings, on as many nights, lack it. docs/decisions/0015-corrections.md has
the reasons.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import xarray as xr

from insar_anomaly.errors import PairRejected, StackFailed, Verdict
from insar_anomaly.ledger.records import DeviationRow, HoldingRow, PairRow, Seen
from insar_anomaly.names import Pair, by_date, in_order
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.misfits import REGRIDDED
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count
from insar_anomaly.sources.base import Listed, Source, Stated
from insar_anomaly.sources.listing import mended
from insar_anomaly.sources.words import counted
from insar_anomaly.stack.prechecks import rests_on
from insar_anomaly.stack.store import Kept

_REASONS = 3
"""Different reasons of one verdict that are said."""
_STABLE = 2
"""Nights on which a replaced file must look the same before it is taken."""


def settings_of(s: Installation) -> dict[str, float]:
    """The settings by which pairs are rejected."""
    return {"min_valid": s.config.ingest.min_valid, "min_coherence": s.config.ingest.min_coherence}


def as_words(settings: Mapping[str, float]) -> set[str]:
    """The same in the words of `ledger.Seen.rests_on`."""
    return {f"{name} = {value}" for name, value in settings.items()}


def rejected(one: Listed, rejection: PairRejected, settings: Mapping[str, float], *, version: int = 0) -> PairRow:
    """The ledger's row of a pair that failed a precheck under these settings."""
    uri, verdict = one.phase_uri or one.coherence_uri or "", rejection.verdict
    return PairRow(one.pair, uri, one.fingerprint, verdict, rejection.detail, None, version, rests_on(verdict, settings))


def with_versions(batch: xr.Dataset, pairs: Iterable[str], versions: Mapping[str, int]) -> xr.Dataset:
    """The batch of these pairs with the version that each of them will be."""
    return batch.assign(version=("pair", np.array([versions.get(pair, 0) for pair in pairs], np.uint16)))


@dataclass(frozen=True)
class Shown:
    """What the source lists of one stack's frame, all of it; `place` names the source.

    `partly`: one of several sources is out of reach, so that nothing can be said of what it holds. `whole`: nothing was left
    out of the listing, so that a pair which it lacks is gone.
    """

    every: Sequence[Listed]
    place: str
    partly: bool = False
    whole: bool = True

    @property
    def usable(self) -> dict[str, Listed]:
        """Pairs of which both files are listed: one without its phase is as good as gone."""
        return {one.pair: one for one in self.every if one.phase_uri and one.coherence_uri and Pair.parse(one.pair)}


def missing(shown: Mapping[str, Listed], seen: Mapping[str, Seen]) -> tuple[list[str], int]:
    """Accepted pairs that a listing should have and has not, and how many it should have.

    A pair is missed only where both of its dates are later than the earliest ones that are still listed: an archive that
    holds recent data only drops its oldest pairs.
    """
    spans = [Pair.of(pair) for pair in shown]
    accepted = [pair for pair, known in seen.items() if known.verdict == Verdict.OK]
    if not spans:
        return [], 0
    first, last = min(one.first for one in spans), min(one.last for one in spans)
    late = [pair for pair in accepted if (span := Pair.of(pair)).first > first and span.last > last]
    gone = [pair for pair in late if pair not in shown]
    return in_order(gone), len(gone) + sum(pair in shown for pair in accepted)


def deviations(
    shown: Mapping[str, Listed],
    seen: Mapping[str, Seen],
    before: Mapping[str, DeviationRow],
    *,
    today: date,
    complete: bool,
) -> dict[str, DeviationRow]:
    """What differs now between the listing and the accepted pairs, with the number of nights for which it has.

    A night counts once, however often the source was listed in it. An incomplete listing says nothing of pairs that it
    lacks: what was noted of them stays; see `missing`. A night of an earlier date than the last one does not count: who
    repeats old nights sees one and the same archive.
    """
    missed = set(missing(shown, seen)[0])
    now: dict[str, DeviationRow] = {}
    for pair, known in seen.items():
        if known.verdict != Verdict.OK:
            continue
        one, noted = shown.get(pair), before.get(pair)
        if one is None and not complete:
            now |= {pair: noted} if noted else {}
        elif one is None and pair not in missed:
            continue
        elif one is None or one.fingerprint != known.fingerprint:
            mark = one.fingerprint if one else ""
            fresh = DeviationRow(pair, mark, 1, today)
            if noted is None or noted.fingerprint != mark:
                now[pair] = fresh
            else:
                now[pair] = noted if noted.last >= today else replace(noted, nights=noted.nights + 1, last=today)
    return now


def take_up(
    s: Installation, run: Run, stack: str, seen: Mapping[str, Seen], shown: Shown, *, dry: bool, take: bool
) -> list[Listed]:
    """Note what the source shows, withdraw what is gone; returns the replaced pairs that are to be read now.

    Parameters
    ----------
    seen : what the ledger knows of the stack's pairs
    dry : write nothing
    take : do not wait: what was replaced is read now, whatever `[ingest] replaced` says
    """
    if not seen or shown.partly:  # what another source holds in place of the one out of reach is no newer version
        return []
    usable, last, before = shown.usable, s.ledger.holding(stack), s.ledger.deviations(stack)
    complete = _complete(run, stack, shown, replace(last, listed=last.listed or len(seen)), seen)
    now = deviations(usable, seen, before, today=run.as_of, complete=complete)
    gone = in_order(p for p, row in now.items() if not row.fingerprint and row.nights >= s.config.ingest.withdrawn_after)
    if not dry:
        changed = [row for pair, row in now.items() if row != before.get(pair)]
        if changed or before.keys() - now.keys():
            s.ledger.note_deviations(stack, changed, settled=before.keys() - now.keys())
        if shown.every and (last.place, last.listed) != (shown.place, len(shown.every)):
            s.ledger.note_holding(stack, replace(last, place=shown.place, listed=len(shown.every)))
        if gone:
            _withdraw(s, run, stack, gone, seen)
    _say_missing(s, run, stack, now)
    return _to_be_read(s, run, stack, [(usable[pair], row) for pair, row in now.items() if row.fingerprint], take=take)


def _say_missing(s: Installation, run: Run, stack: str, now: Mapping[str, DeviationRow]) -> None:
    """Say that stored pairs are not listed any more, from the first night on: it may be a disk that is half mounted."""
    limit = s.config.ingest.withdrawn_after
    rows = [row for row in now.values() if not row.fingerprint and row.nights < limit]
    if rows:
        first = in_order(row.pair for row in rows)[0]
        nights = max(row.nights for row in rows)
        run.warn(
            f"{stack}: stored pairs that the source does not list any more: {len(rows)}, first {first}, night {nights} of "
            f"{limit}; after that they are withdrawn: bring the files back if they should be there"
        )


def _complete(run: Run, stack: str, shown: Shown, last: HoldingRow, seen: Mapping[str, Seen]) -> bool:
    """True where a pair that is not in the listing is not in the source, as far as one can tell."""
    number = len(shown.every)
    if not number:
        run.fail(
            stack,
            "ingest",
            f"{shown.place} lists no pair of its frame, and listed {last.listed} before; nothing was withdrawn: see whether "
            "the archive was moved or emptied",
        )
        return False
    if not shown.whole:
        return False
    if last.place and last.place != shown.place:
        run.warn(f"{stack}: listed in {shown.place}, and in {last.place} before; what it lacks is not missed tonight")
        return False
    gone, expected = missing(shown.usable, seen)
    if 2 * len(gone) > expected:
        run.warn(
            f"{stack}: {shown.place} lacks {len(gone)} of {expected} stored pairs that it should list, first {gone[0]}; so "
            "many are not missed tonight: see whether the archive is whole"
        )
        return False
    if 2 * number < last.listed:
        run.warn(
            f"{stack}: {shown.place} lists {number} pairs, and {last.listed} before; what it lacks is not missed tonight"
        )
        return False
    return True


def _withdraw(s: Installation, run: Run, stack: str, gone: Sequence[str], seen: Mapping[str, Seen]) -> None:
    """Leave pairs out of the stack: the store first, then the ledger; a crash in between is mended by the next night."""
    snapshot = s.store.withdraw(stack, gone, writer=run.writer(stack))
    why = f"gone from the source on {s.config.ingest.withdrawn_after} nights; it is taken again when it comes back"
    rows = [PairRow(pair, "", "", Verdict.WITHDRAWN, why, snapshot, seen[pair].version) for pair in gone]
    s.ledger.record_pairs(stack, rows)
    s.ledger.note_deviations(stack, [], settled=gone)
    run.counts[Count.WITHDRAWN_PAIRS] += len(gone)
    run.warn(
        f"{stack}: withdrawn: {counted(len(gone), 'pair')}, first {gone[0]}: {why}; what was assessed with it is assessed "
        "again"
    )


def _to_be_read(
    s: Installation, run: Run, stack: str, changed: Sequence[tuple[Listed, DeviationRow]], *, take: bool
) -> list[Listed]:
    """Replaced pairs whose time has come; of the others the digest says what becomes of them."""
    policy, settings = s.config.ingest.replaced, as_words(settings_of(s))
    useless = [(one, row) for one, row in changed if row.verdict != Verdict.OK and not (take or mended(row, settings))]
    another_grid = [pair for pair in useless if pair[1].verdict == Verdict.WRONG_GRID]
    if len(another_grid) >= REGRIDDED:  # `misfits.note_grid` says it, with the remedy
        useless = [pair for pair in useless if pair not in another_grid]
    if useless:
        _, row = useless[0]
        run.warn(
            f"{stack}: replaced by what cannot be used: {counted(len(useless), 'file')}; the stack keeps what it has, first "
            f"{int(row.verdict)} {row.verdict.words}: {row.detail}"
        )
    open_ = [pair for pair in changed if pair not in useless and pair not in another_grid]
    ready = [one for one, row in open_ if take or (policy == "take" and row.nights >= _STABLE)]
    waiting = sorted((one for one, _ in open_ if one not in ready), key=lambda one: by_date(one.pair))
    if waiting:
        command = f"`insar-anomaly ingest --take-replaced {stack}` takes them now"
        then = {
            "take": f"each is taken in once it has been the same on {_STABLE} nights; {command}",
            "ask": f"the stack keeps what was screened; {command}",
            "keep": "the stack keeps what was screened ([ingest] replaced)",
        }[policy]
        run.warn(
            f"{stack}: replaced after it was stored: {counted(len(waiting), 'pair')}, first {waiting[0].phase_uri}; {then}"
        )
    return ready


def mend(s: Installation, stack: str, seen: Mapping[str, Seen], held: Mapping[str, Kept], *, dry: bool) -> dict[str, Seen]:
    """What is known of the pairs, also after a crash that came when the store had withdrawn some and the ledger not yet."""
    known = dict(seen)
    rows = []
    for pair, kept in held.items():
        if kept.withdrawn and pair in known and known[pair].verdict == Verdict.OK:
            known[pair] = Seen("", Verdict.WITHDRAWN, kept.version)
            rows.append(PairRow(pair, "", "", Verdict.WITHDRAWN, "withdrawn by an earlier run", None, kept.version))
    if rows and not dry:
        s.ledger.record_pairs(stack, rows)
    return known


def note_useless(
    s: Installation, stack: str, rows: Mapping[str, PairRow], seen: Mapping[str, Seen], *, today: date
) -> set[str]:
    """Write down replaced files that cannot be used; returns the pairs of which the stack keeps what it has."""
    kept = {pair for pair in rows if pair in seen and seen[pair].verdict == Verdict.OK}
    before = s.ledger.deviations(stack)
    noted = []
    for pair in sorted(kept):
        row, was = rows[pair], before.get(pair)
        nights = was.nights if was and was.fingerprint == row.fingerprint else 1
        noted.append(DeviationRow(pair, row.fingerprint, nights, today, row.verdict, row.detail, row.rests_on))
    s.ledger.note_deviations(stack, noted)
    return kept


def insist_on_convention(s: Installation, stack: str, source: Source) -> None:
    """Raise StackFailed where the settings of a source state another unit or sign than its stack was made with.

    Pairs of both in one stack would tell of motion that never was.
    """
    if not isinstance(source, Stated) or not s.store.has(stack):
        return
    was = s.store.open(stack).attrs.get("sign")
    if was and was != source.convention:
        raise StackFailed(
            f"{stack}: its pairs were read as {was!r}, and [[source]] says {source.convention!r} now; nothing was read: run "
            f"`insar-anomaly restack {stack}`, which reads them all anew, or set the source as it was"
        )


def say_rejected(run: Run, stack: str, rows: Iterable[PairRow]) -> None:
    """Say why pairs were rejected whose files are at fault. Too little data is counted only: it comes every winter."""
    by_verdict: dict[Verdict, list[PairRow]] = {}
    for row in rows:
        if Verdict.OK < row.verdict < Verdict.NO_DATA:
            by_verdict.setdefault(row.verdict, []).append(row)
    for verdict, alike in sorted(by_verdict.items()):
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        first = f"{stack}: {alike[0].pair}{more} rejected, verdict {int(verdict)} ({verdict.words}): {alike[0].detail}"
        others = [words for row in alike[1:] if (words := _alike(row)) != _alike(alike[0])]
        counts = Counter(others).most_common()
        named = {_alike(row): row for row in reversed(alike)}
        said = [f"{counted(number, 'pair')} otherwise: {named[words].detail}" for words, number in counts[: _REASONS - 1]]
        left = sum(number for _, number in counts[_REASONS - 1 :])
        said += [f"{counted(left, 'pair')} for further reasons: `insar-anomaly scores` lists them"] if left else []
        run.warn("; ".join([first, *said]))


def _alike(row: PairRow) -> str:
    """The reason of a rejection without what names the pair: equal for files that have the same fault."""
    return re.sub(r"\S*[/_]\S*|[-+]?\d[\d.e+-]*", "", row.detail)
