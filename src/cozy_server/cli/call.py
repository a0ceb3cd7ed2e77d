"""`cozy call`: says what is in a sound file to a running server, over WebRTC as a browser does, and keeps the answer."""

import array
import asyncio
import json
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import msgspec
import typer

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, Upload
from cozy_domain.errors import ConfigError, InputError, ProviderUnavailableError, RemoteProtocolError
from cozy_domain.voice.ports import AudioPeer, PlacedCalls
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED
from cozy_server.cli.visible import visible
from cozy_server.container.speech import audio_codec
from cozy_server.container.voice import placed_calls
from cozy_server.settings.load import secret_of

CONNECT_S = 15.0
ANSWER_S = 60.0
"""To the end of the answer, after the question."""
GREETING_S = 1.0
"""So long is waited for a greeting, which is not interrupted."""
SILENT_S = 1.5
"""An answer is over when it is silent for so long, and the server has said that it is done."""
UNTOLD_S = 5.0
"""As `SILENT_S`, where the server says nothing of the kind."""
LOUD = 500
"""Largest sample of sound that is not silence."""
NAME = "call"


class CallOptions(msgspec.Struct, frozen=True):
    """As typed."""

    question: str
    answer: str
    url: str
    key: str | None
    persona: str | None
    session: str | None
    as_json: bool


class Reply(msgspec.Struct, frozen=True):
    """``heard_after_ms`` is from the last word of the question to the first sound of the answer."""

    question: str
    answer: str
    file: str
    seconds: float
    heard_after_ms: float
    session_id: str | None


class Ear:
    """Keeps what comes over the line after the question was ``understood``: what comes before is a greeting, or the question
    whether somebody is there. ``loud_at`` is the loop's time of the last sound that was none of silence."""

    def __init__(self) -> None:
        self.connected_ = asyncio.Event()
        self.ending: str | None = None
        self.loud_at: float | None = None
        self.keeping = False
        self.understood = asyncio.Event()
        self.first_loud_at: float | None = None
        self.sound = bytearray()
        self.question = ""
        self.answer = ""
        self.failed: str | None = None
        self._last_loud = 0

    def connected(self) -> None:
        self.connected_.set()

    def heard(self, samples: bytes) -> None:
        loud = max(array.array("h", samples), default=0) > LOUD
        if loud:
            self.loud_at = asyncio.get_running_loop().time()
            if self.understood.is_set() and self.first_loud_at is None:
                self.first_loud_at = self.loud_at
        if self.first_loud_at is not None:
            self.sound += samples
            if loud:
                self._last_loud = len(self.sound)

    def told(self, message: str) -> None:
        """Only our own envelope is looked into."""
        try:
            found: Any = json.loads(message)
        except ValueError:
            return
        event = found.get("data") if isinstance(found, dict) and found.get("type") == "cozy" else None
        if not isinstance(event, dict) or not self.keeping:
            return
        text = event.get("text")
        if event.get("type") == "input_audio_buffer.committed" and isinstance(text, str):
            self.question = text
            self.understood.set()
        elif event.get("type") == "response.done" and self.understood.is_set():
            self.answer = text if isinstance(text, str) else ""
            if event.get("status") == "failed":
                self.failed = "the answer failed"

    def played(self, samples: int) -> None:
        """Nobody asks."""

    def lost(self) -> None:
        """It may come back."""

    def resumed(self) -> None:
        """It came back."""

    def ended(self, reason: str) -> None:
        self.ending = reason
        self.connected_.set()

    @property
    def answer_sound(self) -> bytes:
        """Without the silence at its end."""
        return bytes(self.sound[: self._last_loud])


def run(options: CallOptions) -> None:
    """Exits 1 when there was no answer.

    Raises:
        CozyError: there could be no call.
    """
    calls = placed_calls()
    if calls is None:
        raise ConfigError(
            "cozy call needs aiortc, which is not installed", hint="Type: pip install 'cozy-engine[voice]'"
        )
    key = secret_of(options.key, settings_from(development=True).variables) if options.key else None
    reply = asyncio.run(_call(options, calls, key))
    if options.as_json:
        typer.echo(msgspec.json.encode(reply).decode())
    else:
        typer.echo(f"you:    {visible(reply.question) or '(not understood)'}")
        typer.echo(f"answer: {visible(reply.answer) or '(no words)'}")
        typer.echo(f"{reply.file}: {reply.seconds:.1f} s, {reply.heard_after_ms:.0f} ms after your last word")
    if not reply.seconds:
        raise typer.Exit(FAILED)


async def _call(options: CallOptions, calls: PlacedCalls, key: str | None) -> Reply:
    question = await _question(Path(options.question))
    try:
        return await _conversation(options, calls, key, question)
    finally:
        await calls.aclose()


