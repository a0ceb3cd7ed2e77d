"""POST /audio/speech and /audio/transcriptions of OpenAI, and of every server with the same ones.

Speech is asked for as ``pcm``, which is what the port speaks: nothing is decoded. Sound to be understood is sent as WAV,
which every such server reads; a long recording as Ogg Opus, because OpenAI takes no more than 25 MB. Both go over the
connections of the provider's language model, which opens and closes them.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from secrets import token_hex
from typing import Protocol

import msgspec

from cozy_adapters.codec.wav import wav_header
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, Pcm, Upload
from cozy_domain.errors import ProviderMalformedError
from cozy_domain.speech.languages import code_of
from cozy_domain.speech.ports import Hearing, HearingFeature, Language, Sound, Voicing
from cozy_domain.speech.transcript import Segment, Transcript, Word
from cozy_domain.text import whole

DEFAULT_VOICE = "alloy"
PIECE_BYTES = SPEAKING_RATE // 10 * SAMPLE_BYTES
"""Of a piece that is handed out: 0.1 s. What arrives in smaller pieces is put together, so that encoders work in peace."""
LATEST_S = 1_000_000.0
"""A provider's time beyond that is none."""
LONGEST_BODY = 16 * 1024 * 1024
"""Bytes of an answer with all its words and segments."""
LARGEST_WAV = 16_000_000
"""Bytes of PCM16: 8 minutes. OpenAI's limit for a file is 25 MB (API reference, audio/transcriptions)."""
VERBOSE = frozenset({"whisper-1"})
"""Models that tell times (OpenAI's API reference, audio/transcriptions); servers with other names do too, but refuse nothing
by being asked for plain JSON."""


