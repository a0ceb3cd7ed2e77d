"""WS /v1/audio/transcriptions/stream: sound that is still coming, as text.

One task reads what the client sends and keeps the rules (`dictation`); the other hears the sound (`Listening`, the use case
that a transcription session of OpenAI's Realtime would stand on as well) and tells what is understood. Between them waits a
little sound and no more: whoever sends faster than he is heard is not read from, and whoever does not read is not heard.
Whatever goes wrong is told as an ``error`` message with the usual error object; then the socket is closed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from litestar import WebSocket
from litestar.di import NamedDependency
from litestar.handlers import WebsocketRouteHandler, websocket
from litestar.params import SkipValidation
from litestar.types import Scope
from msgspec import UNSET

from cozy_domain.audio import SAMPLE_BYTES
from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError, LimitError, ProviderUnavailableError
from cozy_domain.ids import PersonaId
from cozy_domain.routing.choice import Snapshot
from cozy_domain.speech.choice import ChosenEar, choose_ear
from cozy_domain.speech.listen import Final, Listening, ListeningEvent, Partial
from cozy_domain.speech.ports import AudioCodec, FrameDecoder, Hearing
from cozy_domain.speech.transcript import seconds
from cozy_server.auth import FOR_OWNER, caller_of_scope
from cozy_server.body import JsonBody
from cozy_server.handshake import chosen_protocol
from cozy_server.openai import dictation
from cozy_server.openai.wire.listening import (
    DoneOut,
    Ping,
    PongOut,
    Said,
    Start,
    Stop,
    TranscriptFinalOut,
    TranscriptOut,
)
from cozy_server.openai.wire.reply import ENCODER
from cozy_server.problems import language_of, note_failure, problem_of, request_id
from cozy_server.sockets import OpenSocket, PlainSocket, ServerLeavesError, SocketLeftError, opened
from cozy_server.throttle.throttle import count_owner, seat

logger = logging.getLogger(__name__)

PATHS = ["/v1/audio/transcriptions/stream", "/v1/audio/stt/stream"]
WAITING_BYTES = 262_144
"""Of sound that nobody has heard yet: 8 s of PCM16 at 16 kHz. While so much waits, the client is not read from."""
_EACH = 64
"""Bytes that a piece of sound costs beside its samples, about."""
_NS = 1_000_000_000

_SAID = JsonBody[Said](Said)  # type: ignore[arg-type]  # a union is no class
_PONG = ENCODER.encode(PongOut())


class ListeningParts(msgspec.Struct, frozen=True):
    """What streams are heard with; ``listening`` and ``codec`` are None where nothing is installed that reads sound."""

    listening: Listening | None
    codec: AudioCodec | None
    engines: tuple[str, ...]
    snapshot: Callable[[], Snapshot]
    clock: Clock
    limits: dictation.Limits = dictation.Limits()


@websocket(PATHS, websocket_class=PlainSocket, opt=dict(FOR_OWNER))
async def transcribe_stream(
    socket: WebSocket[Any, Any, Any], listening_parts: NamedDependency[SkipValidation[ListeningParts]]
) -> None:
    """What is being said, as text."""
    protocol = chosen_protocol(socket.scope.get("subprotocols", ()))
    line = await opened(socket, protocol, listening_parts.limits.unread_s)
    await Stream(line, socket.scope, listening_parts).run()


routes: list[WebsocketRouteHandler] = [transcribe_stream]


class Stream:
    """One socket, from its first message to its end."""

    def __init__(self, line: OpenSocket, scope: Scope, parts: ListeningParts) -> None:
        self._line = line
        self._scope = scope
        self._parts = parts
        self._now_ns = parts.clock.monotonic_ns
        self._state = dictation.opened(self._now_ns())
        self._asked: asyncio.Future[Start] = asyncio.get_running_loop().create_future()
        self._sound = Waiting()
        self._leaving = False

    async def run(self) -> None:
        """
        Raises:
            nothing: also what nobody foresaw ends as a message and a close code.
        """
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(), name="read a stream to transcribe")
                await self._hear()
                reading.cancel()
        except* SocketLeftError:
            logger.info("client_left", extra={"request": request_id(self._scope)})
        except* Exception as errors:  # noqa: BLE001 - the top loop of a socket: whatever it is, it is told
            await self._fail(_first(errors))
        else:
            await self._line.close(dictation.NORMAL)

    async def _read(self) -> None:
        """
        Raises:
            CozyError: the client did what it must not.
            SocketLeftError: it has gone.
        """
        while True:
            message = await self._message()
            if message is None:
                self._leave()
                continue
            size = len(message)
            self._state = dictation.came(self._state, size, self._now_ns(), self._parts.limits)
            if isinstance(message, str):
                await self._obey(_SAID.decode(message.encode("utf-8", "surrogatepass")))
            elif dictation.is_heard(self._state):
                await self._sound.put(message)
                self._state = dictation.taken(self._state, self._now_ns())

    async def _message(self) -> str | bytes | None:
        """None when the server begins to stop."""
        due_ns = dictation.due_ns(self._state, self._parts.limits)
        try:
            async with asyncio.timeout(max(0, due_ns - self._now_ns()) / _NS):
                return await self._line.message()
        except TimeoutError:
            raise dictation.overdue(self._state, self._now_ns(), self._parts.limits) from None
        except ServerLeavesError:
            return None

    async def _obey(self, said: Said) -> None:
        match said:
            case Start():
                self._state = dictation.started(self._state)
                self._asked.set_result(said)
            case Stop():
                self._state = dictation.stopped(self._state)
                self._sound.close()
            case Ping():
                await self._line.tell(_PONG)

    def _leave(self) -> None:
        """
        Raises:
            LimitError: ``server_shutdown``, when nothing is under way.
        """
        self._leaving = True
        if not self._asked.done():
            raise _shutdown()
        self._state = dictation.stopped(self._state)
        self._sound.close()

    async def _hear(self) -> None:
        """Until everything is told.

        Raises:
            CozyError: it cannot be heard.
            SocketLeftError: nobody is there to be told.
        """
        asked = await self._asked
        caller = caller_of_scope(self._scope)
        await count_owner(self._scope, caller, caller.owner((asked.cozy and asked.cozy.user_id) or None))
        with seat(self._scope):
            await self._listen(asked)
        if self._leaving:
            raise _shutdown()
        await self._line.tell(ENCODER.encode(DoneOut(seconds(self._state.samples))))

    async def _listen(self, asked: Start) -> None:
        listening, codec = _present(self._parts)
        chosen = self._chosen(asked)
        decoder = codec.opus() if asked.format == "opus" else codec.resampler(asked.rate)
        async with listening.to(
            _Decoded(self._sound, decoder, self._paced),
            Hearing(
                asked.language or chosen.language,
                chosen.prompt(asked.prompt),
                asked.phrases,
                partials=asked.partials,
            ),
            dictation.policy_of(asked.turn_detection),
            wanted=chosen.engine,
        ) as events:
            async for event in events:
                if (message := told(event)) is not None:
                    await self._line.tell(message)

    def _chosen(self, asked: Start) -> ChosenEar:
        persona = asked.cozy.personality_id if asked.cozy else None
        return choose_ear(
            asked.model,
            PersonaId(persona) if persona else None,
            self._parts.snapshot().catalog,
            self._parts.engines,
        )

    async def _paced(self, samples: int) -> None:
        """Counts them, and lets them wait for their turn.

        Raises:
            InputError: ``audio_too_long``.
        """
        self._state, wait_ns = dictation.heard(self._state, samples, self._now_ns(), self._parts.limits)
        if wait_ns:
            await asyncio.sleep(wait_ns / _NS)  # noqa: TID251  its length was decided purely

    async def _fail(self, error: Exception) -> None:
        problem = problem_of(error, request=request_id(self._scope), language=language_of(self._scope))
        note_failure(error, problem)
        known = error if isinstance(error, CozyError) else CozyError("")
        body = b'{"type":"error",' + problem.body.removeprefix(b"{")
        await self._line.close(dictation.close_code(known), body)


class Waiting:
    """Sound between who reads it and who hears it, at most about `WAITING_BYTES` of it."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._over = False
        self._changed = asyncio.Event()

    async def put(self, piece: bytes) -> None:
        """Waits while it is full."""
        while self._size >= WAITING_BYTES:
            await self._change()
        self._pieces.append(piece)
        self._size += len(piece) + _EACH
        self._changed.set()

    def close(self) -> None:
        self._over = True
        self._changed.set()

    async def get(self) -> bytes | None:
        """The next piece; None when there will be none."""
        while not self._pieces:
            if self._over:
                return None
            await self._change()
        piece = self._pieces.popleft()
        self._size -= len(piece) + _EACH
        self._changed.set()
        return piece

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Decoded:
    """What waits, as PCM16 at the rate of hearing, counted and paced."""

    def __init__(
        self, sound: Waiting, decoder: FrameDecoder, paced: Callable[[int], Awaitable[None]]
    ) -> None:
        self._sound = sound
        self._decoder = decoder
        self._paced = paced

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._sound.get()
        if piece is None:
            raise StopAsyncIteration
        samples = self._decoder.decode(piece)
        await self._paced(len(samples) // SAMPLE_BYTES)
        return samples


def told(event: ListeningEvent) -> bytes | None:
    """The message for it, if there is one."""
    match event:
        case Partial(text, start):
            return ENCODER.encode(TranscriptOut(text, seconds(start)))
        case Final(transcript, start, end):
            caution = transcript.caution or UNSET
            final = TranscriptFinalOut(
                transcript.text, seconds(start), seconds(end), transcript.language, caution
            )
            return ENCODER.encode(final)
        case _:
            return None


def _present(parts: ListeningParts) -> tuple[Listening, AudioCodec]:
    if parts.listening is None or parts.codec is None:
        raise ProviderUnavailableError(
            "Nothing is installed that hears sound.",
            provider="none",
            code="not_configured",
            hint="pip install 'cozy-engine[speech]'",
        )
    return parts.listening, parts.codec


def _shutdown() -> LimitError:
    return LimitError(
        "The server is shutting down.",
        code="server_shutdown",
        retry_after_s=1.0,
        hint="Open the socket again.",
    )


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
