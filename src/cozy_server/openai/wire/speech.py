"""POST /v1/audio/speech: what a client asks for, and the events that it may be answered with."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LONGEST_INPUT = 4_096
"""Characters (OpenAI's API reference, audio/speech)."""

Name = Annotated[str, Meta(min_length=1, max_length=64)]


class VoiceIn(msgspec.Struct, frozen=True):
    id: Name


class CozySpeechIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our extension. The persona brings its voice, its language and its pace."""

    personality_id: Name | None = None
    user_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class SpeechIn(msgspec.Struct, frozen=True):
    """The body of POST /v1/audio/speech."""

    input: Annotated[str, Meta(min_length=1, max_length=LONGEST_INPUT)]
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    voice: Name | VoiceIn | None = None
    instructions: Annotated[str, Meta(max_length=LONGEST_INPUT)] | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: Literal["audio", "sse"] | None = None
    cozy: CozySpeechIn | None = None


class SpeechDelta(msgspec.Struct, frozen=True):
    """``audio`` is base64."""

    audio: str
    type: Literal["speech.audio.delta"] = "speech.audio.delta"


class SpeechUsage(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class SpeechDone(msgspec.Struct, frozen=True):
    usage: SpeechUsage
    type: Literal["speech.audio.done"] = "speech.audio.done"
