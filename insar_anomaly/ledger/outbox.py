"""Notices on their way to people: written with the flag, kept until they arrive or a person drops them."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from insar_anomaly.errors import StoreFailed
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.records import NewNotice, NoticeRow
from insar_anomaly.ledger.sql import columns, insert


class Outbox(Part):
    """The notices of the ledger."""

    def pending(self) -> list[NoticeRow]:
        """Notices that have not arrived and were not dropped, oldest first. However often one failed, it is not given up."""
        n = t.notice.c
        waiting = columns(t.notice, NoticeRow).where(n.delivered_at.is_(None), n.dropped.is_(None))
        return self._read(NoticeRow, waiting.order_by(n.number))

    def notices(self) -> list[NoticeRow]:
        """The whole outbox, oldest first."""
        return self._read(NoticeRow, columns(t.notice, NoticeRow).order_by(t.notice.c.number))

    def drop(self, key: str, why: str) -> None:
        """Take a notice out of the outbox by a person's decision. Raises StoreFailed where none of this key waits there."""
        if key not in {row.key for row in self.pending()}:
            raise StoreFailed(f"ledger {self.name}: no notice {key!r} waits; `insar-anomaly notices` lists those that do")
        self._change(t.notice, "key", key, dropped=why)

    def delivered(self, key: str) -> None:
        """Write down that a notice has arrived. The first time counts."""
        n = t.notice.c
        self._change(t.notice, "key", key, delivered_at=func.coalesce(n.delivered_at, now()), attempts=n.attempts + 1)

    def failed(self, key: str, error: str) -> None:
        """Write down that a delivery failed."""
        self._change(t.notice, "key", key, last_error=error, attempts=t.notice.c.attempts + 1)


def put_in_outbox(tx: Connection, stack: str, notice: NewNotice) -> int:
    """Put a notice into the outbox; returns the number of those that are new there, 0 or 1."""
    key, channel, kind, payload, after = notice
    if after is not None and not tx.execute(select(t.notice.c.key).where(t.notice.c.key == after)).all():
        return 0
    values = {"key": key, "stack": stack, "channel": channel, "kind": kind, "payload": payload, "created": now()}
    new = insert(tx, t.notice).values(**values).on_conflict_do_nothing(index_elements=["key"])
    return len(tx.execute(new.returning(t.notice.c.key)).all())  # PostgreSQL's driver gives no count of its own
