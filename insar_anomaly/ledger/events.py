"""What became of flags, night by night: written with the episodes, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import EventRow
from insar_anomaly.ledger.sql import columns, insert


class Events(Part):
    """The events of the ledger."""

    def events(self, night: date) -> list[EventRow]:
        """What became of flags on a night, by stack and number."""
        e = t.flag_event.c
        return self._read(EventRow, columns(t.flag_event, EventRow).where(e.night == night).order_by(e.stack, e.number))


def put_events(tx: Connection, rows: Sequence[EventRow]) -> None:
    """Write events down. One that is there already stays: a night may be run again."""
    for row in rows:
        tx.execute(insert(tx, t.flag_event).values(**vars(row)).on_conflict_do_nothing())
