"""Notices on their way to people: written with the flag, kept until they arrive or a person drops them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, case, func, or_, select, update

from insar_anomaly.errors import StoreFailed
from insar_anomaly.flags.told import TELLS, Told
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.records import RECEIPT, NewNotice, NoticeRow
from insar_anomaly.ledger.sql import columns, insert
from insar_anomaly.names import FlagName

_AT_ONCE = 500
"""Keys in one statement: databases have a limit."""
HELD = "held: "
"""How the reason begins for which a notice is kept back: many stacks crossed together. The flag's next raise sends it."""
RELEASED = "released: it was held, and still stands at its next assessment"
OWED = "the flag was too old for a notice"
"""Why a notice is kept and not sent: a person, or a night with an earlier date, sends it after all."""


class Outbox(Part):
    """The notices of the ledger."""

    def pending(self) -> list[NoticeRow]:
        """Notices that are to be sent, oldest first: not arrived, not dropped, not parked."""
        n = t.notice.c
        waiting = columns(t.notice, NoticeRow).where(n.delivered_at.is_(None), n.dropped.is_(None), n.parked.is_(None))
        return self._read(NoticeRow, waiting.order_by(n.number))

    def parked(self) -> list[NoticeRow]:
        """Notices that their receivers refuse, and that wait for a person."""
        n = t.notice.c
        parked = columns(t.notice, NoticeRow).where(n.delivered_at.is_(None), n.dropped.is_(None), n.parked.is_not(None))
        return self._read(NoticeRow, parked.order_by(n.number))

    def notices(self) -> list[NoticeRow]:
        """The whole outbox, oldest first."""
        return self._read(NoticeRow, columns(t.notice, NoticeRow).order_by(t.notice.c.number))

    def told(self) -> dict[FlagName, Told]:
        """What became of the notices of each flag that has any, see `flags.told`; a flag that is not here was not told."""
        n = t.notice.c
        query = select(n.stack, n.key, n.delivered_at, n.dropped).where(n.stack != "", n.kind.in_(TELLS))
        found: dict[FlagName, list[Told]] = {}
        with self._transaction(writes=False) as tx:
            for stack, key, delivered, dropped in tx.execute(query):
                number = key.removeprefix(f"{stack}:").partition(":")[0]
                one = Told.DELIVERED if delivered else Told.TOLD if dropped is None else Told.NOT_TOLD
                if number.isdigit():
                    found.setdefault(FlagName(stack, int(number)), []).append(one)
        return {flag: Told.of(some) for flag, some in found.items()}

    def told_of(self, flag: FlagName) -> Told:
        """The same of one flag."""
        return self.told().get(flag, Told.NOT_TOLD)

    def put(self, stack: str, notices: Sequence[NewNotice]) -> int:
        """Put notices that follow from no score into the outbox; returns the number of those that are new there."""
        with self._transaction(writes=True) as tx:
            return sum(put_in_outbox(tx, stack, notice) for notice in notices)

    def arrived(self, notice: NewNotice) -> None:
        """Write down a message that has arrived and waited in no outbox, as a letter of several does."""
        with self._transaction(writes=True) as tx:
            put_in_outbox(tx, "", notice)
            tx.execute(update(t.notice).where(t.notice.c.key == notice.key).values(delivered_at=now(), attempts=1))

    def drop(self, key: str, why: str) -> None:
        """Take a notice out of the outbox by a person's decision. Raises StoreFailed where none of this key waits there."""
        if key not in {row.key for row in self.notices() if row.waits}:
            raise StoreFailed(f"ledger {self.name}: no notice {key!r} waits; `insar-anomaly notices` lists those that do")
        self._change(t.notice, "key", key, dropped=why)

    def retry(self, key: str) -> None:
        """Take a parked notice up again: its refusals count from 0. Raises StoreFailed where none of this key is parked."""
        if key not in {row.key for row in self.notices() if row.waits and row.parked is not None}:
            raise StoreFailed(
                f"ledger {self.name}: no notice {key!r} is parked; `insar-anomaly notices` lists those that are"
            )
        self._change(t.notice, "key", key, parked=None, refused=0, refused_on=None, bundle=None)

    def send_after_all(self, stack: str, why: str) -> int:
        """Put back what was dropped for this reason; returns the number of notices."""
        n = t.notice.c
        with self._transaction(writes=True) as tx:
            back = update(t.notice).where(n.stack == stack, n.dropped == why, n.delivered_at.is_(None)).values(dropped=None)
            return len(tx.execute(back.returning(n.key)).all())

    def bundle(self, bundle: str, keys: Collection[str]) -> None:
        """Write down, before it is sent, which notices one message tells: after a crash the same ones go out together."""
        self._change_all(keys, bundle=bundle)

    def owed(self) -> list[NoticeRow]:
        """Notices that were not sent because their flag was too old for them, oldest first."""
        n = t.notice.c
        held = columns(t.notice, NoticeRow).where(n.dropped == OWED, n.delivered_at.is_(None))
        return self._read(NoticeRow, held.order_by(n.number))

    def send_owed(self, key: str, payload: str) -> bool:
        """Let an owed notice wait for delivery, with this payload; False where it is not owed any more."""
        n = t.notice.c
        with self._transaction(writes=True) as tx:
            still = (n.key == key) & (n.dropped == OWED) & n.delivered_at.is_(None)
            return tx.execute(update(t.notice).where(still).values(dropped=None, payload=payload)).rowcount > 0

    def retell(self, key: str, payload: str) -> bool:
        """Give a notice that nobody has tried to send yet another payload; False where it was tried, or is not there."""
        n = t.notice.c
        with self._transaction(writes=True) as tx:
            untried = (n.key == key) & n.delivered_at.is_(None) & (n.attempts == 0)
            return tx.execute(update(t.notice).where(untried).values(payload=payload)).rowcount > 0

    def put_back(self, stack: str, notice: NewNotice) -> None:
        """Let a notice wait for delivery, whether it is new, owed or dropped; one that has arrived stays as it is."""
        n = t.notice.c
        with self._transaction(writes=True) as tx:
            if not put_in_outbox(tx, stack, notice._replace(dropped=None)):
                still = (n.key == notice.key) & n.delivered_at.is_(None)
                tx.execute(update(t.notice).where(still).values(dropped=None, payload=notice.payload))

    def delivered(self, *keys: str) -> None:
        """Write down that notices have arrived, all or none. The first time counts."""
        n = t.notice.c
        self._change_all(keys, delivered_at=func.coalesce(n.delivered_at, now()), attempts=n.attempts + 1)

    def failed(self, *keys: str, error: str) -> None:
        """Write down that a delivery failed."""
        self._change_all(keys, last_error=error, attempts=t.notice.c.attempts + 1)

    def passed_over(self, *keys: str, why: str) -> None:
        """Write down why notices were not tried."""
        self._change_all(keys, last_error=why)

    def refused(self, *keys: str, error: str, night: date, nights: int) -> list[str]:
        """Write down that the receiver refused notices; returns those that are parked now, after so many `nights`.

        A second refusal on the same night counts as one.
        """
        n = t.notice.c
        count = case((n.refused_on == night, n.refused), else_=n.refused + 1)
        self._change_all(keys, last_error=error, attempts=n.attempts + 1, refused=count, refused_on=night)
        parked: list[str] = []
        with self._transaction(writes=True) as tx:
            for some in batched(keys):
                full = n.key.in_(some) & (n.refused >= nights) & n.parked.is_(None)
                park = update(t.notice).where(full).values(parked=error).returning(n.key)
                parked += tx.execute(park).scalars()
        return parked

    def sent_since(self, channel: str, moment: datetime) -> int:
        """Messages that have gone out by a channel since a moment.

        Several notices in one message count once. Where a group went to its receivers as messages of their own, each of
        these counts, and the group itself does not.
        """
        n = t.notice.c
        mine = or_(n.channel == channel, n.channel.startswith(f"{channel}@", autoescape=True))
        messages = select(func.coalesce(n.bundle, n.key)).where(mine, n.delivered_at >= moment).distinct()
        receipts = select(n.key).where(mine, n.key.endswith(RECEIPT, autoescape=True), n.delivered_at.is_not(None))
        with self._transaction(writes=False) as tx:
            split = {str(key).removesuffix(RECEIPT).rpartition(":")[0] for key in tx.execute(receipts).scalars()}
            return sum(str(name) not in split for name in tx.execute(messages).scalars())

    def limited(self) -> dict[str, datetime]:
        """The channels that have reached their limit per hour, and since when."""
        c = t.channel.c
        with self._transaction(writes=False) as tx:
            rows = tx.execute(select(c.name, c.limited_since).where(c.limited_since.is_not(None))).all()
        return {str(row.name): row.limited_since for row in rows}

    def limit(self, channel: str, since: datetime | None) -> None:
        """Write down that a channel has reached its limit, or (None) that this is over."""
        with self._transaction(writes=True) as tx:
            new = insert(tx, t.channel).values(name=channel, limited_since=since)
            tx.execute(new.on_conflict_do_update(index_elements=["name"], set_={"limited_since": since}))

    def _change_all(self, keys: Collection[str], **values: object) -> None:
        """Change the rows of these keys in one transaction. Raises StoreFailed where one of them is not there."""
        with self._transaction(writes=True) as tx:
            for some in batched(keys):
                changed = update(t.notice).where(t.notice.c.key.in_(some)).values(**values).returning(t.notice.c.key)
                if gone := set(some) - set(tx.execute(changed).scalars()):
                    raise StoreFailed(f"ledger {self.name}: no notice with key {min(gone)!r}; is this the right ledger?")


