"""A process that speaks (``python -m cozy_adapters.espeak.worker``): one order after the other, until its input ends."""

import os
import sys

from cozy_adapters.espeak.library import Library
from cozy_adapters.espeak.wire import List, Listed, framed, read_question

MEMORY_BYTES = 1_000_000_000


def main() -> None:
    restrict()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    library = Library()
    while question := read_question(sys.stdin.buffer):
        match question:
            case List():
                answer = framed(Listed(tuple(sorted(library.voices))))
            case order:
                answer = framed(library.spoken(order))
        out.write(answer)
        out.flush()


def restrict() -> None:
    """Binds this process, where the platform can."""
    try:
        import resource  # not on Windows
    except ModuleNotFoundError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
