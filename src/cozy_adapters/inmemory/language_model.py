"""A language model that says what its script says: for tests, and for trying an application without a provider."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from cozy_domain.errors import ProviderError, ProviderRefusedError
from cozy_domain.messages import FinishReason, ToolCall, Usage
from cozy_domain.models.deltas import ChoiceFinished, ModelDelta, TextDelta, ToolCallDelta, UsageReported
from cozy_domain.models.request import Feature, ModelRequest

Step = ModelDelta | ProviderError | asyncio.Event
"""A delta is given, an error raised, an event waited for."""
Script = tuple[Step, ...]
"""What one call does. Events and errors before the first delta happen while the stream is being entered, as a
provider's status does; the others while it is read."""

USAGE = Usage(prompt_tokens=10, completion_tokens=5, known=True)


def saying(*pieces: str, reason: FinishReason = "stop", usage: Usage = USAGE) -> Script:
    """The script of a reply in these pieces."""
    return (*map(TextDelta, pieces), ChoiceFinished(reason), UsageReported(usage))


def calling(*calls: ToolCall, before: str = "", usage: Usage = USAGE) -> Script:
    """The script of a reply that asks for tools, after the words ``before``; arguments come in a piece of their own."""
    words = (TextDelta(before),) if before else ()
    pieces = [
        piece
        for index, call in enumerate(calls)
        for piece in (
            ToolCallDelta(index=index, id=call.id, name=call.name),
            ToolCallDelta(index=index, arguments=call.arguments),
        )
    ]
    return (*words, *pieces, ChoiceFinished("tool_calls"), UsageReported(usage))


class ScriptedLanguageModel:
    """Plays one script for each call, in the order of the calls; one call too many is refused (``script_ended``).

    ``requests`` are the calls so far; ``streaming`` counts the streams that are open now.
    """

    def __init__(
        self,
        scripts: Iterable[Script] = (),
        *,
        provider: str = "scripted",
        models: tuple[str, ...] = ("scripted",),
        features: frozenset[Feature] = frozenset(Feature),
    ) -> None:
        self.requests: list[ModelRequest] = []
        self.streaming = 0
        self._scripts = list(scripts)
        self._provider = provider
        self._models = models
        self._features = features

    def add(self, *scripts: Script) -> None:
        """Plays these too, after the ones it has."""
        self._scripts.extend(scripts)

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[ModelDelta]]:
        return self._stream(request)

    def features(self, model: str) -> frozenset[Feature]:  # noqa: ARG002  # the port asks by model
        return self._features

    async def list_models(self) -> tuple[str, ...]:
        return self._models

    @asynccontextmanager
    async def _stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelDelta]]:
        self.requests.append(request)
        script = self._next()
        self.streaming += 1
        try:
            body = await _entered(script)
            async with aclosing(_read(body)) as deltas:
                yield deltas
        finally:
            self.streaming -= 1

    def _next(self) -> Script:
        if not self._scripts:
            raise ProviderRefusedError("the script has ended", provider=self._provider, code="script_ended")
        return self._scripts.pop(0)


async def _entered(script: Script) -> Script:
    """What is left of a script once its first delta is ready."""
    for at, step in enumerate(script):
        if not isinstance(step, asyncio.Event | ProviderError):
            return script[at:]
        await _passed(step)
    return ()


async def _read(script: Script) -> AsyncGenerator[ModelDelta, None]:
    for step in script:
        if isinstance(step, asyncio.Event | ProviderError):
            await _passed(step)
        else:
            yield step


async def _passed(step: asyncio.Event | ProviderError) -> None:
    if isinstance(step, ProviderError):
        raise step
    await step.wait()