async def _question(file: Path) -> bytes:
    """PCM16 at `SPEAKING_RATE`.

    Raises:
        CozyError: it cannot be read, or is no sound.
    """
    codec = audio_codec()
    if codec is None:
        raise ConfigError(
            "cozy call needs PyAV, which is not installed", hint="Type: pip install 'cozy-engine[voice]'"
        )
    try:
        data = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    sound = await codec.decode(Upload(data, file.name))
    return codec.resampler(HEARING_RATE, SPEAKING_RATE).decode(sound.samples)


async def _conversation(options: CallOptions, calls: PlacedCalls, key: str | None, question: bytes) -> Reply:
    placed = await calls.place(NAME)
    ear = Ear()
    placed.peer.listen(ear)
    answered = await _offered(options, placed.sdp, key)
    await calls.accept(NAME, answered.sdp)
    async with _within(CONNECT_S, options.url, "it could not be reached over UDP"):
        await ear.connected_.wait()
    _check(ear)
    if answered.cozy is None:
        ear.understood.set()  # it does not tell
    asked_at = await _ask(placed.peer, ear, question)
    async with _within(ANSWER_S, options.url, "there was no answer"):
        await _until(lambda: ear.ending is not None or ear.failed is not None or _over(ear))
    if ear.failed is not None:
        raise RemoteProtocolError(f"{options.url}: {ear.failed}")
    sound = ear.answer_sound
    await asyncio.to_thread(_write, Path(options.answer), sound)
    late_s = (ear.first_loud_at or asked_at) - asked_at
    return Reply(
        question=ear.question,
        answer=ear.answer,
        file=options.answer,
        seconds=len(sound) / SAMPLE_BYTES / HEARING_RATE,
        heard_after_ms=round(late_s * 1_000, 1),
        session_id=answered.cozy.session_id if answered.cozy else None,
    )


async def _ask(peer: AudioPeer, ear: Ear, question: bytes) -> float:
    """Says it after the greeting, if there is one, and then is silent as a microphone is. The time of its last word."""
    loop = asyncio.get_running_loop()
    silence = bytes(SPEAKING_RATE * SAMPLE_BYTES)
    peer.play(silence)
    started = loop.time()
    await _until(
        lambda: loop.time() - max(started, ear.loud_at or started) > GREETING_S or ear.ending is not None
    )
    ear.keeping = True
    peer.clear()
    peer.play(question + silence * round(ANSWER_S))
    said = _last_loud(question) / SPEAKING_RATE
    return loop.time() + said


def _last_loud(question: bytes) -> int:
    values = array.array("h", question)
    return next((at for at in range(len(values) - 1, 0, -1) if abs(values[at]) > LOUD), len(values))


def _over(ear: Ear) -> bool:
    if ear.first_loud_at is None or ear.loud_at is None:
        return False
    return asyncio.get_running_loop().time() - ear.loud_at > (SILENT_S if ear.answer else UNTOLD_S)


class _Started(msgspec.Struct, frozen=True):
    session_id: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    """Of `POST /webrtc/offer`: an answer, or a refusal in FastRTC's shape."""

    sdp: str = ""
    cozy: _Started | None = None
    status: str = ""
    meta: dict[str, Any] = {}


async def _offered(options: CallOptions, sdp: str, key: str | None) -> _Answer:
    """
    Raises:
        CozyError: the server is not there, or refuses.
    """
    wish = {name: value for name in ("persona", "session") if (value := getattr(options, name))}
    body = {
        "sdp": sdp,
        "type": "offer",
        "webrtc_id": f"cozy-{token_hex(6)}",
    }
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{options.url.rstrip('/')}/webrtc/offer"
    try:
        async with httpx.AsyncClient(timeout=CONNECT_S) as client:
            response = await client.post(url, params=wish, json=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderUnavailableError(
            f"{options.url} does not answer ({type(error).__name__})",
            provider=options.url,
            hint="Start a server with `cozy dev`, or name one with --url.",
        ) from None
    try:
        answer = msgspec.json.decode(response.content, type=_Answer)
    except msgspec.MsgspecError:
        raise RemoteProtocolError(
            f"{url} is no server that takes calls (status {response.status_code})"
        ) from None
    if answer.sdp:
        return answer
    told = answer.meta.get("message") or answer.meta.get("error") or f"status {response.status_code}"
    raise InputError(f"{options.url} takes no call: {visible(str(told))}")


def _check(ear: Ear) -> None:
    if ear.ending is not None:
        raise RemoteProtocolError(f"The call ended before it began ({ear.ending}).")


def _write(file: Path, sound: bytes) -> None:
    try:
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(SAMPLE_BYTES)
            out.setframerate(HEARING_RATE)
            out.writeframes(sound)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None


@asynccontextmanager
async def _within(seconds: float, url: str, told: str) -> AsyncIterator[None]:
    """
    Raises:
        ProviderUnavailableError: it took longer; ``told`` says what.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ProviderUnavailableError(f"{url}: {told}", provider=url) from None


async def _until(condition: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    while not condition():
        passed = loop.create_future()
        handle = loop.call_later(0.02, passed.set_result, None)
        try:
            await passed
        finally:
            handle.cancel()
