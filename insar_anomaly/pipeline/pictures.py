"""The picture of a calibration, where people look for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from insar_anomaly.errors import writing
from insar_anomaly.names import EvidenceKind, file_stem
from insar_anomaly.pipeline.installation import Installation


def draw_calibration(s: Installation, stack: str, evidence: str, calibration: Mapping[str, Any]) -> None:
    """Write ``calibration/<gvp>_<frame>[_<evidence>].png`` in the figures' folder; single pairs have no suffix.

    Raises OSError, which names the file, where it cannot be written.
    """
    from insar_anomaly.report.figures import calibration_png  # with matplotlib, which takes half a second

    folder = Path(s.config.figures) / "calibration"
    stem = file_stem(stack) + ("" if evidence == EvidenceKind.PAIR else f"_{evidence}")
    file = folder / f"{stem}.png"
    picture = calibration_png(stack, evidence, calibration)
    with writing(file):
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)
