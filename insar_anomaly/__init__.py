"""Nightly screening of interferograms of volcanoes: what does not look like this volcano's own quiet past?

The main path is `pipeline.night.nightly`: ingest, assess, flag, deliver. One *stack* (a volcano seen on one satellite frame)
runs through all rooms. In the order in which data flows:

==============  ======================================================================================================
`errors`        what can go wrong, grouped by what the caller does about it
`units`         constants of the satellites and of the Earth
`traffic`       what this process has asked of storage: requests, commits, bytes
`stopping`      whether it was asked to stop, where the exception of a signal would be lost
`registry`      sources, detectors and channels by name, also from other packages
`files`         what people write: text in any encoding, mistakes in plain English
`spoken`        dates, directions and numbers as people say them, in each language of notices
`names`         pairs, intervals, acquisitions, stacks, couples, kinds of evidence: parsed, printed, ordered here only
`catalogue`     volcanoes, their frames, boxes, exclusion polygons and contacts
`config`        every setting, once: its meaning, default and bounds
`sources`       archives of interferograms: list them, open a volcano's window
`stack`         the schema of what is stored, prechecks with numbered verdicts, the store (Zarr in Icechunk)
`tiles`         lazy: mask, correct, reference, fill, range
`evidence`      what is assessed: pairs, intervals fused from many pairs, acquisitions alone, both directions
`detectors`     `Detector.fit(tiles) -> Scorer`, `Scorer.score(tiles) -> scores`
`calibration`   out-of-sample trial, threshold, detectability in cm, metrics, labels
`flags`         the flag's life: (state, scores) -> (state, notices)
`ledger`        what was seen, assessed, flagged and sent: SQLite or PostgreSQL
`notify`        channels, and what a notice says
`report`        figures, the night's digest, exports, the site of the screening report
`simulate`      interferograms from physics, for tests, training and the demonstration
`pipeline`      opens an installation, runs the stages on workers, commits
`tools`         demo, doctor, benchmark, pretrain, rehearse
`cli`           the command line
==============  ======================================================================================================

Who may import whom is in ``pyproject.toml`` and is checked: no arrow points up.

From Python, for a notebook (`docs/api.md` has more)::

    import insar_anomaly as ia

    with ia.open_installation("night.toml") as here:
        phase = ia.read_stack(here, "221080/079D_07694_131313")              # xarray: pair, y, x
        scores = ia.read_scores(here, evidence="interval")                   # pandas: one row per assessment
        maps = ia.read_score_maps(here, "221080/079D_07694_131313")          # xarray: pair, lat, lon
        flags = ia.read_flags(here)                                          # pandas: one row per flag
        with here.run("nightly") as run:                                     # a stage needs a run
            digest = ia.nightly(here, run)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insar_anomaly.names import Couple, EvidenceKind, Period, Stack
    from insar_anomaly.pipeline.installation import open_installation
    from insar_anomaly.pipeline.night import nightly
    from insar_anomaly.pipeline.order import assess, deliver, fit, flag, ingest
    from insar_anomaly.pipeline.reading import read_flags, read_score_maps, read_scores, read_stack
    from insar_anomaly.tools.export import export_score_map

__version__ = "0.1.0"

_DOORS = {
    "insar_anomaly.names": ("Couple", "EvidenceKind", "Period", "Stack"),
    "insar_anomaly.pipeline": ("assess", "deliver", "fit", "flag", "ingest", "nightly", "open_installation"),
    "insar_anomaly.pipeline.reading": ("read_flags", "read_score_maps", "read_scores", "read_stack"),
    "insar_anomaly.tools.export": ("export_score_map",),
}

__all__ = [
    "Couple",
    "EvidenceKind",
    "Period",
    "Stack",
    "assess",
    "deliver",
    "export_score_map",
    "fit",
    "flag",
    "ingest",
    "nightly",
    "open_installation",
    "read_flags",
    "read_score_maps",
    "read_scores",
    "read_stack",
]


def __getattr__(name: str) -> object:
    """Import what is asked for, and nothing before: ``import insar_anomaly`` costs nothing."""
    for module, names in _DOORS.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
