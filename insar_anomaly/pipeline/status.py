"""The step of a night that writes ``status.json``, where [status] file names one."""

from __future__ import annotations

from pathlib import Path

from insar_anomaly import __version__, catalogue
from insar_anomaly.files.whole import write_whole
from insar_anomaly.notify.message import DISCLAIMER
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Digest
from insar_anomaly.report.exports import gather
from insar_anomaly.report.exports.status import Status


def write_status(s: Installation, run: Run, digest: Digest) -> None:
    """Write the state of the whole installation, whichever volcanoes this run was for. What fails here fails the run."""
    if s.config.status.file is None:
        return
    file = Path(s.config.status.file)
    try:
        write_whole(file, _status(s, digest).text.encode())
    except OSError as problem:
        run.fail("every stack", "status", f"[status] file {file}: {problem.strerror}; name a file that can be written")


def _status(s: Installation, digest: Digest) -> Status:
    volcanoes = catalogue.load(s.config.catalogue) if Path(s.config.catalogue).is_file() else s.volcanoes
    stacks = gather.stacks(s.ledger, volcanoes, gather.Choice(), night=digest.as_of)
    return Status(
        digest=digest,
        stacks=stacks,
        flags=gather.flags(s.ledger, volcanoes, gather.Choice(open_only=True)),
        blind={one.stack: why for one in stacks if (why := _blind(s, one.stack))},
        waiting=len(s.ledger.pending()),
        version=__version__,
        disclaimer=DISCLAIMER,
        newest=max((state.as_of for state in s.ledger.newest_states().values()), default=None),
    )


def _blind(s: Installation, stack: str) -> str | None:
    """Why a stack raises no flag; None where it can."""
    model, _ = s.resting(stack)
    if model is None:
        return "it is not fitted"
    return None if model.threshold is not None else f"it has no threshold: {model.why}"
