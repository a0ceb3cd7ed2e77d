"""What fails in a call to the whole server: its caller is told, the call goes on if it can, and what was said is kept."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dependency_injector import providers

from cozy_adapters.inmemory.simulated import (
    ANSWER,
    WHOLE,
    SimulatedSpeechToText,
    SimulatedTextToSpeech,
    SimulatedUtterance,
)
from cozy_domain.audio import SPEAKING_RATE, Pcm
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.ports import Hearing, Sound, SpeechToText, Voicing
from cozy_domain.speech.transcript import Transcript
from cozy_server.container.container import Container
from tests.e2e.test_stopping import stored
from tests.fixtures.calls import loud_seconds, said, until
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.fastrtc import Caller, calls_for, taking_calls
from tests.fixtures.server import Running, running, server_process, with_fake

CALLS = 10
FLOOD = 2_000
DEAD = ProviderUnavailableError("dead", provider="test")
FIRST_ANSWER = "".join(ANSWER).format(number=1)


class DyingRecogniser(SimulatedSpeechToText):
    """Dies a third of a second into each utterance, and cannot hear a whole one either."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.died = 0

    async def transcribe(self, sound: Pcm, hearing: Hearing) -> Transcript:
        raise DEAD

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator[SimulatedUtterance]:
        async with super().listen(hearing) as utterance:
            utterance.feed = self._die  # type: ignore[method-assign]
            yield utterance

    async def _die(self, samples: bytes) -> str:
        self.died += 1
        raise DEAD


class DyingVoice(SimulatedTextToSpeech):
    """Dies after ``pieces`` of the text that is spoken when ``is_ill``."""

    def __init__(self, pieces: int) -> None:
        super().__init__(0.0)
        self.is_ill = False
        self._pieces = pieces

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        async with super().speak(text, voicing) as sounds:
            yield self._until_death(sounds) if self.is_ill else sounds

    async def _until_death(self, sounds: AsyncIterator[Sound]) -> AsyncIterator[Sound]:
        left = self._pieces
        async for sound in sounds:
            if not left:
                raise DEAD
            left -= 1
            yield sound


@asynccontextmanager
async def calling(container: Container) -> AsyncIterator[tuple[Running, Caller]]:
    """A caller who has been greeted."""
    async with (
        running(container) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
        greeted(client) as caller,
    ):
        yield server, caller


@asynccontextmanager
async def greeted(client: httpx2.AsyncClient, id: str = "x7f3k") -> AsyncIterator[Caller]:
    caller = Caller(client, id)
    try:
        await caller.call()
        await caller.until_told("response.done")
        yield caller
    finally:
        await caller.hang_up()


