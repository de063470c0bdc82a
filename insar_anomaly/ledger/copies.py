"""A stack's rows under another name: for rehearsals, whose volcanoes all have the same simulated past."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import literal, select

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part


class Copies(Part):
    """Copies in the ledger."""

    def copy_stack(self, stack: str, names: Iterable[str]) -> None:
        """Write the pairs, models and scores of a stack once more under other names, which the ledger does not know.

        Episodes and notices are not copied. Raises StoreFailed where a name is known.
        """
        with self._transaction(writes=True) as tx:
            for name in names:
                for table in (t.interferogram, t.holding, t.model, t.score):
                    others = [column for column in table.c if column.name != "stack"]
                    rows = select(literal(name), *others).where(table.c.stack == stack)
                    tx.execute(table.insert().from_select(["stack", *(column.name for column in others)], rows))
