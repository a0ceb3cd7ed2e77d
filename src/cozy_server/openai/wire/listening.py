"""WS /v1/audio/transcriptions/stream: what is said over the socket, beside the sound, which is binary."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cozy_server.openai.wire.speech import CozySpeechIn
from cozy_server.openai.wire.transcription import Language, Model, Prompt

Phrase = Annotated[str, Meta(min_length=1, max_length=200)]


class DetectionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When somebody speaks: OpenAI's names (realtime, ``server_vad``), milliseconds and a probability."""

    threshold: Annotated[float, Meta(ge=0.05, le=0.95)] | None = None
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=2_000)] | None = None
    silence_duration_ms: Annotated[int, Meta(ge=100, le=5_000)] | None = None


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="start"):
    """The first message. ``rate`` is that of ``pcm16`` (signed, little-endian, mono); Opus packets tell their own."""

    format: Literal["pcm16", "opus"] = "pcm16"
    rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 16_000
    language: Language | None = None
    prompt: Prompt = ""
    phrases: Annotated[tuple[Phrase, ...], Meta(max_length=200)] = ()
    model: Model = "whisper-1"
    partials: bool = False
    """Only recognisers that have them."""
    turn_detection: DetectionIn | None = None
    cozy: CozySpeechIn | None = None


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="stop"):
    """No more sound is coming."""


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ping"):
    """Is answered; also keeps a socket open that sends no sound."""


Said = Start | Stop | Ping


class TranscriptOut(msgspec.Struct, frozen=True):
    """What is understood so far of what is being said since ``start`` (seconds of sound); it may still change."""

    text: str
    start: float
    is_partial: bool = True
    type: Literal["transcript"] = "transcript"


class TranscriptFinalOut(msgspec.Struct, frozen=True):
    """What was said from ``start`` to ``end``; ``text`` is empty where nothing was understood. ``caution`` is why not to
    trust it, where the recogniser knows."""

    text: str
    start: float
    end: float
    language: str | None = None
    caution: str | UnsetType = UNSET
    is_partial: bool = False
    type: Literal["transcript_final"] = "transcript_final"


class DoneOut(msgspec.Struct, frozen=True):
    """After ``stop``: everything is told. ``duration`` in seconds of sound."""

    duration: float
    type: Literal["done"] = "done"


class PongOut(msgspec.Struct, frozen=True):
    type: Literal["pong"] = "pong"
