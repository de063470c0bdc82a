"""The command line: `main` runs one command, says what went wrong in one line, and returns the exit code."""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.interrupts import say_stopped, stoppable
from insar_anomaly.cli.parser import Command, parse
from insar_anomaly.errors import InsarAnomalyError, UsageError, not_written


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parsed(argv)
    if args is None:
        return Exit.CUT
    _set_up_logging(args.verbose)
    command: Command = args.command
    with stoppable():
        try:
            code = command.run(args)
            sys.stdout.flush()  # a full disk or a closed pipe is met here, where it can be explained
        except UsageError as problem:
            return _said(problem, Exit.USAGE)
        except InsarAnomalyError as problem:
            return _said(problem, Exit.FAILED)
        except KeyboardInterrupt:
            say_stopped()
            return Exit.STOPPED
        except BrokenPipeError:  # as a tool ends that SIGPIPE stops: nothing is said, and `pipefail` sees it
            _forget_output()
            return Exit.CUT
        except OSError as problem:
            words = not_written(problem)
            if words is None:
                raise
            if problem.filename is None:  # files are named where they are written
                words = words.replace("a file", "standard output", 1)
                _forget_output()
            return _said(words, Exit.FAILED)
    return code


def _parsed(argv: Sequence[str] | None) -> Namespace | None:
    """The command line; None where it asked for help that nobody has read to its end."""
    try:
        try:
            return parse(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return None


def _said(problem: Exception | str, code: Exit) -> Exit:
    print(f"insar-anomaly: {problem}", file=sys.stderr)
    return code


def _forget_output() -> None:
    """Drop what standard output still holds: the interpreter would try again at its end, and fail with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _set_up_logging(verbose: int) -> None:
    """Logs go to standard error: warnings; with -v all of this package's; with -vv all of every library's."""
    logging.basicConfig(
        level=logging.DEBUG if verbose > 1 else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if verbose:
        logging.getLogger("insar_anomaly").setLevel(logging.DEBUG)


if __name__ == "__main__":
    sys.exit(main())