class Post(Protocol):
    def __call__(
        self, path: str, body: bytes, content_type: str = "application/json"
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Sends ``body`` to ``path``; the pieces of the answer's body, when its status is 200.

        Raises:
            ProviderError: one of its kinds.
        """
        ...


class OpenAITextToSpeech:
    """The voices of one model."""

    def __init__(self, provider: str, model: str, post: Post) -> None:
        self._provider = provider
        self._model = model
        self._post = post

    async def voices(self) -> tuple[str, ...]:
        """Empty: the list is not to be had over the wire, and grows."""
        return ()

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        async with (
            self._post("/audio/speech", order(self._model, text, voicing)) as body,
            aclosing(_sounds(body)) as sounds,
        ):
            yield sounds


class OpenAISpeechToText:
    """The recogniser of one model. It hears whole recordings, so an utterance is understood once it is over."""

    def __init__(self, provider: str, model: str, post: Post) -> None:
        self._provider = provider
        self._model = model
        self._post = post

    def features(self) -> frozenset[HearingFeature]:
        verbose = {HearingFeature.WORD_TIMES, HearingFeature.TRANSLATION} if self._model in VERBOSE else set()
        return frozenset(verbose)

    def languages(self) -> frozenset[Language] | None:
        return None

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        path = "/audio/translations" if hearing.translate else "/audio/transcriptions"
        boundary = token_hex(16)
        form = upload(self._model, await recording(sound), hearing, boundary)
        answer = bytearray()
        async with self._post(path, form, f"multipart/form-data; boundary={boundary}") as body:
            async for piece in body:
                answer += piece
                if len(answer) > LONGEST_BODY:
                    raise self._malformed(f"sent more than {LONGEST_BODY} bytes")
        try:
            return understood(bytes(answer))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            raise self._malformed("sent a transcript of an unknown form") from None

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator["RecordedUtterance"]:
        yield RecordedUtterance(self, hearing)

    def _malformed(self, what: str) -> ProviderMalformedError:
        return ProviderMalformedError(f"{self._provider} {what}.", provider=self._provider, billed=True)


class RecordedUtterance:
    """Keeps what it hears, and sends it when it is over."""

    def __init__(self, recogniser: OpenAISpeechToText, hearing: Hearing) -> None:
        self._recogniser = recogniser
        self._hearing = hearing
        self._sound = bytearray()

    async def feed(self, samples: bytes) -> str:
        self._sound += samples
        return ""

    async def finish(self) -> Transcript:
        return await self._recogniser.transcribe(Pcm(bytes(self._sound)), self._hearing)


class SpeechOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    model: str
    input: str
    voice: str
    response_format: str = ""
    speed: float = 1.0
    instructions: str = ""


class WireWord(msgspec.Struct, frozen=True):
    word: str = ""
    start: float = 0.0
    end: float = 0.0


class WireSegment(msgspec.Struct, frozen=True):
    text: str = ""
    start: float = 0.0
    end: float = 0.0
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


class WireUsage(msgspec.Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None


class WireTranscript(msgspec.Struct, frozen=True):
    text: str
    language: str | None = None
    words: tuple[WireWord, ...] | None = None
    segments: tuple[WireSegment, ...] | None = None
    usage: WireUsage | None = None


def order(model: str, text: str, voicing: Voicing) -> bytes:
    """The body of POST /audio/speech."""
    return msgspec.json.encode(
        SpeechOrder(
            model=model,
            input=whole(text),
            voice=voicing.voice or DEFAULT_VOICE,
            response_format="pcm",
            speed=voicing.speed,
            instructions=voicing.instructions,
        )
    )


async def recording(sound: Pcm) -> Upload:
    """``sound`` as the file to send."""
    if len(sound.samples) <= LARGEST_WAV:
        return Upload(wav_header(len(sound.samples), sound.rate) + sound.samples, "speech.wav", "audio/wav")
    from cozy_adapters.codec.encoding import compressed  # FFmpeg takes 0.1 s to load

    return Upload(await compressed(sound), "speech.ogg", "audio/ogg")


def upload(model: str, file: Upload, hearing: Hearing, boundary: str) -> bytes:
    """The body of POST /audio/transcriptions: multipart/form-data (RFC 7578)."""
    fields = {
        "model": model,
        "language": "" if hearing.translate else (hearing.language or "").partition("-")[0],
        "prompt": hearing.prompt,
        "temperature": "" if hearing.temperature is None else f"{hearing.temperature:g}",
        "response_format": "verbose_json" if model in VERBOSE else "json",
    }
    parts = [(name, value.encode("utf-8", "replace")) for name, value in fields.items() if value]
    if hearing.word_times:
        parts += [("timestamp_granularities[]", b"word"), ("timestamp_granularities[]", b"segment")]
    body = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in parts
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.filename}"\r\n'
        f"Content-Type: {file.media_type}\r\n\r\n"
    )
    return b"".join((*body, head.encode(), file.data, f"\r\n--{boundary}--\r\n".encode()))


def understood(body: bytes) -> Transcript:
    """
    Raises:
        msgspec.ValidationError, msgspec.DecodeError: it is no transcript.
    """
    told = msgspec.json.decode(body, type=WireTranscript)
    usage = told.usage or WireUsage()
    counted = usage.input_tokens is not None and usage.output_tokens is not None
    return Transcript(
        text=told.text.strip(),
        language=_code(told.language),
        words=tuple(Word(it.word, _sample(it.start), _sample(it.end)) for it in told.words or ()),
        segments=tuple(
            Segment(it.text.strip(), _sample(it.start), _sample(it.end), it.avg_logprob, it.no_speech_prob)
            for it in told.segments or ()
        ),
        tokens=(usage.input_tokens or 0, usage.output_tokens or 0) if counted else None,
    )


def _sample(seconds: float) -> int:
    return round(min(max(0.0, seconds), LATEST_S) * HEARING_RATE)


def _code(language: str | None) -> str | None:
    """Whisper names a language in English; others send its code."""
    return code_of(language) if language else None


async def _sounds(body: AsyncIterator[bytes]) -> AsyncGenerator[Sound]:
    waiting = b""
    async for piece in body:
        waiting += piece
        if len(waiting) >= PIECE_BYTES:
            whole = len(waiting) - len(waiting) % SAMPLE_BYTES
            yield Sound(waiting[:whole])
            waiting = waiting[whole:]
    if len(waiting) >= SAMPLE_BYTES:
        yield Sound(waiting[: len(waiting) - len(waiting) % SAMPLE_BYTES])
