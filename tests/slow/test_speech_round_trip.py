"""Every phrase through every format, and back; what is no phrase is not taken for one."""

# ruff: noqa: T201 - its figures are read

from collections.abc import AsyncIterator

import pytest

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, AudioFormat, Pcm, Upload
from cozy_domain.speech.ports import Hearing
from tests.fixtures.said import heard, said
from tests.fixtures.sentences import HELD_OUT, HELD_OUT_NEAR, OUTSIDE, PHRASES
from tests.fixtures.sounds import encoded

HEARING = Hearing(phrases=PHRASES)
FILES = tuple(it for it in AudioFormat if it is not AudioFormat.PCM)
PAUSE = bytes(SPEAKING_RATE * 3 // 10 * SAMPLE_BYTES)
VOICES = ("alloy", "nova", "onyx", "en-us")
ONE_WORD_AWAY = 24
"""So many of `OUTSIDE` come first that differ from a phrase in little."""


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
async def test_at_least_52_of_62_phrases_come_back_from_every_format(
    kind: AudioFormat, codec: PyAvAudioCodec, recogniser: PocketsphinxSpeechToText
) -> None:
    other = []
    for text in PHRASES:
        file = await encoded(kind, PAUSE + await said(text, "alloy") + PAUSE)
        understood = (await recogniser.transcribe(await codec.decode(Upload(file)), HEARING)).text
        if understood != text:
            other.append((text, understood))
    print(f"\n{kind}: {len(PHRASES) - len(other)} of {len(PHRASES)}; {other}")
    assert len(other) <= 10


async def test_silence_and_noise_are_no_phrase(recogniser: PocketsphinxSpeechToText) -> None:
    for nothing in (bytes(3 * HEARING_RATE * SAMPLE_BYTES), b"\x00\x10\x00\xf0" * 2 * HEARING_RATE):
        assert (await recogniser.transcribe(Pcm(nothing), HEARING)).text == ""


@pytest.mark.parametrize("voice", VOICES)
async def test_other_sentences_are_seldom_taken_for_a_phrase(
    voice: str, recogniser: PocketsphinxSpeechToText
) -> None:
    right = mistaken = 0
    for text in PHRASES:
        understood = (await recogniser.transcribe(await heard(text, voice), HEARING)).text
        right += understood == text
        mistaken += understood not in {text, ""}
    taken = [bool((await recogniser.transcribe(await heard(it, voice), HEARING)).text) for it in OUTSIDE]
    near, others = taken[:ONE_WORD_AWAY], taken[ONE_WORD_AWAY:]
    print(f"\n{voice}: right {right}, mistaken {mistaken} of {len(PHRASES)};", end=" ")
    print(f"taken {sum(near)} of {len(near)} near, {sum(others)} of {len(others)} others")
    assert mistaken <= 6
    assert sum(near) <= len(near) // 3
    assert sum(others) <= 1


@pytest.mark.parametrize("voice", VOICES)
async def test_so_it_is_with_sentences_that_had_no_part_in_how_that_is_decided(
    voice: str, recogniser: PocketsphinxSpeechToText
) -> None:
    hearing = Hearing(language="en", phrases=HELD_OUT)
    told = [(await recogniser.transcribe(await heard(it, voice), hearing)).text for it in HELD_OUT]
    right = sum(text == said for text, said in zip(told, HELD_OUT, strict=True))
    others = [(await recogniser.transcribe(await heard(it, voice), hearing)).text for it in HELD_OUT_NEAR]
    taken = sum(map(bool, others))
    print(f"\n{voice}: right {right} of {len(HELD_OUT)}; taken {taken} of {len(HELD_OUT_NEAR)} near")
    assert right >= 12
    assert taken <= 5