async def history(server: Running, caller: Caller) -> list[tuple[str, str]]:
    """Who said what, after the call."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        path = f"/v1/cozy/sessions/{caller.answer['cozy']['session_id']}/messages"
        return [(it["role"], it["content"]) for it in (await client.get(path)).json()["data"]]


def aloud(caller: Caller, since: int = 0) -> float:
    """Seconds of what was heard."""
    return loud_seconds(b"".join(it for _, it in caller.heard[since:]), SPEAKING_RATE)


async def until_answering(caller: Caller) -> int:
    """Asks, and hears the beginning of the answer; how much had been heard before it."""
    caller.say(said(1.5))
    await caller.until_told("output_audio_buffer.started", 2)
    heard = len(caller.heard)
    await until(lambda: aloud(caller, heard) > 0.5, why="no answer")
    return heard


def hang_up(caller: Caller) -> None:
    caller.tell(json.dumps({"type": "cozy", "data": {"type": "client.hangup"}}))


async def test_ten_calls_are_told_goodbye_and_kept_when_the_process_is_told_to_stop(tmp_path: Path) -> None:
    async with (
        server_process("dev", "--port", "0", "--simulate", "0/0/0", folder=tmp_path) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        callers = [Caller(client, f"call-{it}") for it in range(CALLS)]
        await asyncio.gather(*(it.call() for it in callers))
        await asyncio.gather(*(it.until_told("response.done") for it in callers))
        for it in callers:
            await client.post("/input_hook", json={"webrtc_id": it.id, "text": "How are you?"})
        await asyncio.gather(*(it.until_told("output_audio_buffer.started", 2) for it in callers))
        server.process.send_signal(signal.SIGTERM)
        closed = await asyncio.gather(*(it.until_told("session.closed") for it in callers))
        assert await server.ended() == 0
    assert [it["reason"] for it in closed] == ["drained"] * CALLS
    for it in callers:
        assert it.ours("session.draining")
        assert "warning" in it.log
        assert [done["status"] for done in it.ours("response.done")[1:]] == ["completed", "completed"]
        assert await stored(tmp_path, it.answer["cozy"]["session_id"]) == [
            ("assistant", "completed"),
            ("user", "completed"),
            ("assistant", "completed"),
            ("assistant", "completed"),
        ]
        await it.hang_up()


async def test_a_line_that_is_lost_in_mid_answer_goes_on_where_it_was_when_it_is_back(tmp_path: Path) -> None:
    async with taking_calls(tmp_path) as (server, client), greeted(client) as caller:
        heard = await until_answering(caller)
        caller.go_away()
        await until_lost(server)
        assert aloud(caller, heard) < 5.0
        caller.come_back()
        await caller.until_told("session.suspended")
        await caller.until_told("session.active", 2)
        done = await caller.until_told("response.done", 2)
        assert (done["status"], done["text"]) == ("completed", FIRST_ANSWER)
        hang_up(caller)
        await caller.until_told("session.closed")
        assert (await history(server, caller))[-2:] == [("user", WHOLE), ("assistant", FIRST_ANSWER)]


async def until_lost(server: Running) -> None:
    connections: Any = server.container.peer_connections()
    (peer,) = connections._peers.values()
    await until(lambda: peer._lost, why="nobody noticed")


async def test_the_seat_of_a_caller_who_vanishes_in_mid_answer_is_free_again_and_his_words_are_kept(
    tmp_path: Path,
) -> None:
    async with taking_calls(tmp_path, calls_at_once=1, reconnect_s=0.5) as (server, client):
        async with greeted(client) as caller:
            await until_answering(caller)
            caller.go_away()
            calls = server.container.calling()
            assert calls is not None
            await until(lambda: calls.calls_open == 0, why="the seat is taken")
            told = await history(server, caller)
        assert told[-2] == ("user", WHOLE)
        assert FIRST_ANSWER.startswith(told[-1][1])
        assert 0 < len(told[-1][1]) < len(FIRST_ANSWER)
        async with greeted(client, "next") as other:
            assert other.ours("session.active")


async def test_a_flood_of_messages_does_not_keep_a_call_from_being_heard_and_answered(tmp_path: Path) -> None:
    async with taking_calls(tmp_path) as (_, client), greeted(client) as caller:
        for _ in range(FLOOD):
            caller.tell("x" * 100)
        await until(lambda: len(caller.log) > 100, why="not received")
        caller.say(said(1.5))
        assert WHOLE in (await caller.until_told("input_audio_buffer.committed"))["text"]
        assert (await caller.until_told("response.done", 2))["text"] == FIRST_ANSWER


async def test_a_recogniser_that_dies_in_mid_sentence_is_replaced_by_the_next_one(tmp_path: Path) -> None:
    dying = DyingRecogniser()
    container = calls_for(tmp_path)
    named: list[Named[SpeechToText]] = [Named("dying", dying), Named("well", SimulatedSpeechToText(0.0))]
    container.recognisers.override(providers.Object(Switchover("recogniser", named, container.clock())))
    async with calling(container) as (_, caller):
        caller.say(said(1.5))
        assert (await caller.until_told("input_audio_buffer.committed"))["text"] == WHOLE
        assert (await caller.until_told("response.done", 2))["text"] == FIRST_ANSWER
        assert dying.died


async def test_of_an_answer_whose_voice_dies_what_was_heard_is_kept_and_the_next_is_spoken(
    tmp_path: Path,
) -> None:
    dying = DyingVoice(3)
    container = calls_for(tmp_path)
    container.voices.override(
        providers.Object(Switchover("voice", [Named("dying", dying)], container.clock()))
    )
    async with calling(container) as (server, caller):
        dying.is_ill = True
        caller.say(said(1.5))
        broken = await caller.until_told("response.done", 2)
        assert (broken["status"], broken["reason"]) == ("incomplete", "provider_unavailable")
        assert FIRST_ANSWER.startswith(broken["text"])
        dying.is_ill = False
        caller.say(said(1.5))
        whole = await caller.until_told("response.done", 3)
        assert (whole["status"], whole["text"]) == ("completed", "".join(ANSWER).format(number=2))
        hang_up(caller)
        await caller.until_told("session.closed")
        answers = [text for role, text in await history(server, caller) if role == "assistant"]
        assert answers[1:] == [broken["text"], whole["text"]]


@pytest.mark.parametrize("fault", ["status?code=500", "drop?after=3"])
async def test_a_provider_that_fails_fails_its_answer_alone(
    tmp_path: Path, fake_openai: FakeOpenAI, fault: str
) -> None:
    container = calls_for(tmp_path)
    settings = with_fake(container.settings(), fake_openai, f"{fault}&times=3")
    container.settings.override(providers.Object(settings))
    async with calling(container) as (_, caller):
        failed = 1
        while True:
            caller.say(said(1.5))
            failed += 1
            done = await caller.until_told("response.done", failed)
            if done["status"] == "completed":
                break
            assert done["status"] in {"failed", "incomplete"}
        assert failed > 2
        assert not caller.ours("session.closed")
