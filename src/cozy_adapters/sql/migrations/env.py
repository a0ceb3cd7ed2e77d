"""What Alembic runs: our migrations on the connection that ``cozy_adapters.sql.migrate`` opened."""

from alembic import context

from cozy_adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
