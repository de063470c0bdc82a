"""What a command prints at its end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insar_anomaly.pipeline import Run


def outcome(args: argparse.Namespace, run: Run, result: dict[str, object], words: Sequence[str]) -> int:
    if args.json:
        print(json.dumps(result, default=str))
    elif not args.quiet:
        print("\n".join(words))
    if args.quiet or not args.json:
        for failure in run.failures:
            print(f"insar-anomaly: {failure.stack}: {failure.stage}: {failure.error}", file=sys.stderr)
    return 1 if run.failures else 0


def counted(run: Run, kind: str) -> tuple[dict[str, object], list[str]]:
    from insar_anomaly.pipeline.outcome import result_of, words_of

    return result_of(run, kind), words_of(run, kind)
