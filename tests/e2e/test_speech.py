"""POST /v1/audio/speech, asked by the official clients, in the offline voice and in a provider's."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import openai
import pytest
from msgspec.structs import replace

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_domain.audio import Pcm, Upload
from cozy_server.settings.tree import PersonaSettings, SpeechSettings
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Running, command, container_for, running, settings_for, with_fake

TEXT = "Good evening. It is raining in Vienna, and the tram is late."
PERSONA = """
schema: persona/1
id: mei
name: Mei
locale: zh-CN
prompt: {system: You are Mei.}
voice: {voice: nova, speed: 2.0}
"""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "mei.yaml").write_text(PERSONA, encoding="utf-8")
    settings = replace(
        settings_for(tmp_path / "data"), personas=PersonaSettings(folder=str(tmp_path / "personas"))
    )
    async with running(container_for(settings)) as server:
        yield server


@pytest.fixture
async def client(served: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="none", max_retries=0) as client:
        yield client


async def decoded(data: bytes) -> Pcm:
    codec = PyAvAudioCodec()
    try:
        return await codec.decode(Upload(data))
    finally:
        await codec.aclose()


@pytest.mark.parametrize(
    ("response_format", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
    ],
)
async def test_openai_python_gets_a_file_in_each_format(
    client: openai.AsyncOpenAI, response_format: str, media_type: str
) -> None:
    answer = await client.audio.speech.create(
        model="tts-1",
        voice="alloy",
        input=TEXT,
        response_format=response_format,  # type: ignore[arg-type]
    )
    assert answer.response.headers["content-type"] == media_type
    assert 3 < (await decoded(answer.content)).seconds < 8


async def test_pcm_is_24_khz_without_a_header(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input=TEXT, response_format="pcm"
    )
    assert 3 < len(answer.content) / 48_000 < 8


async def test_a_long_text_begins_to_sound_long_before_all_of_it_is_made(client: openai.AsyncOpenAI) -> None:
    async with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=(TEXT + " ") * 60, response_format="mp3"
    ) as answer:
        pieces = [piece async for piece in answer.iter_bytes()]
    assert len(pieces) > 100
    assert len(pieces[0]) < len(b"".join(pieces)) / 50


async def test_events_carry_the_same_sound_and_end_with_the_usage(served: Running) -> None:
    asked = {"model": "tts-1", "input": "Hello there.", "stream_format": "sse", "response_format": "wav"}
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
        answer = await client.post("/v1/audio/speech", json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [msgspec.json.decode(it.removeprefix("data: ")) for it in answer.text.strip().split("\n\n")]
    sound = b"".join(b64decode(it["audio"]) for it in events[:-1])
    assert {it["type"] for it in events[:-1]} == {"speech.audio.delta"}
    usage = events[-1]["usage"]
    assert events[-1]["type"] == "speech.audio.done"
    assert usage["output_tokens"] == pytest.approx((await decoded(sound)).seconds * 20, abs=1)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_a_persona_brings_its_voice_its_language_and_its_pace(client: openai.AsyncOpenAI) -> None:
    async def length(model: str, persona: str | None = None, speed: float | openai.Omit = openai.omit) -> int:
        answer = await client.audio.speech.create(
            input="你好，很高兴认识你。",
            response_format="pcm",
            model=model,
            voice="alloy",
            speed=speed,
            extra_body={"cozy": {"personality_id": persona}},
        )
        return len(answer.content)

    plain = await length("tts-1")
    assert await length("tts-1", persona="mei") == pytest.approx(plain / 2, rel=0.25)
    assert await length("mei") == pytest.approx(plain / 2, rel=0.25)
    assert await length("mei", speed=1.0) == pytest.approx(plain, rel=0.25)


@pytest.mark.parametrize(
    ("asked", "status", "code", "param"),
    [
        ({"input": "x" * 4_097}, 400, "invalid_value", "input"),
        ({"input": ""}, 400, "invalid_value", "input"),
        ({"voice": "nobody"}, 400, "unknown_voice", "voice"),
        ({"voice": "../../etc/passwd"}, 400, "unknown_voice", "voice"),
        ({"speed": 5}, 400, None, "speed"),
        ({"response_format": "ogg"}, 400, None, "response_format"),
        ({"model": "nothing"}, 404, "model_not_found", "model"),
        ({"cozy": {"personality_id": "nobody"}}, 404, "persona_not_found", "cozy.personality_id"),
    ],
)
async def test_bad_input_is_refused_by_name(
    served: Running, asked: dict[str, object], status: int, code: str | None, param: str
) -> None:
    body = {"model": "tts-1", "input": "Hello.", "voice": "alloy", **asked}
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
        answer = await client.post("/v1/audio/speech", json=body)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert error["param"] == param
    assert code is None or error["code"] == code


async def test_a_provider_speaks_and_when_it_fails_the_offline_voice_takes_over(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"),
        speech=SpeechSettings(tts=("fake/speak", "fake/status?code=500", "espeak")),
    )
    async with running(container_for(settings)) as server:
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        for model in ("tts-1", "fake/status?code=500", "espeak"):
            answer = await client.audio.speech.create(
                model=model, voice="alloy", input="Hello.", response_format="pcm"
            )
            assert len(answer.content) > 10_000
        await client.close()
    asked = [it.body for it in fake_openai.requests if it.path.endswith("/audio/speech")]
    assert [it["model"] for it in asked] == ["speak", "status?code=500", "speak"]
    assert asked[0]["response_format"] == "pcm"


async def test_the_health_of_a_voice_is_told(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"),
        speech=SpeechSettings(tts=("fake/status?code=500", "espeak")),
    )
    asked = {"model": "tts-1", "input": "Hello.", "response_format": "pcm"}
    async with (
        running(container_for(settings)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        for _ in range(5):
            assert (await client.post("/v1/audio/speech", json=asked)).status_code == 200
        assert (await client.get("/health")).json()["status"] == "degraded"
        assert "voice fake/status?code=500" in (await client.get("/health/engines")).text


async def test_a_provider_that_breaks_off_cuts_the_file(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"), speech=SpeechSettings(tts=("fake/speak-short",))
    )
    asked = {"model": "tts-1", "input": TEXT, "response_format": "wav"}
    async with (
        running(container_for(settings)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("/v1/audio/speech", json=asked)
        events = await client.post("/v1/audio/speech", json={**asked, "stream_format": "sse"})
        assert '"error"' in events.text
        assert "speech.audio.done" not in events.text


async def test_who_leaves_stops_the_synthesis(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"), speech=SpeechSettings(tts=("fake/hang",))
    )
    async with running(container_for(settings)) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
            asking = asyncio.create_task(
                client.post("/v1/audio/speech", json={"model": "tts-1", "input": TEXT})
            )
            await fake_openai.until(lambda: bool(fake_openai.open_streams))
            asking.cancel()
            await asyncio.wait((asking,))
        await fake_openai.until(lambda: bool(fake_openai.closed_early))


async def test_a_voice_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("speech: {tts: [nobody/tts]}\n", encoding="utf-8")
    code, out, errors = await command("dev", "--port", "0", "--json", folder=tmp_path)
    assert (code, out) == (2, "")
    assert "'nobody/tts'" in json.loads(errors)["error"]["message"]


async def test_the_alias_of_our_older_documents_sends_events_unless_sound_is_asked_for(
    served: Running,
) -> None:
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
        events = await client.post("/v1/audio/tts/stream", json={"model": "tts-1", "input": "Hello."})
        sound = await client.post(
            "/v1/audio/tts/stream", json={"model": "tts-1", "input": "Hello.", "stream_format": "audio"}
        )
    assert events.headers["content-type"].startswith("text/event-stream")
    assert '"speech.audio.done"' in events.text
    assert sound.headers["content-type"] == "audio/mpeg"
