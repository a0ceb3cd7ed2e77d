"""Which of several engines for the same work to ask: the first that is well, in the order configured.

An engine that fails five times in a row is left alone for 30 s (``routing.circuit``). A refusal of what was asked is an
answer, and no reason to go on to another.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from cozy_domain.clock import Clock
from cozy_domain.errors import ProviderError, ProviderRefusedError, ProviderUnavailableError
from cozy_domain.routing.circuit import Circuit, after_failure, after_success, allows, probing

T = TypeVar("T")


class Named(msgspec.Struct, Generic[T], frozen=True):
    """``name`` is the one in the settings."""

    name: str
    engine: T


class Switchover(Generic[T]):
    """One for each kind of engine and process: it remembers which of them are failing. ``kind`` is for people."""

    def __init__(self, kind: str, engines: Sequence[Named[T]], clock: Clock) -> None:
        self._kind = kind
        self._engines = tuple(engines)
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}

    @property
    def engines(self) -> tuple[Named[T], ...]:
        return self._engines

    def circuits(self) -> Mapping[str, Circuit]:
        """The state of every engine that was asked so far."""
        return dict(self._circuits)

    def candidates(self, wanted: str | None = None) -> Iterator[Named[T]]:
        """Those to try, the ``wanted`` one first; say what became of each before taking the next."""
        for it in sorted(self._engines, key=lambda it: it.name != wanted):
            circuit = self._circuits.get(it.name, Circuit())
            now_ns = self._clock.monotonic_ns()
            if allows(circuit, now_ns):
                self._circuits[it.name] = probing(circuit, now_ns)
                yield it

    def succeeded(self, name: str) -> None:
        self._circuits[name] = after_success(self._circuits.get(name, Circuit()))

    def failed(self, name: str, error: ProviderError) -> bool:
        """Whether another engine might do better."""
        if isinstance(error, ProviderRefusedError) and error.about == "request":
            self.succeeded(name)
            return False
        circuit = self._circuits.get(name, Circuit())
        self._circuits[name] = after_failure(circuit, self._clock.monotonic_ns())
        return True

    def none_left(self) -> ProviderUnavailableError:
        """What is raised when there was nobody to ask."""
        if self._engines:
            return ProviderUnavailableError(
                f"Every {self._kind} has been failing and is left alone for a while.",
                provider=self._engines[0].name,
                code="provider_circuit_open",
                retry_after_s=30.0,
            )
        return ProviderUnavailableError(f"There is no {self._kind}.", provider="none", code="not_configured")
