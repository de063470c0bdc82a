"""What a flag tells of the ground, as one record: how much, where, when, and what else it could be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date

from insar_anomaly.names import JsonObject
from insar_anomaly.units import L_BAND_FROM_M


@dataclass(frozen=True)
class Moved:
    """The motion of one event in one stack.

    Parameters
    ----------
    first, last : the event's span, see `timing.holding`
    cm : largest motion, cm along the line of sight, positive towards the satellite, see `motion.peak_of`
    sigma_cm : one standard deviation of it; None where the stack has too little quiet time
    quiet_cm : 95 % of quiet spans stay below it on the same ground; None as before
    quiet_spans : number of the quiet spans that both rest on
    lat, lon : the place of the largest motion, degrees
    km, bearing : its distance and direction from the vent, degrees clockwise from north
    area_km2 : ground that moved by at least half as much
    later : acquisitions after the event
    kept : part of the motion that the newest acquisition shows still; None where only one came after it
    height_correlation, height_cm, low_coherence, jumps : see `doubts`; None where they cannot be told
    wavelength_m : of the stack; None in notices of earlier versions
    bands, bands_cm : part of the map's variance, and its spread in cm, in bands across the flight, see `doubts.bands`; None
        where they were not looked for: in C band
    season_quiet, season_highest : quiet scores of the same season, see `doubts.season`
    """

    first: date
    last: date
    cm: float
    sigma_cm: float | None
    quiet_cm: float | None
    quiet_spans: int
    lat: float
    lon: float
    km: float
    bearing: float
    area_km2: float
    later: int = 0
    kept: float | None = None
    height_correlation: float | None = None
    height_cm: float | None = None
    low_coherence: float | None = None
    jumps: float | None = None
    season_quiet: int = 0
    season_highest: float | None = None
    wavelength_m: float | None = None
    bands: float | None = None
    bands_cm: float | None = None

    @property
    def l_band(self) -> bool:
        """True where the wavelength is so long that the ionosphere has to be thought of."""
        return self.wavelength_m is not None and self.wavelength_m >= L_BAND_FROM_M

    def as_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        return asdict(self) | {"first": self.first.isoformat(), "last": self.last.isoformat()}

    @classmethod
    def of(cls, content: JsonObject) -> Moved:
        """From what `as_dict` gave."""
        days = {name: date.fromisoformat(content[name]) for name in ("first", "last")}
        return cls(**{**content, **days})
