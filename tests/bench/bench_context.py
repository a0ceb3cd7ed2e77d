"""What context costs in real time: three engines at once, and the pure build of a full prompt.

Run: ``nox -s bench -- context``. Exits 1 when the engines do not overlap (budget: the
slowest one and 50 ms) or when the build of a full 32,768-token window takes more than 60 ms of CPU.
"""

# ruff: noqa: T201 - a bench prints

import asyncio
import sys
import time
from statistics import median

from cozy_adapters.tokens import EstimatedTokenCounter
from cozy_domain.context.assembly import Deadlines
from cozy_domain.context.bundle import Gathered
from cozy_domain.context.prompt import build
from tests.unit.domain.context import givens
from tests.unit.domain.context.engines import Bench, after, wanted

ENGINES_MS = {"profile": 300, "memory": 400, "knowledge": 500}
OVERHEAD_MS = 50
BUILD_MS = 60


async def gather_ms(rounds: int) -> list[float]:
    bench = Bench(Deadlines(memory_ms=2_000, knowledge_ms=2_000, profile_ms=2_000))
    for name, ms in ENGINES_MS.items():
        bench.engine(name).behave = after(ms)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        gathered = await bench.assembly.gather(wanted())
        taken.append((time.perf_counter() - start) * 1_000)
        assert gathered.degraded == ()
    return taken


def build_ms(rounds: int) -> tuple[list[float], int]:
    found = tuple(
        givens.candidate(str(at), f"Fact {at} about tea and harbour {at * 7}", 0.5) for at in range(40)
    )
    history = tuple(givens.spoken(seq, words=40) for seq in range(1, 130))
    full = givens.given(gathered=Gathered(history=history, candidates=found))
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        bundle = build(full, EstimatedTokenCounter())  # a new one remembers nothing
        taken.append((time.process_time() - start) * 1_000)
    return taken, bundle.prompt_tokens


def main(rounds: int) -> int:
    gathering = asyncio.run(gather_ms(rounds))
    slowest = max(ENGINES_MS.values())
    print(
        f"engines {ENGINES_MS}: total {median(gathering):.1f} ms (max {max(gathering):.1f}), slowest {slowest} ms"
    )
    building, tokens = build_ms(rounds)
    print(
        f"first build of a full window ({tokens} tokens kept): {median(building):.1f} ms CPU (max {max(building):.1f})"
    )
    late = max(gathering) > slowest + OVERHEAD_MS
    return int(late or median(building) > BUILD_MS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
