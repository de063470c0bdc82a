"""What counts as an e-mail address, in a configuration, in a catalogue and in front of a mail server."""

from __future__ import annotations

import re

# not RFC 5322, which allows comments and quotes that no observatory has: one @, nothing blank on either side of it
_FORM = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+|[^<>@]*<[^@\s<>,;]+@[^@\s<>,;]+>")


def is_address(text: str) -> bool:
    """True for ``name@host`` or ``Words <name@host>`` on one printable line."""
    return text.isprintable() and _FORM.fullmatch(text) is not None


def checked(text: str) -> str:
    """The address; raises ValueError where it is none."""
    if not is_address(text):
        raise ValueError(f"{text!r} is not an e-mail address; write name@host, or Words <name@host>")
    return text
