"""Notices to any program: the notice as JSON on its standard input."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from pydantic import Field

from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.notify.message import Message, NotDelivered, Refused, Registration, Unreachable, as_json, plain

_SAID = 500
"""Characters of what a program says that are kept."""


class CommandSettings(ChannelSettings):
    """Notices to a program, as JSON on its standard input."""

    command: tuple[str, ...] = Field(
        min_length=1,
        examples=[["/usr/local/bin/tell", "--urgent"]],
        repr=False,
        description="the program and its arguments; no shell reads them",
    )
    timeout_s: float = Field(30.0, gt=0, le=3600, description="seconds until the program is ended, for each notice")


@dataclass(frozen=True)
class Command:
    """Runs a program for each notice, which reads the notice as JSON: what files hold, and the figure's bytes in base64.

    Exit code 0 says that it was delivered, 65 (EX_DATAERR) that the program does not want this notice, any other that it was
    not delivered. After `timeout` seconds the program and all that it has started are ended.
    """

    command: tuple[str, ...] = field(repr=False)
    timeout: float = 30.0
    name: str = "command"

    def deliver(self, message: Message) -> None:
        """Run the program. Raises NotDelivered with the end of what it wrote to standard error."""
        figure = None if message.figure is None else base64.b64encode(message.figure).decode("ascii")
        said = run_bounded(
            self.command,
            as_json(plain(message) | {"figure_base64": figure}),
            timeout=self.timeout,
            where=f"notice {message.key}: program {self.command[0]}",
        )
        if said.code == os.EX_OK:
            return
        kind = Refused if said.code == os.EX_DATAERR else NotDelivered
        raise kind(
            f"notice {message.key}: program {self.command[0]} ended with code {said.code}: {said.errors or 'no words'}"
        )


@dataclass(frozen=True)
class Said:
    """What a program said: its exit code, the end of its standard error and its standard output."""

    code: int
    errors: str
    output: str


def run_bounded(command: Sequence[str], given: bytes, *, timeout: float, where: str) -> Said:
    """Run a program to its end, or end it after `timeout` seconds with all that it has started.

    Files, not pipes: a program that does not read, or leaves a child behind that holds its output, holds nothing up here.

    Raises
    ------
    Unreachable
        where it cannot be started, or takes too long.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(given)
        stdin.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the configuration names the program
                list(command), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )
        except OSError as problem:
            raise Unreachable(f"{where} cannot be started: {problem.strerror}") from None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{where}: it was ended after {timeout:g} s (timeout_s): {_end_of(stderr)}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Said(code, _end_of(stderr), _end_of(stdout))


def _end_of(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 4 * _SAID))
    return " ".join(file.read().decode(errors="replace").split())[-_SAID:]


def _open(settings: CommandSettings, name: str, contacts: Sequence[str]) -> Command:  # noqa: ARG001
    return Command(settings.command, settings.timeout_s, name)


REGISTRATION = Registration(CommandSettings, _open)
