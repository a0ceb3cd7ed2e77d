"""The messages of FastRTC's sockets and of Twilio's media streams, which have one shape (pure).

Source of the latter: twilio.com/docs/voice/media-streams/websocket-messages, 2026-07.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cozy_domain.errors import InputError
from cozy_server.fastrtc.wire import ENCODER, CallerId, CallWish

LARGEST = 65_536
"""Characters of one message. 2,048 samples of a browser are 2.7 kB; this is 0.5 s of PCM16 at 48 kHz."""
RATE = 24_000
"""Of sound both ways where nothing is said: what FastRTC's pages open their AudioContext at, and its handlers' default for
what they play. FastRTC never announces the rate."""

SampleRate = Annotated[int, Meta(ge=8_000, le=48_000)]


class SocketWish(CallWish, frozen=True):
    """``format`` and rates of the sound, as query parameters or in ``cozy`` of ``start``."""

    format: Literal["mulaw", "pcm16"] = "mulaw"
    input_rate: SampleRate | None = None
    output_rate: SampleRate | None = None
    clear: bool = False
    """The client stops playing when it is told ``clear``, as Twilio does."""


class Start(msgspec.Struct, frozen=True):
    """The first message. A telephone's has ``stream_sid`` and ``parameters``; a page's its own id."""

    websocket_id: CallerId | None = None
    stream_sid: str | None = None
    call_sid: str | None = None
    parameters: Mapping[str, str] = {}
    cozy: dict[str, Any] | None = None


class Media(msgspec.Struct, frozen=True):
    payload: bytes


class Ping(msgspec.Struct, frozen=True):
    """Answered by ``pong``."""


class Stop(msgspec.Struct, frozen=True):
    """The client hangs up."""


class Key(msgspec.Struct, frozen=True):
    """A key of a telephone was pressed."""

    digit: str


class Mark(msgspec.Struct, frozen=True):
    """A telephone has played what stood before the mark of this name, or was told to forget it."""

    name: str


class Words(msgspec.Struct, frozen=True):
    """Anything else: an event that we do not know or cannot use, or one of our own orders."""

    message: str


Inbound = Start | Media | Ping | Stop | Key | Mark | Words


def read(message: str) -> Inbound:
    """
    Raises:
        InputError: ``invalid_json``, or a fault of an event that a call cannot do without: its start, or its sound.
    """
    if len(message) > LARGEST:
        raise InputError(f"A message is larger than {LARGEST} characters.", code="body_too_large")
    try:
        it = _decoded(message)
    except msgspec.ValidationError:
        raise InputError("A message is not as it must be: see the reference of this socket.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise InputError("A message is not JSON.", code="invalid_json") from None
    match it.event:
        case "media" if it.media:
            return _media(it.media.payload)
        case "start":
            return _start(it)
        case "ping":
            return Ping()
        case "stop":
            return Stop()
        case "dtmf" if it.dtmf:
            return Key(it.dtmf.digit)
        case "mark" if it.mark:
            return Mark(it.mark.name)
        case _:
            return Words(message)


def media(payload: bytes, stream_sid: str | None) -> str:
    return _event("media", stream_sid, media={"payload": b64encode(payload).decode()})


def clear(stream_sid: str | None) -> str:
    """Forget what you have not played. FastRTC's own pages do not know it, and ignore it."""
    return _event("clear", stream_sid)


def mark(name: str, stream_sid: str | None) -> str:
    """To be sent back when all before it has been played."""
    return _event("mark", stream_sid, mark={"name": name})


def pong() -> str:
    return _event("pong", None)


class _Media(msgspec.Struct, frozen=True):
    payload: str


class _Dtmf(msgspec.Struct, frozen=True):
    digit: Annotated[str, Meta(max_length=1, pattern="^[0-9A-D*#]$")]


class _Mark(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(max_length=128)]


class _TwilioStart(msgspec.Struct, frozen=True, rename="camel"):
    call_sid: str | None = None
    custom_parameters: dict[str, str] = {}


class _Message(msgspec.Struct, frozen=True):
    event: str = ""
    websocket_id: CallerId | None = None
    stream_sid: str | None = msgspec.field(default=None, name="streamSid")
    start: _TwilioStart | None = None
    media: _Media | None = None
    dtmf: _Dtmf | None = None
    mark: _Mark | None = None
    cozy: dict[str, Any] | None = None


class _Event(msgspec.Struct, frozen=True):
    event: str = ""


_DECODER = msgspec.json.Decoder(_Message)
_EVENT_DECODER = msgspec.json.Decoder(_Event)
_NEEDED = ("start", "media")


def _decoded(message: str) -> _Message:
    """Of an event that is not needed, and not as it should be, no more than its name."""
    try:
        return _DECODER.decode(message)
    except msgspec.ValidationError:
        event = _EVENT_DECODER.decode(message).event
        if event in _NEEDED:
            raise
        return _Message(event=event)


def _media(payload: str) -> Media:
    try:
        return Media(b64decode(payload, validate=True))
    except (binascii.Error, ValueError):
        raise InputError("The payload of a message is not base64.", param="media.payload") from None


def _start(it: _Message) -> Start:
    start = it.start or _TwilioStart()
    return Start(it.websocket_id, it.stream_sid, start.call_sid, start.custom_parameters, it.cozy)


def _event(name: str, stream_sid: str | None, **fields: Any) -> str:
    stream = {} if stream_sid is None else {"streamSid": stream_sid}
    return ENCODER.encode({"event": name, **stream, **fields}).decode()
