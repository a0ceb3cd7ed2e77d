"""POST /v1/audio/transcriptions and /translations, asked by the official clients; files that only claim to be sound."""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import av
import httpx2
import openai
import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.speech import tone
from cozy_domain.audio import SPEAKING_RATE, AudioFormat
from cozy_server.form import MAX_BYTES
from cozy_server.settings.tree import PersonaSettings, SpeechSettings
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.fake_openai.audio import form_of
from tests.fixtures.server import Running, container_for, running, settings_for, with_fake
from tests.fixtures.sounds import FORMATS, encoded, minutes_in_little, mutations, png, recorded
from tests.fixtures.speech import hearing

PATH = "/v1/audio/transcriptions"
SPOKEN = ("speech.mp3", recorded("mp3", 0.5))
PERSONA = """
schema: persona/1
id: mei
name: Mei
locale: zh-CN
prompt: {system: You are Mei.}
voice: {stt: fake/whisper-1}
"""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(hearing(container_for(settings_for(tmp_path)), *["Good evening."] * 20)) as server:
        yield server


@pytest.fixture
async def http(served: Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:
        yield client


@pytest.fixture
async def provider(tmp_path: Path, fake_openai: FakeOpenAI) -> AsyncIterator[Running]:
    """Two recognisers of a provider: one that tells no times and one that does; and a persona who prefers the latter."""
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "mei.yaml").write_text(PERSONA, encoding="utf-8")
    settings = replace(
        with_fake(settings_for(tmp_path / "data"), fake_openai, "ok"),
        personas=PersonaSettings(folder=str(tmp_path / "personas")),
        speech=SpeechSettings(stt=("fake/hear?text=Hello", "fake/whisper-1")),
    )
    async with running(container_for(settings)) as server:
        yield server


def sent(fake: FakeOpenAI) -> list[dict[str, object]]:
    """The forms that the provider got."""
    return [form_of(it.raw, it.headers["content-type"]) for it in fake.requests if "/audio/tr" in it.path]


async def test_openai_python_sends_a_file_of_each_format(served: Running) -> None:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="none", max_retries=0) as client:
        for name in FORMATS:
            told = await client.audio.transcriptions.create(
                model="whisper-1", file=(f"speech.{name}", recorded(name, 0.5))
            )
            assert told.text == "Good evening.", name
            assert told.usage
            assert told.usage.type == "duration"
            assert told.usage.seconds == pytest.approx(0.5, abs=0.15), name


async def test_openai_python_gets_each_form(served: Running) -> None:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="none", max_retries=0) as client:
        create = client.audio.transcriptions.create
        assert await create(model="whisper-1", file=SPOKEN, response_format="text") == "Good evening.\n"
        subtitles = await create(model="whisper-1", file=SPOKEN, response_format="srt")
        assert subtitles.startswith("1\n00:00:00,000 --> 00:00:00,")
        assert (await create(model="whisper-1", file=SPOKEN, response_format="vtt")).startswith("WEBVTT\n\n")
        verbose = await create(
            model="whisper-1",
            file=SPOKEN,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            language="en",
        )
        assert verbose.words
        assert verbose.segments
        assert [it.word for it in verbose.words] == ["Good", "evening."]
        assert (verbose.language, verbose.segments[0].text) == ("english", "Good evening.")
        stream = await create(model="gpt-4o-transcribe", file=SPOKEN, stream=True)
        events = [event async for event in stream]
        assert [it.type for it in events] == ["transcript.text.delta", "transcript.text.done"]


