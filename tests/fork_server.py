"""A process that has imported everything and forks a child per job, so that a trial costs its work and no imports.

Reads one JSON job per line: {"commands": [[...], ...], "kill_after": seconds or null, "log": file, "die_at": null or
["ledger.ledger.Ledger.publish", 1]}. The child runs the commands of `insar-anomaly` in turn; it and its process group get
SIGKILL after `kill_after` seconds, or just before call number n of the named method. Answers {"seconds": ..., "codes": ...}.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

# no thread may run before a fork: these imports start none (asserted below)
import contourpy
import dask.array
import distributed.worker
import fsspec.implementations.local
import scipy.ndimage
import scipy.sparse.linalg
import scipy.stats
import sklearn.linear_model
import sklearn.metrics
import torch
import xarray.groupers

import insar_anomaly.detectors.matched_filter
import insar_anomaly.ledger.migrations.versions.v0001_first
import insar_anomaly.report.digest
import insar_anomaly.report.figures
import insar_anomaly.sources.licsar
from insar_anomaly import cli, pipeline
from insar_anomaly.detectors import backbone as features


def main() -> None:
    """Serve jobs until standard input ends."""
    features.torchvision_models()
    torch.set_num_threads(1)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread runs already: forking is not safe"
    _answer({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        read, write = os.pipe()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _work(job, write)
        os.close(write)
        _wait(child, job["kill_after"], started)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        _answer({"seconds": time.monotonic() - started, "codes": json.loads(said) if said else None})


def _answer(what: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(what) + "\n")
    sys.__stdout__.flush()


def _work(job: dict[str, Any], write: int) -> None:
    os.setsid()
    with Path(job["log"]).open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        codes: list[Any] = []
        try:
            if job["die_at"]:
                _die_at(*job["die_at"])
            codes = [cli.main(words) for words in job["commands"]]
        except BaseException as problem:
            codes.append(repr(problem))
        os.write(write, json.dumps(codes).encode())
        os._exit(0)


def _die_at(name: str, number: int) -> None:
    module, owner, method = name.rsplit(".", 2)
    cls = getattr(importlib.import_module(f"insar_anomaly.{module}"), owner)
    original, calls = getattr(cls, method), [0]

    def dying(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            os.killpg(0, signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(cls, method, dying)


def _wait(child: int, kill_after: float | None, started: float) -> None:
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if kill_after is not None and time.monotonic() - started >= kill_after:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.002)


if __name__ == "__main__":
    main()
