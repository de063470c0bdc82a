"""Settings of a [[source]]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from insar_anomaly.config.places import Place
from insar_anomaly.config.section import Section, unknown
from insar_anomaly.files.pattern import EXAMPLE, Pattern
from insar_anomaly.registry import SOURCES
from insar_anomaly.units import SENTINEL1_WAVELENGTH_M


def _source(kind: object) -> object:
    if kind not in SOURCES.kinds:
        raise unknown(SOURCES)
    return kind


def _pattern(text: str) -> str:
    return Pattern(text).text


FilePattern = Annotated[str, AfterValidator(_pattern)]


class SourceSettings(Section):
    """A place of interferograms. Of a pair in several the newest version counts; of copies, the first [[source]]'s."""

    kind: Annotated[str, BeforeValidator(_source)] = Field("licsar", description="layout of the archive")
    url: Place = Field(description="folder of the frames: a path, file://, s3://bucket/prefix, or https:// of an index page")
    coherence_full: float | None = Field(
        None,
        gt=0,
        le=65535,
        description="value that stands for full coherence in every file of this source: 1, 100 or 255; none: what the "
        "layout says (licsar: 255 for integers, 1 for floats)",
    )
    pattern: FilePattern | None = Field(
        None,
        examples=[EXAMPLE],
        description="kind folder: paths of the phase files below url, with the two dates in any form of strptime; {frame} "
        "stands for the frame's name, * for any text",
    )
    coherence_pattern: FilePattern | None = Field(
        None,
        examples=[EXAMPLE.replace("unw", "cc")],
        description="kind folder: paths of the coherence files; unset: coherence is taken as full where there is phase",
    )
    frame: str | None = Field(
        None,
        pattern=r"^[^/+{}*]+$",
        examples=["005A_mexico"],
        description="kind folder: the one frame that the files are of, where the pattern has no {frame}; a name that starts "
        "with track and A or D tells the direction of the pass",
    )
    unit: Literal["rad", "m", "cm", "mm"] = Field("rad", description="kind folder: unit of the files; lengths become phase")
    positive: Literal["away", "towards"] = Field(
        "away", description="kind folder: what a positive value means, as seen from the satellite"
    )
    reference: Literal["named", "earlier", "later"] = Field(
        "named",
        description="kind folder: the date that the motion is counted from: the one that the pattern calls reference, or "
        "always the earlier or the later one",
    )
    wavelength_m: float = Field(
        SENTINEL1_WAVELENGTH_M, ge=0.01, le=2, description="kind folder: radar wavelength, m; the default is Sentinel-1's"
    )
    platform: Literal["S1A", "S1B", "S1C", "S1D", "NISAR", "ALOS2", "ALOS4"] | None = Field(
        None, description="kind folder: the satellite, where all files are of one"
    )
    height: str | None = Field(
        None, examples=["{frame}/dem.tif"], description="kind folder: path below url of the terrain's height, m"
    )
    look: tuple[str, ...] = Field(
        (),
        examples=[["look/E.tif", "look/N.tif", "look/U.tif"]],
        description="kind folder: paths below url of the look vector's layers; none: the nominal one of Sentinel-1",
    )
    look_form: Literal["enu", "incidence-azimuth", "theta-phi"] = Field(
        "enu",
        description="kind folder: what the layers of look are, all for the vector from the ground to the satellite. enu: "
        "its east, north and up parts. incidence-azimuth: degrees from the vertical, and counter-clockwise from north "
        "(ISCE, MintPy). theta-phi: rad above the horizon, and counter-clockwise from east (GAMMA, HyP3)",
    )
    ionosphere: bool = Field(
        False, description="subtract the products' ionospheric phase screen (nisar only); set it before the first ingest"
    )

    def mistakes(self) -> list[tuple[str, str]]:
        """Keys that do not go together, each with what to write."""
        if self.ionosphere and self.kind in SOURCES.own and self.kind != "nisar":
            return [("ionosphere", 'only kind = "nisar" takes it; leave it out')]
        if self.kind != "folder":
            fields = type(self).model_fields
            theirs = [key for key in _FOLDER_KEYS if getattr(self, key) != fields[key].default and self.kind in SOURCES.own]
            return [(key, 'only kind = "folder" takes it; write kind = "folder", or leave it out') for key in sorted(theirs)]
        if self.pattern is None:
            return [("pattern", f'missing; give the paths of the phase files, such as "{EXAMPLE}"')]
        wrong = []
        in_pattern = "{frame}" in self.pattern
        if in_pattern == (self.frame is not None):
            given = "the pattern has {frame} already: leave frame out" if in_pattern else _NO_FRAME
            wrong.append(("frame", given))
        if self.coherence_pattern and ("{frame}" in self.coherence_pattern) != in_pattern:
            wrong.append(("coherence_pattern", "give {frame} in both patterns, or in neither"))
        if len(self.look) not in (0, needed := 3 if self.look_form == "enu" else 2):
            wrong.append(("look", f'give {needed} paths for look_form = "{self.look_form}", not {len(self.look)}'))
        return wrong


_NO_FRAME = 'missing; give one frame for all files, such as frame = "005A_mexico", or {frame} in pattern'
_FOLDER_KEYS = frozenset(SourceSettings.model_fields) - {"kind", "url", "coherence_full", "ionosphere"}
