"""The lines of a call, one after the other: what they tell becomes the events of the session.

A call outlives its lines: when one is lost, another may be attached. What a line tells after that is heard by nobody.
"""

from collections.abc import Callable

from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.clock import Clock
from cozy_domain.voice.ear import Ear
from cozy_domain.voice.events import (
    CloseRequested,
    Event,
    MediaConnected,
    MediaLost,
    MediaResumed,
    PlayoutProgressed,
)
from cozy_domain.voice.loudspeaker import Loudspeaker
from cozy_domain.voice.ports import CLOSED, HUNG_UP, NEVER_CONNECTED, AudioPeer, PeerListener

PROGRESS = SPEAKING_RATE // 5
"""Samples between two reports of what was played: 200 ms, well below the 500 that the session wants."""


class Media:
    """A `PeerListener` for whichever line is the call's. ``told`` gets the messages of the caller's program."""

    def __init__(
        self,
        ear: Ear,
        loudspeaker: Loudspeaker,
        clock: Clock,
        tell: Callable[[Event], None],
        told: Callable[[str], None],
    ) -> None:
        self._ear = ear
        self._loudspeaker = loudspeaker
        self._clock = clock
        self._tell = tell
        self._told = told
        self._line: _Line | None = None
        self._met = False
        """Whether sound has flowed on any line."""
        self._reported = 0
        self._fresh = True
        """Whether the next sound that leaves is the first one after a silence, which the session waits for."""

    def attach(self, peer: AudioPeer) -> AudioPeer | None:
        """The caller is on this line from now on; the one before it, which is to be closed."""
        earlier = self._line
        if earlier:
            earlier.leave()
            if self._met:
                self._tell(MediaLost(self._now()))
        self._line = _Line(peer, self)
        self._loudspeaker.connect(peer)
        self._ear.forget()
        peer.listen(self._line)
        return earlier.peer if earlier else None

    @property
    def peer(self) -> AudioPeer | None:
        """The line of now."""
        return self._line.peer if self._line else None

    def clear(self) -> int:
        """Silence; how much was played in the end."""
        self._reported = self._loudspeaker.clear()
        self._fresh = True
        return self._reported

    # What the line tells.

    def connected(self) -> None:
        now, met = self._now(), self._met
        self._met = True
        self._tell(MediaResumed(now, kept=False) if met else MediaConnected(now))

    def heard(self, samples: bytes) -> None:
        self._ear.heard(samples)

    def told(self, message: str) -> None:
        self._told(message)

    def played(self, samples: int) -> None:
        loudspeaker = self._loudspeaker
        loudspeaker.left(samples)
        played = loudspeaker.played
        news = played - self._reported
        if news and (self._fresh or news >= PROGRESS or loudspeaker.idle):
            self._reported = played
            self._fresh = loudspeaker.idle
            self._tell(PlayoutProgressed(self._now(), played, loudspeaker.sent))

    def lost(self, silent_ns: int) -> None:
        self._ear.forget()
        self._tell(MediaLost(self._now(), silent_ns))

    def resumed(self) -> None:
        self._tell(MediaResumed(self._now()))

    def ended(self, reason: str) -> None:
        now = self._now()
        if reason in {HUNG_UP, CLOSED}:
            self._tell(CloseRequested(now, "hangup"))
        elif not self._met:
            self._tell(CloseRequested(now, "connect_timeout" if reason == NEVER_CONNECTED else "media_lost"))
        else:
            self._tell(MediaLost(now))

    def _now(self) -> int:
        return self._clock.monotonic_ns()


class _Line:
    """One line, which tells nothing any more when another one has taken its place."""

    def __init__(self, peer: AudioPeer, listener: PeerListener) -> None:
        self.peer = peer
        self._listener: PeerListener | None = listener

    def leave(self) -> None:
        self._listener = None

    def connected(self) -> None:
        if self._listener:
            self._listener.connected()

    def heard(self, samples: bytes) -> None:
        if self._listener:
            self._listener.heard(samples)

    def told(self, message: str) -> None:
        if self._listener:
            self._listener.told(message)

    def played(self, samples: int) -> None:
        if self._listener:
            self._listener.played(samples)

    def lost(self, silent_ns: int) -> None:
        if self._listener:
            self._listener.lost(silent_ns)

    def resumed(self) -> None:
        if self._listener:
            self._listener.resumed()

    def ended(self, reason: str) -> None:
        if self._listener:
            self._listener.ended(reason)
