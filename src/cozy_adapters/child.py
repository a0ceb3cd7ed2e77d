"""Processes of our own that do what must not happen in the server's: untrusted bytes, libraries that crash or hold the
interpreter's lock. They live as long as their standard input: when the server is gone, however it went, so are they."""

import os
import signal
import sys


def environment() -> dict[str, str]:
    """Only what Python needs to find us: no key of a provider is near what somebody sent."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def leave_interrupts_to_parent() -> None:
    """In the child: Ctrl-C goes to all processes of a terminal, and the server first finishes what it has begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
