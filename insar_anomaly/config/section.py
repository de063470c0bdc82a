"""What every table of the configuration file has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from insar_anomaly.files.mistakes import UNKNOWN_KIND
from insar_anomaly.registry import Registry


class Section(BaseModel):
    """A table of the file: frozen, and no key that is not described here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def unknown(registry: Registry) -> PydanticCustomError:
    """The mistake of a kind that nobody offers."""
    return PydanticCustomError(UNKNOWN_KIND, "no such kind", {"kinds": registry.kinds})
