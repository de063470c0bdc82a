"""Stacks that do not fit what they are made of any more: the frame's grid has moved, or the catalogue's box."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import xarray as xr

from insar_anomaly.catalogue.volcano import Box, Volcano
from insar_anomaly.errors import StackFailed, Verdict
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.names import in_order
from insar_anomaly.pipeline.run import Run
from insar_anomaly.stack.coverage import covered_by
from insar_anomaly.stack.freshness import SUMMIT_LEAST
from insar_anomaly.stack.schema import Grid

PIXEL = 0.001
"""Degrees, 100 m: the pixels of LiCSAR, on which polygons are tried before a grid is known."""
REGRIDDED = 3
"""Pairs in a row that do not fit the stack's grid, from which on the frame is said to have another one."""


def edges(box: Box) -> list[float]:
    """West, south, east and north of a box, as a stack keeps them."""
    return [box.west, box.south, box.east, box.north]


def note_box(run: Run, stack: str, volcano: Volcano, held: xr.Dataset) -> None:
    """Say, each night, where the catalogue's box of a volcano is not the one for which its stack was built."""
    words = another_box(stack, volcano, held)
    if not words:
        return
    grid = Grid.of(held)
    east, south = grid.west + grid.dx * grid.shape[1], grid.north - grid.dy * grid.shape[0]
    if grid.west <= volcano.lon <= east and south <= volcano.lat <= grid.north:
        run.warn(f"{stack}: {words}")
    else:
        run.fail(stack, "ingest", f"the volcano itself is not in its stack: {words}")


def another_box(stack: str, volcano: Volcano, held: xr.Dataset) -> str | None:
    """What is to say where the catalogue's box of a volcano is not the one for which its stack was built; else None.

    A stack of an earlier version does not say what its box was: it is compared where it reaches beyond the box of now.
    """
    grid, box = Grid.of(held), edges(volcano.box)
    east, south = grid.west + grid.dx * grid.shape[1], grid.north - grid.dy * grid.shape[0]
    pixel = 1.5 * max(grid.dx, grid.dy)
    if "box" in held.attrs:
        moved = max(abs(a - b) for a, b in zip(box, held.attrs["box"], strict=True)) > pixel
    else:
        over = (box[0] - grid.west, box[1] - south, east - box[2], grid.north - box[3])
        moved = max(over) > pixel
    if not moved:
        return None
    return (
        f"the catalogue's box is {box[0]:.3f} to {box[2]:.3f} E, {box[1]:.3f} to {box[3]:.3f} N, and its stack has "
        f"another: it covers {grid.west:.3f} to {east:.3f} E, {south:.3f} to {grid.north:.3f} N; run `insar-anomaly restack "
        f"{stack}`, or correct lat, lon or box_km in the catalogue"
    )


def insist_on_ground(stack: str, volcano: Volcano) -> None:
    """Raise StackFailed where the exclusion polygons leave no ground to assess."""
    if volcano.excludes_everything(PIXEL):
        raise StackFailed(f"{stack}: {volcano.nothing_left}")


def note_cut(run: Run, stack: str, volcano: Volcano, held: xr.Dataset) -> None:
    """Say, when a stack is built, that its frame ends inside the volcano's box."""
    inside = covered_by(Grid.of(held), volcano.box, (volcano.lat, volcano.lon))
    if inside.box < 1:
        summit = (
            "the summit is inside" if inside.summit >= SUMMIT_LEAST else "the summit is not: nothing there can be flagged"
        )
        run.warn(
            f"{stack}: its frame ends inside the volcano's box and holds {inside.box:.0%} of it; {summit}. A frame beside "
            "it, added to `frames` in the catalogue, makes a stack of the rest"
        )


def note_grid(run: Run, stack: str) -> bool:
    """Say, each night, where the newest pairs of a frame do not fit the grid of its stack; True where that was said."""
    words = another_grid(run.ledger, stack)
    if words:
        run.warn(f"{stack}: {words}")
    return bool(words)


def another_grid(ledger: Ledger, stack: str) -> str | None:
    """What is to say where the newest pairs of a stack's frame, new or replaced, have another grid; None where they fit.

    It is true until `restack` has built the stack on the grid that they have.
    """
    verdicts = {
        p: known.verdict for p, known in ledger.seen(stack).items() if known.verdict in (Verdict.OK, Verdict.WRONG_GRID)
    }
    verdicts |= {pair: row.verdict for pair, row in ledger.deviations(stack).items() if row.verdict == Verdict.WRONG_GRID}
    last = _trailing(verdicts)
    if len(last) < REGRIDDED:
        return None
    return (
        f"the last {len(last)} pairs, from {last[0]} on, do not fit the stack's grid and are not screened: the frame has "
        f"another grid now; `insar-anomaly restack {stack}` builds the stack on it"
    )


def _trailing(verdicts: Mapping[str, Verdict]) -> list[str]:
    """The newest pairs, as far back as each of them does not fit the grid, in order of time."""
    names: Collection[str] = in_order(verdicts)
    found: list[str] = []
    for pair in reversed([*names]):
        if verdicts[pair] != Verdict.WRONG_GRID:
            break
        found.append(pair)
    return found[::-1]
