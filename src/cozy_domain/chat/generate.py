"""Step 4 of a turn, one call: a model of the chain answers.

Falling back and retrying end with the first delta: after it, what the user has seen cannot be taken back (settled question
17). What to do after a failure is decided in ``routing.retry``, whether to try at all in ``routing.circuit``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from cozy_domain.clock import Clock
from cozy_domain.errors import (
    ProviderError,
    ProviderMalformedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.models.deltas import ModelDelta
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import Feature, ModelRef, ModelRequest
from cozy_domain.routing.breakers import Breakers, open_circuit
from cozy_domain.routing.circuit import Circuit
from cozy_domain.routing.retry import GiveUp, NextModel, RetrySame, decide


class ModelDeadlines(msgspec.Struct, frozen=True):
    """Seconds: to the first delta of one try and of the whole chain, and between two deltas (settled question 17)."""

    first_token_s: float = 10.0
    chain_s: float = 30.0
    between_s: float = 20.0


class Answer:
    """The deltas of the model that answered; ``model`` says which."""

    def __init__(self, model: ModelRef, first: ModelDelta, rest: AsyncIterator[ModelDelta]) -> None:
        self.model = model
        self._first: ModelDelta | None = first
        self._rest = rest
        self._now = asyncio.get_running_loop().time
        self._asked_at: float | None = None

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> ModelDelta:
        """
        Raises:
            ProviderError: the stream broke.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        self._asked_at = self._now()
        try:
            return await anext(self._rest)
        finally:
            self._asked_at = None

    @asynccontextmanager
    async def patience(self, between_s: float) -> AsyncIterator[None]:
        """Ends what is done inside when the model lets itself be waited for longer than ``between_s``.

        Raises:
            ProviderTimeoutError: it was silent for too long.
        """
        try:
            async with asyncio.timeout(None) as scope:
                watch = _Watch(scope, lambda: self._asked_at, between_s)
                try:
                    yield
                finally:
                    watch.stop()
        except TimeoutError:
            if not scope.expired():
                raise
            raise ProviderTimeoutError(
                f"The model '{self.model}' fell silent for {between_s:g} s in the middle of its answer.",
                provider=self.model.provider,
                billed=True,
            ) from None


class _Watch:
    """One timer for a whole answer, which looks now and then how long a wait has been: a deadline for every delta would cost
    more than the delta. ``since`` gives the loop's time at which the wait began, or None."""

    def __init__(self, scope: asyncio.Timeout, since: Callable[[], float | None], most_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = scope
        self._since = since
        self._most_s = most_s
        self._timer = self._loop.call_later(most_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now, since = self._loop.time(), self._since()
        due = (now if since is None else since) + self._most_s
        if due <= now:
            self._scope.reschedule(now)
        else:
            self._timer = self._loop.call_at(due, self._look)


class Generation:
    """Asks models. One for the whole process: it remembers which of them are failing."""

    def __init__(
        self,
        providers: Mapping[str, LanguageModel],
        clock: Clock,
        deadlines: ModelDeadlines | None = None,
    ) -> None:
        self._providers = providers
        self._deadlines = deadlines or ModelDeadlines()
        self._breakers = Breakers(clock)

    def features(self, model: ModelRef) -> frozenset[Feature]:
        """What the model can do; nothing when there is no such provider."""
        provider = self._providers.get(model.provider)
        return provider.features(model.id) if provider else frozenset()

    def circuits(self) -> Mapping[ModelRef, Circuit]:
        """The state of every model that was asked so far."""
        return self._breakers.states()

    @asynccontextmanager
    async def answer(
        self, chain: tuple[ModelRef, ...], ask: Callable[[ModelRef], ModelRequest]
    ) -> AsyncIterator[Answer]:
        """An answer whose first delta is there. Leaving the context closes the connection to the provider.

        Raises:
            ProviderError: no model of ``chain`` answered; the last failure, or the breaker's when none was tried. Or the one
                that answered fell silent.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._deadlines.chain_s):
                    answer = await self._first_that_answers(chain, ask, stack)
            except TimeoutError:
                raise ProviderTimeoutError(
                    f"No model answered within {self._deadlines.chain_s:g} s.", provider=chain[-1].provider
                ) from None
            try:
                async with answer.patience(self._deadlines.between_s):
                    yield answer
            except ProviderError as error:
                self._breakers.failed(answer.model, error)
                raise
            self._breakers.succeeded(answer.model)

    async def _first_that_answers(
        self, chain: tuple[ModelRef, ...], ask: Callable[[ModelRef], ModelRequest], stack: AsyncExitStack
    ) -> Answer:
        remaining = list(chain)
        retried = False
        last: ProviderError = ProviderUnavailableError("There is no model to ask.", provider="none")
        while remaining:
            model = remaining[0]
            if not self._breakers.may_be_asked(model):
                remaining.pop(0)
                last = open_circuit(model) if last.provider == "none" else last
                continue
            try:
                return await self._attempt(model, ask(model), stack)
            except ProviderError as error:
                self._breakers.failed(model, error)
                last = error
                last.retried = retried
            others_left = any(map(self._breakers.may_be_asked, remaining[1:]))
            match decide(last, retried=retried, others_left=others_left):
                case RetrySame(after_s=pause):
                    retried = True
                    await asyncio.sleep(pause)  # noqa: TID251  the decision is pure, waiting is this use case's work
                case NextModel():
                    remaining.pop(0)
                case GiveUp():
                    raise last
        raise last

    async def _attempt(self, model: ModelRef, request: ModelRequest, stack: AsyncExitStack) -> Answer:
        self._breakers.asking(model)
        async with AsyncExitStack() as attempt:
            try:
                async with asyncio.timeout(self._deadlines.first_token_s):
                    deltas = await attempt.enter_async_context(self._provider(model).stream(request))
                    first = await anext(deltas, None)
            except TimeoutError:
                raise ProviderTimeoutError(
                    f"The model '{model}' did not answer within {self._deadlines.first_token_s:g} s.",
                    provider=model.provider,
                ) from None
            if first is None:
                raise ProviderMalformedError(
                    f"The model '{model}' ended without an answer.", provider=model.provider
                )
            stack.push_async_exit(attempt.pop_all())
        self._breakers.answers(model)
        return Answer(model, first, deltas)

    def _provider(self, model: ModelRef) -> LanguageModel:
        try:
            return self._providers[model.provider]
        except KeyError:
            raise ProviderUnavailableError(
                f"There is no provider '{model.provider}'.", provider=model.provider
            ) from None
