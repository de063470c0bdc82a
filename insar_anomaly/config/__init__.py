"""Settings: one TOML file plus environment variables.

`sections` defines every setting once (`source` and `channel` those of a [[source]] and a [[channel]]), `places` what can be
a path or URL, `presets` names sets of settings, `load` reads a file and explains its mistakes, `defaults` prints the file
with every default as a comment.
"""

from insar_anomaly.config.defaults import commented_defaults
from insar_anomaly.config.load import detector_table, load, secret, where
from insar_anomaly.config.presets import PRESETS
from insar_anomaly.config.sections import Config, Detector, Fusion, Metrics, Preprocess, Storage
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.files.allowed import as_toml

__all__ = [
    "PRESETS",
    "Config",
    "Detector",
    "Fusion",
    "Metrics",
    "Preprocess",
    "SourceSettings",
    "Storage",
    "as_toml",
    "commented_defaults",
    "detector_table",
    "load",
    "secret",
    "where",
]
