"""A caller's line over a WebSocket: sound in base64, both ways at the pace of real time.

One task reads and one writes, for as long as ``run``. What comes in is taken as fast as it is spoken: a client that sends
faster is read slower, and one that sends more messages than sound can explain is cut. What goes out is paced by `Pacing`; a
client that does not read for `SEND_S` is cut, and meanwhile the oldest messages to it are forgotten.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from cozy_domain.access.limits import Bucket, Limit
from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.clock import Clock
from cozy_domain.errors import InputError
from cozy_domain.voice.ports import CLOSED, FAILED, HUNG_UP, VANISHED, PeerListener
from cozy_server.fastrtc.frames import (
    LARGEST,
    Key,
    Mark,
    Media,
    Ping,
    Start,
    Stop,
    Words,
    clear,
    mark,
    media,
    pong,
    read,
)
from cozy_server.fastrtc.marks import Marks
from cozy_server.fastrtc.pacing import Pacing
from cozy_server.fastrtc.translate import dtmf, error
from cozy_server.sockets import SocketLeftError

IDLE_S = 60.0
"""Without any message. Microphones send all the time; who only listens may ping."""
SEND_S = 10.0
MOST_MESSAGES = 256
"""Text messages that wait to be read by a client."""
MESSAGES = Limit(500, window_us=2_000_000)
"""Sound in pieces of 10 ms is 100 messages a second; a stutter of the network brings some seconds of them at once."""
SURPLUS_NS = 2_000_000_000
"""So much sooner than it is spoken sound may come before it is read slower."""
_SECOND_NS = 1_000_000_000

Receive = Callable[[], Awaitable[str | None]]
"""The client's next message; None when it has gone."""
Send = Callable[[str], Awaitable[None]]


class SocketSound(msgspec.Struct, frozen=True):
    """The sound of one socket: ``hear`` turns a payload into PCM16 at `HEARING_RATE`, ``speak`` PCM16 at `SPEAKING_RATE`
    into a payload."""

    hear: Callable[[bytes], bytes]
    speak: Callable[[bytes], bytes]


class Ending(msgspec.Struct, frozen=True):
    """Why it is over: as a line's ending, and as the socket is closed (RFC 6455, section 7.4)."""

    reason: str
    code: int


GONE = Ending(HUNG_UP, 1000)
LOST = Ending(VANISHED, 1006)
ENDED = Ending(CLOSED, 1000)
IDLE = Ending(VANISHED, 1008)
FLOOD = Ending(CLOSED, 1008)
TOO_LARGE = Ending(CLOSED, 1009)
MALFORMED = Ending(CLOSED, 1007)
SLOW = Ending(VANISHED, 1013)
"""A program that breaks the rules has no call to come back to; one that was only too slow has."""


