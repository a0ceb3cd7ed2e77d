"""One server per file: a lock that the operating system frees when its process dies, however it dies.

Who only looks whether there is a server shares the lock for that moment, by which a server that starts just then knows the
other for no server. Windows has no lock that is shared: there a look may still turn a start away.
"""

import os
import sys
import time
from pathlib import Path

from cozy_domain.errors import StorageUnavailableError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool = False) -> None:  # noqa: ARG001  as told above
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool = False) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


LOOKS_S = 1.0
"""How long a start tries while others look; each of them looks for some microseconds."""
_AGAIN_S = 0.002


def take(database: Path) -> int:
    """The descriptor that holds the lock of ``database`` until it is closed. Blocks, up to ``LOOKS_S``.

    Raises:
        StorageUnavailableError: ``storage_in_use``, another process holds it.
    """
    descriptor = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _seize(descriptor)
    except OSError:
        os.close(descriptor)
        raise StorageUnavailableError(
            f"another server uses {database}",
            code="storage_in_use",
            hint="Stop it, give this one another data folder, or use Postgres for several processes.",
        ) from None
    return descriptor


def is_taken(database: Path) -> bool:
    """Whether a server has it. Leaves no file where no server ever was."""
    try:
        descriptor = os.open(f"{database}.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        _lock(descriptor, shared=True)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _seize(descriptor: int) -> None:
    """
    Raises:
        OSError: another process holds the lock, or others look at it all the time.
    """
    until = time.monotonic() + LOOKS_S
    while True:
        try:
            _lock(descriptor)
        except OSError:
            _lock(descriptor, shared=True)  # a server does not let it
            _unlock(descriptor)
            if time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)
        else:
            return
