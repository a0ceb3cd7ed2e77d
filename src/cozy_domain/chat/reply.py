"""A stream of chat events folded into one reply: the plain JSON answer is this, and nothing else (pure but for the wait)."""

from collections.abc import AsyncIterator

import msgspec

from cozy_domain.chat.events import ChatEvent, ToolRan, TurnEnded, TurnStarted
from cozy_domain.errors import LocalProtocolError
from cozy_domain.messages import FinishReason, ToolCall
from cozy_domain.models.deltas import RefusalDelta, TextDelta, TokenLogprob, ToolCallDelta

_WORDS = (TextDelta, RefusalDelta, ToolCallDelta)


class ReplyChoice(msgspec.Struct, frozen=True):
    """``text`` is None when nothing was said: the choice is tool calls or a refusal alone."""

    text: str | None
    refusal: str | None
    tool_calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish: FinishReason


class ChatReply(msgspec.Struct, frozen=True):
    started: TurnStarted
    ended: TurnEnded
    choices: tuple[ReplyChoice, ...]
    tools: tuple[ToolRan, ...] = ()


async def fold(events: AsyncIterator[ChatEvent]) -> ChatReply:
    """The whole reply.

    Raises:
        CozyError: whatever the stream raises; nothing of a broken stream is a reply.
        LocalProtocolError: the stream ended without ``TurnEnded``.
    """
    started: TurnStarted | None = None
    written: dict[int, _Written] = {}
    tools: list[ToolRan] = []
    async for event in events:
        if isinstance(event, TurnStarted):
            started = event
        elif isinstance(event, ToolRan):
            tools.append(event)
        elif isinstance(event, _WORDS):
            written.setdefault(event.choice, _Written()).add(event)
        elif isinstance(event, TurnEnded):
            if started is None:
                break
            finish = event.outcome.finish or ("stop",)
            choices = tuple(
                written.get(index, _Written()).choice(reason) for index, reason in enumerate(finish)
            )
            return ChatReply(started, event, choices, tuple(tools))
    raise LocalProtocolError("a turn's events ended before the turn did")


class _Written:
    """One choice so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.calls: dict[int, tuple[str, str, list[str]]] = {}

    def add(self, delta: TextDelta | RefusalDelta | ToolCallDelta) -> None:
        if isinstance(delta, TextDelta):
            self.text.append(delta.text)
            self.logprobs += delta.logprobs
        elif isinstance(delta, RefusalDelta):
            self.refusal.append(delta.text)
        else:
            call = self.calls.setdefault(delta.index, (delta.id or "", delta.name or "", []))
            call[2].append(delta.arguments)

    def choice(self, finish: FinishReason) -> ReplyChoice:
        calls = [self.calls[index] for index in sorted(self.calls)]
        text = "".join(self.text)
        refusal = "".join(self.refusal)
        return ReplyChoice(
            text=text if text or not (calls or refusal) else None,
            refusal=refusal or None,
            tool_calls=tuple(ToolCall(id, name, "".join(pieces)) for id, name, pieces in calls),
            logprobs=tuple(self.logprobs),
            finish=finish,
        )
