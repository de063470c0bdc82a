"""Links in notices by which a person acts on a flag: signed, for one flag, for some days. Opening one changes nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from insar_anomaly.errors import ConfigError, UsageError
from insar_anomaly.names import FlagName

SHORTEST_SECRET = 32
"""Characters of a secret: shorter ones can be guessed."""


class BadLink(UsageError):
    """The link was not made here, was changed, or has expired.

    `why` is ``incomplete``, ``foreign``, ``expired`` or ``gone``, and `about` the day or the flag that this is about.
    """

    def __init__(self, words: str, why: str, about: object = "") -> None:
        super().__init__(words)
        self.why, self.about = why, about


class Purpose(StrEnum):
    """What a link is good for, which is also the end of its address. A link of one kind is none of the other."""

    FLAG = "flag"
    """The page of a flag, where a person acts."""
    FIGURE = "figure"
    """The figure of a flag, which machines and chats get too: nobody can act with it."""


@dataclass(frozen=True)
class Links:
    """Makes and reads links: `url` is where `insar-anomaly serve` is reached, `secret` signs, a link holds for `days`.

    Raises ConfigError where the secret is too short.
    """

    url: str
    secret: str
    days: int

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST_SECRET:
            raise ConfigError(
                f"the secret of [serve] secret_env has {len(self.secret)} characters: give it {SHORTEST_SECRET} or more, as "
                "`openssl rand -hex 32` makes them"
            )

    def of(self, flag: FlagName, now: datetime, purpose: Purpose = Purpose.FLAG, language: str | None = None) -> str:
        """The link of a flag, made at an aware moment; what it shows is in `language`, None: in that of who opens it."""
        expires = int((now + timedelta(days=self.days)).timestamp())
        return f"{self.url.rstrip('/')}/{self.reference(flag, expires, purpose, language)}"

    def reference(self, flag: FlagName, expires: int, purpose: Purpose, language: str | None = None) -> str:
        """The end of a link's address, ``flag?flag=...``, as it may stand in a page of the same server.

        Parameters
        ----------
        expires : seconds since 1970 in UTC
        """
        query = {"flag": str(flag), "expires": str(expires), "signature": self._signature(purpose, str(flag), expires)}
        query |= {"language": language} if language else {}
        return f"{purpose}?{urlencode(query)}"

    def read(self, query: Mapping[str, str], now: datetime, purpose: Purpose = Purpose.FLAG) -> FlagName:
        """The flag of a link, from its query.

        Raises
        ------
        BadLink
            where the signature is not ours, or the link has expired.
        """
        name, expires, given = (query.get(key, "") for key in ("flag", "expires", "signature"))
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            raise BadLink("this link is incomplete: open it from the notice again", "incomplete")
        if not hmac.compare_digest(self._signature(purpose, name, int(expires)).encode(), given.encode()):
            raise BadLink("this link was not made by this installation, or was changed on its way", "foreign")
        if now.timestamp() > int(expires):
            day = datetime.fromtimestamp(int(expires), UTC).date()
            raise BadLink(f"this link has expired on {day}: use a newer notice, or the command line", "expired", day)
        try:
            return FlagName.of(name)
        except ValueError as problem:
            raise BadLink(f"this link is of no flag: {problem}", "foreign") from None

    def _signature(self, purpose: Purpose, name: str, expires: int) -> str:
        return hmac.new(self.secret.encode(), f"{purpose}\n{name}\n{expires}".encode(), hashlib.sha256).hexdigest()
