"""What else the machine did while something was measured."""

import os
import time
from pathlib import Path

HERTZ = os.sysconf("SC_CLK_TCK")
IDLE = (3, 4)
"""Fields of /proc/stat in which no process ran: idle, and waiting for a disk."""


class Others:
    """``percent`` of one core that neither this process nor the one measured took since this was made."""

    def __init__(self) -> None:
        self._busy, self._mine, self._began = busy_s(), time.process_time(), time.monotonic()

    def percent(self, measured_s: float) -> float:
        """``measured_s`` are the CPU seconds of the process that is measured."""
        busy = busy_s() - self._busy - self.mine_s() - measured_s
        return max(0.0, busy / (time.monotonic() - self._began) * 100)

    def mine_s(self) -> float:
        """CPU seconds of this process."""
        return time.process_time() - self._mine


def busy_s() -> float:
    """CPU seconds of all cores since the machine began."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return sum(int(it) for at, it in enumerate(fields) if at not in IDLE) / HERTZ
