"""The demonstration as Prefect runs it: simulate, fit, one night, and the result beside the truth."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

_folder = argparse.ArgumentParser(prog="python -m flows.demo", description=__doc__)
_folder.add_argument(
    "--folder", type=Path, default=Path("demo"), help="where everything goes, Prefect's own database included"
)


def main() -> int:
    """Run the demonstration; returns the exit code."""
    folder: Path = _folder.parse_args().folder
    (folder / "prefect").mkdir(parents=True, exist_ok=True)
    # before Prefect is imported: the demonstration leaves nothing outside its folder
    os.environ.setdefault("PREFECT_HOME", str(folder.resolve() / "prefect"))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    from flows.fit import fit
    from flows.nightly import nightly
    from flows.recorded import recorded
    from insar_anomaly.config.load import load
    from insar_anomaly.ledger.ledger import Ledger
    from insar_anomaly.tools import demo

    started = time.monotonic()

    def say(words: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {words}", flush=True)

    say("simulating an archive of four volcanoes on three frames (two have unrest)")
    file = str(demo.write_demo(folder))
    say("fitting and calibrating on the quiet part (flow `fit`)")
    state = recorded(fit, file, first=demo.FIT.first, last=demo.FIT.last, return_state=True)
    say(str(state.message))
    say(f"screening the night of {demo.AS_OF} (flow `nightly`)")
    state = recorded(nightly, file, as_of=demo.AS_OF, return_state=True)
    say(str(state.message))
    with Ledger(load(file).ledger) as ledger:
        say("flagged beside simulated truth:\n" + "\n".join(demo.verdict(demo.VOLCANOES, ledger.episodes())))
    say(f"scores: insar-anomaly -c {file} scores\n  notices: {folder}/notices\n  figures and digest: {folder}/figures")
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())
