"""How long `cozy --help` takes, beside the floors: a Python that does nothing, and the import of Typer.

Run: ``nox -s bench -- cli``. Exits 1 when the median of help is above 500 ms (the budget of the command line).
"""

# ruff: noqa: T201 - a bench prints

import json
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


def taken_ms(arguments: tuple[str, ...], folder: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL
    )
    return (time.perf_counter() - began) * 1_000


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for arguments in PROGRAMS.values():
            taken_ms(arguments, folder)  # compiles
        rounds = [
            {name: taken_ms(program, folder) for name, program in PROGRAMS.items()} for _ in range(ROUNDS)
        ]
    medians = {name: round(median(taken[name] for taken in rounds), 1) for name in PROGRAMS}
    for name, ms in medians.items():
        print(f"{name:<22} {ms:7.1f} ms")
    print(json.dumps({"rounds": ROUNDS, "median_ms": medians, "budget_ms": BUDGET_MS}))
    return 0 if medians["help"] <= BUDGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
