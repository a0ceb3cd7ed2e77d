"""The sound of a socket: as its page says that it is, or as it comes."""

import asyncio
import logging

import pytest

from cozy_adapters.codec.files import PyAvAudioCodec
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES
from cozy_server.fastrtc.frames import SocketWish
from cozy_server.fastrtc.mulaw import encode
from cozy_server.fastrtc.socket import sound_of
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("wish", [SocketWish(), SocketWish(format="pcm16")])
@pytest.mark.parametrize("is_said", [False, True])
async def test_sound_of_a_browsers_rate_is_heard_as_long_as_it_was_spoken(
    wish: SocketWish, is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rate = 48_000
    assumed = rate if is_said else 24_000
    sound = sound_of(wish, PyAvAudioCodec(), assumed, 24_000, None if is_said else LoopClock())
    piece = bytes(rate // 50 * SAMPLE_BYTES)
    payload = encode(piece) if wish.format == "mulaw" else piece
    seconds = []
    for _ in range(4):
        heard = 0
        for _ in range(50):
            await asyncio.sleep(0.02)
            heard += len(sound.hear(payload)) // SAMPLE_BYTES
        seconds.append(heard / HEARING_RATE)
    assert seconds[0] == pytest.approx(1.0 if is_said else 1.85, abs=0.05)
    assert seconds[1:] == pytest.approx([1.0] * 3, abs=0.01)
    noticed = [it.__dict__["rate"] for it in caplog.records if it.getMessage() == "socket_rate_noticed"]
    assert noticed == ([] if is_said else [rate])
