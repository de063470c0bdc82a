"""One night from end to end, and its digest."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import Period
from insar_anomaly.pipeline.assess import score
from insar_anomaly.pipeline.deliver import deliver
from insar_anomaly.pipeline.flag import flag
from insar_anomaly.pipeline.ingest import ingest
from insar_anomaly.pipeline.installation import Installation, Run


def _now(s: Installation, flag: EpisodeRow) -> dict[str, Any]:
    """An open flag, and what the stack's present threshold says of it: it may have been raised under another one."""
    model, _ = s.resting(flag.stack)
    inside = Period(flag.since, flag.until)
    rows = s.ledger.assessments(flag.stack, model.evidence) if model else []
    over = {row.pair for row in rows if row.flagged and inside.holds(row.pair)}
    return {
        **asdict(flag),
        "standing": sorted(flag.standing),
        "withdrawn": not flag.state.stands,
        "evidence": model.evidence if model else None,
        "threshold_now": model.threshold if model else None,
        "pairs_over_now": len(over),
    }


_COUNTED = (
    "new_pairs",
    "stored_pairs",
    "rejected_pairs",
    "changed_pairs",
    "scored_pairs",
    "scored_intervals",
    "scored_acquisitions",
    "scored_directions",
    "old_flags",
    "new_notices",
    "delivered",
)


def nightly(s: Installation, run: Run, *, period: Period | None = None) -> dict[str, Any]:
    """Ingest, score, flag, deliver; returns the digest, which is also written to the figures' folder."""
    ingest(s, run, period=period)
    score(s, run, period=period)
    flag(s, run)
    deliver(s, run)
    return summary(s, run)


def summary(s: Installation, run: Run) -> dict[str, Any]:
    """The night's digest: counts, open flags, failures, blind stacks, warnings. Written as ``digest-<date>.json``."""
    stacks, flaggable = s.by_stack, s.by_stack | s.by_couple
    open_flags = [
        {"name": flaggable[flag.stack].name, **_now(s, flag)}
        for flag in s.ledger.episodes(open_only=True)
        if flag.stack in flaggable
    ]
    waiting = [n for n in s.ledger.pending() if n.attempts or n.stack not in flaggable]
    digest = {
        "as_of": run.as_of.isoformat(),
        "run": run.number,
        "kind": run.kind,
        "status": "failed" if run.failures else "ok",
        "stacks": len(stacks),
        **{name: run.counts[name] for name in _COUNTED},
        "open_flags": open_flags,
        "failures": [asdict(f) for f in run.failures],
        "blind": [{"stack": stack, "why": why} for stack, why in sorted(run.blind.items())],
        "undelivered": [f"{n.key}: {n.last_error or 'its stack is not in this run'}" for n in waiting],
        "warnings": list(run.warnings),
    }
    file = Path(s.config.figures) / f"digest-{run.as_of}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".digest.{os.getpid()}.part")
        part.write_text(json.dumps(digest, indent=1, default=str) + "\n", encoding="utf-8")
        part.replace(file)
    except OSError as problem:
        run.fail("every stack", "digest", f"{file}: {problem.strerror}; make `figures` a folder that can be written")
        digest |= {"status": "failed", "failures": [asdict(f) for f in run.failures]}
    return digest
