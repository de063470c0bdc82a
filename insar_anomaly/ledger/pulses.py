"""Signs of life that runs gave, by the way they took: when one last arrived, and what came of the last one."""

from __future__ import annotations

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.records import PulseRow
from insar_anomaly.ledger.sql import columns, insert


class Pulses(Part):
    """The signs of life in the ledger."""

    def record_pulse(self, way: str, error: str | None) -> None:
        """Write down that a sign was given now: it arrived, or `error` says why it did not."""
        with self._transaction(writes=True) as tx:
            values = {"way": way, "tried": now(), "error": error, "arrived": None if error else now()}
            new = insert(tx, t.pulse).values(**values)
            changed = {name: new.excluded[name] for name in ("tried", "error", *(() if error else ("arrived",)))}
            tx.execute(new.on_conflict_do_update(index_elements=["way"], set_=changed))

    def pulses(self) -> list[PulseRow]:
        """What is known of every way, by its name."""
        return self._read(PulseRow, columns(t.pulse, PulseRow).order_by(t.pulse.c.way))
