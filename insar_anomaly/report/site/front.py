"""The front page: the map, what the last night did, what failed, how old the data are, and a table of all volcanoes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from insar_anomaly.report.digest import Digest
from insar_anomaly.report.site import world
from insar_anomaly.report.site.plain import data, page
from insar_anomaly.report.site.rows import Front, Mark, VolcanoRow

_AGES = (6, 12, 24, 48, 96)
"""Days: the edges of the table of data ages."""


def front_page(shown: Front) -> bytes:
    """The page ``index.html``."""
    rows = sorted(shown.rows, key=rank)
    cut = world.cut_of([one.volcano.lon for one in rows])
    places = [world.place(one.volcano.lat, one.volcano.lon, cut) for one in rows]
    counts = Counter(one.mark for one in rows)
    return page(
        "front.html.j2",
        shown=shown,
        rows=rows,
        marks=[(mark, counts[mark]) for mark in Mark],
        ranks={mark: number for number, mark in enumerate(Mark)},
        coast=world.coastline(cut),
        frame=world.frame_of(places),
        # the most urgent is drawn last, over the others
        markers=list(reversed(list(zip(rows, places, strict=True)))),
        as_of=shown.digest.as_of if shown.digest else None,
        summary=_summary(shown.digest),
        ages=_ages(rows, shown.digest.as_of if shown.digest else shown.made.date()),
        canary=data([[one.day, one.score, one.threshold] for one in shown.canary]) if shown.canary else None,
    )


def rank(one: VolcanoRow) -> tuple[float, int, float, str]:
    """The place in the table: the rarest score first; of those without one the most urgent, then the name."""
    return -(one.period or 0.0), list(Mark).index(one.mark), -(one.ratio or 0.0), one.volcano.name


def _summary(digest: Digest | None) -> list[tuple[str, str]]:
    """What the night did, in a few numbers."""
    if digest is None:
        return []
    counts = {count.value: number for count, number in digest.counts.items()}
    sent = sum(flag.state.told for flag in digest.open_flags)
    assessed = sum(counts.get(f"scored_{kind}", 0) for kind in ("pairs", "intervals", "acquisitions", "directions"))
    return [
        ("stacks screened", str(digest.stacks)),
        ("new pairs", str(counts.get("new_pairs", 0))),
        ("assessments", str(assessed)),
        ("new notices", str(counts.get("new_notices", 0))),
        ("open flags", f"{sent} + {len(digest.open_flags) - sent} noted"),
        ("blind stacks", str(len(digest.blind))),
        ("failures", str(len(digest.failures))),
    ]


def _ages(rows: Sequence[VolcanoRow], night: date) -> list[tuple[str, int]]:
    """How many volcanoes have data of which age on the last night."""
    known = [max(0, (night - one.newest).days) for one in rows if one.newest]
    edges = [-1, *_AGES]
    found = [(f"{low + 1} to {high} days", sum(low < age <= high for age in known)) for low, high in pairwise(edges)]
    found.append((f"more than {_AGES[-1]} days", sum(age > _AGES[-1] for age in known)))
    return [*found, ("no data yet", len(rows) - len(known))]
