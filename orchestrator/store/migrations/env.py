"""Alembic's entry: run the steps on the connection, and in the transaction, that `upgrade.py` hands over."""

from alembic import context

from orchestrator.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
