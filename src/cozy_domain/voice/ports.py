"""Ports to the line that a caller speaks on."""

from typing import Protocol


class PeerListener(Protocol):
    """What a line tells, in the order in which it happens, from the event loop. Nothing here may wait: it is called for
    every frame of every call."""

    def connected(self) -> None:
        """Sound can flow. Called once, first."""
        ...

    def heard(self, samples: bytes) -> None:
        """The caller's next sound: PCM16 at `HEARING_RATE`, pieces of any length. Gaps are filled already, so that samples
        count the time; while the microphone sends nothing, nothing is called."""
        ...

    def told(self, message: str) -> None:
        """A text message of the caller's program, as it came."""
        ...

    def played(self, samples: int) -> None:
        """So many samples at `SPEAKING_RATE` have left since the call began (the best that is known: the caller's own
        acknowledgement, else what was sent). Never falls; called at most once a frame, and once more when all is out."""
        ...

    def lost(self) -> None:
        """No sound can flow for now; what is queued waits."""
        ...

    def resumed(self) -> None:
        """Sound flows again after ``lost``."""
        ...

    def ended(self, reason: str) -> None:
        """The line is gone for good. Called once, last."""
        ...


class AudioPeer(Protocol):
    """One caller's line. It paces what it plays to real time by itself, and reads no further ahead of the caller than it
    must, so that stopping is heard at once."""

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
