"""Schema changes, run by :mod:`crawlkit.database.sqlalchemy.schema` with Alembic when a store is opened."""
