"""The night's digest: what was looked at, flagged, failed, and which stacks are blind; made even when all is quiet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from insar_anomaly.names import EvidenceKind


def lines(digest: Mapping[str, Any]) -> list[str]:
    """The digest in words, most urgent first."""
    out = [f"Screening of {digest['as_of']} ({digest['status']}): {digest['stacks']} stacks"]
    out += _listed("open flags", [_flag(f) for f in digest["open_flags"]]) or ["  no flag is open"]
    out += _listed("failed", [f"{f['stack']} ({f['stage']}): {f['error']}" for f in digest["failures"]])
    out += _listed("blind: no threshold, so never flagged", [f"{b['stack']}: {b['why']}" for b in digest["blind"]])
    out += _listed("notices that have not arrived", digest["undelivered"])
    out += _listed("worth knowing", digest["warnings"])
    if digest["old_flags"]:
        out.append(f"  {digest['old_flags']} flags of the past, too old for a notice, were raised: `insar-anomaly flags`")
    out.append(
        f"  {digest['new_pairs']} new pairs, {digest['rejected_pairs']} rejected; scored: {digest['scored_pairs']} pairs, "
        f"{digest['scored_intervals']} assessments of intervals, {digest['scored_acquisitions']} acquisitions, "
        f"{digest['scored_directions']} assessments from both directions; "
        f"{digest['new_notices']} new notices, {digest['delivered']} delivered"
    )
    return out


def _flag(flag: Mapping[str, Any]) -> str:
    return (
        f"{flag['name']} {flag['stack']}: since {flag['since']}, last over the threshold {flag['until']}, peak "
        f"{flag['peak_score']:.4g} in {flag['peak_pair']} (threshold {flag['threshold']:.4g}), "
        f"{EvidenceKind(flag['evidence'] or 'pair').counted(flag['pairs_over'])} over{_since_then(flag)}"
    )


def _since_then(flag: Mapping[str, Any]) -> str:
    """What a new threshold says of the flag; nothing where it is the one that raised it."""
    now = flag["threshold_now"]
    if now is None or now == flag["threshold"]:
        return ""
    return f" the threshold in force when they came; over the present one, {now:.4g}: {flag['pairs_over_now']}"


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    return [f"  {title}:", *(f"    {entry}" for entry in entries)] if entries else []
