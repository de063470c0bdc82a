"""Whether the stored stacks are those of the settings, the catalogue and the sources of now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from insar_anomaly.catalogue import Volcano
from insar_anomaly.config import Config
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline.heights import no_heights
from insar_anomaly.pipeline.installation import store_of
from insar_anomaly.pipeline.misfits import PIXEL, another_box
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.report.digest import Failure, unread
from insar_anomaly.tools.doctor.finding import Finding

_READING = ("nightly", "ingest")
"""Runs that read new pairs and write down how old the data are."""


def stack_findings(config: Config, volcanoes: Sequence[Volcano]) -> Iterator[Finding]:
    """Volcanoes whose polygons leave nothing; stacks with another box, without heights, or fitted with other polygons."""
    store = store_of(config)
    for volcano in volcanoes:
        if volcano.excludes_everything(PIXEL):
            yield Finding(f"volcano {volcano.gvp} {volcano.name}", False, volcano.nothing_left)
        for stack in volcano.stacks:
            try:
                held = store.open(stack) if store.has(stack) else None
            except InsarAnomalyError:
                return  # a finding already
            if held is None:
                continue
            if moved := another_box(stack, volcano, held):
                yield Finding(f"box of {stack}", False, moved)
            if flat := no_heights(stack, held, config.preprocess.remove):
                yield Finding(f"height of {stack}", False, flat)
    yield from _polygons(config, volcanoes)


def _polygons(config: Config, volcanoes: Sequence[Volcano]) -> Iterator[Finding]:
    """Stacks that were fitted with other exclusion polygons than the catalogue has now."""
    try:
        with Ledger(config.ledger) as ledger:
            for volcano in volcanoes:
                for stack in volcano.stacks:
                    models = ledger.all_current(stack).values()
                    if any(Recipe.read(model.settings).exclude != volcano.exclude for model in models):
                        words = (
                            "the catalogue's exclusion polygons are not those of its fit, which count; run `insar-anomaly "
                            "fit`, or set exclude in the catalogue as it was"
                        )
                        yield Finding(f"polygons of {stack}", False, words)
    except InsarAnomalyError:
        return  # a finding already


def failed_reading(ledger: Ledger) -> dict[str, str]:
    """Stacks that failed to be read in the last run that read any, and what each said."""
    last = next((one.run for one in ledger.runs() if one.kind in _READING), None)
    rows = [] if last is None else ledger.failures(last)
    return unread([Failure(one.stack, one.stage, one.error) for one in rows])
