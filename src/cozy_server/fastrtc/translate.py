"""The voice session's public events in the words that FastRTC's clients know, and their words as orders (pure).

A client of FastRTC acts upon few messages: that somebody began to talk, paused, and is answered; that something is to be
fetched; errors; the end. They are sent at the same moments as FastRTC does, in the same order. Beside them everything that
happens is told in an envelope of ours, ``{"type": "cozy", "data": {"type": ..., ...}}``, which its clients do not look into.
Times in it are milliseconds.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from cozy_domain.audio import HEARING_RATE, SPEAKING_RATE
from cozy_domain.errors import InputError
from cozy_domain.voice.public import (
    InputSpeechStarted,
    InputTranscriptionFailed,
    LatencyStage,
    OutputStarted,
    PublicEvent,
    ResponseDone,
    SessionClosed,
    SessionDraining,
    SpeechUnavailable,
    TurnCommitted,
)
from cozy_server.fastrtc.wire import ENCODER, LONGEST_TEXT

LONGEST_MESSAGE = 65_536
"""Characters of a client's message that is looked at: as many as a socket takes, and a browser sends over a data channel."""
_ECHOED = 8_192
"""Characters; of more, the beginning."""
_HEARING = ("sample",)
_SPEAKING = ("samples",)
_ENDINGS = {
    "hangup": "Stream closed",
    "idle": "Nobody spoke for so long that the call has ended.",
    "time_limit": "The call has reached its time limit.",
    "drained": "The server is shutting down.",
    "cancelled": "The server is shutting down.",
    "connect_timeout": "The call could not be connected.",
    "media_lost": "The connection was lost.",
}
_FAILED = "The call broke off: something failed in the server."
"""Of every other reason: the code of an error."""

Order = Literal["text", "dtmf", "hangup", "commit", "clear", "cancel", "respond"]


class Told(msgspec.Struct, frozen=True):
    """An order of the client's program. ``text``: what was typed, or the key that was pressed."""

    order: Order
    text: str = ""


class Translation:
    """Of one call. ``announces``: whether outputs are announced, which FastRTC's sockets do not do."""

    def __init__(self, *, announces: bool) -> None:
        self.announces = announces
        self._sounded: int | None = None
        """The last reply of which something was heard."""

    def messages(self, event: PublicEvent) -> tuple[str, ...]:
        """What the client is sent, in order."""
        return (*self._fastrtc(event), envelope(event))

    def _fastrtc(self, event: PublicEvent) -> Iterator[str]:
        match event:
            case InputSpeechStarted(rev=1):
                yield log("started_talking")
            case TurnCommitted(typed=False):
                yield log("pause_detected")
            case OutputStarted():
                self._sounded = event.response_id
                yield log("response_starting")
            case ResponseDone():
                yield from self._done(event)
            case InputTranscriptionFailed():
                yield warning("What you said could not be understood.")
            case SpeechUnavailable():
                yield warning("The answer cannot be spoken; read it instead.")
            case SessionDraining():
                yield warning("The call is about to end.")
            case SessionClosed():
                if event.reason not in _ENDINGS:
                    yield error(_FAILED)
                told = _ENDINGS.get(event.reason, _FAILED)
                yield _json({"type": "end_stream", "data": told})
            case _:
                pass
        if self.announces and output(event):
            yield _json({"type": "fetch_output", "data": []})

    def _done(self, event: ResponseDone) -> Iterator[str]:
        if event.status == "failed":
            yield error("The answer failed.")
        elif event.status == "completed" and self._sounded != event.response_id:
            yield log("response_starting")  # as FastRTC does for an answer without sound


def output(event: PublicEvent) -> bytes:
    """What those who read along are told: a message of the conversation, as it was heard; nothing of other events."""
    match event:
        case TurnCommitted():
            return ENCODER.encode({"role": "user", "content": event.text})
        case ResponseDone(text=text) if text:
            return ENCODER.encode({"role": "assistant", "content": text})
        case SpeechUnavailable():
            return ENCODER.encode({"role": "assistant", "content": event.text})
        case _:
            return b""


def envelope(event: PublicEvent) -> str:
    """Ours."""
    data: dict[str, Any] = {"type": event.__struct_config__.tag}
    for name in event.__struct_fields__:
        key, value = _field(name, getattr(event, name))
        data[key] = value
    if "stages" in data:  # what was rounded still adds up
        data["total_ms"] = round(sum(stage["ms"] for stage in data["stages"]), 3)
    return ours(data)


def ours(data: dict[str, Any]) -> str:
    return _json({"type": "cozy", "data": data})


def log(what: str) -> str:
    return _json({"type": "log", "data": what})


def error(told: str) -> str:
    """FastRTC's documentation reads ``data``, its pages ``message``."""
    return _json({"type": "error", "message": told, "data": told})


def warning(told: str) -> str:
    return _json({"type": "warning", "message": told, "data": told})


def received(message: str) -> str:
    """How FastRTC answers every message."""
    return log(f"Server received: {message[:_ECHOED]}")


def dtmf(digit: str) -> str:
    """A key of a telephone, as a client's message."""
    return ours({"type": "input_audio_buffer.dtmf", "text": digit})


def read(message: str) -> Told | None:
    """The order in a client's message; None for what is none, such as the ``handshake`` of Gradio's component.

    Raises:
        InputError: it is too long; told with the limit.
    """
    if len(message) > LONGEST_MESSAGE:
        raise InputError(f"A message is at most {LONGEST_MESSAGE:,} characters; send several shorter ones.")
    if '"cozy"' not in message:
        return None
    try:
        it = _DECODER.decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    order = _ORDERS.get(it.data.type)
    text = it.data.text
    if order is None or (order in ("text", "dtmf")) != bool(text.strip()) or "\x00" in text:
        return None
    if order == "text" and len(text) > LONGEST_TEXT:
        raise InputError(
            f"Typed text is at most {LONGEST_TEXT:,} characters; send the rest in another message."
        )
    return Told(order, text[:1] if order == "dtmf" else text)


class _Data(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class _Ours(msgspec.Struct, frozen=True):
    type: Literal["cozy"]
    data: _Data


_ORDERS: dict[str, Order] = {
    "client.text": "text",
    "client.hangup": "hangup",
    "input_audio_buffer.dtmf": "dtmf",
    "input_audio_buffer.commit": "commit",
    "input_audio_buffer.clear": "clear",
    "response.cancel": "cancel",
    "response.create": "respond",
}
"""By OpenAI Realtime's name where it has one."""
_DECODER = msgspec.json.Decoder(_Ours)


def _field(name: str, value: Any) -> tuple[str, Any]:
    if name == "stages":
        return name, [_stage(it) for it in value]
    if name == "ns" or name.endswith("_ns"):
        return f"{name[:-2]}ms", round(value / 1e6, 3)
    if name in _HEARING:
        return "audio_ms", value * 1_000 // HEARING_RATE
    if name in _SPEAKING:
        return "audio_ms", value * 1_000 // SPEAKING_RATE
    return name, value


def _stage(stage: LatencyStage) -> dict[str, Any]:
    return {"name": stage.name, "ms": round(stage.ns / 1e6, 3)}


def _json(it: Any) -> str:
    return ENCODER.encode(it).decode()
