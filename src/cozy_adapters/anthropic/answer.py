"""Events of a streamed answer, as the domain's deltas (pure).

An answer is one choice. It ends with one ``ChoiceFinished``; one that breaks off before is an error, never a short answer.

Thinking, and the arguments of a call, may take longer than a caller waits between two deltas, and may come in one piece or
not at all. So an empty ``ReasoningDelta`` tells that thinking began, and another one each time the server says during
either that it is still there.
"""

from collections.abc import Callable, Iterator

import msgspec

from cozy_adapters.anthropic.failures import broke
from cozy_adapters.anthropic.thinking import KINDS, Called, Piece, Said, Secret, Thought, kept
from cozy_adapters.anthropic.wire import Block, Delta, Event, WireUsage
from cozy_domain.errors import ProviderError, ProviderMalformedError
from cozy_domain.messages import FinishReason, Usage
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ThinkingKept,
    ToolCallDelta,
    UsageReported,
)

_EVENTS = msgspec.json.Decoder(Event)
_SLOW = (*KINDS, "tool_use")
_REASONS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anything else (``end_turn``, ``stop_sequence``, ``pause_turn``) means that it was done: ``stop``."""


class Answer:
    """One answer of ``model`` while it arrives. ``complete`` once its last event was read: nothing that follows matters.
    ``secret`` is the API key, which no message repeats."""

    def __init__(
        self, provider: str, new_call_id: Callable[[], str], secret: str = "", model: str = ""
    ) -> None:
        self.complete = False
        self._provider = provider
        self._new_call_id = new_call_id
        self._secret = secret
        self._model = model
        self._pieces: list[Piece] = []
        """What it is made of, in order."""
        self._begun = False
        self._finished = False
        self._slow = False
        self._calls: dict[int, _Call] = {}
        self._usage = WireUsage()

    def read(self, event: bytes) -> Iterator[ModelDelta]:
        """The deltas of one event.

        Raises:
            ProviderMalformedError: it is no event of the API.
            ProviderError: it is an error; the work done so far may be billed.
        """
        if self.complete:
            return
        read = self._decoded(event)
        match read.type:
            case "content_block_delta":
                yield from self._piece(read.index, read.delta or Delta())
            case "message_start":
                self._begun = True
                self._usage = (read.message and read.message.usage) or self._usage
            case "content_block_start" if read.content_block:
                yield from self._start(read.index, read.content_block)
            case "content_block_stop":
                yield from self._stop(read.index)
            case "message_delta":
                yield from self._end(read.delta or Delta(), read.usage)
            case "message_stop":
                self.complete = True
            case "ping" if self._slow:
                yield ReasoningDelta("")
            case "error":
                raise self._broken(read)

    def end(self) -> Iterator[ModelDelta]:
        """What is left when no more events come.

        Raises:
            ProviderMalformedError: there is no answer, or its end is missing.
        """
        if not self._begun:
            raise self._malformed("answered nothing")
        if not self._finished:
            if not self.complete:
                raise self._malformed("broke off its answer without an end")
            yield ChoiceFinished("tool_calls" if self._calls else "stop")

    def _start(self, index: int, block: Block) -> Iterator[ModelDelta]:
        self._slow = block.type in _SLOW
        if block.type == "thinking":
            self._pieces.append(Thought(block.thinking or "", block.signature or ""))
            yield ReasoningDelta(block.thinking or "")
        elif block.type == "redacted_thinking":
            self._pieces.append(Secret(block.data or ""))
            yield ReasoningDelta("")
        elif block.type == "text":
            self._pieces.append(Said(len(block.text or "")))
            if block.text:
                yield TextDelta(block.text)
        elif block.type == "tool_use":
            self._pieces.append(Called())
            call = _Call(len(self._calls))
            self._calls[index] = call
            whole = bytes(block.input).strip()
            call.written = whole not in (b"{}", b"null")
            arguments = whole.decode() if call.written else ""
            yield ToolCallDelta(call.index, arguments, block.id or self._new_call_id(), block.name)

    def _piece(self, index: int, delta: Delta) -> Iterator[ModelDelta]:
        last = self._pieces[-1] if self._pieces else None
        if delta.text:
            if isinstance(last, Said):
                last.length += len(delta.text)
            yield TextDelta(delta.text)
        elif delta.thinking:
            if isinstance(last, Thought):
                last.thinking += delta.thinking
            yield ReasoningDelta(delta.thinking)
        elif delta.signature and isinstance(last, Thought):
            last.signature += delta.signature
        elif delta.partial_json and (call := self._calls.get(index)):
            call.written = True
            yield ToolCallDelta(call.index, delta.partial_json)

    def _stop(self, index: int) -> Iterator[ModelDelta]:
        """A call without arguments has no piece that says so."""
        self._slow = False
        call = self._calls.get(index)
        if call and not call.written:
            call.written = True
            yield ToolCallDelta(call.index, "{}")

    def _end(self, delta: Delta, usage: WireUsage | None) -> Iterator[ModelDelta]:
        if usage is not None:
            self._usage = _together(self._usage, usage)
        if not delta.stop_reason or self._finished:
            return
        self._finished = True
        if delta.stop_details and delta.stop_details.explanation:
            yield RefusalDelta(delta.stop_details.explanation)
        if thinking := kept(self._model, self._pieces, _thought_tokens(self._usage)):
            yield ThinkingKept(thinking)
        reason = _REASONS.get(delta.stop_reason, "stop")
        # Agent loops branch on it, whatever a server says.
        yield ChoiceFinished("tool_calls" if self._calls and reason == "stop" else reason)
        if self._usage.output_tokens is not None:
            yield UsageReported(_usage(self._usage))

    def _decoded(self, event: bytes) -> Event:
        try:
            return _EVENTS.decode(event)
        except msgspec.ValidationError as error:
            raise self._malformed("sent an event of an unknown form") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._malformed("sent an event that is no JSON") from error

    def _broken(self, event: Event) -> ProviderError:
        if event.error is None:
            return self._malformed("sent an error that says nothing")
        return broke(self._provider, event.error, self._secret, begun=self._begun)

    def _malformed(self, what: str) -> ProviderError:
        return ProviderMalformedError(f"{self._provider} {what}.", provider=self._provider, billed=True)


class _Call:
    """A call that began; ``written`` once something of its arguments was."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.written = False


def _together(began: WireUsage, ended: WireUsage) -> WireUsage:
    """What the end says, and of the beginning what it does not say again."""
    said = {name: value for name, value in msgspec.structs.asdict(ended).items() if value is not None}
    return msgspec.structs.replace(began, **said)


def _usage(usage: WireUsage) -> Usage:
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Usage(
        prompt_tokens=(usage.input_tokens or 0) + read + written,
        completion_tokens=usage.output_tokens or 0,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=_thought_tokens(usage),
        known=True,
    )


def _thought_tokens(usage: WireUsage) -> int:
    details = usage.output_tokens_details
    return (details and details.thinking_tokens) or 0
