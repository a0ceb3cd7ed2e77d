"""POST /v1/audio/transcriptions and /translations: the fields of a form, and what it may be answered with.

OpenAI's API reference, audio. Fields of theirs that nobody here can do are known, so that they are refused by name.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cozy_server.openai.wire.speech import CozySpeechIn

Model = Annotated[str, Meta(min_length=1, max_length=256)]
Language = Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")]
"""ISO 639, or a BCP 47 tag that begins with it."""
Prompt = Annotated[str, Meta(max_length=4_096)]
"""OpenAI counts its last 224 tokens."""
Keyword = Annotated[str, Meta(min_length=1, max_length=100)]
Temperature = Annotated[float, Meta(ge=0, le=1)]
Granularity = Literal["word", "segment"]
Form = Literal["json", "text", "verbose_json", "srt", "vtt"]


class ChunkingIn(msgspec.Struct, frozen=True):
    type: str | None = None


class TranscriptionIn(msgspec.Struct, frozen=True):
    """The fields of POST /v1/audio/transcriptions, beside the file."""

    model: Model = "whisper-1"
    language: Language | None = None
    languages: Annotated[tuple[Language, ...], Meta(max_length=20)] = ()
    keywords: Annotated[tuple[Keyword, ...], Meta(max_length=50)] = ()
    prompt: Prompt = ""
    response_format: Form = "json"
    temperature: Temperature | None = None
    timestamp_granularities: Annotated[tuple[Granularity, ...], Meta(max_length=10)] = ()
    stream: bool = False
    include: Annotated[tuple[str, ...], Meta(max_length=10)] = ()
    chunking_strategy: str | ChunkingIn | None = None
    known_speaker_names: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    known_speaker_references: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    cozy: CozySpeechIn | None = None


class TranslationIn(msgspec.Struct, frozen=True):
    """The fields of POST /v1/audio/translations, beside the file."""

    model: Model = "whisper-1"
    prompt: Prompt = ""
    response_format: Form = "json"
    temperature: Temperature | None = None
    stream: bool = False
    cozy: CozySpeechIn | None = None


class TokenUsage(msgspec.Struct, frozen=True, tag_field="type", tag="tokens"):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class DurationUsage(msgspec.Struct, frozen=True, tag_field="type", tag="duration"):
    seconds: float


class WordOut(msgspec.Struct, frozen=True):
    """Times in seconds."""

    word: str
    start: float
    end: float


class SegmentOut(msgspec.Struct, frozen=True):
    """Times in seconds. What a recogniser does not tell is 0, because clients expect numbers."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class CozyHeardOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who heard it, by the name in ``speech.stt``; ``caution`` is why not to trust it, where the recogniser knows."""

    recogniser: str
    caution: str = ""


class TranscriptionOut(msgspec.Struct, frozen=True):
    """``response_format: json``; what follows ``cozy`` only with ``verbose_json``. ``duration`` in seconds."""

    text: str
    usage: TokenUsage | DurationUsage
    cozy: CozyHeardOut
    task: Literal["transcribe", "translate"] | UnsetType = UNSET
    language: str | UnsetType = UNSET
    duration: float | UnsetType = UNSET
    words: tuple[WordOut, ...] | UnsetType = UNSET
    segments: tuple[SegmentOut, ...] | UnsetType = UNSET


class TextDelta(msgspec.Struct, frozen=True):
    delta: str
    type: Literal["transcript.text.delta"] = "transcript.text.delta"


class TextDone(msgspec.Struct, frozen=True):
    text: str
    cozy: CozyHeardOut
    usage: TokenUsage | UnsetType = UNSET
    type: Literal["transcript.text.done"] = "transcript.text.done"
