"""Sound files are read by a process of their own, and written while the sound is being made."""

import asyncio
import math
import os
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest

from cozy_adapters.codec.files import DecodeLimits, PyAvAudioCodec
from cozy_adapters.inmemory.speech import pcm16, tone
from cozy_domain.audio import HEARING_RATE, SPEAKING_RATE, AudioFormat, Pcm, Upload
from cozy_domain.errors import InputError
from tests.fixtures.sounds import FORMATS, encoded, minutes_in_little, mutations, png, recorded, wav_that_lies


@pytest.fixture
async def codec() -> AsyncIterator[PyAvAudioCodec]:
    codec = PyAvAudioCodec()
    yield codec
    await codec.aclose()


def strength(sound: Pcm, pitch: int) -> float:
    """Share of the sound's energy at one pitch (Goertzel's sum), 0..1."""
    samples = pcm16(sound.samples)
    step = 2 * math.pi * pitch / sound.rate
    real = sum(it * math.cos(step * at) for at, it in enumerate(samples))
    imaginary = sum(it * math.sin(step * at) for at, it in enumerate(samples))
    energy = sum(it * it for it in samples) * len(samples) / 2
    return (real * real + imaginary * imaginary) / energy if energy else 0.0


@pytest.mark.parametrize("name", FORMATS)
async def test_every_upload_format_is_decoded_to_16_khz_mono(codec: PyAvAudioCodec, name: str) -> None:
    sound = await codec.decode(Upload(recorded(name)))
    assert sound.rate == HEARING_RATE
    assert sound.seconds == pytest.approx(2.0, abs=0.15)
    assert strength(sound, 440) > 0.9


@pytest.mark.parametrize("kind", [it for it in AudioFormat if it != AudioFormat.PCM])
async def test_what_we_write_can_be_read(codec: PyAvAudioCodec, kind: AudioFormat) -> None:
    sound = await codec.decode(Upload(await encoded(kind, tone(440, 2 * SPEAKING_RATE))))
    assert sound.seconds == pytest.approx(2.0, abs=0.15)
    assert strength(sound, 440) > 0.9


