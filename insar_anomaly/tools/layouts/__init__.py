"""Simulated frames written as a provider writes its products: one file per layout, with the names of `registry.SOURCES`.

To add one, write its file with a function like `licsar.write_archive` and add a line to the table.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from insar_anomaly.simulate import Scene


class Writer(Protocol):
    """Writes a scene below `root` and returns the names of its pairs; files that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """

    def __call__(
        self, root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
    ) -> list[str]:
        """Write it."""
        ...


LAYOUTS = {
    "licsar": "insar_anomaly.tools.layouts.licsar:write_archive",
    "folder": "insar_anomaly.tools.layouts.folder:write_archive",
    "disp": "insar_anomaly.tools.layouts.disp:write_archive",
    "aria": "insar_anomaly.tools.layouts.aria:write_archive",
    "nisar": "insar_anomaly.tools.layouts.nisar:write_archive",
    "hyp3": "insar_anomaly.tools.layouts.hyp3:write_archive",
}
"""Layout -> ``module:function`` of its writer."""


def writer(layout: str) -> Writer:
    """The writer of a layout. Raises ValueError where there is none."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    module, _, name = LAYOUTS[layout].partition(":")
    found: Writer = getattr(import_module(module), name)
    return found


def source_lines(layout: str) -> str:
    """What a [[source]] of this layout needs below kind, one setting a line; empty where it needs nothing."""
    found: str = getattr(_module(layout), "SOURCE_LINES", "")
    return found


def frame_name(layout: str, frame: str) -> str:
    """The name that the layout's reader gives to a frame that was written under the name `frame`."""
    named = getattr(_module(layout), "frame_name", None)
    return str(named(frame)) if named else frame


def _module(layout: str) -> ModuleType:
    return import_module(LAYOUTS[layout].partition(":")[0])
