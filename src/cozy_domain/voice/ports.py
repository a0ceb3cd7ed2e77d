"""Ports to the line that a caller speaks on."""

from typing import Protocol

import msgspec


class PeerListener(Protocol):
    """What a line tells, in the order in which it happens, from the event loop. Nothing here may wait: it is called for
    every frame of every call. It may call the line back, ``close`` apart, which it may start as a task."""

    def connected(self) -> None:
        """Sound can flow. Called once, first, unless the line ends before."""
        ...

    def heard(self, samples: bytes) -> None:
        """The caller's next sound: PCM16 at `HEARING_RATE`, pieces of any length. Gaps are filled already, so that samples
        count the time; while the microphone sends nothing, nothing is called."""
        ...

    def told(self, message: str) -> None:
        """A text message of the caller's program, as it came; of a binary one its first bytes, as Python writes them."""
        ...

    def played(self, samples: int) -> None:
        """So many samples at `SPEAKING_RATE` have left since the call began (the best that is known: the caller's own
        acknowledgement, else what was sent). Never falls; called at most once a frame, and once more when all is out."""
        ...

    def lost(self, silent_ns: int) -> None:
        """No sound can flow for now; what is queued waits. Nothing has come from the caller for so long."""
        ...

    def resumed(self) -> None:
        """Sound flows again after ``lost``."""
        ...

    def ended(self, reason: str) -> None:
        """The line is gone for good; nothing is told after it. ``reason`` is one of `ENDINGS`. Called once, last."""
        ...


CLOSED = "closed"
"""We ended it."""
HUNG_UP = "hung_up"
"""The caller's program said goodbye."""
NEVER_CONNECTED = "never_connected"
"""No way between the two was found, or no keys were agreed on, in time."""
VANISHED = "vanished"
"""Nothing came from the caller for too long."""
FAILED = "failed"
"""The transport broke."""

ENDINGS = frozenset({CLOSED, HUNG_UP, NEVER_CONNECTED, VANISHED, FAILED})


class AudioPeer(Protocol):
    """One caller's line. It paces what it plays to real time by itself, and reads no further ahead of the caller than it
    must, so that stopping is heard at once. After its end all calls do nothing."""

    def listen(self, listener: PeerListener) -> None:
        """Called once, before anything else; what came before is told now."""
        ...

    def play(self, samples: bytes) -> None:
        """Appends PCM16 at `SPEAKING_RATE`, whole samples, to what is to be played."""
        ...

    @property
    def queued(self) -> int:
        """Samples at `SPEAKING_RATE` given to ``play`` that have not left."""
        ...

    def pause(self) -> None:
        """Silence at once; what is queued is kept. Pausing twice does nothing."""
        ...

    def resume(self) -> None:
        """Goes on where it paused."""
        ...

    def clear(self) -> int:
        """Silence at once; forgets what is queued, also at the far end where the line can say so, and is no longer paused.
        The number of samples that left since the call began: nothing of what was queued is counted later."""
        ...

    def tell(self, message: str) -> None:
        """Sends a text message to the caller's program; the oldest are dropped when it does not read."""
        ...

    async def close(self) -> None:
        """Ends the line and frees all it holds; ``ended`` is told if it was not. Closing twice does nothing."""
        ...


class IceServer(msgspec.Struct, frozen=True):
    """A STUN or TURN server as the caller's ``RTCPeerConnection`` wants it (W3C WebRTC, RTCIceServer)."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


class IceCandidate(msgspec.Struct, frozen=True):
    """An address that the caller's program found later (trickle ICE, RFC 8838): the ``candidate`` string of a browser, with
    or without its ``candidate:``; empty when there are no more. ``section`` is ``sdpMLineIndex``, ``mid`` is ``sdpMid``."""

    line: str
    mid: str | None = None
    section: int | None = None


class AnsweredOffer(msgspec.Struct, frozen=True):
    peer: AudioPeer
    sdp: str
    """The answer, with all our candidates."""


class PeerConnections(Protocol):
    """Lines over WebRTC. A connection has the ``name`` that the surface gives it: whoever knows the name may add candidates,
    so it begins with whose it is (``account/id-of-the-client``)."""

    async def answer(self, name: str, offer: str) -> AnsweredOffer:
        """A line for an SDP offer. It connects by itself, and ends by itself when it cannot in 30 s. Whatever is raised,
        nothing is left behind.

        Raises:
            InputError: ``invalid_sdp`` with what is wrong with it; ``connection_already_exists``.
        """
        ...

    async def add_candidate(self, name: str, candidate: IceCandidate) -> None:
        """An address of the caller. One that comes before its offer waits for it for some seconds. Those that cannot be used
        (names that only the caller's own network knows, TCP, forbidden addresses) do nothing: it may be reached otherwise.

        Raises:
            InputError: ``invalid_candidate``: not a candidate, or too many of them.
            MissingError: ``connection_closed``: the connection of this name has ended.
        """
        ...

    def ice_servers(self, user: str) -> tuple[IceServer, ...]:
        """What the caller's program is to use; passwords made for ``user`` where they are of limited time."""
        ...

    @property
    def open(self) -> int:
        """Connections that have not ended, those included that are not connected yet."""
        ...

    async def aclose(self) -> None:
        """Ends all of them."""
        ...


class PlacedCalls(Protocol):
    """The calling side of WebRTC, for a program that speaks with a server as a browser does."""

    async def place(self, name: str) -> AnsweredOffer:
        """A line and the offer for it, with a channel for messages."""
        ...

    async def accept(self, name: str, answer: str) -> None:
        """Connects to what the server answered.

        Raises:
            InputError: ``invalid_sdp``.
            MissingError: ``connection_closed``: the line has ended meanwhile.
        """
        ...

    async def aclose(self) -> None: ...
