"""One night from end to end, and its digest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from insar_anomaly.names import Period
from insar_anomaly.pipeline.installation import Installation, Run
from insar_anomaly.pipeline.order import night_stages, walk
from insar_anomaly.report.digest import OF_A_NIGHT, Blind, Digest, OpenFlag


def nightly(s: Installation, run: Run, *, period: Period | None = None) -> Digest:
    """Ingest, assess, flag, deliver; returns the digest, which is also written to the figures' folder."""
    walk(night_stages(period), s, run)
    return summary(s, run)


def summary(s: Installation, run: Run) -> Digest:
    """The night's digest: counts, open flags, failures, blind stacks, warnings. Written as ``digest-<date>.json``."""
    flaggable = s.by_stack | s.by_couple
    waiting = [n for n in s.ledger.pending() if n.attempts or n.stack not in flaggable]
    digest = Digest(
        as_of=run.as_of,
        run=run.number,
        kind=run.kind,
        stacks=len(s.by_stack),
        counts={count: run.counts[count] for count in OF_A_NIGHT},
        open_flags=tuple(_open_flags(s)),
        failures=tuple(run.failures),
        blind=tuple(Blind(stack, why) for stack, why in sorted(run.blind.items())),
        undelivered=tuple(f"{n.key}: {n.last_error or 'its stack is not in this run'}" for n in waiting),
        warnings=tuple(run.warnings),
    )
    file = Path(s.config.figures) / f"digest-{run.as_of}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".digest.{os.getpid()}.part")
        part.write_text(digest.text, encoding="utf-8")
        part.replace(file)
    except OSError as problem:
        run.fail("every stack", "digest", f"{file}: {problem.strerror}; make `figures` a folder that can be written")
        return replace(digest, failures=tuple(run.failures))
    return digest


def _open_flags(s: Installation) -> Iterator[OpenFlag]:
    """Open flags, and what each stack's present threshold says of its own: it may have been raised under another one."""
    flaggable = s.by_stack | s.by_couple
    for row in s.ledger.episodes(open_only=True):
        if row.stack not in flaggable:
            continue
        model, _ = s.resting(row.stack)
        inside = Period(row.since, row.until)
        found = s.ledger.assessments(row.stack, model.evidence) if model else []
        yield OpenFlag(
            stack=row.stack,
            name=flaggable[row.stack].name,
            number=row.number,
            since=row.since,
            until=row.until,
            first_pair=row.first_pair,
            peak_pair=row.peak_pair,
            peak_score=row.peak_score,
            threshold=row.threshold,
            pairs_over=row.pairs_over,
            model=row.model,
            evidence=model.evidence if model else None,
            threshold_now=model.threshold if model else None,
            pairs_over_now=len({one.pair for one in found if one.flagged and inside.holds(one.pair)}),
        )
