"""`cozy dev --simulate`: the whole server on engines that only take time."""

from pathlib import Path

import httpx2

from cozy_adapters.codec.wav import wav_header
from tests.fixtures.calls import spoken as tone_of
from tests.fixtures.server import command, server_process

SOUND = tone_of(1.5)
WAV = wav_header(len(SOUND)) + SOUND


async def test_answers_carry_their_number_and_calls_are_answered_by_it(tmp_path: Path) -> None:
    async with (
        server_process("dev", "--port", "0", "--simulate", "0/0/0", folder=tmp_path) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        asked = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
        answered = (await client.post("/v1/chat/completions", json=asked)).json()
        spoken = await client.post(
            "/v1/audio/speech",
            json={"model": "tts-1", "voice": "alloy", "input": "Hello", "response_format": "pcm"},
        )
        heard = await client.post(
            "/v1/audio/transcriptions", files={"file": ("a.wav", WAV)}, data={"model": "whisper-1"}
        )
    assert answered["choices"][0]["message"]["content"].startswith("This is answer 1. ")
    assert len(spoken.content) == 5 * 24_000 // 20 * 2
    assert heard.json()["text"] == "Tell me something that takes a while."


async def test_other_times_than_three_numbers_are_refused(tmp_path: Path) -> None:
    code, _, told = await command("dev", "--simulate", "fast", folder=tmp_path)
    assert code == 2
    assert "150/250/150" in told