def flag_of(key: str) -> str:
    """The flag that a notice tells of, ``stack:number``, from the notice's key, ``stack:number:kind:channel``."""
    return ":".join(key.split(":")[:2])


def put_in_outbox(tx: Connection, stack: str, notice: NewNotice) -> int:
    """Put a notice into the outbox; returns the number of those that are new there, 0 or 1. One that is owed does not count.

    What follows a notice that is owed is owed too: nobody is told that a flag was cleared of which nobody has heard.
    """
    key, channel, kind, payload, after, dropped = notice
    if after is not None:
        before = tx.execute(select(t.notice.c.dropped, t.notice.c.delivered_at).where(t.notice.c.key == after)).one_or_none()
        dropped = OWED if before and before.dropped == OWED and before.delivered_at is None else dropped
        if not _heard(before, dropped):
            return 0
    values = {"key": key, "stack": stack, "channel": channel, "kind": kind, "payload": payload, "created": now()}
    values |= {"dropped": dropped} if dropped else {}
    new = insert(tx, t.notice).values(**values).on_conflict_do_nothing(index_elements=["key"])
    made = len(tx.execute(new.returning(t.notice.c.key)).all())  # PostgreSQL's driver gives no count of its own
    if not made and dropped != OWED:
        n = t.notice.c
        held = (n.key == key) & n.dropped.startswith(HELD) & n.delivered_at.is_(None)
        told = json.dumps(json.loads(payload) | {"kind": "released"})
        back = update(t.notice).where(held).values(dropped=dropped, kind="released", payload=told, last_error=RELEASED)
        made = len(tx.execute(back.returning(n.key)).all())
    return 0 if dropped == OWED else made


def _heard(before: Row[Any] | None, dropped: str | None) -> bool:
    """True where a notice was sent, or will be, or where what follows it is not to be sent either.

    Of a flag that is held, and was not released, nobody has heard.
    """
    if before is None:
        return False
    if before.delivered_at is not None or before.dropped is None:
        return True
    return dropped is not None and not before.dropped.startswith(HELD)


def batched(keys: Collection[str]) -> Iterator[list[str]]:
    """The keys in lists that are short enough for one statement."""
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
