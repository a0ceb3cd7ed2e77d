"""How long `cozy --help` takes, beside the floors: a Python that does nothing, and the import of Typer.

Run: ``nox -s bench -- cli``. Exits 1 when the median of help is above 500 ms of CPU, the budget of the command line.
Starting is one thread that waits for nobody, so on a quiet machine that is the time on the wall, which stands beside it.
"""

# ruff: noqa: T201 - a bench prints

import json
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

from tests.fixtures.server import environment

ROUNDS = 15
BUDGET_MS = 500
PROGRAMS = {
    "python": ("-c", "pass"),
    "typer": ("-c", "import typer"),
    "help": ("-m", "cozy_server.cli", "--help"),
    "help of a command": ("-m", "cozy_server.cli", "chat", "--help"),
}


def taken_ms(arguments: tuple[str, ...], folder: str) -> tuple[float, float]:
    """On the wall, and of CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1_000, cpu * 1_000


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for arguments in PROGRAMS.values():
            taken_ms(arguments, folder)  # compiles
        rounds = [
            {name: taken_ms(program, folder) for name, program in PROGRAMS.items()} for _ in range(ROUNDS)
        ]
    walls = {name: round(median(taken[name][0] for taken in rounds), 1) for name in PROGRAMS}
    cpus = {name: round(median(taken[name][1] for taken in rounds), 1) for name in PROGRAMS}
    for name, ms in cpus.items():
        print(f"{name:<18} {ms:7.1f} ms CPU {walls[name]:8.1f} ms wall")
    print(json.dumps({"rounds": ROUNDS, "cpu_ms": cpus, "wall_ms": walls, "budget_ms": BUDGET_MS}))
    return 0 if cpus["help"] <= BUDGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
