"""The stores in SQL, written once for SQLite and Postgres.

``engine.py`` what a database offers: statements compiled once, transactions as generators · ``sqlite.py`` one file, one
writer thread with group commit · ``types.py`` ``tables.py`` the schema · ``turns.py`` ``sessions.py`` ``audit.py``
``jobs.py`` ``keys.py`` ``personas.py`` one port each (turns.py two) · ``migrate.py`` ``migrations/`` Alembic.
"""
