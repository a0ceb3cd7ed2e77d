"""An answer whose transcript is long in coming."""

import asyncio
from contextlib import AbstractAsyncContextManager
from itertools import product

import pytest
from litestar.types import Message

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_domain.audio import HEARING_RATE, Pcm, Upload
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.ports import Hearing, HearingFeature, SpeechToText, Utterance
from cozy_domain.speech.transcribe import Transcribing
from cozy_domain.speech.transcript import Transcript
from cozy_server.openai.sse import KEEP_ALIVE
from cozy_server.openai.transcript import Wanted
from cozy_server.openai.transcription import TranscriptAnswer
from tests.fixtures.speech import RawCodec

pytestmark = pytest.mark.virtual_time


class Slow:
    """Needs so many seconds, and then fails if it is to."""

    def __init__(self, seconds: float, *, fails: bool = False) -> None:
        self.seconds = seconds
        self.fails = fails
        self.cancelled = False

    def features(self) -> frozenset[HearingFeature]:
        return frozenset()

    def languages(self) -> frozenset[str] | None:
        return None

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.fails:
            raise ProviderUnavailableError("down", provider="p")
        return Transcript("Hello.")

    def listen(self, hearing: Hearing) -> AbstractAsyncContextManager[Utterance]:
        raise NotImplementedError


async def answered(recogniser: Slow, *, stream: bool, leaves_s: float = 1_000) -> tuple[int | None, bytes]:
    """Status and body."""
    status: int | None = None
    body = b""
    now = asyncio.get_running_loop().time
    left_at = now() + leaves_s

    async def receive() -> Message:
        await asyncio.sleep(left_at - now())
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            body += message["body"]

    named = Named[SpeechToText]("r", recogniser)
    transcribing = Transcribing(RawCodec(), Switchover("recogniser", [named], InMemoryClock()))
    upload = Upload(bytes(HEARING_RATE * 2 * 60))
    answer = TranscriptAnswer(transcribing, upload, Wanted("json", Hearing(), stream), None)
    await answer({"type": "http", "headers": [], "state": {}}, receive, send)  # type: ignore[arg-type]
    return status, body


async def test_a_stream_begins_before_proxies_lose_patience() -> None:
    status, body = await answered(Slow(40), stream=True)
    assert status == 200
    assert body.startswith(KEEP_ALIVE)
    assert body.count(KEEP_ALIVE) == 2
    assert b'"transcript.text.done"' in body


async def test_a_failure_in_a_stream_that_has_begun_is_its_last_event() -> None:
    status, body = await answered(Slow(40, fails=True), stream=True)
    assert status == 200
    assert b'"error"' in body
    assert b"transcript.text.done" not in body


async def test_a_failure_before_that_is_a_status() -> None:
    for stream in (True, False):
        status, body = await answered(Slow(10, fails=True), stream=stream)
        assert status == 503
        assert body.startswith(b'{"error"')


async def test_a_client_that_leaves_ends_the_work() -> None:
    for stream, leaves_s in product((True, False), (5.0, 30.0)):
        recogniser = Slow(60)
        await answered(recogniser, stream=stream, leaves_s=leaves_s)
        assert recogniser.cancelled
