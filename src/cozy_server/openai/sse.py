"""A turn's events as server-sent chunks, byte by byte (pure).

Text makes nearly all of the chunks of an answer, so its frame is prepared once for each choice and only the text is encoded;
every other chunk goes through its Struct. Chunks come in the order that clients rely on: role, deltas, one with
``finish_reason`` for each choice, usage if asked for, ``[DONE]``.
"""

import msgspec
from msgspec import UNSET, UnsetType

from cozy_domain.chat.events import ChatEvent, ToolRan, TurnEnded, TurnStarted
from cozy_domain.models.deltas import RefusalDelta, TextDelta, ToolCallDelta
from cozy_server.openai.reply import (
    completion_id,
    cozy_ended,
    cozy_started,
    finish_reason,
    logprobs_out,
    usage_out,
)
from cozy_server.openai.wire import reply as wire
from cozy_server.openai.wire.reply import ENCODER, ChatCompletionChunk, ChoiceDeltaOut, DeltaOut
from cozy_server.openai.wire.request import ChatCompletionIn

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


class ChunkWriter:
    """Writes one answer. Each method gives the bytes of whole frames, in the order: `opening`, `delta`…, `closing`."""

    def __init__(self, asked: ChatCompletionIn, started: TurnStarted) -> None:
        self._started = started
        self._choices = range(asked.n or 1)
        self._legacy = asked.functions is not None
        self._with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        self._head = ChatCompletionChunk(
            id=completion_id(started.turn),
            created=int(started.at.timestamp()),
            model=asked.model,
            choices=(),
            usage=None if self._with_usage else UNSET,
        )
        self._text_frames = tuple(self._text_frame(choice) for choice in self._choices)
        self._calls: dict[tuple[int, int], int] = {}
        self._calling: dict[int, int] = {}
        self._tools: list[ToolRan] = []

    def opening(self) -> bytes:
        """The role of every choice; what is known of the turn so far rides on the first."""
        role = DeltaOut(role="assistant", content="", refusal=None)
        cozy = cozy_started(self._started)
        return b"".join(
            self._chunk(ChoiceDeltaOut(index, role), UNSET if index else cozy) for index in self._choices
        )

    def delta(self, event: ChatEvent) -> bytes:
        """Frames for one event; empty when it has nothing to show."""
        if isinstance(event, TextDelta):
            return self._text(event)
        if isinstance(event, ToolCallDelta):
            return self._tool_call(event)
        if isinstance(event, RefusalDelta):
            return self._chunk(ChoiceDeltaOut(event.choice, DeltaOut(refusal=event.text)))
        if isinstance(event, ToolRan):
            self._tools.append(
                event
            )  # told with the end: a chunk of its own would be an empty delta to every client
        return b""

    def closing(self, ended: TurnEnded) -> bytes:
        """All that follows the last delta, ``[DONE]`` included: it may be sent only when the turn is stored."""
        finish = ended.outcome.finish
        cozy = cozy_ended(self._started, ended, self._tools)
        self._head = msgspec.structs.replace(
            self._head,
            service_tier=ended.outcome.service_tier or UNSET,
            system_fingerprint=ended.outcome.fingerprint or UNSET,
        )
        frames = []
        for index in self._choices:
            reason = finish_reason(
                finish[index] if index < len(finish) else "stop",
                calls=index in self._calling,
                legacy=self._legacy,
            )
            frames.append(self._chunk(ChoiceDeltaOut(index, DeltaOut(), finish_reason=reason), cozy))
        if self._with_usage:
            chunk = msgspec.structs.replace(self._head, usage=usage_out(ended.outcome.usage))
            frames.append(event_frame(ENCODER.encode(chunk)))
        return b"".join((*frames, DONE))

    def _text(self, event: TextDelta) -> bytes:
        if event.logprobs or event.choice >= len(self._text_frames):
            logprobs = logprobs_out(event.logprobs)
            return self._chunk(ChoiceDeltaOut(event.choice, DeltaOut(content=event.text), logprobs))
        before, after = self._text_frames[event.choice]
        return before + _one_line(ENCODER.encode(event.text)) + after

    def _tool_call(self, event: ToolCallDelta) -> bytes:
        """The first piece of a call names it and has no arguments; what a provider repeats later is left out, because
        clients join the pieces."""
        key = event.choice, event.index
        frames = []
        if key not in self._calls:
            position = self._calls[key] = self._calling.get(event.choice, 0)
            self._calling[event.choice] = position + 1
            frames.append(self._call_piece(event.choice, position, event.name or "", event.id or ""))
        if event.arguments:
            frames.append(self._arguments(event.choice, self._calls[key], event.arguments))
        return b"".join(frames)

    def _call_piece(self, choice: int, position: int, name: str, call: str) -> bytes:
        function = wire.FunctionDelta(arguments="", name=name)
        if self._legacy:
            return self._chunk(ChoiceDeltaOut(choice, DeltaOut(function_call=function)))
        piece = wire.ToolCallDeltaOut(position, function, id=call, type="function")
        return self._chunk(ChoiceDeltaOut(choice, DeltaOut(tool_calls=(piece,))))

    def _arguments(self, choice: int, position: int, arguments: str) -> bytes:
        function = wire.FunctionDelta(arguments=arguments)
        if self._legacy:
            return self._chunk(ChoiceDeltaOut(choice, DeltaOut(function_call=function)))
        piece = wire.ToolCallDeltaOut(position, function)
        return self._chunk(ChoiceDeltaOut(choice, DeltaOut(tool_calls=(piece,))))

    def _chunk(
        self, choice: ChoiceDeltaOut, cozy: wire.CozyStarted | wire.CozyEnded | UnsetType = UNSET
    ) -> bytes:
        chunk = msgspec.structs.replace(self._head, choices=(choice,), cozy=cozy)
        return event_frame(ENCODER.encode(chunk))

    def _text_frame(self, choice: int) -> tuple[bytes, bytes]:
        """What stands before and after the text: a whole chunk, split at a text that cannot occur in it otherwise."""
        marker = "\x00"
        before, _, after = self._chunk(ChoiceDeltaOut(choice, DeltaOut(content=marker))).rpartition(
            ENCODER.encode(marker)
        )
        return before, after


def error_frame(body: bytes) -> bytes:
    """What ends a stream that broke: ``body`` is ``{"error": {…}}``. No ``[DONE]`` follows."""
    return event_frame(body)


def event_frame(chunk: bytes) -> bytes:
    """JSON as one server-sent event."""
    return b"data: " + _one_line(chunk) + b"\n\n"


def _one_line(json: bytes) -> bytes:
    """Without the three characters that JSON allows and some clients (``str.splitlines``) take for the end of a line."""
    if json.isascii():
        return json
    return (
        json.replace(b"\xc2\x85", b"\\u0085")
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
    )