@pytest.mark.parametrize("kind", list(AudioFormat))
async def test_the_first_bytes_can_be_sent_after_at_most_a_fifth_of_a_second_of_sound(
    codec: PyAvAudioCodec, kind: AudioFormat
) -> None:
    encoder = codec.encoder(kind)
    sent = [len(await encoder.encode(tone(440, SPEAKING_RATE // 50))) for _ in range(10)]
    assert sum(sent) > 0
    assert await encoder.finish() is not None


async def test_half_a_minute_at_once_does_not_hold_the_loop() -> None:
    minute = tone(440, SPEAKING_RATE) * 30
    codec = PyAvAudioCodec()
    encoding = asyncio.create_task(codec.encoder(AudioFormat.MP3).encode(minute))
    rounds = 0
    while not encoding.done():
        await asyncio.sleep(0)
        rounds += 1
    assert len(await encoding) > 50_000
    assert rounds > 100


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (bytes(10_000), "no format"),
        (b"just words " * 100, "no format"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (b"#EXTM3U\nfile:///etc/hostname\n", "playlist"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "playlist"),
        (b"<?xml version='1.0'?><MPD/>", "markup"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "no format"),
    ],
)
async def test_what_is_no_sound_is_refused_with_the_reason(
    codec: PyAvAudioCodec, data: bytes, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        await codec.decode(Upload(data, "music.mp3", "audio/mpeg"))
    assert refused.value.code == "invalid_audio"
    assert refused.value.param == "file"


async def test_a_picture_is_refused_by_its_kind(codec: PyAvAudioCodec) -> None:
    with pytest.raises(InputError, match="a PNG image"):
        await codec.decode(Upload(png(), "speech.wav"))


async def test_a_small_file_that_decodes_to_far_more_than_its_size_is_refused(
    codec: PyAvAudioCodec,
) -> None:
    bomb = minutes_in_little()
    assert len(bomb) < 250_000
    async with asyncio.timeout(60):
        with pytest.raises(InputError) as refused:
            await codec.decode(Upload(bomb))
    assert refused.value.code == "audio_too_long"


async def test_sound_longer_than_allowed_is_refused() -> None:
    codec = PyAvAudioCodec(DecodeLimits(longest_s=1))
    with pytest.raises(InputError, match="1 s") as refused:
        await codec.decode(Upload(recorded("wav")))
    assert refused.value.code == "audio_too_long"
    await codec.aclose()


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF])
async def test_a_header_that_lies_about_the_length_does_no_harm(codec: PyAvAudioCodec, length: int) -> None:
    assert (await codec.decode(Upload(wav_that_lies(length)))).seconds <= 1.1


async def test_a_truncated_mp3_gives_what_is_there(codec: PyAvAudioCodec) -> None:
    whole = recorded("mp3")
    sound = await codec.decode(Upload(whole[: len(whole) // 2]))
    assert sound.seconds == pytest.approx(1.0, abs=0.2)


async def test_decoding_that_takes_too_long_is_ended() -> None:
    codec = PyAvAudioCodec(DecodeLimits(wall_s=0.0, wall_s_per_megabyte=0.0))
    with pytest.raises(InputError, match="took longer"):
        await codec.decode(Upload(recorded("mp3")))
    await codec.aclose()


async def test_a_caller_who_leaves_leaves_no_process(codec: PyAvAudioCodec) -> None:
    await codec.decode(Upload(recorded("wav", 0.1)))
    decoding = asyncio.create_task(codec.decode(Upload(recorded("mp3", 5.0))))
    await asyncio.sleep(0)
    decoding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await decoding
    await codec.aclose()
    assert not [it for it in children() if "sandbox" in it]


async def test_files_that_come_together_have_a_process_each(codec: PyAvAudioCodec) -> None:
    await codec.decode(Upload(recorded("wav")))
    sounds = await asyncio.gather(*(codec.decode(Upload(recorded(name))) for name in ("wav", "flac", "mp3")))
    assert [it.seconds for it in sounds] == pytest.approx([2.0, 2.0, 2.0], abs=0.15)


async def test_who_leaves_while_a_process_starts_does_no_harm_to_the_next() -> None:
    codec = PyAvAudioCodec()
    for _ in range(3):
        leaving = asyncio.create_task(codec.decode(Upload(recorded("wav"))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait((leaving,))
    assert (await codec.decode(Upload(recorded("wav")))).seconds == pytest.approx(2.0, abs=0.15)
    await codec.aclose()
    assert not [it for it in children() if "sandbox" in it]


async def test_a_waiting_process_that_was_killed_is_not_given_a_file(codec: PyAvAudioCodec) -> None:
    upload = Upload(recorded("mp3", 0.5))
    await codec.decode(upload)
    assert codec._spare
    waiting = await codec._spare
    waiting.kill()
    await waiting.wait()
    assert (await codec.decode(upload)).seconds == pytest.approx(0.5, abs=0.15)


async def test_clients_that_leave_while_a_process_starts_do_not_make_more_and_more(
    codec: PyAvAudioCodec,
) -> None:
    upload = Upload(recorded("mp3", 0.5))
    for _ in range(10):
        decoding = [asyncio.create_task(codec.decode(upload)) for _ in range(2)]
        await asyncio.sleep(0)  # the second one has to wait for its process
        for it in decoding:
            it.cancel()
        await asyncio.wait(decoding)
    await codec.decode(upload)
    await codec.decode(upload)
    assert len([it for it in children() if "sandbox" in it]) <= 2


async def test_mutilated_files_are_read_or_refused_and_nothing_else(codec: PyAvAudioCodec) -> None:
    outcomes = {await outcome(codec, *it) for it in mutations(seed=1, count=10)}
    assert outcomes <= {"read", "invalid_audio", "audio_too_long"}
    assert {"read", "invalid_audio"} <= outcomes


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_a_stream_of_another_rate_is_resampled(rate: int) -> None:
    resampler = PyAvAudioCodec().resampler(rate)
    samples = tone(440, rate)  # its pitch is relative to 24 kHz
    out = b"".join(resampler.decode(samples[at : at + 641]) for at in range(0, len(samples), 641))
    assert len(out) / 2 == pytest.approx(HEARING_RATE, rel=0.02)


@pytest.mark.parametrize("rate", [7_999, 48_001, -1])
def test_a_rate_that_is_none_is_refused(rate: int) -> None:
    with pytest.raises(InputError, match="outside 8000 to 48000"):
        PyAvAudioCodec().resampler(rate)


def test_opus_packets_become_sound_and_rubbish_is_refused() -> None:
    decoder = PyAvAudioCodec().opus()
    packets = opus_packets(tone(440, SPEAKING_RATE))
    out = b"".join(decoder.decode(it) for it in packets)
    assert len(out) / 2 == pytest.approx(HEARING_RATE, rel=0.1)
    for rubbish in (b"", b"\xff" * 7):
        with pytest.raises(InputError, match="Opus"):
            decoder.decode(rubbish)


async def outcome(codec: PyAvAudioCodec, name: str, data: bytes) -> str:
    """What becomes of a file."""
    try:
        async with asyncio.timeout(60):
            await codec.decode(Upload(data, name))
    except InputError as refusal:
        return refusal.code
    return "read"


def opus_packets(samples: bytes) -> list[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 24_000, "mono", "s16"
    packets = []
    for at in range(0, len(samples), 960):
        frame = av.AudioFrame(format="s16", layout="mono", samples=480)
        frame.planes[0].update(samples[at : at + 960].ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = 24_000
        packets += [bytes(it) for it in encoder.encode(frame)]
    return packets


def children() -> list[str]:
    """The command lines of this process's children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status = (process / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == os.getpid():
                found.append((process / "cmdline").read_text())
        except (OSError, ValueError):
            continue
    return found
