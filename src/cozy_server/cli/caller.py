"""A caller: says something to a server over WebRTC as a browser does, and hears what is answered.

Any server of FastRTC's protocol is called. One of ours tells what it does, so that the end of the answer, or that there will
be none, is known as soon as it is certain; of others only the sound is known.
"""

import array
import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.errors import InputError, ProviderUnavailableError, RemoteProtocolError
from cozy_domain.voice.ports import AudioPeer, PlacedCalls
from cozy_server.cli.visible import visible

CONNECT_S = 15.0
ANSWER_S = 60.0
"""To the end of the answer, after the question."""
GREETING_S = 1.0
"""So long is waited for a greeting, which is not interrupted."""
SILENT_S = 0.5
"""An answer whose server says that its last sound has left is over when it is silent for so long."""
UNTOLD_S = 5.0
"""The same, where the server says nothing of the kind."""
UNHEARD_S = 3.0
"""A server that has not begun to listen so long after the question has heard no speech in it."""
LOUD = 500
"""Largest sample of sound that is not silence."""
NAME = "call"


class Wanted(msgspec.Struct, frozen=True):
    """Whom to call: the server's URL, and what it is asked for."""

    url: str
    key: str | None = None
    persona: str | None = None
    session: str | None = None


class Stage(msgspec.Struct, frozen=True):
    name: str
    ms: float


class Heard(msgspec.Struct, frozen=True):
    """``question`` and ``answer`` in words, as the server tells them; ``sound`` is PCM16 at `HEARING_RATE`. ``late_ms`` is
    from the last word of the question to the first sound of the answer; ``stages`` are what the server says of it."""

    question: str
    answer: str
    sound: bytes
    late_ms: float
    session_id: str | None
    stages: tuple[Stage, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.sound) / SAMPLE_BYTES / HEARING_RATE


class Ear:
    """What comes over the line; of what comes before the question was understood, which is a greeting or the
    question whether somebody is there, only whether it is over. Times are the loop's."""

    def __init__(self) -> None:
        self.connected_ = asyncio.Event()
        self.ending: str | None = None
        self.asked = False
        """The question is being said."""
        self.speaking = False
        """The server has sound to say."""
        self.loud_at: float | None = None
        self.first_loud_at: float | None = None
        self.sound = bytearray()
        self.understood: list[str] = []
        self.discarded = False
        """Something was heard that was not understood."""
        self.answer = ""
        self.answered_at: float | None = None
        self.failed: str | None = None
        self.stages: tuple[Stage, ...] = ()
        self.silent_server = False
        """It tells nothing: all that comes after the question is the answer."""
        self._turns: set[int] = set()
        self._last_loud = 0

    @property
    def listened_to(self) -> bool:
        """The server hears a turn that is not over."""
        return bool(self._turns)

    @property
    def answer_sound(self) -> bytes:
        """Without the silence at its end."""
        return bytes(self.sound[: self._last_loud])

    def connected(self) -> None:
        self.connected_.set()

    def heard(self, samples: bytes) -> None:
        loud = max(array.array("h", samples), default=0) > LOUD
        if loud:
            self.loud_at = asyncio.get_running_loop().time()
        if not (self.understood or (self.silent_server and self.asked)):
            return
        if loud and self.first_loud_at is None:
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
        if isinstance(event, dict):
            self._note(event)

    def played(self, samples: int) -> None:
        """Nobody asks."""

    def lost(self, silent_ns: int) -> None:
        """It may come back."""

    def resumed(self) -> None:
        """It came back."""

    def ended(self, reason: str) -> None:
        self.ending = reason
        self.connected_.set()

    def _note(self, event: dict[str, Any]) -> None:
        text = event.get("text")
        match event.get("type"):
            case "response.created":
                self.speaking = True
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared":
                self.speaking = False
            case "input_audio_buffer.speech_started" if self.asked:
                self._turns.add(event.get("turn_id", 0))
            case "conversation.item.input_audio_transcription.failed" if self.asked:
                self.failed = f"what was said could not be recognised ({event.get('code')})"
            case "user.turn_discarded":
                self._turns.discard(event.get("turn_id", 0))
                self.discarded = True
            case "input_audio_buffer.committed" if self.asked and isinstance(text, str):
                self._turns.discard(event.get("turn_id", 0))
                self._understand(text)
            case "response.done":
                self._done(event)
            case "response.text_only" if isinstance(text, str):
                self.answer = text
            case "turn.latency":
                self.stages = msgspec.convert(event.get("stages", ()), tuple[Stage, ...])
            case _:
                pass

    def _understand(self, text: str) -> None:
        """A question with a pause in it may be several turns; the answer to the last one counts."""
        self.understood.append(text)
        self.sound.clear()
        self.first_loud_at, self.answered_at = None, None
        self._last_loud = 0

    def _done(self, event: dict[str, Any]) -> None:
        if event.get("status") in ("cancelled", "incomplete") and not event.get("text"):
            self.speaking = False
        if self.understood and event.get("turn_id") and not self.listened_to:
            self.speaking = False
            self.answer = str(event.get("text") or self.answer)
            self.answered_at = asyncio.get_running_loop().time()
            if event.get("status") == "failed":
                self.failed = "the answer failed"


