"""A call without a network: a line, and the caller at its other end, in one process.

Sound goes in packets of 20 ms through a line with any weather: each packet has a delay, or is lost. The line's own side puts
them in order as a real one does. Time is that of the running event loop (so a loop with virtual time makes a call of minutes
in no time), or `HandWoundTime`, which moves only when told and needs no event loop at all::

    time = HandWoundTime()
    call = InMemoryCall(time)
    call.peer.listen(listener)
    call.caller.say(pcm_of_16_khz)
    time.advance(2_000_000_000)
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Protocol

import msgspec

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES
from cozy_domain.voice.incoming import RTP_RATE, Incoming, Missing, Piece
from cozy_domain.voice.outgoing import Outgoing
from cozy_domain.voice.ports import CLOSED, HUNG_UP, VANISHED, PeerListener

SECOND = 1_000_000_000
FRAME_NS = SECOND // 50
HEARD_BYTES = HEARING_RATE // 50 * SAMPLE_BYTES
FRAME_TICKS = RTP_RATE // 50
ONE_FRAME = b"\xf8"
"""Stands where an Opus packet says that it is one frame of 20 ms (RFC 6716, section 3.1)."""
UNREAD = 64
"""Messages that wait for a caller who is away; more, and the oldest are dropped."""
LOST_NS = 3 * SECOND
"""So long nothing comes from a caller whose line is down before that is told."""
VANISHED_NS = 30 * SECOND

Weather = Iterable[int | None]
"""Nanoseconds that each packet of the caller takes; None is one that is lost. When it ends the weather is fair."""


class Time(Protocol):
    def now_ns(self) -> int: ...

    def call_at(self, at_ns: int, act: Callable[[], None]) -> None: ...


class LoopTime:
    """The running event loop's."""

    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * SECOND)

    def call_at(self, at_ns: int, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_at(at_ns / SECOND, act)


class HandWoundTime:
    """Stands still until ``advance``."""

    def __init__(self) -> None:
        self._now_ns = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def now_ns(self) -> int:
        return self._now_ns

    def call_at(self, at_ns: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_ns, next(self._order), act))

    def advance(self, by_ns: int) -> None:
        """Does what is due until then, in order."""
        until = self._now_ns + by_ns
        while self._due and self._due[0][0] <= until:
            at_ns, _, act = heapq.heappop(self._due)
            self._now_ns = max(self._now_ns, at_ns)
            act()
        self._now_ns = until


class Heard(msgspec.Struct, frozen=True):
    """What came out at the caller's: PCM16 at `SPEAKING_RATE`, when it began to sound, and how much of it was given."""

    at_ns: int
    samples: bytes
    spoken: int


class InMemoryCall:
    """``peer`` is the line and ``caller`` who speaks on it; they are connected at once.

    Args:
        time: The running event loop's if not given.
        weather: Of the caller's packets; fair if not given.
    """

    def __init__(self, time: Time | None = None, weather: Weather = ()) -> None:
        self._time = time or LoopTime()
        self.peer = InMemoryPeer(self._time)
        self.caller = InMemoryCaller(self._time, self.peer, weather)
        self.peer.caller = self.caller
        self.caller.dial()


