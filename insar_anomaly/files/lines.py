"""Where something stands in a TOML file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HEADER = re.compile(r"""\s*\[\[?\s*["']?([\w.-]+)["']?\s*\]\]?\s*(#|$)""")
_KEY = re.compile(r"""\s*["']?([^"'=\[\]#]+?)["']?\s*=""")


@dataclass(frozen=True)
class Lines:
    """The lines of a TOML text, found in one pass: `headers` by table and its number among its like, `keys` by table,
    number and key. The table of what stands above the first header is empty, and its number is -1."""

    headers: Mapping[tuple[str, int], int]
    keys: Mapping[tuple[str, int, str], int]

    @classmethod
    def of(cls, text: str) -> Lines:
        """The lines of a text, counted from 1."""
        headers: dict[tuple[str, int], int] = {}
        keys: dict[tuple[str, int, str], int] = {}
        seen: Counter[str] = Counter()
        table, number = "", -1
        for line, written in enumerate(text.splitlines(), 1):
            if found := _HEADER.match(written):
                table = found[1]
                number = seen[table]
                seen[table] += 1
                headers[table, number] = line
            elif found := _KEY.match(written):
                keys.setdefault((table, number, found[1]), line)
        return cls(headers, keys)

    def line(self, place: Sequence[str | int]) -> int:
        """The line that a mistake at `place` is about: its key where that is written, else its table's header, else 1.

        A place is a section, the number of a table among its like where there are several, and a key:
        ``("source", 0, "url")``.
        """
        section = next((str(p) for p in place), "")
        number = next((p for p in place[1:2] if isinstance(p, int)), 0)
        key = str(next((p for p in reversed(place) if isinstance(p, str)), ""))
        above = self.keys.get(("", -1, key)) if len(place) == 1 else None
        return above or self.keys.get((section, number, key)) or self.headers.get((section, number)) or 1

    def written(self, table: str, key: str) -> bool:
        """True where a key stands in a table of which there is one."""
        return (table, 0, key) in self.keys
