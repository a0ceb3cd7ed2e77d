"""Text becomes speech, speech a file, the file sound, and the sound the text again."""

from collections.abc import AsyncIterator

import pytest

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText
from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE, AudioFormat, Upload
from cozy_domain.speech.ports import Hearing
from tests.fixtures.said import said
from tests.fixtures.sentences import PHRASES
from tests.fixtures.sounds import encoded

HEARING = Hearing(phrases=PHRASES)
NEIGHBOURS = ("Turn on the radio.", "Turn off the radio.", "Will it rain tomorrow?")
FILES = tuple(it for it in AudioFormat if it is not AudioFormat.PCM)
PAUSE = bytes(SPEAKING_RATE * 3 // 10 * SAMPLE_BYTES)


@pytest.fixture
async def codec() -> AsyncIterator[PyAvAudioCodec]:
    codec = PyAvAudioCodec()
    yield codec
    await codec.aclose()


@pytest.fixture
async def recogniser() -> AsyncIterator[PocketsphinxSpeechToText]:
    recogniser = PocketsphinxSpeechToText()
    yield recogniser
    await recogniser.aclose()


@pytest.mark.parametrize("kind", FILES)
async def test_near_neighbours_come_back_as_they_were_from_every_format(
    kind: AudioFormat, codec: PyAvAudioCodec, recogniser: PocketsphinxSpeechToText
) -> None:
    for text in NEIGHBOURS:
        file = await encoded(kind, PAUSE + await said(text, "alloy") + PAUSE)
        sound = await codec.decode(Upload(file))
        assert (await recogniser.transcribe(sound, HEARING)).text == text
