"""The systems of the comparison, by name, and the budgets that their training gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from insar_anomaly.config.presets import PRESETS
from insar_anomaly.config.sections import Preprocess
from insar_anomaly.detectors import takes
from insar_anomaly.pipeline.recipe import DetectorChoice
from insar_anomaly.registry import DETECTORS
from insar_anomaly.tiles.preprocess import Cleaning

Tiles = Literal["ours", "poster"]
_POSTER = PRESETS["poster"]["detector"]


@dataclass(frozen=True)
class System:
    """One column: a detector, its settings, the tiles it sees, and its name in the poster's table where it has one."""

    kind: str
    words: str
    settings: Mapping[str, object]
    tiles: Tiles = "ours"
    poster: str | None = None


def _padim(words: str, poster: str | None, **settings: Any) -> System:
    # the clamp makes all pairs tie where random features give NLML below 0 everywhere: it stays a switch of the preset
    plain = {k: v for k, v in _POSTER.items() if k != "kind"} | {"clamp": False}
    return System("padim", words, MappingProxyType(plain | settings), "poster", poster)


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "ours": System("padim", "PaDiM, our defaults: aligned, masked, max", MappingProxyType({})),
        "matched-filter": System("matched_filter", "matched filter whitened by the quiet covariance", MappingProxyType({})),
        "padim": _padim("authors' windows, Mahalanobis, blurred", "padim", form="joint", distance="maha", smooth=4.0),
        "nlml-a": _padim("authors' windows, NLML per layer (form A)", None, form="per-layer", distance="nlml"),
        "nlml-b": _padim("authors' windows, NLML joint (form B)", "nlml", form="joint", distance="nlml"),
        "wmaha-a": _padim(
            "authors' windows, weighted Mahalanobis per layer (form A)", None, form="per-layer", distance="wmaha"
        ),
        "wmaha-b": _padim("authors' windows, weighted Mahalanobis joint (form B)", "wmaha", form="joint", distance="wmaha"),
        "wnlml-a": _padim("authors' windows, weighted NLML per layer (form A)", None, form="per-layer", distance="wnlml"),
        "wnlml-b": _padim("authors' windows, weighted NLML joint (form B)", "wnlml", form="joint", distance="wnlml"),
        "ganomaly": System("ganomaly", "GANomaly, reconstruction error", MappingProxyType({}), poster="ganomaly"),
        "diffusion": System("diffusion", "diffusion, white noise", MappingProxyType({}), poster="diffusion"),
        "diffusion-correlated": System(
            "diffusion", "diffusion, correlated noise", MappingProxyType({"noise": "correlated"}), poster="diffusion"
        ),
        "cnn": System("cnn", "supervised AlexNet on rewrapped phase", MappingProxyType({}), poster="supervised"),
    }
)

BUDGETS: Mapping[str, Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        # what two CPU cores do in minutes: narrow networks, few steps. Not what the papers trained
        "small": {
            "ganomaly": {"steps": 300, "width": 16, "batch": 16},
            "diffusion": {
                "steps": 300,
                "width": 16,
                "batch": 8,
                "multipliers": (1, 2, 2),
                "blocks": 1,
                "window": 64,
                "stride": 64,
                "sampler": "ddim",
                "learning_rate": 1e-3,
            },
            "cnn": {"steps": 600, "width": 16, "batch": 16, "window": 128, "stride": 32, "learning_rate": 5e-4},
        },
        # less still, where five stacks are to be done in half an hour
        "brief": {
            "ganomaly": {"steps": 150, "width": 8, "batch": 16, "window": 64, "latent": 32},
            "diffusion": {
                "steps": 150,
                "width": 8,
                "batch": 8,
                "multipliers": (1, 2, 2),
                "blocks": 1,
                "window": 64,
                "stride": 64,
                "sampler": "ddim",
                "ddim_steps": 5,
                "learning_rate": 1e-3,
            },
            "cnn": {"steps": 200, "width": 8, "batch": 16, "window": 96, "stride": 32, "learning_rate": 1e-3},
        },
        # the detectors' own defaults, which are the papers': for a GPU
        "full": {},
        # for tests: it shows that everything runs, nothing else
        "tiny": {
            "ganomaly": {"steps": 4, "width": 8, "batch": 4, "window": 32, "latent": 8},
            "diffusion": {
                "steps": 3,
                "width": 8,
                "batch": 4,
                "multipliers": (1, 2),
                "blocks": 1,
                "attention_at": 2,
                "window": 32,
                "stride": 32,
                "sampler": "ddim",
                "ddim_steps": 2,
            },
            "cnn": {"steps": 4, "width": 8, "batch": 4, "window": 64, "stride": 32},
        },
    }
)


def systems() -> dict[str, System]:
    """`SYSTEMS`, and the detectors that they leave out, which are other packages', each with its default settings."""
    known = {system.kind for system in SYSTEMS.values()}
    more = [kind for kind in DETECTORS.kinds if kind not in known]
    return {**SYSTEMS, **{kind: System(kind, "defaults", MappingProxyType({})) for kind in more if kind not in SYSTEMS}}


def settings_of(name: str, *, budget: str, weights: str, seed: int) -> tuple[DetectorChoice, Cleaning]:
    """The detector of a system, and how its tiles are cleaned.

    Raises
    ------
    ValueError
        where the name or the budget is unknown; lists them.
    PluginFailed
        where the detector is another package's and cannot be used.
    """
    known = systems()
    if name not in known:
        raise ValueError(f"system {name!r}: choose among {', '.join(known)}")
    if budget not in BUDGETS:
        raise ValueError(f"budget {budget!r}: choose among {', '.join(BUDGETS)}")
    system = known[name]
    detector = {**BUDGETS[budget].get(system.kind, {}), **system.settings}
    if system.kind == "padim":
        detector["weights"] = weights
    if takes(system.kind, "seed"):
        detector["seed"] = seed
    own = PRESETS["poster"]["preprocess"] if system.tiles == "poster" else {}
    return DetectorChoice(system.kind, detector), Cleaning.of(Preprocess(**own).model_dump(mode="json"))