class SocketPeer:
    """An `AudioPeer`. ``take_back``: the far end obeys ``clear``. A ``stream_sid`` is of a telephone, which reads no
    words, and says what it has played."""

    def __init__(
        self, sound: SocketSound, clock: Clock, *, take_back: bool, stream_sid: str | None = None
    ) -> None:
        self._sound = sound
        self._clock = clock
        self._stream_sid = stream_sid
        self._pacing = Pacing(take_back=take_back)
        self._marks = Marks()
        self._listener: PeerListener | None = None
        self._messages: deque[str] = deque(maxlen=MOST_MESSAGES)
        self._wake = asyncio.Event()
        self._ending: Ending | None = None
        self._closing = asyncio.Event()
        self._over = asyncio.Event()
        self._running = False
        self._told = -1

    def listen(self, listener: PeerListener) -> None:
        self._listener = listener
        listener.connected()

    def play(self, samples: bytes) -> None:
        if self._ending is None:
            self._pacing.add(samples)
            self._wake.set()

    @property
    def queued(self) -> int:
        return self._pacing.queued

    def pause(self) -> None:
        if not self._pacing.paused:
            self._pacing.pause(self._clock.monotonic_ns())
            self._forget()

    def resume(self) -> None:
        self._pacing.resume()
        self._wake.set()

    def clear(self) -> int:
        heard = self._pacing.clear(self._clock.monotonic_ns())
        self._forget()
        return heard

    def tell(self, message: str) -> None:
        if self._ending is None and self._stream_sid is None:
            self._messages.append(message)
            self._wake.set()

    async def close(self) -> None:
        self._end(ENDED)
        if self._running:
            await self._over.wait()

    async def run(self, receive: Receive, send: Send) -> Ending:
        """Carries sound and messages until the line ends; what was told before that has been sent then."""
        self._running = True
        reading = asyncio.create_task(self._read(receive), name="socket reads")
        writing = asyncio.create_task(self._write(send), name="socket writes")
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and self._ending is not LOST:
                await asyncio.wait((writing,), timeout=SEND_S)
        finally:
            for task in (reading, writing):
                task.cancel()
            failures = await asyncio.gather(reading, writing, return_exceptions=True)
            self._end(Ending(FAILED, 1011))
            self._over.set()
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure
        return self._ending or ENDED

    def _end(self, ending: Ending) -> None:
        """The first one counts."""
        if self._ending is not None:
            return
        self._ending = ending
        self._closing.set()
        self._wake.set()
        if self._listener is not None:
            self._listener.ended(ending.reason)

    def _forget(self) -> None:
        """What the far end has is not to be played."""
        self._marks.forget()
        if self._ending is None:
            self._messages.append(clear(self._stream_sid))
            self._wake.set()

    async def _read(self, receive: Receive) -> None:
        allowance = Bucket(MESSAGES)
        surplus = _Surplus(self._clock)
        while self._ending is None:
            try:
                async with asyncio.timeout(IDLE_S):
                    message = await receive()
            except TimeoutError:
                self._end(IDLE)
                return
            if message is None:
                self._end(LOST)
            elif not allowance.admits(self._clock.monotonic_ns() // 1_000):
                self._end(FLOOD)
            elif len(message) > LARGEST:
                self._end(TOO_LARGE)
            elif ahead_ns := surplus.of(self._take(message)):
                await _within(self._closing, ahead_ns)

    def _take(self, message: str) -> int:
        """The samples in it."""
        try:
            inbound = read(message)
        except InputError as wrong:
            self.tell(error(wrong.message))
            self._end(MALFORMED)
            return 0
        listener = self._listener
        match inbound:
            case Media(payload):
                samples = self._sound.hear(payload)
                if listener is not None and samples:
                    listener.heard(samples)
                return len(samples) // SAMPLE_BYTES
            case Stop():
                self._end(GONE)
            case Ping():
                self.tell(pong())
            case Key(digit):
                if listener is not None:
                    listener.told(dtmf(digit))
            case Mark(name):
                self._marks.echoed(name)
                self._wake.set()
            case Words(words):
                if listener is not None:
                    listener.told(words)
            case Start():
                pass  # it has begun
        return 0

    async def _write(self, send: Send) -> None:
        while True:
            self._wake.clear()
            while self._messages:
                if not await self._sent(send, self._messages.popleft()):
                    return
            if self._ending is not None:
                return
            now_ns = self._clock.monotonic_ns()
            if frame := self._pacing.take(now_ns):
                if not await self._sent(send, media(self._sound.speak(frame), self._stream_sid)):
                    return
                self._mark_the_end()
                self._tell_played()
                continue
            self._tell_played()
            await _within(self._wake, _soonest(self._pacing.next_ns(now_ns), self._marks.next_ns(now_ns)))

    async def _sent(self, send: Send, message: str) -> bool:
        try:
            async with asyncio.timeout(SEND_S):
                await send(message)
        except TimeoutError:
            self._end(SLOW)
            return False
        except SocketLeftError:
            self._end(LOST)
            return False
        return True

    def _mark_the_end(self) -> None:
        """Where a telephone has all there is for now."""
        if self._stream_sid is None or self._pacing.queued:
            return
        now_ns = self._clock.monotonic_ns()
        sent = self._pacing.sent
        rest_ns = (sent - self._pacing.heard(now_ns)) * _SECOND_NS // SPEAKING_RATE
        self._messages.append(mark(self._marks.set(sent, now_ns + rest_ns), self._stream_sid))

    def _tell_played(self) -> None:
        now_ns = self._clock.monotonic_ns()
        heard = self._marks.confirmed(self._pacing.heard(now_ns), now_ns)
        if heard != self._told and self._listener is not None and self._ending is None:
            self._told = heard
            self._listener.played(heard)


class _Surplus:
    """How far what was heard is ahead of the time that it took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard_until_ns = 0

    def of(self, samples: int) -> int:
        """After so many more: nanoseconds to wait before more is read."""
        now_ns = self._clock.monotonic_ns()
        until_ns = max(self._heard_until_ns, now_ns) + samples * _SECOND_NS // HEARING_RATE
        self._heard_until_ns = until_ns
        return max(0, until_ns - now_ns - SURPLUS_NS)


def _soonest(*waits_ns: int | None) -> int | None:
    return min((it for it in waits_ns if it is not None), default=None)


async def _within(event: asyncio.Event, ns: int | None) -> None:
    """Until it is set, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None if ns is None else ns / _SECOND_NS):
            await event.wait()
