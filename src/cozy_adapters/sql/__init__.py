"""The stores in SQL, written once for SQLite and Postgres.

``engine.py`` what a database offers: statements compiled once, transactions as generators · ``sqlite.py`` one file, one
writer thread with group commit; ``lock.py`` one server for each file · ``postgres.py`` any number of processes;
``postgres_pool.py`` its connections, ``postgres_failures.py`` what is tried again · ``types.py`` ``tables.py`` the schema;
``schema.py`` ``postgres_schema.py`` ``migrate.py`` ``migrations/`` how a database comes by it · then the ports:
``opening.py`` ``turns.py`` TurnStore, ``history.py`` TurnHistory, ``blobs.py`` BlobStore, ``sessions.py`` SessionStore,
``audit.py`` AuditLog, ``jobs.py`` JobQueue, ``keys.py`` KeyStore, ``personas.py`` PersonaRevisions; ``rows.py`` what several
of them share.
"""
