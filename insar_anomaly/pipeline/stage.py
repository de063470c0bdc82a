"""One step of a run: what people call it, the function that does it, and what it may be divided into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run

Work = Callable[[Installation, Run], None]


class Scope(Enum):
    """What a stage needs at the same time, and holds the leases of.

    One stack; the couples of a volcano; a volcano with its stacks and couples; or the whole installation, without leases.
    """

    STACK = "stack"
    COUPLE = "couple"
    VOLCANO = "volcano"
    WHOLE = "whole"


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Parameters
    ----------
    name : what people call it
    work : does it, for an installation that holds only what `scope` says; it runs where the data are, see `spread`
    scope : stages of stacks come first, then those of couples and volcanoes, then those of the whole
    leased : it writes stacks, and holds their leases while it does; stages of stacks that do not come after those that do
    reads_source : it has to be told where each frame is, see `ingest.locate`
    gpu : it goes to workers that declare a GPU, where there are any
    pending : True where it has something to do that is worth a worker; None where it never has
    """

    name: str
    work: Work
    scope: Scope = Scope.STACK
    leased: bool = True
    reads_source: bool = False
    gpu: bool = False
    pending: Callable[[Installation, Run], bool] | None = None
