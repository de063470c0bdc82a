"""What a command prints at its end, and the exit code that follows from it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from insar_anomaly.cli.exits import Exit

if TYPE_CHECKING:
    from insar_anomaly.pipeline import Run


def json_text(content: object) -> str:
    """What `--json` prints: moments as ISO 8601 in UTC, ``2026-03-02T03:05:00Z``, and whatever else JSON has no form for
    as its own text, dates as ``2026-03-02``."""
    return json.dumps(content, default=_plain)


def _plain(value: object) -> str:
    if not isinstance(value, datetime):
        return str(value)
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def outcome(args: argparse.Namespace, run: Run, result: dict[str, object], words: Sequence[str]) -> int:
    """Print a run's result: `words`, or `result` as JSON, to standard output; its failures, once, to standard error."""
    if args.json:
        print(json_text(result))
    elif not args.quiet:
        print("\n".join(words))
    if args.quiet or not args.json:
        for failure in run.failures:
            print(f"insar-anomaly: {failure.stack}: {failure.stage}: {failure.error}", file=sys.stderr)
    if args.quiet:  # an exit code that is not 0 is explained
        for stack, why in run.blind.items():
            print(f"insar-anomaly: {stack}: blind: {why}", file=sys.stderr)
    return Exit.of(run)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column from its left side on, the numbers after it up to their right side."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        numbers = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
    return lines


def counted(run: Run, kind: str, nothing: str) -> tuple[dict[str, object], list[str]]:
    """A run's counts, blind stacks and warnings, for JSON and in words; `nothing` says what no count means."""
    from insar_anomaly.pipeline.outcome import result_of, words_of

    return result_of(run, kind), words_of(run, kind, nothing)
