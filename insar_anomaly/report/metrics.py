"""What runs cost, for Prometheus: the text format, written to a file for node_exporter or pushed to a Pushgateway.

The text says of the newest run of each kind how it ended and what its stages took. It follows from the ledger alone: writing
it twice changes nothing. Format: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx

from insar_anomaly.ledger.records import CostRow, RunRow, RunStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_S = 3.0
"""Seconds that a push may take at most for each step of the exchange: a night does not wait for its figures."""
_JOB = "insar_anomaly"


class NotPushed(Exception):
    """The gateway has not taken the metrics; the text names its host, never the rest of its address."""


class _Family(NamedTuple):
    """A metric: its name, its meaning, and its values by label."""

    name: str
    words: str
    values: Sequence[tuple[Mapping[str, str], float]]


class _OfStage(NamedTuple):
    """A metric of every stage: the column of `CostRow` that it shows."""

    name: str
    column: str
    words: str


_STAGES = (
    _OfStage("stage_duration_seconds", "wall_s", "Seconds that the stage took, summed over the processes that worked on it"),
    _OfStage("stage_driver_cpu_seconds", "driver_cpu_s", "CPU time of the driver in the stage"),
    _OfStage("stage_worker_cpu_seconds", "worker_cpu_s", "CPU time of all workers in the stage"),
    _OfStage("stage_tasks", "tasks", "Tasks that workers did in the stage"),
    _OfStage("stage_pairs", "pairs", "Pairs or assessments that the stage worked on"),
    _OfStage("stage_requests", "requests", "Requests to sources, and chunks read and written in the store"),
    _OfStage("stage_commits", "commits", "Transactions that were committed to the store"),
    _OfStage("stage_read_bytes", "read_bytes", "Bytes read from sources and store"),
    _OfStage("stage_written_bytes", "written_bytes", "Bytes written to the store"),
    _OfStage("stage_driver_peak_memory_bytes", "driver_peak_bytes", "Peak resident memory of the driver so far"),
    _OfStage("stage_worker_peak_memory_bytes", "worker_peak_bytes", "Peak resident memory of the largest worker"),
)


def exposition(runs: Iterable[tuple[RunRow, Sequence[CostRow]]]) -> str:
    """The text: of each kind of run the newest that has ended, and its costs."""
    every = list(runs)
    return "".join(line for family in (*_of_runs(every), *_of_stages(every)) for line in _lines(family))


def write(text: str, file: Path) -> None:
    """Write the text so that a reader sees the old or the new one, never a part. Raises OSError where that fails."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")  # node_exporter reads *.prom only
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def push(text: str, gateway: str, *, patience_s: float = PATIENCE_S) -> None:
    """Replace this job's metrics in a Pushgateway (``PUT <gateway>/metrics/job/insar_anomaly``).

    Parameters
    ----------
    gateway : its address, or the whole address of a group, ``.../metrics/job/NAME``
    patience_s : seconds to wait for the connection and for the answer

    Raises
    ------
    NotPushed
        where it cannot be reached or refuses the metrics.
    """
    try:
        url = httpx.URL(gateway)
        if "/metrics/job/" not in url.path:
            url = url.copy_with(path=f"{url.path.rstrip('/')}/metrics/job/{quote(_JOB)}")
        with httpx.Client(timeout=patience_s, follow_redirects=False) as client:
            answer = client.put(url, content=text.encode(), headers={"content-type": CONTENT_TYPE})
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise NotPushed(f"metrics were not pushed to {_host(gateway)}: {type(problem).__name__}: {problem}") from None
    if not answer.is_success:
        said = " ".join(answer.text[:200].split())
        raise NotPushed(f"metrics were not pushed: {_host(gateway)} answered {answer.status_code}: {said}")


def _host(gateway: str) -> str:
    """The part of an address that may be shown: the rest may hold a password."""
    try:
        return httpx.URL(gateway).host or "the address of [metrics] push_url"
    except httpx.InvalidURL:
        return "the address of [metrics] push_url"


def _of_runs(runs: Sequence[tuple[RunRow, Sequence[CostRow]]]) -> Iterator[_Family]:
    def of(name: str, words: str, value: Mapping[str, float]) -> _Family:
        return _Family(name, words, [({"kind": kind}, number) for kind, number in value.items()])

    rows = [run for run, _ in runs]
    yield of(
        "run_end_timestamp_seconds",
        "When the newest run of this kind ended",
        {run.kind: run.finished.timestamp() for run in rows if run.finished},
    )
    yield of(
        "run_success",
        "1 where the newest run of this kind ended without a failure, else 0",
        {run.kind: float(run.status is RunStatus.OK) for run in rows},
    )
    for name, words in (("failures", "Failures of stacks in the newest run of this kind"), ("blind", "Blind stacks in it")):
        yield of(f"run_{name}", words, {run.kind: run.summary[name] for run in rows if name in run.summary})


def _of_stages(runs: Sequence[tuple[RunRow, Sequence[CostRow]]]) -> Iterator[_Family]:
    for name, column, words in _STAGES:
        values = [
            ({"kind": run.kind, "stage": row.stage}, float(getattr(row, column))) for run, costs in runs for row in costs
        ]
        yield _Family(name, words, values)


def _lines(family: _Family) -> Iterator[str]:
    if not family.values:
        return
    name = f"insar_anomaly_{family.name}"
    yield f"# HELP {name} {family.words}\n# TYPE {name} gauge\n"
    for labels, value in family.values:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{inside}}} {value!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
