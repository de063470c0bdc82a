"""When the runs' signs of life last arrived."""

from __future__ import annotations

from collections.abc import Iterator

from insar_anomaly.config.sections import Config
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.tools.doctor.finding import Finding


def heartbeat_findings(config: Config) -> Iterator[Finding]:
    """One finding for each way that is configured; nothing where none is, or where the ledger cannot be opened."""
    settings = config.heartbeat
    wanted = {"url": settings.url, "icinga": settings.icinga_url, "file": settings.file}
    ways = [way for way, place in wanted.items() if place]
    if not ways:
        return
    try:
        with Ledger(config.ledger) as ledger:
            known = {row.way: row for row in ledger.pulses()}
    except InsarAnomalyError:
        return  # a finding already
    for way in ways:
        row = known.get(way)
        if row is None:
            yield Finding(
                f"heartbeat {way}", True, f"no sign of life was given yet; {' and '.join(settings.runs)} will give one"
            )
            continue
        last = f"last arrived {row.arrived:%Y-%m-%d %H:%M} UTC" if row.arrived else "never arrived"
        failed = f"; on {row.tried:%Y-%m-%d %H:%M} UTC it did not: {row.error}; check [heartbeat]" if row.error else ""
        arrived = row.arrived.isoformat() if row.arrived else None
        yield Finding(f"heartbeat {way}", row.error is None, last + failed, {"arrived": arrived, "error": row.error})
