"""Volcanoes and their frames, boxes, exclusion polygons and contacts.

`volcano` says what one is, `read` reads them from TOML or CSV, `contacts` knows what an e-mail address is.
"""

from insar_anomaly.catalogue.read import load
from insar_anomaly.catalogue.volcano import DEFAULT_BOX_KM, Box, Volcano

__all__ = ["DEFAULT_BOX_KM", "Box", "Volcano", "load"]
