"""POST /v1/audio/transcriptions and /v1/audio/translations: a file as text.

What is wrong with the request, the file or the recogniser decides the status. A stream of events begins with the first
text; if that takes longer than proxies wait in silence, the stream begins without it, and an error that comes later is an
error object without ``done``.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from litestar.types import Receive, Scope, Send

from cozy_domain.audio import Upload
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.ids import PersonaId
from cozy_domain.routing.choice import Snapshot
from cozy_domain.speech.choice import ChosenEar, choose_ear
from cozy_domain.speech.transcribe import Heard, Transcribing
from cozy_server.auth import FOR_OWNER, caller_of_request
from cozy_server.form import FormBody, read_form
from cozy_server.openai.line import HEARTBEAT_S, STREAM, Line, own
from cozy_server.openai.sse import event_frame
from cozy_server.openai.transcript import Wanted, events, transcription, translation, written
from cozy_server.openai.wire.speech import CozySpeechIn
from cozy_server.openai.wire.transcription import TranscriptionIn, TranscriptionOut, TranslationIn
from cozy_server.throttle.throttle import count_owner, seat

PATHS = ["/v1/audio/transcriptions", "/v1/audio/stt", "/v1/audio/stt/stream"]
"""OpenAI's, and those of our older documents; the last one always streams."""
TRANSLATIONS = "/v1/audio/translations"

_TRANSCRIPTION = FormBody(TranscriptionIn)
_TRANSLATION = FormBody(TranslationIn)


class TranscriptionParts(msgspec.Struct, frozen=True):
    """What an answer is made with; ``transcribing`` is None where nothing is installed that reads sound files."""

    transcribing: Transcribing | None
    snapshot: Callable[[], Snapshot]


class TranscriptAnswer:
    """One answer, from the file to the last byte of text."""

    def __init__(
        self, transcribing: Transcribing, upload: Upload, wanted: Wanted, engine: str | None
    ) -> None:
        self._transcribing = transcribing
        self._upload = upload
        self._wanted = wanted
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(line: Line) -> None:
            with seat(scope):
                heard = await self._heard(line)
                await (self._events if self._wanted.stream else self._whole)(line, heard)

        await own(scope, receive, send, answer)

    async def _heard(self, line: Line) -> Heard:
        hearing = asyncio.create_task(
            self._transcribing.file(self._upload, self._wanted.hearing, wanted=self._engine)
        )
        try:
            if self._wanted.stream:
                await asyncio.wait((hearing,), timeout=HEARTBEAT_S)
                if not hearing.done():
                    await _open(line)
            return await hearing
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _whole(self, line: Line, heard: Heard) -> None:
        media_type, body = written(heard, self._wanted)
        headers = [
            (b"content-type", media_type),
            (b"content-length", str(len(body)).encode()),
            (b"x-cozy-recogniser", heard.by.encode("ascii", "replace")),
        ]
        await line.start(200, headers)
        await line.write(body, last=True)

    async def _events(self, line: Line, heard: Heard) -> None:
        if not line.streaming:
            await _open(line)
        frames = b"".join(event_frame(it) for it in events(heard))
        await line.write(frames, last=True)


@post(
    PATHS,
    status_code=200,
    request_max_body_size=None,
    summary="Understand sound",
    responses={200: ResponseSpec(TranscriptionOut, description="What was said.", generate_examples=False)},
    opt={**FOR_OWNER, "form": TranscriptionIn, "streams": True, "media_types": ("text/plain",)},
    tags=["OpenAI"],
)
async def create_transcription(
    request: Request[Any, Any, Any], transcription_parts: NamedDependency[SkipValidation[TranscriptionParts]]
) -> TranscriptAnswer:
    """What is said in a recording, as text, with times or as subtitles."""
    asked, upload = _TRANSCRIPTION.decode(await read_form(request))
    await _count(request, asked.cozy)
    transcribing = _present(transcription_parts)
    chosen = _chosen(transcription_parts, transcribing, asked)
    wanted = transcription(asked, chosen, stream=request.scope["path"].endswith("/stream"))
    return TranscriptAnswer(transcribing, upload, wanted, chosen.engine)


@post(
    TRANSLATIONS,
    status_code=200,
    request_max_body_size=None,
    summary="Understand sound in English",
    responses={200: ResponseSpec(TranscriptionOut, description="What was said.", generate_examples=False)},
    opt={**FOR_OWNER, "form": TranslationIn, "media_types": ("text/plain",)},
    tags=["OpenAI"],
)
async def create_translation(
    request: Request[Any, Any, Any], transcription_parts: NamedDependency[SkipValidation[TranscriptionParts]]
) -> TranscriptAnswer:
    """What is said in a recording, in English, whatever was spoken."""
    asked, upload = _TRANSLATION.decode(await read_form(request))
    await _count(request, asked.cozy)
    transcribing = _present(transcription_parts)
    chosen = _chosen(transcription_parts, transcribing, asked)
    return TranscriptAnswer(transcribing, upload, translation(asked), chosen.engine)


routes: list[HTTPRouteHandler] = [create_transcription, create_translation]


async def _count(request: Request[Any, Any, Any], cozy: CozySpeechIn | None) -> None:
    caller = caller_of_request(request)
    await count_owner(request.scope, caller, caller.owner((cozy and cozy.user_id) or None))


def _present(parts: TranscriptionParts) -> Transcribing:
    if parts.transcribing is None:
        raise ProviderUnavailableError(
            "Nothing is installed that reads sound files.",
            provider="none",
            code="not_configured",
            hint="pip install 'cozy-engine[speech]'",
        )
    return parts.transcribing


def _chosen(
    parts: TranscriptionParts, transcribing: Transcribing, asked: TranscriptionIn | TranslationIn
) -> ChosenEar:
    persona = asked.cozy.personality_id if asked.cozy else None
    return choose_ear(
        asked.model, PersonaId(persona) if persona else None, parts.snapshot().catalog, transcribing.engines
    )


async def _open(line: Line) -> None:
    await line.start(200, STREAM)
    line.streaming = True
