"""The breakers of many models, one for each."""

from collections.abc import Mapping

from cozy_domain.clock import Clock
from cozy_domain.errors import (
    OVERLOADED,
    ProviderError,
    ProviderMalformedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.models.request import ModelRef
from cozy_domain.routing.circuit import Circuit, after_failure, after_success, allows, probing


class Breakers:
    """Which models are failing; one for each use case that asks models."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[ModelRef, Circuit] = {}

    def states(self) -> Mapping[ModelRef, Circuit]:
        """Of every model that was asked so far."""
        return dict(self._circuits)

    def may_be_asked(self, model: ModelRef) -> bool:
        return allows(self._circuit(model), self._clock.monotonic_ns())

    def asking(self, model: ModelRef) -> None:
        """A call is about to be made."""
        self._circuits[model] = probing(self._circuit(model), self._clock.monotonic_ns())

    def answers(self, model: ModelRef) -> None:
        """It began to answer: others need not wait for the whole answer to know that it is back."""
        if self._circuit(model).open_until_ns is not None:
            self.succeeded(model)

    def succeeded(self, model: ModelRef) -> None:
        self._circuits[model] = after_success(self._circuit(model))

    def failed(self, model: ModelRef, error: ProviderError) -> None:
        """Only what says that the provider is not well counts; a refusal or a rate limit is an answer."""
        unwell = isinstance(error, ProviderTimeoutError | ProviderUnavailableError | ProviderMalformedError)
        if unwell or error.code == OVERLOADED:
            self._circuits[model] = after_failure(self._circuit(model), self._clock.monotonic_ns())
        else:
            self.succeeded(model)

    def _circuit(self, model: ModelRef) -> Circuit:
        return self._circuits.get(model, Circuit())


def open_circuit(model: ModelRef) -> ProviderUnavailableError:
    """What a caller is told of a model that is left alone."""
    return ProviderUnavailableError(
        f"The model '{model}' has been failing and is left alone for a while.",
        provider=model.provider,
        code="provider_circuit_open",
        retry_after_s=30.0,
    )