class InMemoryPeer:
    """An `AudioPeer`."""

    caller: "InMemoryCaller"

    def __init__(self, time: Time) -> None:
        self._time = time
        self._listener: PeerListener | None = None
        self._untold: list[Callable[[PeerListener], None]] = []
        self._outgoing = Outgoing()
        self._incoming = Incoming()
        self._unread: deque[str] = deque(maxlen=UNREAD)
        self._frame_armed_ns: int | None = None
        self._hole_armed_ns: int | None = None
        self._lost = False
        self._ended = False

    def listen(self, listener: PeerListener) -> None:
        self._listener = listener
        for tell in self._untold:
            tell(listener)
        self._untold.clear()

    def play(self, samples: bytes) -> None:
        if not self._ended:
            self._outgoing.play(samples)
            self._arm_frame()

    @property
    def queued(self) -> int:
        return self._outgoing.queued

    def pause(self) -> None:
        self._outgoing.pause()

    def resume(self) -> None:
        self._outgoing.resume()
        self._arm_frame()

    def clear(self) -> int:
        return self._outgoing.clear()

    def tell(self, message: str) -> None:
        if not self._ended:
            self._unread.append(message)
            self.deliver()

    async def close(self) -> None:
        self.end(CLOSED)

    def deliver(self) -> None:
        """Hands over the messages, if the caller is there."""
        while self._unread and not self.caller.away:
            self.caller.messages.append(self._unread.popleft())

    def arrive(self, sequence: int, timestamp: int, packet: bytes) -> None:
        if self._ended:
            return
        self._hear(self._incoming.arrived(sequence, timestamp, packet, self._time.now_ns()))

    def report(self, tell: Callable[[PeerListener], None]) -> None:
        """Tells the listener, now or when there is one."""
        if self._ended:
            return
        if self._listener is None:
            self._untold.append(tell)
        else:
            tell(self._listener)

    def lose(self) -> None:
        if not self._lost:
            self._lost = True
            self.report(lambda it: it.lost(LOST_NS))

    def find(self) -> None:
        if self._lost:
            self._lost = False
            self.report(lambda it: it.resumed())
            self._arm_frame()
        self.deliver()

    def end(self, reason: str) -> None:
        self.report(lambda it: it.ended(reason))
        self._ended = True
        self._outgoing.clear()
        self.caller.ended = True

    def _hear(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            samples = bytes(piece.ticks // 3 * SAMPLE_BYTES) if isinstance(piece, Missing) else piece[1:]
            self.report(lambda it, samples=samples: it.heard(samples))  # type: ignore[misc]
        due = self._incoming.due_ns
        if due is not None and self._hole_armed_ns != due:
            self._hole_armed_ns = due
            self._time.call_at(due, self._hole_is_due)

    def _hole_is_due(self) -> None:
        self._hole_armed_ns = None
        if not self._ended:
            self._hear(self._incoming.waited(self._time.now_ns()))

    def _arm_frame(self) -> None:
        due = self._outgoing.due_ns
        if due is not None and self._frame_armed_ns is None and not self._lost and not self._ended:
            self._frame_armed_ns = max(due, self._time.now_ns())
            self._time.call_at(self._frame_armed_ns, self._frame_is_due)

    def _frame_is_due(self) -> None:
        self._frame_armed_ns = None
        now = self._time.now_ns()
        while not (self._lost or self._ended) and (frame := self._outgoing.take(now)) is not None:
            self.caller.listen(Heard(now, frame.samples, frame.spoken))
            if frame.spoken:
                left = self._outgoing.left
                self.report(lambda it, left=left: it.played(left))  # type: ignore[misc]
        self._arm_frame()


class InMemoryCaller:
    """A microphone that is on until it is muted, an ear that keeps what it hears, and the ``messages`` that came."""

    def __init__(self, time: Time, peer: InMemoryPeer, weather: Weather) -> None:
        self.heard: list[Heard] = []
        self.messages: list[str] = []
        self.away = False
        self.ended = False
        self._time = time
        self._peer = peer
        self._weather = iter(weather)
        self._to_say = bytearray()
        self._muted = False
        self._sequence = 0
        self._start_ns = time.now_ns()
        self._gone_since_ns = 0

    def dial(self) -> None:
        self._peer.report(lambda it: it.connected())
        self._speak()

    def say(self, samples: bytes) -> None:
        """PCM16 at `HEARING_RATE`, spoken in real time after what is not said yet."""
        self._to_say += samples

    @property
    def saying(self) -> bool:
        """Whether anything of it is not said yet."""
        return bool(self._to_say)

    def mute(self) -> None:
        """No more packets."""
        self._muted = True

    def unmute(self) -> None:
        self._muted = False

    def tell(self, message: str) -> None:
        if not (self.away or self.ended):
            self._peer.report(lambda it: it.told(message))

    def go_away(self) -> None:
        """The line is down: nothing goes either way."""
        self.away = True
        self._gone_since_ns = gone = self._time.now_ns()

        def check(act: Callable[[], None]) -> Callable[[], None]:
            return lambda: act() if self.away and self._gone_since_ns == gone else None

        self._time.call_at(gone + LOST_NS, check(self._peer.lose))
        self._time.call_at(gone + VANISHED_NS, check(lambda: self._peer.end(VANISHED)))

    def come_back(self) -> None:
        self.away = False
        self._peer.find()

    def hang_up(self) -> None:
        if not self.ended:
            self._peer.end(HUNG_UP)

    def listen(self, heard: Heard) -> None:
        if not self.away:
            self.heard.append(heard)

    def _speak(self) -> None:
        """A packet every 20 ms of what is to be said, else of silence."""
        if self.ended:
            return
        now = self._time.now_ns()
        sound = bytes(self._to_say[:HEARD_BYTES]).ljust(HEARD_BYTES, b"\0")
        del self._to_say[:HEARD_BYTES]
        if not self._muted:
            self._send(ONE_FRAME + sound, now)
        frames = (now - self._start_ns) // FRAME_NS + 1
        self._time.call_at(self._start_ns + frames * FRAME_NS, self._speak)

    def _send(self, packet: bytes, now: int) -> None:
        sequence, self._sequence = self._sequence, self._sequence + 1
        delay = next(self._weather, 0)
        if delay is None or self.away:
            return
        timestamp = (now - self._start_ns) // FRAME_NS * FRAME_TICKS

        def arrive() -> None:
            self._peer.arrive(sequence % (1 << 16), timestamp % (1 << 32), packet)

        self._time.call_at(now + delay, arrive)
