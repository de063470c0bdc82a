"""What an operator checks before the first night and when a night was strange: is everything there and reachable?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from insar_anomaly import catalogue, features
from insar_anomaly.cluster import workers
from insar_anomaly.config import Config
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger import Ledger
from insar_anomaly.pipeline import storage_options
from insar_anomaly.sources import open_source
from insar_anomaly.store import Store


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    words: str


def examine(config: Config) -> list[Finding]:
    """Look at catalogue, sources, ledger, store, backbone and workers. Changes nothing but the ledger's tables."""
    return [*_catalogue_and_sources(config), _ledger(config), _store(config), _device(), _workers(config)]


def _catalogue_and_sources(config: Config) -> Iterator[Finding]:
    try:
        volcanoes = catalogue.load(config.catalogue)
    except InsarAnomalyError as problem:
        yield Finding("catalogue", False, str(problem))
        return
    frames = {f for v in volcanoes for f in v.frames}
    yield Finding("catalogue", True, f"{len(volcanoes)} volcanoes on {len(frames)} frames")
    held: set[str] = set()
    for source in config.source:
        options = storage_options(config.storage) if source.url.startswith("s3://") else {}
        try:
            found = set(open_source(source.kind, source.url, options).frames())
        except InsarAnomalyError as problem:
            yield Finding(f"source {source.url}", False, str(problem))
            continue
        held |= found
        yield Finding(f"source {source.url}", True, f"{len(found)} frames, {len(found & frames)} of the catalogue's")
    missing = sorted(frames - held)
    if missing:
        yield Finding("frames", False, f"{len(missing)} of the catalogue's are in no source, first {missing[0]}")


def _ledger(config: Config) -> Finding:
    try:
        with Ledger(config.ledger) as ledger:
            runs = ledger.runs(limit=1)
            last = f"last run {runs[0]['kind']} of {runs[0]['as_of']}: {runs[0]['status']}" if runs else "no run yet"
            dead = ledger.dead_notices()
            return Finding("ledger", not dead, f"{ledger.name}: {last}, {len(dead)} notices given up")
    except InsarAnomalyError as problem:
        return Finding("ledger", False, str(problem))


def _store(config: Config) -> Finding:
    storage = config.storage
    store = Store(config.store, storage.endpoint_url, storage.region, storage.anonymous)
    try:
        store.has("000000/doctor")
    except InsarAnomalyError as problem:
        return Finding("store", False, str(problem))
    return Finding("store", True, config.store)


def _device() -> Finding:
    device = features.device()
    return Finding("device", True, f"scoring runs on {device} here" + ("" if device.type == "cuda" else "; no GPU found"))


def _workers(config: Config) -> Finding:
    place = config.cluster
    try:
        with workers(place.kind, count=place.workers, address=place.address) as hands:
            gpu = "GPU workers" if hands.gpu_wanted() else "CPU workers"
            return Finding("workers", True, f"{place.kind}: {hands.width} {gpu}")
    except (InsarAnomalyError, OSError) as problem:
        return Finding("workers", False, f"{place.kind}: {problem}; check [cluster]")
