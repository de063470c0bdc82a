"""Alembic runs this file. `ledger.database` hands over an open connection: no alembic.ini, no logging set-up."""

from __future__ import annotations

from alembic import context

from insar_anomaly.ledger.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite too: the ledger opens its transactions itself
)
with context.begin_transaction():
    context.run_migrations()
