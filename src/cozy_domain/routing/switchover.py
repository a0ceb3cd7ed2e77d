"""Which of several engines for the same work to ask: the first that is well, in the order configured.

An engine that fails five times in a row is left alone for 30 s (``routing.circuit``). A refusal of what was asked is an
answer, and no reason to go on to another.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from cozy_domain.clock import Clock
from cozy_domain.errors import (
    OVERLOADED,
    CozyError,
    ProviderError,
    ProviderMalformedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.routing.circuit import (
    Circuit,
    after_failure,
    after_success,
    allows,
    probing,
    released,
)

T = TypeVar("T")


class Named(msgspec.Struct, Generic[T], frozen=True):
    """``name`` is the one in the settings."""

    name: str
    engine: T


class Switchover(Generic[T]):
    """One for each kind of engine and process: it remembers which of them are failing. ``kind`` is for people, as
    is the ``setting`` that names them."""

    def __init__(
        self, kind: str, engines: Sequence[Named[T]], clock: Clock, setting: str | None = None
    ) -> None:
        self._kind = kind
        self._setting = setting
        self._engines = tuple(engines)
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}

    @property
    def engines(self) -> tuple[Named[T], ...]:
        return self._engines

    def circuits(self) -> Mapping[str, Circuit]:
        """The state of every engine that was asked so far."""
        return dict(self._circuits)

    def candidates(
        self, wanted: str | None = None, among: Collection[str] | None = None
    ) -> Iterator[Named[T]]:
        """Those to try, the ``wanted`` one first, all or those of the names ``among``; each within `trying`, before the next
        is taken."""
        eligible = [it for it in self._engines if among is None or it.name in among]
        for it in sorted(eligible, key=lambda it: it.name != wanted):
            circuit = self._circuit(it.name)
            now_ns = self._clock.monotonic_ns()
            if allows(circuit, now_ns):
                self._circuits[it.name] = probing(circuit, now_ns)
                yield it

    @contextmanager
    def trying(self, engine: Named[T]) -> Iterator[None]:
        """Around a call: what becomes of it says how the engine is. An answer is also what refuses the caller's input, and a
        rate limit; a cancelled call says nothing."""
        try:
            yield
        except ProviderError as error:
            self._circuits[engine.name] = self._after(engine.name, error)
            raise
        except CozyError:
            self._circuits[engine.name] = after_success(self._circuit(engine.name))
            raise
        except BaseException:
            self._circuits[engine.name] = released(self._circuit(engine.name))
            raise
        self._circuits[engine.name] = after_success(self._circuit(engine.name))

    def none_left(self) -> ProviderUnavailableError:
        """What is raised when there was nobody to ask."""
        if self._engines:
            return ProviderUnavailableError(
                f"Every {self._kind} has been failing and is left alone for a while.",
                provider=self._engines[0].name,
                code="provider_circuit_open",
                retry_after_s=30.0,
            )
        return ProviderUnavailableError(
            f"There is no {self._kind}.",
            provider="none",
            code="not_configured",
            hint=f"Name one in {self._setting} of cozy.yaml; `cozy doctor` shows what is there."
            if self._setting
            else None,
        )

    def _after(self, name: str, error: ProviderError) -> Circuit:
        unwell = isinstance(error, ProviderTimeoutError | ProviderUnavailableError | ProviderMalformedError)
        if unwell or error.code == OVERLOADED:
            return after_failure(self._circuit(name), self._clock.monotonic_ns())
        return after_success(self._circuit(name))

    def _circuit(self, name: str) -> Circuit:
        return self._circuits.get(name, Circuit())


def is_worth_another(error: ProviderError) -> bool:
    """Whether another engine might do better; what one refuses of a request, others would too."""
    return not (isinstance(error, ProviderRefusedError) and error.about == "request")
