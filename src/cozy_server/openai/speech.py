"""POST /v1/audio/speech: a text as sound, sent while it is being made.

The first sound decides the status: an unknown voice or a provider that is down is an ordinary error. What fails later cuts
the connection, since half a file must not look whole; among server-sent events it is an error object without ``done``.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE, AudioFormat
from cozy_domain.ids import PersonaId
from cozy_domain.models.ports import TokenCounter
from cozy_domain.routing.choice import Snapshot
from cozy_domain.speech.choice import ChosenVoice, SpeechAsked, choose_voice
from cozy_domain.speech.ports import AudioEncoder, Sound
from cozy_domain.speech.speak import Speaking
from cozy_server.auth import FOR_OWNER, caller_of_request
from cozy_server.body import JsonBody, read_body
from cozy_server.openai.line import STREAM, Line, own
from cozy_server.openai.sse import event_frame
from cozy_server.openai.wire.reply import ENCODER
from cozy_server.openai.wire.speech import SpeechDelta, SpeechDone, SpeechIn, SpeechUsage
from cozy_server.throttle.throttle import count_owner, seat

PATHS = ["/v1/audio/speech", "/v1/audio/tts", "/v1/audio/tts/stream"]
"""OpenAI's, and those of our older documents; the last one sends events unless asked for the sound itself."""
TOKEN_MS = 50
"""Of sound in one output token (OpenAI, guide to the costs of realtime: what the assistant says)."""
MEDIA_TYPES = {
    AudioFormat.MP3: b"audio/mpeg",
    AudioFormat.OPUS: b"audio/ogg",
    AudioFormat.AAC: b"audio/aac",
    AudioFormat.FLAC: b"audio/flac",
    AudioFormat.WAV: b"audio/wav",
    AudioFormat.PCM: b"audio/pcm",
}

_BODY = JsonBody(SpeechIn)


class SpeechParts(msgspec.Struct, frozen=True):
    """What an answer is made with."""

    speaking: Speaking
    encoder: Callable[[AudioFormat], AudioEncoder]
    tokens: TokenCounter
    snapshot: Callable[[], Snapshot]


class SpeechAnswer:
    """One answer, from the first sound to the last byte."""

    def __init__(self, parts: SpeechParts, asked: SpeechIn, chosen: ChosenVoice) -> None:
        self._parts = parts
        self._asked = asked
        self._chosen = chosen
        self._format = AudioFormat(asked.response_format or "mp3")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(line: Line) -> None:
            with seat(scope):
                await self._spoken(line)

        await own(scope, receive, send, answer)

    async def _spoken(self, line: Line) -> None:
        async with self._parts.speaking.sound(
            self._asked.input, self._chosen.voicing, wanted=self._chosen.engine
        ) as sounds:
            first = await anext(sounds, Sound(b""))
            await (self._events if self._asked.stream_format == "sse" else self._file)(line, first, sounds)

    async def _file(self, line: Line, first: Sound, sounds: AsyncIterator[Sound]) -> None:
        encoder = self._parts.encoder(self._format)
        await line.start(200, [(b"content-type", MEDIA_TYPES[self._format]), (b"cache-control", b"no-store")])
        async for sound in _all(first, sounds):
            if data := await encoder.encode(sound.samples):
                await line.write(data)
        await line.write(await encoder.finish(), last=True)

    async def _events(self, line: Line, first: Sound, sounds: AsyncIterator[Sound]) -> None:
        encoder = self._parts.encoder(self._format)
        await line.start(200, STREAM)
        line.streaming = True
        samples = 0
        async for sound in _all(first, sounds):
            samples += len(sound.samples) // SAMPLE_BYTES
            await _delta(line, await encoder.encode(sound.samples))
        await _delta(line, await encoder.finish())
        await line.write(event_frame(ENCODER.encode(SpeechDone(self._usage(samples)))), last=True)

    def _usage(self, samples: int) -> SpeechUsage:
        """Estimated as chat's tokens are; sound by its length."""
        heard = self._parts.tokens.count(self._asked.input)
        said = -(-samples * 1_000 // (SPEAKING_RATE * TOKEN_MS))
        return SpeechUsage(heard, said, heard + said)


@post(
    PATHS,
    status_code=200,
    request_max_body_size=None,
    summary="Speak a text",
    responses={
        200: ResponseSpec(
            bytes,
            media_type="audio/mpeg",
            description="The sound, in the format asked for; with `stream_format: sse` server-sent events.",
            generate_examples=False,
        )
    },
    opt={
        **FOR_OWNER,
        "body": SpeechIn,
        "streams": True,
        "media_types": tuple(it.decode() for it in MEDIA_TYPES.values()),
    },
    tags=["OpenAI"],
)
async def create_speech(
    request: Request[Any, Any, Any], speech: NamedDependency[SkipValidation[SpeechParts]]
) -> SpeechAnswer:
    """Speaks a text, in the voice of a persona or another."""
    asked = _BODY.decode(await read_body(request))
    caller = caller_of_request(request)
    await count_owner(request.scope, caller, caller.owner((asked.cozy and asked.cozy.user_id) or None))
    engines = [it.name for it in speech.speaking.engines]
    if asked.stream_format is None and request.scope["path"].endswith("/stream"):
        asked = replace(asked, stream_format="sse")
    return SpeechAnswer(speech, asked, choose_voice(to_asked(asked), speech.snapshot().catalog, engines))


routes: list[HTTPRouteHandler] = [create_speech]


def to_asked(asked: SpeechIn) -> SpeechAsked:
    """The request in the domain's words."""
    persona = asked.cozy.personality_id if asked.cozy else None
    return SpeechAsked(
        model=asked.model,
        persona=PersonaId(persona) if persona else None,
        voice=asked.voice if asked.voice is None or isinstance(asked.voice, str) else asked.voice.id,
        speed=asked.speed,
        instructions=asked.instructions,
    )


async def _all(first: Sound, rest: AsyncIterator[Sound]) -> AsyncIterator[Sound]:
    yield first
    async for sound in rest:
        yield sound


async def _delta(line: Line, audio: bytes) -> None:
    if audio:
        await line.write(event_frame(ENCODER.encode(SpeechDelta(b64encode(audio).decode()))))
