"""The picture of a calibration, where people look for it."""

from __future__ import annotations

from pathlib import Path

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.names import EvidenceKind, file_stem
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.report.figures import calibration_png


def draw_calibration(s: Installation, stack: str, evidence: EvidenceKind, calibration: Calibration) -> None:
    """Write ``calibration/<gvp>_<frame>[_<evidence>].png`` in the figures' folder; single pairs have no suffix.

    Raises OSError where it cannot be written.
    """
    folder = Path(s.config.figures) / "calibration"
    folder.mkdir(parents=True, exist_ok=True)
    stem = file_stem(stack) + ("" if evidence is EvidenceKind.PAIR else f"_{evidence}")
    (folder / f"{stem}.png").write_bytes(calibration_png(stack, evidence, calibration))
