"""The model of last resort: no key, no network, no chance, no AI.

The same request always gets the same answer, word by word and without delay. Tokens are estimated: a Chinese
character is one, of other text every four characters.
"""

import math
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from cozy_adapters.offline.reply import Reply, reply
from cozy_domain.messages import AssistantMessage, FinishReason, Message, Usage, text_of
from cozy_domain.models.deltas import ChoiceFinished, ModelDelta, TextDelta, ToolCallDelta, UsageReported
from cozy_domain.models.request import Feature, ModelRequest, Sampling
from cozy_domain.text import CJK

MODEL = "offline"
FEATURES = frozenset(
    {Feature.TOOLS, Feature.PARALLEL_TOOL_CALLS, Feature.STOP, Feature.SEED, Feature.SAMPLING}
)
"""Seed and temperature are kept by having no chance in it: every value gives this one answer."""
_PIECE = re.compile(rf"\s*(?:[{CJK}]|[^\s{CJK}]+)|\s+$")
_CJK = re.compile(f"[{CJK}]")
_LETTERS_PER_TOKEN = 4


class OfflineLanguageModel:
    """Answers by rule in English and Chinese, and says that it does."""

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[ModelDelta]]:
        return _stream(request)

    def features(self, model: str) -> frozenset[Feature]:  # noqa: ARG002  # it has one model
        return FEATURES

    async def list_models(self) -> tuple[str, ...]:
        return (MODEL,)


@asynccontextmanager
async def _stream(request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelDelta]]:
    async with aclosing(_deltas(request)) as deltas:
        yield deltas


async def _deltas(request: ModelRequest) -> AsyncGenerator[ModelDelta, None]:
    answer = reply(request)
    pieces, reason = _cut(answer, request.sampling)
    for piece in pieces:
        yield TextDelta(piece)
    for index, call in enumerate(answer.calls):
        yield ToolCallDelta(index=index, id=call.id, name=call.name)
        yield ToolCallDelta(index=index, arguments=call.arguments)
    yield ChoiceFinished(reason)
    yield UsageReported(_usage(request, answer, "".join(pieces)))


def _cut(answer: Reply, sampling: Sampling) -> tuple[list[str], FinishReason]:
    """The words that are said: up to a stop text or the limit of tokens."""
    if answer.calls:
        return [], "tool_calls"
    text = answer.text
    for stop in sampling.stop:
        text = text.partition(stop)[0]
    pieces = _PIECE.findall(text)
    said = ""
    for at, piece in enumerate(pieces):
        said += piece
        if sampling.max_output is not None and _tokens(said) > sampling.max_output:
            return pieces[:at], "length"
    return pieces, "stop"


def _usage(request: ModelRequest, answer: Reply, said: str) -> Usage:
    shown = sum(len(tool.parameters) + len(tool.description) for tool in request.tools)
    called = "".join(call.name + call.arguments for call in answer.calls)
    return Usage(
        prompt_tokens=sum(map(_message_tokens, request.messages)) + math.ceil(shown / _LETTERS_PER_TOKEN),
        completion_tokens=_tokens(said + called),
        known=True,
    )


def _message_tokens(message: Message) -> int:
    calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
    return _tokens(text_of(message.content) + "".join(call.name + call.arguments for call in calls))


def _tokens(text: str) -> int:
    han = len(_CJK.findall(text))
    return han + math.ceil((len(text) - han) / _LETTERS_PER_TOKEN)