async def converse(calls: PlacedCalls, wanted: Wanted, question: bytes) -> Heard:
    """Says ``question``, which is PCM16 at `SPEAKING_RATE`, behind the greeting if there is one.

    Raises:
        CozyError: there could be no call, or nothing was understood or answered.
    """
    placed = await calls.place(NAME)
    ear = Ear()
    placed.peer.listen(ear)
    answered = await _offered(wanted, placed.sdp)
    ear.silent_server = answered.cozy is None
    await calls.accept(NAME, answered.sdp)
    async with _within(CONNECT_S, wanted.url, "it could not be reached over UDP"):
        await ear.connected_.wait()
    if ear.ending is not None:
        raise RemoteProtocolError(f"The call ended before it began ({ear.ending}).")
    said_at = await _ask(placed.peer, ear, question)
    async with _within(ANSWER_S, wanted.url, "there was no answer"):
        await _until(lambda: _over(ear, said_at))
    if ear.failed is not None:
        raise RemoteProtocolError(f"{wanted.url}: {ear.failed}")
    if not (ear.understood or ear.silent_server):
        raise _not_understood(ear, wanted.url)
    return Heard(
        question=" ".join(ear.understood),
        answer=ear.answer,
        sound=ear.answer_sound,
        late_ms=round(((ear.first_loud_at or said_at) - said_at) * 1_000, 1),
        session_id=answered.cozy.session_id if answered.cozy else None,
        stages=ear.stages,
    )


def check_there(url: str) -> None:
    """Fails at once where nothing listens, before anything is loaded that takes time.

    Raises:
        ProviderUnavailableError: nothing does.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise _not_there(url, error) from None


async def _ask(peer: AudioPeer, ear: Ear, question: bytes) -> float:
    """Says it after the greeting, if there is one, and then is silent as a microphone is. The time of its last word."""
    loop = asyncio.get_running_loop()
    silence = bytes(SPEAKING_RATE * SAMPLE_BYTES)
    peer.play(silence * round(ANSWER_S))
    started = loop.time()

    def greeted() -> bool:
        quiet_s = loop.time() - max(started, ear.loud_at or started)
        return ear.ending is not None or (not ear.speaking and quiet_s > GREETING_S)

    async with _within(ANSWER_S, NAME, "the greeting does not end"):
        await _until(greeted)
    ear.asked = True
    peer.clear()
    peer.play(question + silence * round(ANSWER_S))
    return loop.time() + _last_loud(question) / SPEAKING_RATE


def _over(ear: Ear, said_at: float) -> bool:
    now = asyncio.get_running_loop().time()
    if ear.ending is not None or ear.failed is not None:
        return True
    quiet_s = now - max(said_at, ear.loud_at or said_at)
    if ear.silent_server:
        return ear.first_loud_at is not None and quiet_s > UNTOLD_S
    if ear.listened_to:
        return False
    if ear.understood:
        return ear.answered_at is not None and min(quiet_s, now - ear.answered_at) > SILENT_S
    return quiet_s > UNHEARD_S


def _not_understood(ear: Ear, url: str) -> Exception:
    if ear.ending is not None:
        return RemoteProtocolError(f"{url}: the call has ended ({ear.ending})")
    if ear.discarded:
        return InputError(
            f"{url} heard you and understood nothing.",
            hint="Speak the language of the persona; `cozy transcribe FILE` shows what the recogniser makes of it.",
        )
    return InputError(
        f"{url} heard no speech in what was said.",
        hint="Music and tones are no speech, and a very quiet recording is none either.",
    )


def _last_loud(question: bytes) -> int:
    values = array.array("h", question)
    return next((at for at in range(len(values) - 1, 0, -1) if abs(values[at]) > LOUD), len(values))


HINTS = {
    "too_many_calls": "Hang up another call first; an administrator can raise voice.calls_per_owner.",
    "server_overloaded": "Try again when another call has ended; an administrator can raise voice.calls_at_once if the "
    "machine has time left.",
    "server_shutdown": "Try again in a moment.",
}


class _Started(msgspec.Struct, frozen=True):
    session_id: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    """Of `POST /webrtc/offer`: an answer, or a refusal in FastRTC's shape."""

    sdp: str = ""
    cozy: _Started | None = None
    status: str = ""
    meta: dict[str, Any] = {}


async def _offered(wanted: Wanted, sdp: str) -> _Answer:
    """
    Raises:
        CozyError: the server is not there, or refuses.
    """
    wish = {name: value for name in ("persona", "session") if (value := getattr(wanted, name))}
    body = {"sdp": sdp, "type": "offer", "webrtc_id": f"cozy-{token_hex(6)}"}
    headers = {"Authorization": f"Bearer {wanted.key}"} if wanted.key else {}
    url = f"{wanted.url.rstrip('/')}/webrtc/offer"
    try:
        async with httpx.AsyncClient(timeout=CONNECT_S) as client:
            response = await client.post(url, params=wish, json=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _not_there(wanted.url, error) from None
    try:
        answer = msgspec.json.decode(response.content, type=_Answer)
    except msgspec.MsgspecError:
        raise RemoteProtocolError(
            f"{url} is no server that takes calls (status {response.status_code})"
        ) from None
    if answer.sdp:
        return answer
    raise _refused(wanted.url, answer.meta, response.status_code)


def _refused(url: str, meta: dict[str, Any], status: int) -> InputError:
    """Of too many calls FastRTC's clients are told a code and a number only."""
    told, hint = str(meta.get("message") or meta.get("error") or f"status {status}"), meta.get("hint")
    if "limit" in meta:
        reason = meta.get("reason") or "too_many_calls"
        told = f"{told} ({reason}, limit {meta['limit']})"
        hint = hint or HINTS.get(str(reason))
    return InputError(f"{url} takes no call: {visible(told)}", hint=None if hint is None else str(hint))


def _not_there(url: str, error: Exception) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"{url} does not answer ({type(error).__name__})",
        provider=url,
        hint="Start a server with `cozy dev`, or name one with --url.",
    )


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