async def test_openai_python_strictly_validated_takes_files_without_names_and_reads_the_stream(
    served: Running,
) -> None:
    async with openai.AsyncOpenAI(
        base_url=served.base_url, api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        create = client.audio.transcriptions.create
        for file in (
            SPOKEN[1],
            io.BytesIO(SPOKEN[1]),
            (None, SPOKEN[1]),
            ("", SPOKEN[1]),
            ('你好 ".mp3', SPOKEN[1]),
        ):
            assert (await create(model="whisper-1", file=file)).text == "Good evening."
        events = [event async for event in await create(model="whisper-1", file=SPOKEN, stream=True)]
        assert [it.type for it in events] == ["transcript.text.delta", "transcript.text.done"]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI lets the endpoint go; we have it
async def test_openai_python_translates(served: Running) -> None:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="none", max_retries=0) as client:
        plain = await client.audio.translations.create(model="whisper-1", file=SPOKEN)
        verbose = await client.audio.translations.create(
            model="whisper-1", file=SPOKEN, response_format="verbose_json", prompt="Vienna", temperature=0.2
        )
    assert plain.text == "Good evening."
    assert (verbose.language, verbose.text) == ("english", "Good evening.")


async def test_the_aliases_do_the_same_and_one_always_streams(http: httpx2.AsyncClient) -> None:
    plain = await http.post("/v1/audio/stt", files={"file": SPOKEN})
    assert plain.json()["text"] == "Good evening."
    stream = await http.post("/v1/audio/stt/stream", files={"file": SPOKEN})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert '"transcript.text.done"' in stream.text


REFUSED_FIELDS: tuple[tuple[dict[str, str], int, str, str], ...] = (
    ({"temperature": "1.5"}, 400, "invalid_value", "temperature"),
    ({"response_format": "diarized_json"}, 400, "invalid_value", "response_format"),
    ({"language": "the old one"}, 400, "invalid_value", "language"),
    ({"stream": "true", "response_format": "vtt"}, 400, "unsupported_value", "stream"),
    ({"timestamp_granularities[]": "word"}, 400, "unsupported_value", "timestamp_granularities"),
    ({"include[]": "logprobs"}, 400, "unsupported_value", "include"),
    ({"chunking_strategy[type]": "server_vad"}, 400, "unsupported_value", "chunking_strategy[type]"),
    ({"known_speaker_names[]": "Mei"}, 400, "unsupported_parameter", "known_speaker_names"),
    ({"model": "nothing"}, 404, "model_not_found", "model"),
    ({"cozy[personality_id]": "nobody"}, 404, "persona_not_found", "cozy.personality_id"),
    ({"cozy[persona]": "mei"}, 400, "unknown_parameter", "cozy.persona"),
)


async def test_fields_are_refused_by_name(http: httpx2.AsyncClient) -> None:
    for fields, status, code, param in REFUSED_FIELDS:
        answer = await http.post(PATH, files={"file": SPOKEN}, data={"model": "whisper-1", **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param)


async def test_a_body_that_is_no_form_with_a_file_is_refused(http: httpx2.AsyncClient) -> None:
    answers = [
        await http.post(PATH, json={"model": "whisper-1"}),
        await http.post(PATH, data={"model": "whisper-1"}),
        await http.post(PATH),
        await http.post(PATH, content=b"x", headers={"content-type": "multipart/form-data; boundary=abc"}),
        await http.post(PATH, data={"model": "whisper-1"}, files={"other": SPOKEN}),
        await http.post(PATH, files=[("file", SPOKEN), ("file", SPOKEN)]),
        await http.post(PATH, files={"file": ("empty.wav", b"")}),
        await http.post(PATH, files={"file": SPOKEN}, headers={"content-encoding": "gzip"}),
    ]
    assert [(it.status_code, it.json()["error"]["code"]) for it in answers] == [
        (400, "invalid_content_type"),
        (400, "invalid_content_type"),
        (400, "invalid_content_type"),
        (400, "invalid_form"),
        (400, "invalid_value"),
        (400, "invalid_value"),
        (400, "invalid_audio"),
        (400, "unsupported_content_encoding"),
    ]


async def test_a_file_that_is_too_large_is_413_however_it_is_sent(http: httpx2.AsyncClient) -> None:
    told = await http.post(PATH, files={"file": ("long.wav", bytes(MAX_BYTES))})

    async def pieces() -> AsyncIterator[bytes]:
        yield b"--abc\r\n"
        for _ in range(30):
            yield bytes(1_000_000)

    form = {"content-type": "multipart/form-data; boundary=abc"}
    chunked = await http.post(PATH, content=pieces(), headers=form)
    for answer in (told, chunked):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"
        assert "25 MB" in answer.json()["error"]["hint"]


async def test_what_is_no_sound_is_refused_with_the_reason(http: httpx2.AsyncClient) -> None:
    for data, code, reason in (
        (png(), "invalid_audio", "PNG image"),
        (b"#EXTM3U\nfile:///etc/hostname\n", "invalid_audio", "playlist"),
        (b"just words " * 100, "invalid_audio", "no format"),
        (minutes_in_little(), "audio_too_long", "far more than its size"),
    ):
        answer = await http.post(PATH, files={"file": ("speech.mp3", data, "audio/mpeg")})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, code, "file")
        assert reason in error["message"]


