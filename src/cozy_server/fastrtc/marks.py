"""What a telephone has really played (pure).

When a clock says that all has sounded, some of it is still in Twilio's buffers and in the network. So a mark is sent after
the last sound of a reply, and Twilio sends it back when it has played so far (twilio.com/docs/voice/media-streams/
websocket-messages, 2026-07). Until then the last sample counts as not heard. What was cleared is sent back too, and by then
forgotten here.

Positions are samples since the call began; times are integer nanoseconds.
"""

from collections import OrderedDict

PATIENCE_NS = 1_000_000_000
"""An echo that comes later than that after its time is not waited for: the clock is believed again."""
MOST = 32


class Marks:
    """Those of one call that are not echoed yet."""

    def __init__(self) -> None:
        self._count = 0
        self._open: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def set(self, position: int, due_ns: int) -> str:
        """The name of a mark behind the sample ``position``, which sounds at ``due_ns`` by the clock."""
        self._count += 1
        name = f"played-{self._count}"
        self._open[name] = (position, due_ns + PATIENCE_NS)
        if len(self._open) > MOST:
            self._open.popitem(last=False)
        return name

    def echoed(self, name: str) -> None:
        """One that is not ours, or is forgotten, does nothing; earlier ones count as echoed too."""
        while name in self._open:
            self._open.popitem(last=False)

    def forget(self) -> None:
        """What they stand behind is not to be played."""
        self._open.clear()

    def confirmed(self, heard: int, now_ns: int) -> int:
        """Of ``heard``, which is what the clock says, as much as is known."""
        self._forget_late(now_ns)
        first = next(iter(self._open.values()), None)
        return heard if first is None else min(heard, first[0] - 1)

    def next_ns(self, now_ns: int) -> int | None:
        """Until one of them is not waited for any more; None while there is none."""
        self._forget_late(now_ns)
        first = next(iter(self._open.values()), None)
        return None if first is None else first[1] - now_ns

    def _forget_late(self, now_ns: int) -> None:
        while self._open and next(iter(self._open.values()))[1] <= now_ns:
            self._open.popitem(last=False)
