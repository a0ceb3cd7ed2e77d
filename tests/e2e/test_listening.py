"""WS /v1/audio/transcriptions/stream over a real socket: what is said becomes text, and hostile clients are sent away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.speech import ScriptedSpeechToText, tone
from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.ports import SpeechToText, Voicing
from cozy_server.settings.tree import SpeechSettings
from tests.fixtures.dictation import PATH, client, dictating, loud, quiet, spoken
from tests.fixtures.server import Running, container_for, running, settings_for
from tests.fixtures.sounds import opus_packets
from tests.fixtures.speech import hearing


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    script = ["Good evening Vienna.", "It rains.", "Goodbye."]
    async with running(dictating(container_for(settings_for(tmp_path)), *script)) as server:
        yield server


@pytest.mark.parametrize("path", [PATH, "/v1/audio/stt/stream"])
async def test_what_is_said_comes_back_in_parts_then_whole_with_its_times(served: Running, path: str) -> None:
    async with client(served, path) as it:
        await it.say(type="start", language="en")
        await it.sound(spoken())
        final = await it.until("transcript_final")
        await it.sound(spoken())
        await it.say(type="stop")
        done = await it.until("done")
        assert await it.end() == 1000
    assert it.texts("transcript")[0] == "Good"
    assert it.texts() == ["Good evening Vienna.", "It rains."]
    assert final["start"] == pytest.approx(0.5 - 0.3, abs=0.05)
    assert final["end"] == pytest.approx(1.5, abs=0.05)
    assert (final["language"], final["is_partial"]) == ("en", False)
    assert done["duration"] == pytest.approx(4.6)


async def test_what_is_being_said_at_stop_is_told_to_its_end(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="start")
        await it.sound(quiet(300) + loud(700))
        await it.say(type="stop")
        await it.until("done")
    assert it.texts() == ["Good evening Vienna."]


async def test_silence_gives_nothing_but_the_end(served: Running) -> None:
    async with client(served) as it:
        await it.say(type="start")
        await it.sound(quiet(2_000))
        await it.say(type="stop")
        assert await it.end() == 1000
    assert [message["type"] for message in it.got] == ["done"]


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
async def test_other_rates_are_heard_at_their_own_speed(served: Running, rate: int) -> None:
    async with client(served) as it:
        await it.say(type="start", rate=rate)
        await it.sound(spoken(rate), rate)
        final = await it.until("transcript_final")
    assert final["end"] == pytest.approx(1.5, abs=0.1)


async def test_opus_is_heard_packet_by_packet(served: Running) -> None:
    sound = tone(0, SPEAKING_RATE // 2) + tone(440, SPEAKING_RATE) + tone(0, SPEAKING_RATE)
    async with client(served) as it:
        await it.say(type="start", format="opus")
        for packet in opus_packets(sound):
            await it.connection.send(packet)
        final = await it.until("transcript_final")
    assert final["text"] == "Good evening Vienna."
    assert final["end"] == pytest.approx(1.5, abs=0.15)


async def test_a_voice_is_found_by_the_trained_detector(tmp_path: Path) -> None:
    container = hearing(container_for(settings_for(tmp_path)), "It is raining.")
    async with container.speaking().sound("It is raining in Vienna.", Voicing()) as sounds:
        said = b"".join([it.samples async for it in sounds])
    async with running(container) as server, client(server) as it:
        await it.say(type="start", rate=SPEAKING_RATE)
        await it.sound(said + quiet(1_000, SPEAKING_RATE), SPEAKING_RATE)
        await it.say(type="stop")
        await it.until("done")
    assert it.texts() == ["It is raining."]


async def test_who_does_not_hear_the_language_is_passed_over(tmp_path: Path) -> None:
    container = dictating(container_for(settings_for(tmp_path)))
    english = Named[SpeechToText]("english", ScriptedSpeechToText(["Good evening."], frozenset({"en"})))
    german = Named[SpeechToText]("german", ScriptedSpeechToText(["Guten Abend."], frozenset({"de"})))
    container.recognisers.override(Switchover("recogniser", [english, german], container.clock()))
    async with running(container) as server:
        async with client(server) as it:
            await it.say(type="start", language="de-AT")
            await it.sound(spoken())
            await it.say(type="stop")
            await it.until("done")
            assert it.texts() == ["Guten Abend."]
        async with client(server) as it:
            await it.say(type="start", language="fr")
            assert await it.end() == 1008
            assert (it.error["code"], it.error["param"]) == ("unsupported_value", "language")
            assert "de, en" in it.error["hint"]


async def test_without_a_recogniser_it_is_told_at_the_start_where_to_name_one(tmp_path: Path) -> None:
    settings = replace(settings_for(tmp_path), speech=SpeechSettings(stt=()))
    async with running(container_for(settings)) as server, client(server) as it:
        await it.say(type="start")
        assert await it.end() == 1011
    assert it.error["code"] == "not_configured"
    assert "speech.stt" in it.error["hint"]


async def test_errors_are_told_in_the_clients_language(served: Running) -> None:
    async with client(served, additional_headers={"Accept-Language": "zh-CN"}) as it:
        await it.say(type="stop")
        await it.end()
    assert "start" in it.error["hint"]
    assert "消息" in it.error["message"]
