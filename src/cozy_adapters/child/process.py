"""What a process is given, and what it does first."""

import os
import signal
import sys


def environment() -> dict[str, str]:
    """Only what Python needs to find us: no key of a provider is near what somebody sent."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def leave_interrupts_to_parent() -> None:
    """In the child: Ctrl-C goes to all processes of a terminal, and the server first finishes what it has begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def fall_silent() -> None:
    """In the child, once it has begun: what its library still writes to standard error is for nobody."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
