"""The command line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from insar_anomaly.cli.parser import Command, parser
from insar_anomaly.errors import InsarAnomalyError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    command: Command = args.command
    try:
        return command(args)
    except UsageError as problem:
        print(f"insar-anomaly: {problem}", file=sys.stderr)
        return 2
    except InsarAnomalyError as problem:
        print(f"insar-anomaly: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("insar-anomaly: stopped; what was committed is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
