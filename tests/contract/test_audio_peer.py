"""What every line to a caller promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from cozy_adapters.clock import SystemClock
from cozy_adapters.inmemory.peer import InMemoryCall
from cozy_adapters.webrtc.connections import WebRtcConnections
from cozy_adapters.webrtc.peer import Patience
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.voice.ports import CLOSED, HUNG_UP, VANISHED
from tests.fixtures.calls import (
    LOUD,
    Call,
    Listener,
    loud_seconds,
    loudness,
    said,
    spoken,
    strength,
    until,
)
from tests.fixtures.webrtc import PlainCaller

MANY = 2_000
"""Messages, more than any line keeps."""


class AudioPeerContract(ABC):
    """``silent_within_s`` is how much of what is loud still arrives after the line was told to stop."""

    silent_within_s: float

    @pytest.fixture
    @abstractmethod
    async def call(self) -> AsyncIterator[Call]: ...

    async def test_it_connects_once_and_first(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        call.far.say(said(0.1))
        await until(lambda: loud_seconds(bytes(call.listener.sound), HEARING_RATE) > 0.05)
        assert call.listener.told_in_order == [("connected", None)]

    async def test_what_the_caller_says_is_heard_whole_and_in_tune(self, call: Call) -> None:
        call.far.say(said(1.0, 440))
        await until(lambda: loud_seconds(bytes(call.listener.sound), HEARING_RATE) >= 0.95)
        sound = bytes(call.listener.sound)
        assert loud_seconds(sound, HEARING_RATE) == pytest.approx(1.0, abs=0.08)
        start = next(at for at in range(0, len(sound), 320) if loudness(sound[at : at + 320]) > LOUD)
        inside = sound[start + 6_400 : start + 25_600]
        assert strength(inside, 440, HEARING_RATE) > 0.7 * 8_000
        assert strength(inside, 660, HEARING_RATE) < 500

    async def test_samples_count_the_time_that_the_microphone_is_on(self, call: Call) -> None:
        call.far.say(said(0.1))
        await until(lambda: bool(call.listener.sound))
        before, at = len(call.listener.sound), asyncio.get_running_loop().time()

        def ahead_s() -> float:
            samples = (len(call.listener.sound) - before) / SAMPLE_BYTES
            return samples / HEARING_RATE - (asyncio.get_running_loop().time() - at)

        await until(lambda: asyncio.get_running_loop().time() - at >= 1.0)
        await until(lambda: abs(ahead_s()) < 0.15)  # at once, unless the machine stood still

    async def test_what_is_played_is_heard_by_the_caller_in_real_time(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        call.peer.play(spoken(0.6, 440))
        assert call.peer.queued == round(0.6 * SPEAKING_RATE)
        await until(lambda: call.listener.left == round(0.6 * SPEAKING_RATE))
        assert loop.time() - started > 0.5
        assert call.peer.queued == 0
        await until(lambda: loud_seconds(sound_of(call), SPEAKING_RATE) >= 0.55)
        assert strength(loud_part(call), 440, SPEAKING_RATE) > 0.7 * 8_000

    async def test_pieces_of_any_length_are_played_as_one(self, call: Call) -> None:
        sound = spoken(0.5)
        for at in range(0, len(sound), 1_234):
            call.peer.play(sound[at : at + 1_234])
        await until(lambda: call.listener.left == len(sound) // SAMPLE_BYTES)
        await until(lambda: loud_seconds(sound_of(call), SPEAKING_RATE) >= 0.45)
        assert strength(loud_part(call), 440, SPEAKING_RATE) > 0.7 * 8_000

    async def test_a_pause_is_heard_at_once_and_it_goes_on_where_it_was(self, call: Call) -> None:
        call.peer.play(spoken(0.5, 440) + spoken(0.5, 880))
        await until(lambda: call.listener.left >= 0.2 * SPEAKING_RATE)
        call.peer.pause()
        call.peer.pause()
        queued, left = call.peer.queued, call.listener.left
        assert queued + left == SPEAKING_RATE
        await self.is_silent(call)
        assert (call.peer.queued, call.listener.left) == (queued, left)
        call.peer.resume()
        await until(lambda: call.listener.left == SPEAKING_RATE)
        await until(lambda: loud_seconds(sound_of(call), SPEAKING_RATE) >= 0.95)
        assert loud_seconds(sound_of(call), SPEAKING_RATE) == pytest.approx(1.0, abs=0.08)

    async def test_clearing_is_heard_at_once_and_nothing_of_it_counts_later(self, call: Call) -> None:
        call.peer.play(spoken(5.0))
        await until(lambda: call.listener.left >= 0.2 * SPEAKING_RATE)
        left = call.peer.clear()
        assert left == call.listener.left
        assert call.peer.queued == 0
        await self.is_silent(call)
        assert call.listener.left == left
        call.peer.play(spoken(0.1, 880))
        await until(lambda: call.listener.left == left + round(0.1 * SPEAKING_RATE))

    async def test_clearing_ends_a_pause(self, call: Call) -> None:
        call.peer.play(spoken(1.0))
        call.peer.pause()
        call.peer.clear()
        left = call.listener.left
        call.peer.play(spoken(0.1))
        await until(lambda: call.listener.left == left + round(0.1 * SPEAKING_RATE))

    async def test_messages_go_both_ways_in_order(self, call: Call) -> None:
        for number in range(10):
            call.peer.tell(f'{{"number": {number}, "text": "你好"}}')
        await until(lambda: len(call.far.messages) == 10)
        assert call.far.messages == [f'{{"number": {number}, "text": "你好"}}' for number in range(10)]
        for number in range(10):
            call.far.tell(f"line {number}")
        await until(lambda: len(call.listener.messages) == 10)
        assert call.listener.messages == [f"line {number}" for number in range(10)]

    async def test_a_caller_who_reads_nothing_does_not_fill_the_memory(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        call.far.go_away()
        await until(lambda: call.listener.times("lost") == 1)
        for number in range(MANY):
            call.peer.tell(f"{number}: " + "x" * 1_000)
        call.far.come_back()
        await until(lambda: bool(call.far.messages) and call.far.messages[-1].startswith(f"{MANY - 1}:"))
        assert len(call.far.messages) < MANY

    async def test_what_is_played_waits_while_the_line_is_lost(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        call.far.go_away()
        await until(lambda: call.listener.times("lost") == 1)
        call.peer.play(spoken(0.3))
        assert call.listener.left == 0
        call.far.come_back()
        await until(lambda: call.listener.left == round(0.3 * SPEAKING_RATE))
        (_, (_, silent_ns), _) = call.listener.told_in_order
        assert [name for name, _ in call.listener.told_in_order] == ["connected", "lost", "resumed"]
        assert 0 < silent_ns / 1e9 < 4, "since the last sign of life"
        await until(lambda: loud_seconds(sound_of(call), SPEAKING_RATE) >= 0.25)

    async def test_a_caller_who_does_not_come_back_has_vanished(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        call.far.go_away()
        await until(lambda: call.listener.ending is not None, 60)
        assert [name for name, _ in call.listener.told_in_order] == ["connected", "lost", "ended"]
        assert call.listener.ending == VANISHED

    async def test_hanging_up_ends_it_once(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        await call.far.hang_up()
        await until(lambda: call.listener.ending is not None)
        assert call.listener.ending == HUNG_UP
        await call.peer.close()
        assert call.listener.times("ended") == 1

    async def test_closing_ends_it_once_and_the_caller_notices(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        await call.peer.close()
        await call.peer.close()
        assert call.listener.told_in_order == [("connected", None), ("ended", CLOSED)]
        await until(lambda: call.far.ended)

    async def test_what_was_told_before_closing_arrives(self, call: Call) -> None:
        call.peer.tell("hello")
        await until(lambda: call.far.messages == ["hello"])
        for number in range(5):
            call.peer.tell(f"goodbye {number}")
        await call.peer.close()
        await until(lambda: call.far.ended)
        assert call.far.messages[1:] == [f"goodbye {number}" for number in range(5)]

    async def test_after_the_end_nothing_does_anything(self, call: Call) -> None:
        await until(lambda: bool(call.listener.told_in_order))
        await call.peer.close()
        call.peer.play(spoken(0.1))
        call.peer.pause()
        call.peer.resume()
        call.peer.tell("anybody there?")
        assert call.peer.clear() == call.listener.left == 0
        assert call.peer.queued == 0
        assert call.listener.times("ended") == 1

    async def is_silent(self, call: Call) -> None:
        """No more than `silent_within_s` of what is loud comes from now on; then nothing, for half a second."""
        loop = asyncio.get_running_loop()
        stopped, heard = loop.time(), len(call.far.heard)
        await until(lambda: loop.time() > stopped + self.silent_within_s + 0.5)
        late = b"".join(sound for _, sound in call.far.heard[heard:])
        assert loud_seconds(late, SPEAKING_RATE) <= self.silent_within_s


def sound_of(call: Call) -> bytes:
    return b"".join(sound for _, sound in call.far.heard)


def loud_part(call: Call) -> bytes:
    """The middle of what was loud, without its edges."""
    loud = [sound for _, sound in call.far.heard if loudness(sound) > LOUD]
    return b"".join(loud[3:-3])


class InMemoryFarEnd:
    def __init__(self, call: InMemoryCall) -> None:
        self._caller = call.caller
        self.say = self._caller.say
        self.tell = self._caller.tell
        self.go_away = self._caller.go_away
        self.come_back = self._caller.come_back
        self.messages = self._caller.messages

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        return [(it.at_ns / 1e9, it.samples) for it in self._caller.heard]

    @property
    def ended(self) -> bool:
        return self._caller.ended

    async def hang_up(self) -> None:
        self._caller.hang_up()


@pytest.mark.virtual_time
class TestInMemoryAudioPeer(AudioPeerContract):
    silent_within_s = 0.001

    @pytest.fixture
    async def call(self) -> AsyncIterator[Call]:
        made, listener = InMemoryCall(), Listener()
        made.peer.listen(listener)
        yield Call(made.peer, InMemoryFarEnd(made), listener)
        await made.peer.close()


class TestWebRtcAudioPeer(AudioPeerContract):
    """On loopback, called by plain aiortc; its jitter buffer keeps up to 100 ms."""

    silent_within_s = 0.25

    @pytest.fixture
    async def call(self) -> AsyncIterator[Call]:
        connections = WebRtcConnections(SystemClock(), patience=Patience(30.0, 0.5, 2.0))
        caller, listener = PlainCaller(), Listener()
        answered = await connections.answer("test", await caller.offer())
        answered.peer.listen(listener)
        await caller.accept(answered.sdp)
        yield Call(answered.peer, caller, listener)
        await connections.aclose()
        assert connections.open == 0
        await caller.hang_up()
