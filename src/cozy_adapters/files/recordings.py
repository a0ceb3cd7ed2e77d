"""Recordings of calls, one file each."""

import logging
import os
from pathlib import Path
from uuid import UUID

_log = logging.getLogger("cozy.voice")


class Recordings:
    """Writes ``<folder>/<id of the call>.jsonl``, readable by its owner only: it holds what was said. The folder is made
    when it is needed. What cannot be written is logged once and given up: no call ends for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed = False

    def write(self, call: UUID, line: bytes) -> None:
        if self._failed:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._folder / f"{call}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            self._failed = True
            _log.warning("calls cannot be recorded in %s: %s", self._folder, error.strerror)
