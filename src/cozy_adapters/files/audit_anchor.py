"""Audit anchor in a file of its own, readable by its owner alone.

It is replaced by renaming a new file over it, which is on the disk before: after a kill or a power cut there is the old
anchor or the new one, never half of one.
"""

import asyncio
import os
import secrets
from pathlib import Path

import msgspec

from cozy_domain.audit.chain import UNREADABLE, Anchor
from cozy_domain.errors import StorageUnavailableError

MOST_BYTES = 4_096
"""An anchor has about 250; whatever is longer is none."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Anchor).decode


class FileAuditAnchor:
    def __init__(self, file: Path) -> None:
        self._file = file

    async def read(self) -> Anchor | None:
        return await asyncio.to_thread(self._read)

    async def write(self, anchor: Anchor) -> None:
        await asyncio.to_thread(self._write, anchor)

    def _read(self) -> Anchor | None:
        try:
            with self._file.open("rb") as file:
                written = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable("read", error) from None
        try:
            return _decode(written)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return UNREADABLE

    def _write(self, anchor: Anchor) -> None:
        new = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _write_new(new, _encode(anchor) + b"\n")
                new.replace(self._file)
            finally:
                new.unlink(missing_ok=True)
            _keep_names(self._file.parent)
        except OSError as error:
            raise self._unavailable("written", error) from None

    def _unavailable(self, done: str, error: OSError) -> StorageUnavailableError:
        return StorageUnavailableError(
            f"the audit anchor {self._file} cannot be {done} ({error.strerror or type(error).__name__})"
        )


def _write_new(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(descriptor)


def _keep_names(folder: Path) -> None:
    """A name that was changed is on the disk when its folder is; Windows opens no folders, and needs no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
