"""Requests to understand sound in the domain's words, and what was heard in OpenAI's (pure)."""

import zlib
from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from cozy_domain.errors import InputError
from cozy_domain.speech.choice import ChosenEar
from cozy_domain.speech.languages import name_of
from cozy_domain.speech.ports import Hearing
from cozy_domain.speech.subtitles import srt, vtt
from cozy_domain.speech.transcribe import Heard
from cozy_domain.speech.transcript import Segment, seconds
from cozy_server.openai.wire.reply import ENCODER
from cozy_server.openai.wire.transcription import (
    ChunkingIn,
    CozyHeardOut,
    DurationUsage,
    Form,
    Granularity,
    SegmentOut,
    TextDelta,
    TextDone,
    TokenUsage,
    TranscriptionIn,
    TranscriptionOut,
    TranslationIn,
    WordOut,
)

UNKNOWN = "unknown"
"""The language, where neither the request nor the recogniser names one: clients expect a string."""
JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class Wanted(msgspec.Struct, frozen=True):
    """How the answer is to be written."""

    form: Form
    hearing: Hearing
    stream: bool = False
    granularities: tuple[Granularity, ...] = ()


def transcription(asked: TranscriptionIn, chosen: ChosenEar, *, stream: bool) -> Wanted:
    """
    Raises:
        InputError: ``unsupported_parameter`` or ``unsupported_value``: nobody here does that, or not together.
    """
    _check(asked)
    stream = stream or asked.stream
    if stream and asked.response_format != "json":
        raise _unsupported("stream", "a stream of events is written as 'json' only", "unsupported_value")
    if asked.timestamp_granularities and asked.response_format != "verbose_json":
        raise _unsupported(
            "timestamp_granularities",
            "times are told with 'response_format' 'verbose_json'",
            "unsupported_value",
        )
    hearing = Hearing(
        language=asked.language or next(iter(asked.languages), None) or chosen.language,
        prompt=chosen.prompt(asked.prompt, *asked.keywords),
        temperature=asked.temperature,
        word_times="word" in asked.timestamp_granularities,
    )
    return Wanted(asked.response_format, hearing, stream, asked.timestamp_granularities or ("segment",))


def translation(asked: TranslationIn) -> Wanted:
    """
    Raises:
        InputError: ``unsupported_parameter``: it is to be streamed.
    """
    if asked.stream:
        raise _unsupported("stream", "translations are not streamed", "unsupported_parameter")
    hearing = Hearing(prompt=asked.prompt, temperature=asked.temperature, translate=True)
    return Wanted(asked.response_format, hearing, granularities=("segment",))


def written(heard: Heard, wanted: Wanted) -> tuple[bytes, bytes]:
    """The answer's content type and body."""
    match wanted.form:
        case "json":
            return JSON, ENCODER.encode(TranscriptionOut(heard.transcript.text, usage(heard), by(heard)))
        case "verbose_json":
            return JSON, ENCODER.encode(verbose(heard, wanted))
        case "text":
            return TEXT, f"{heard.transcript.text}\n".encode()
        case "srt":
            return TEXT, srt(heard.transcript, heard.samples).encode()
        case "vtt":
            return TEXT, vtt(heard.transcript, heard.samples).encode()


def events(heard: Heard) -> Iterator[bytes]:
    """The same as events, each as JSON. The last one tells usage in tokens alone: OpenAI's clients know no other there."""
    if heard.transcript.text:
        yield ENCODER.encode(TextDelta(heard.transcript.text))
    counted = usage(heard)
    tokens = counted if isinstance(counted, TokenUsage) else UNSET
    yield ENCODER.encode(TextDone(heard.transcript.text, by(heard), tokens))


def usage(heard: Heard) -> TokenUsage | DurationUsage:
    """What a provider counted, else the length."""
    if heard.transcript.tokens:
        taken, given = heard.transcript.tokens
        return TokenUsage(taken, given, taken + given)
    return DurationUsage(seconds(heard.samples))


def by(heard: Heard) -> CozyHeardOut:
    return CozyHeardOut(heard.by, heard.transcript.caution)


def verbose(heard: Heard, wanted: Wanted) -> TranscriptionOut:
    """With times. A recogniser that knows none gives one segment, from the beginning to the end."""
    told, hearing = heard.transcript, wanted.hearing
    segments = told.segments or ((Segment(told.text, 0, heard.samples),) if told.text else ())
    words = tuple(WordOut(it.text, seconds(it.start), seconds(it.end)) for it in told.words)
    language = "en" if hearing.translate else told.language or hearing.language
    return TranscriptionOut(
        task="translate" if hearing.translate else "transcribe",
        language=name_of(language) if language else UNKNOWN,
        duration=seconds(heard.samples),
        text=told.text,
        usage=usage(heard),
        cozy=by(heard),
        words=words if "word" in wanted.granularities else UNSET,
        segments=tuple(_segment(at, it, hearing) for at, it in enumerate(segments))
        if "segment" in wanted.granularities
        else UNSET,
    )


def _segment(at: int, segment: Segment, hearing: Hearing) -> SegmentOut:
    return SegmentOut(
        id=at,
        seek=0,
        start=seconds(segment.start),
        end=seconds(segment.end),
        text=segment.text,
        tokens=(),
        temperature=hearing.temperature or 0.0,
        avg_logprob=segment.logprob or 0.0,
        compression_ratio=_compression(segment.text),
        no_speech_prob=segment.silence or 0.0,
    )


def _compression(text: str) -> float:
    """Whisper's measure for text that repeats itself: its bytes by those of zlib."""
    data = text.encode()
    return round(len(data) / len(zlib.compress(data)), 3)


def _check(asked: TranscriptionIn) -> None:
    """
    Raises:
        InputError: a field of OpenAI's that nobody here can do.
    """
    if asked.known_speaker_names or asked.known_speaker_references:
        name = "known_speaker_names" if asked.known_speaker_names else "known_speaker_references"
        raise _unsupported(name, "speakers are not told apart here", "unsupported_parameter")
    if asked.include:
        raise _unsupported("include", "no recogniser here tells what it lists", "unsupported_value")
    if asked.chunking_strategy not in {None, "auto"}:
        name = "chunking_strategy" + ("[type]" if isinstance(asked.chunking_strategy, ChunkingIn) else "")
        raise _unsupported(name, "only 'auto' is done", "unsupported_value")
    if len({*asked.languages, *filter(None, (asked.language,))}) > 1:
        raise _unsupported("languages", "one language is heard at a time", "unsupported_value")


def _unsupported(param: str, why: str, code: str) -> InputError:
    return InputError(f"'{param}' as it is here is not supported: {why}.", code=code, param=param)
