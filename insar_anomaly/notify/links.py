"""Links in notices by which a person acts on a flag: signed, for one flag, for some days. Opening one changes nothing."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from insar_anomaly.errors import ConfigError, UsageError
from insar_anomaly.names import FlagName

SHORTEST_SECRET = 32
"""Characters of a secret: shorter ones can be guessed."""


class BadLink(UsageError):
    """The link was not made here, was changed, or has expired."""


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

    def of(self, flag: FlagName, now: datetime) -> str:
        """The link of a flag, made at an aware moment."""
        expires = int((now + timedelta(days=self.days)).timestamp())
        query = {"flag": str(flag), "expires": str(expires), "signature": self._signature(str(flag), expires)}
        return f"{self.url.rstrip('/')}/flag?{urlencode(query)}"

    def read(self, query: Mapping[str, str], now: datetime) -> FlagName:
        """The flag of a link, from its query.

        Raises
        ------
        BadLink
            where the signature is not ours, or the link has expired.
        """
        name, expires, given = (query.get(key, "") for key in ("flag", "expires", "signature"))
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            raise BadLink("this link is incomplete: open it from the notice again")
        if not hmac.compare_digest(self._signature(name, int(expires)).encode(), given.encode()):
            raise BadLink("this link was not made by this installation, or was changed on its way")
        if now.timestamp() > int(expires):
            day = datetime.fromtimestamp(int(expires), UTC).date()
            raise BadLink(f"this link has expired on {day}: use a newer notice, or the command line")
        return FlagName.of(name)

    def _signature(self, name: str, expires: int) -> str:
        return hmac.new(self.secret.encode(), f"flag\n{name}\n{expires}".encode(), hashlib.sha256).hexdigest()
