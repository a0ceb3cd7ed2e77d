"""One server per file: a lock that the operating system frees when its process dies, however it dies."""

import os
import sys
from pathlib import Path

from cozy_domain.errors import StorageUnavailableError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take(database: Path) -> int:
    """The descriptor that holds the lock of ``database`` until it is closed.

    Raises:
        StorageUnavailableError: ``storage_in_use``, another process holds it.
    """
    descriptor = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
    except OSError:
        os.close(descriptor)
        raise StorageUnavailableError(
            f"another server uses {database}",
            code="storage_in_use",
            hint="Stop it, give this one another data folder, or use Postgres for several processes.",
        ) from None
    return descriptor
