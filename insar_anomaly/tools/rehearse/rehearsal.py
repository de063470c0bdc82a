"""A rehearsal from start to end: a server, an archive, a past that is fitted, and nights that are run and measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from insar_anomaly.config.load import load
from insar_anomaly.errors import UsageError, from_storage
from insar_anomaly.names import Period
from insar_anomaly.pipeline import Watch, fit, ingest, nightly, open_installation
from insar_anomaly.tools.rehearse.archive import Advance, Archive, World
from insar_anomaly.tools.rehearse.night import Night, rehearsed
from insar_anomaly.tools.rehearse.server import Asked, Server, serving

ARCHIVE, STORE = "rehearsal-archive", "rehearsal-store"
"""The two buckets."""
NOTHING = Asked({}, {})


@dataclass(frozen=True)
class Plan:
    """What is rehearsed and where.

    Parameters
    ----------
    folder : configuration, ledger and figures; what it holds of an earlier rehearsal must be gone
    s3 : ``local`` starts a server here; else the endpoint of one, with credentials in the environment
    workers : worker processes; 0 works in the driver
    detector : name of the detector that is fitted, ``matched_filter`` is small and fast
    latency_ms : the local server answers each request of the nights after so many milliseconds
    """

    world: World
    folder: Path
    s3: str = "local"
    workers: int = 2
    detector: str = "matched_filter"
    latency_ms: int = 0


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsed night: what it took, what the server was asked (None where it does not count), new pairs of frames."""

    night: Night
    asked: Asked | None
    pairs: int


def rehearse(plan: Plan, watch: Watch) -> Iterator[Rehearsed]:
    """Simulate, fit, and run the nights one after the other; each is given as soon as it has ended.

    Raises
    ------
    UsageError
        where the folder holds a rehearsal already, or buckets cannot be made.
    """
    world = plan.world
    if (plan.folder / "ledger.sqlite").exists():
        raise UsageError(f"{plan.folder} holds a rehearsal already: remove it, or name another folder with --folder")
    with _place(plan.s3) as (endpoint, server):
        client = _client(endpoint)
        archive = Archive(world, client, bucket=ARCHIVE)
        config = _write_config(plan, endpoint)
        first, every = range(1), range(world.groups)
        archive.write(first, until=world.day(0), advance=_silent)
        _fit_first_group(plan, config)
        archive.write(every[1:], until=world.day(0), advance=partial(watch, "archive"))
        _copy_past(plan, config, client=client, advance=partial(watch, "past"))
        for number in range(1, world.nights + 1):
            new = archive.write(
                every, after=world.day(number - 1), until=world.day(number), advance=partial(watch, "arrival")
            )
            before = server.asked() if server else NOTHING
            watch("night", number - 1, world.nights)
            if server:
                server.wait_before_answers(plan.latency_ms)
            night = rehearsed(config, world.day(number))
            if server:
                server.wait_before_answers(0)
            watch("night", number, world.nights)
            yield Rehearsed(night, server.asked().since(before) if server else None, new)


@contextmanager
def _place(s3: str) -> Iterator[tuple[str, Server | None]]:
    if s3 != "local":
        yield s3, None
        return
    with serving() as server:
        yield server.url, server


def _client(endpoint: str) -> Any:
    try:
        import boto3
    except ImportError:
        raise UsageError("a rehearsal needs boto3: `pip install boto3`") from None
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    for bucket in (ARCHIVE, STORE):
        try:
            client.create_bucket(Bucket=bucket)
            held = client.list_objects_v2(Bucket=bucket, MaxKeys=1)["KeyCount"]
        except Exception as problem:
            if not from_storage(problem):
                raise
            words = f"bucket {bucket} cannot be made at {endpoint} ({problem}); check --s3 and credentials"
            raise UsageError(words) from None
        if held:
            raise UsageError(f"bucket {bucket} at {endpoint} is not empty: a rehearsal needs it for itself; empty it")
    return client


def _write_config(plan: Plan, endpoint: str) -> Path:
    plan.folder.mkdir(parents=True, exist_ok=True)
    (plan.folder / "volcanoes.toml").write_text(plan.world.catalogue)
    config = plan.folder / "rehearsal.toml"
    workers = f'kind = "local"\nworkers = {plan.workers}' if plan.workers else 'kind = "inline"'
    config.write_text(_CONFIG.format(endpoint=endpoint, detector=plan.detector, workers=workers))
    return config


def _fit_first_group(plan: Plan, config: Path) -> None:
    """The past of the first group, for real: ingested, fitted, and screened once so that nothing old is left to do."""
    day = plan.world.day(0)
    settings = load(config)
    here = settings.model_copy(update={"cluster": settings.cluster.model_copy(update={"kind": "inline"})})
    with open_installation(here, only=plan.world.members(0)) as s:
        with s.run("fit", day) as run:
            ingest(s, run)
            fit(s, run, period=Period(last=plan.world.days[-3 - plan.world.nights]))
        if run.failures:
            why = run.failures[0].error
            raise UsageError(f"the rehearsal's past cannot be fitted: {why}; try more --pixels or another --detector")
        with s.run("nightly", day) as run:
            nightly(s, run)


def _copy_past(plan: Plan, config: Path, *, client: Any, advance: Advance) -> None:
    """The past of every other group: the first group's objects and rows once more under other names."""
    world = plan.world
    first = world.stacks(0)
    held = {stack: list(_objects(client, stack)) for stack in first}
    with open_installation(config) as s:
        for group in range(1, world.groups):
            for old, new in zip(first, world.stacks(group), strict=False):
                for kind, name, body in held[old]:
                    client.put_object(Bucket=STORE, Key=f"{kind}/{new}/{name}", Body=body)
            advance(group, world.groups - 1)
        for place, old in enumerate(first):
            every = [world.stacks(group) for group in range(1, world.groups)]
            s.ledger.copy_stack(old, [stacks[place] for stacks in every if place < len(stacks)])


def _objects(client: Any, stack: str) -> Iterator[tuple[str, str, bytes]]:
    """Kind, name and content of every object that the store has of a stack."""
    for kind in ("stacks", "models", "scores"):
        prefix = f"{kind}/{stack}/"
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=STORE, Prefix=prefix):
            for entry in page.get("Contents", []):
                body = client.get_object(Bucket=STORE, Key=entry["Key"])["Body"].read()
                yield kind, entry["Key"].removeprefix(prefix), body


def _silent(done: int, total: int) -> None:
    """The progress that nobody watches."""


_CONFIG = """\
# A rehearsal: everything is simulated. Directions are left out: a couple is calibrated in the night that first sees it.
store = "s3://rehearsal-store"
ledger = "sqlite:///ledger.sqlite"
catalogue = "volcanoes.toml"
figures = "figures"

[[source]]
url = "s3://rehearsal-archive"

[storage]
endpoint_url = "{endpoint}"

[detector]
kind = "{detector}"

[fusion]
evidence = ["interval", "acquisition"]

[calibrate]
folds = 2
min_pairs = 5
peaks_cm = [8.0]

[cluster]
{workers}
"""
