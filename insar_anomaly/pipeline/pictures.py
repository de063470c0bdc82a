"""The picture of a calibration, where people look for it."""

from __future__ import annotations

from pathlib import Path

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.errors import writing
from insar_anomaly.names import EvidenceKind, file_stem
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.stack.schema import Grid


def calibration_file(figures: str, stack: str, evidence: EvidenceKind) -> Path:
    """``calibration/<gvp>_<frame>[_<evidence>].png`` in the figures' folder; single pairs have no suffix."""
    suffix = "" if evidence is EvidenceKind.PAIR else f"_{evidence}"
    return Path(figures) / "calibration" / f"{file_stem(stack)}{suffix}.png"


def draw_calibration(s: Installation, stack: str, evidence: EvidenceKind, calibration: Calibration) -> None:
    """Write a stack's `calibration_file`.

    Raises OSError, which names the file, where it cannot be written.
    """
    from insar_anomaly.report.figures import Scene, calibration_png  # with matplotlib, which takes half a second

    file = calibration_file(s.config.figures, stack, evidence)
    volcano = (s.by_stack | s.by_couple)[stack]
    grid = None if stack in s.by_couple else Grid.of(s.store.open(stack))
    picture = calibration_png(stack, evidence, calibration, Scene(volcano.name, (volcano.lat, volcano.lon), grid))
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)
