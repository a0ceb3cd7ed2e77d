"""What the probes say of a process in each condition."""

import asyncio
from datetime import timedelta

import pytest

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.routing.circuit import FAILURES_TO_OPEN, Circuit, after_failure
from cozy_domain.tools.tool import ToolServerState
from cozy_server.health import STORE_PATIENCE_S, Breakers, Vitals, engine_health, health, readyz


class Condition:
    """A process whose store and breakers the test sets."""

    def __init__(self) -> None:
        self.clock = InMemoryClock()
        self.circuits: dict[str, Circuit] = {"memory": Circuit()}
        self.store_fails = False
        self.store_hangs = False
        self.standing_in = False
        self.vitals = Vitals(
            self._ask_store, lambda: self.circuits, self.clock, standing_in=lambda: self.standing_in
        )

    def break_circuit(self, name: str) -> None:
        circuit = Circuit()
        for _ in range(FAILURES_TO_OPEN):
            circuit = after_failure(circuit, self.clock.monotonic_ns())
        self.circuits[name] = circuit

    async def readiness(self) -> tuple[int, str]:
        answer = await readyz.fn(self.vitals)
        return answer.status_code or 200, answer.content.status

    async def overall(self) -> str:
        return str((await health.fn(self.vitals)).status)

    async def _ask_store(self) -> None:
        if self.store_fails:
            raise StorageUnavailableError("gone")
        if self.store_hangs:
            await asyncio.Event().wait()


async def test_it_is_ready_and_ok_when_all_is_well() -> None:
    condition = Condition()
    assert await condition.readiness() == (200, "ready")
    assert await condition.overall() == "ok"


async def test_it_is_not_ready_while_it_stops() -> None:
    condition = Condition()
    condition.vitals.draining = True
    assert await condition.readiness() == (503, "draining")


async def test_it_is_not_ready_and_unusable_without_its_store() -> None:
    condition = Condition()
    condition.store_fails = True
    assert await condition.readiness() == (503, "store_unavailable")
    assert await condition.overall() == "unusable"


@pytest.mark.virtual_time
async def test_a_store_that_hangs_is_a_store_that_fails() -> None:
    condition = Condition()
    condition.store_hangs = True
    began = asyncio.get_running_loop().time()
    assert await condition.readiness() == (503, "store_unavailable")
    assert asyncio.get_running_loop().time() - began == pytest.approx(STORE_PATIENCE_S)


async def test_an_open_breaker_degrades_it_and_leaves_it_ready() -> None:
    condition = Condition()
    condition.break_circuit("openai/x")
    assert await condition.readiness() == (200, "ready")
    assert await condition.overall() == "degraded"
    assert condition.vitals.breakers() == {"memory": "closed", "openai/x": "open"}


async def test_without_the_model_that_it_looks_for_it_is_degraded_and_ready() -> None:
    condition = Condition()
    condition.standing_in = True
    assert await condition.readiness() == (200, "ready")
    assert await condition.overall() == "degraded"


async def test_a_breaker_is_half_open_once_its_time_is_over() -> None:
    condition = Condition()
    condition.break_circuit("memory")
    condition.clock.advance(timedelta(seconds=30))
    assert condition.vitals.breakers() == {"memory": "half_open"}
    assert await condition.overall() == "degraded"


@pytest.mark.parametrize(
    ("server", "overall"),
    [
        (ToolServerState("files", "uvx", "connected", tools=("files__read",)), "ok"),
        (ToolServerState("files", "uvx", "connecting"), "degraded"),
        (ToolServerState("files", "uvx", "failed", "it exited with code 1"), "degraded"),
        (ToolServerState("files", "uvx", "connected", withheld=("'a': it changed",)), "degraded"),
    ],
)
async def test_it_is_degraded_without_a_tool_that_it_should_have(
    server: ToolServerState, overall: str
) -> None:
    condition = Condition()
    condition.vitals.tool_servers = lambda: (server,)
    assert await condition.overall() == overall
    breakers = engine_health.fn(condition.vitals)
    assert isinstance(breakers, Breakers)
    told = breakers.tool_servers["files"]
    assert (told.state, told.cause, told.withheld) == (server.state, server.cause, server.withheld)
