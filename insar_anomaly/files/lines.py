"""Where something stands in a TOML file."""

from __future__ import annotations

import re
from collections.abc import Sequence


def line_of(text: str, place: Sequence[str | int]) -> int:
    """The line that a mistake at `place` is about: its key where that is written, else its table's header, else 1.

    A place is a section, the number of a table among its like where there are several, and a key: ``("source", 0, "url")``.
    """
    section = next((str(p) for p in place), "")
    number = next((p for p in place[1:2] if isinstance(p, int)), 0)
    key = str(next((p for p in reversed(place) if isinstance(p, str)), ""))
    current, seen, header = "", -1, 1
    for n, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[+\s*\"?([\w.-]+)", line):
            current = found[1]
            if current == section:
                seen += 1
                header = n if seen == number else header
        elif re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line) and (
            (current == section and seen == number) or (len(place) == 1 and not current)
        ):
            return n
    return header
