"""A score map as a GeoTIFF, for a map on the desk or in a GIS."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import xarray as xr

from insar_anomaly.errors import UsageError
from insar_anomaly.files.whole import write_whole
from insar_anomaly.names import EvidenceKind, file_stem
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.reading import read_score_maps
from insar_anomaly.report.site.downloads import geotiff


def export_score_map(
    s: Installation,
    stack: str,
    pair: str | None = None,
    *,
    out: str | Path | None = None,
    evidence: str = EvidenceKind.INTERVAL,
    after: int | None = None,
) -> Path:
    """Write the score map of one assessment as a GeoTIFF (float32, EPSG:4326, NaN = not scored); returns its path.

    Tags name the stack, what was assessed, score, threshold, model and dates; the file is written whole or not at all.

    Parameters
    ----------
    stack : ``gvp/frame``
    pair : name of the pair, interval or acquisition; None takes the newest
    out : the file; None makes ``score-<stack>-<pair>.tif`` here
    evidence : pair, interval or acquisition
    after : of an interval, the assessment with so many acquisitions from its second one on; None takes the one with most

    Raises
    ------
    UsageError
        where there is no such assessment, or the file cannot be written.
    """
    maps = read_score_maps(s, stack, evidence=evidence)
    one = _chosen(maps, stack, pair, after)
    name = str(one["pair"].values)
    path = Path(out) if out is not None else Path(f"score-{file_stem(stack)}-{name}.tif")
    tags = {
        "stack": stack,
        "evidence": maps.attrs["evidence"],
        "pair": name,
        "after": str(int(one["after"])) if "after" in one.coords or "after" in one else "0",
        "score": f"{float(one['score']):.6g}",
        "threshold": f"{maps.attrs['threshold']:.6g}",
        "model": maps.attrs["model"],
        "meaning": "anomaly score of a screening, larger is less like the quiet stack; not an alert level",
    }
    _write(path, one["score_map"].load(), tags)
    return path


def _chosen(maps: xr.Dataset, stack: str, pair: str | None, after: int | None) -> xr.Dataset:
    names = [str(name) for name in maps["pair"].values]
    wanted = names[-1] if pair is None and names else pair
    places = [i for i, name in enumerate(names) if name == wanted]
    if after is not None and "after" in maps:
        places = [i for i in places if int(maps["after"].values[i]) == after]
    if not places:
        near = f"; the newest are {', '.join(dict.fromkeys(names[-3:]))}" if names else ""
        what = wanted if after is None else f"{wanted} with {after} acquisitions from its second one on"
        raise UsageError(f"{stack}: no {maps.attrs['evidence']} {what} has a score map{near}")
    return maps.isel(pair=places[-1])


def _write(path: Path, score_map: xr.DataArray, tags: dict[str, str]) -> None:
    content = geotiff(score_map.values, score_map["lat"].values, score_map["lon"].values, tags)
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
        write_whole(path, content)
    except OSError as problem:
        raise UsageError(f"{path}: cannot be written ({problem}); name a file in a folder that can be written") from None
