"""Notices by Apprise: chat, SMS, push and a hundred services more, each named by a URL."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.config.load import secret
from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.command import run_bounded
from insar_anomaly.notify.message import Message, NotDelivered, Registration, Unreachable, as_json

CHILD = Path(__file__).with_name("_apprise_child.py")
"""The only file that imports Apprise. It runs in a process of its own, which can be ended: Apprise's services know no
deadline."""


class AppriseSettings(ChannelSettings):
    """Notices by Apprise (https://appriseit.com): chat, SMS, push and other services."""

    urls_env: str = Field(description="environment variable with Apprise's URLs, with spaces between several")
    figure: bool = Field(True, description="attach the figure where the service takes files")
    timeout_s: float = Field(30.0, gt=0, le=300, description="seconds until the attempt is ended, for each notice")


_PRIVATE_FROM = 6
"""Characters from which on a part of a URL is not shown: it may be a password."""


@dataclass(frozen=True)
class Apprise:
    """Tells all services of the `urls`; it counts as delivered once every one of them has taken it.

    The URLs hold passwords and are never shown; an error names the service alone. `timeout` is in seconds, from start to
    end. Raises ConfigError without a URL.
    """

    urls: tuple[str, ...] = field(repr=False)
    figure: bool = True
    timeout: float = 30.0
    name: str = "apprise"

    def __post_init__(self) -> None:
        if not self.urls:
            raise ConfigError(f"channel {self.name}: the environment variable of urls_env holds no URL")
        if wrong := [number for number, url in enumerate(self.urls, 1) if "://" not in url]:
            raise ConfigError(f"channel {self.name}: URL {wrong[0]} of urls_env is none of Apprise's; it has no ://")

    def deliver(self, message: Message) -> None:
        """Tell every service. Raises NotDelivered, which names those that did not take it."""
        where = f"notice {message.key}: Apprise"
        with ExitStack() as kept:
            figure = self._figure_file(message, kept)
            job = {"urls": self.urls, "title": message.subject, "body": message.text, "figure": figure}
            # -P: the folder of this file has modules named as those of Python's own library
            said = run_bounded((sys.executable, "-P", str(CHILD)), as_json(job), timeout=self.timeout, where=where)
        try:
            failed = json.loads(said.output)["failed"] if said.code == 0 else None
        except (ValueError, KeyError):
            failed = None
        if failed is None:
            raise Unreachable(f"{where} failed: {self._private(said.errors) or f'exit code {said.code}'}")
        if failed:
            raise NotDelivered(
                f"{where}: not taken by {', '.join(failed)}: {self._private(said.errors) or 'no reason given'}"
            )

    def _figure_file(self, message: Message, kept: ExitStack) -> str | None:
        if message.figure is None or not self.figure:
            return None
        folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="insar-anomaly-"))
        file = Path(folder) / f"{message.file_stem}.png"
        file.write_bytes(message.figure)
        return str(file)

    def _private(self, words: str) -> str:
        """Words of a service without the URLs, and without the parts of them that may be a password."""
        for url in self.urls:
            for part in sorted({url, *re.split(r"[/@:?&=]", url)}, key=len, reverse=True):
                words = words.replace(part, "***") if len(part) >= _PRIVATE_FROM else words
        return words


def _open(settings: AppriseSettings, name: str, contacts: Sequence[str]) -> Apprise:  # noqa: ARG001
    urls = secret(settings.urls_env) or ""
    return Apprise(tuple(urls.split()), settings.figure, settings.timeout_s, name)


REGISTRATION = Registration(AppriseSettings, _open)