async def test_hostile_files_are_never_our_fault(http: httpx2.AsyncClient) -> None:
    for name, data in mutations(seed=5, count=10):
        answer = await http.post(PATH, files={"file": (name, data)})
        assert answer.status_code in (200, 400), name


async def test_a_persona_chooses_the_recogniser_and_the_language(
    provider: Running, fake_openai: FakeOpenAI
) -> None:
    async with httpx2.AsyncClient(base_url=provider.url, timeout=60) as client:
        for fields in (
            {},
            {"cozy[personality_id]": "mei"},
            {"model": "mei"},
            {"model": "mei", "language": "de"},
        ):
            answer = await client.post(
                PATH, files={"file": SPOKEN}, data={"model": "gpt-transcribe", **fields}
            )
            assert answer.status_code == 200
    asked = [(it["model"], it.get("language"), it.get("prompt")) for it in sent(fake_openai)]
    mei = ("whisper-1", "zh", "Mei")
    assert asked == [("hear?text=Hello", None, None), mei, mei, ("whisper-1", "de", "Mei")]


async def test_what_only_one_recogniser_can_do_it_is_asked_for(
    provider: Running, fake_openai: FakeOpenAI
) -> None:
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="none", max_retries=0) as client:
        words = await client.audio.transcriptions.create(
            model="gpt-transcribe",
            file=SPOKEN,
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
        assert words.words
        assert words.segments is None
        counted = await client.audio.transcriptions.create(model="hear?text=Hello", file=SPOKEN)
        assert counted.usage
        assert counted.usage.type == "tokens"
    assert [it["model"] for it in sent(fake_openai)] == ["whisper-1", "hear?text=Hello"]


async def test_what_no_recogniser_can_do_is_refused_by_name(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"), speech=SpeechSettings(stt=("fake/hear",))
    )
    async with (
        running(container_for(settings)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        times = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
        words = await client.post(PATH, files={"file": SPOKEN}, data=times)
        english = await client.post("/v1/audio/translations", files={"file": SPOKEN})
    assert [it.status_code for it in (words, english)] == [400, 400]
    assert words.json()["error"]["param"] == "timestamp_granularities"
    assert english.json()["error"]["param"] == "model"
    assert not sent(fake_openai)


async def test_a_recogniser_that_fails_is_replaced_and_the_last_ones_failure_is_told(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"),
        speech=SpeechSettings(stt=("fake/status?code=500", "fake/hear?text=Hello")),
    )
    async with (
        running(container_for(settings)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        answer = await client.post(PATH, files={"file": SPOKEN})
        assert answer.json()["text"] == "Hello"
    only = replace(settings, speech=SpeechSettings(stt=("fake/status?code=500",)))
    async with (
        running(container_for(only)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        for path in (PATH, "/v1/audio/stt/stream"):
            answer = await client.post(path, files={"file": SPOKEN})
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "provider_unavailable"


async def test_a_provider_gets_a_long_recording_compressed(
    provider: Running, fake_openai: FakeOpenAI
) -> None:
    """Nine minutes are 17 MB as WAV, and two hours would be 230."""
    minutes = await encoded(AudioFormat.FLAC, tone(440, SPEAKING_RATE) * 540, 2_880_000)
    async with httpx2.AsyncClient(base_url=provider.url, timeout=60) as client:
        answer = await client.post(
            PATH, files={"file": ("speech.flac", minutes)}, data={"model": "whisper-1"}
        )
    assert answer.status_code == 200
    name, kind, data = cast("tuple[str, str, bytes]", sent(fake_openai)[0]["file"])
    assert (name, kind) == ("speech.ogg", "audio/ogg")
    assert len(data) < 25_000_000 * 540 / 7_200
    with av.open(io.BytesIO(data), "r") as file:
        assert file.duration == pytest.approx(540_000_000, rel=0.001)


async def test_who_leaves_stops_the_recogniser(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"), speech=SpeechSettings(stt=("fake/hang",))
    )
    async with running(container_for(settings)) as server:
        for path in (PATH, "/v1/audio/stt/stream"):
            before = len(fake_openai.closed_early)
            async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
                asking = asyncio.create_task(client.post(path, files={"file": SPOKEN}))
                await fake_openai.until(lambda: bool(fake_openai.open_streams))
                asking.cancel()
                await asyncio.wait((asking,))
            await fake_openai.until(lambda before=before: len(fake_openai.closed_early) > before)  # type: ignore[misc]


async def test_a_recogniser_that_is_late_is_given_up(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    settings = replace(
        with_fake(settings_for(tmp_path), fake_openai, "ok"),
        speech=SpeechSettings(stt=("fake/hang",), transcript_s=0.3),
    )
    async with (
        running(container_for(settings)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        answer = await client.post(PATH, files={"file": SPOKEN})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "provider_timeout")


async def test_without_a_recogniser_the_answer_says_what_is_missing(tmp_path: Path) -> None:
    async with (
        running(container_for(replace(settings_for(tmp_path), speech=SpeechSettings(stt=())))) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        answer = await client.post(PATH, files={"file": SPOKEN})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "not_configured")
    assert "cozy.yaml" in error["hint"]
    assert answer.headers["x-should-retry"] == "false"


async def test_without_a_key_the_offline_recogniser_answers_and_says_what_it_is(tmp_path: Path) -> None:
    async with (
        running(container_for(settings_for(tmp_path))) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as official,
    ):
        speech = {"model": "tts-1", "voice": "alloy", "input": "Open the window."}
        spoken = ("speech.mp3", (await client.post("/v1/audio/speech", json=speech)).content)
        answer = await client.post(PATH, files={"file": spoken})
        assert answer.status_code == 200
        assert answer.headers["x-cozy-recogniser"] == "pocketsphinx"
        assert answer.json()["cozy"]["recogniser"] == "pocketsphinx"
        assert "demo quality" in answer.json()["cozy"]["caution"]
        assert answer.json()["text"]
        verbose = await official.audio.transcriptions.create(
            model="whisper-1",
            file=spoken,
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
        assert verbose.language == "english"
        assert verbose.words
        refused = await client.post(PATH, files={"file": spoken}, data={"language": "zh"})
        english = await client.post("/v1/audio/translations", files={"file": spoken})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "unsupported_value", "language")
    assert "speech.stt" in error["hint"]
    assert (english.status_code, english.json()["error"]["param"]) == (400, "model")


async def test_a_recogniser_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("speech: {stt: [nobody/whisper]}\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cozy_server.cli", "dev", "--port", "0", cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode != 0
    assert b"speech.stt: 'nobody/whisper'" in out + errors
