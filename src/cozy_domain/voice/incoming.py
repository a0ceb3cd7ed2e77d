"""A caller's packets, in whatever order they come, to sound without holes (pure).

Nobody listens to this sound in real time: it is recognised. So it needs no even pace, and a packet that comes in order is
passed on at once, without any delay. Only a hole waits: its packet may still come. How long is adapted to the line: 40 ms on
a calm one, up to 60 ms where packets arrive unevenly, and up to 120 ms for a while after packets that had been given up did
come after all. Then the hole is `Missing`, and all that came behind it is passed on together. So no lag remains, whatever
happened.

``due_ns`` is when to call ``waited`` if nothing arrives before. All times are monotonic nanoseconds.
"""

import msgspec

RTP_RATE = 48_000
"""Ticks a second of the RTP clock of Opus, whatever its sound is sampled with (RFC 7587, section 4.1)."""
MS = 1_000_000
SECOND = 1_000 * MS

CALM_NS = 40 * MS
UNEVEN_NS = 60 * MS
DISORDERLY_NS = 120 * MS
FORGET_LATE = 512
"""Packets, 10 s of them, after which a late one counts for a third."""
LONGEST_FILL = RTP_RATE
"""Ticks of sound that are made up for one hole; a longer one is a pause of the microphone."""
HELD = 64
"""Packets that wait behind a hole; more give it up at once."""
RESTART_AHEAD = 3_000
RESTART_BEHIND = 100
"""A sequence number so far from the expected one is a restart of the sender (RFC 3550, appendix A.1)."""
BURST_NS = 2 * SECOND
CATCH_UP_NS = 30 * SECOND
"""A caller's sound may be so much ahead of real time, and may make up for so long a standstill; more is a flood."""
QUIET_BYTES = 2
"""An Opus packet as short as this says that the sender has stopped sending because it is quiet (DTX, RFC 6716, 2.1.9)."""
QUIET_STEP = RTP_RATE // 25
"""While the sender is quiet, silence is made up in steps of 40 ms."""

_SEQUENCES = 1 << 16
_TICKS = 1 << 32
_SILK_MS = (10, 20, 40, 60)
_CELT_TICKS = (120, 240, 480, 960)


class Missing(msgspec.Struct, frozen=True):
    """Sound that never came, or silence that was not sent: ``ticks`` at `RTP_RATE`."""

    ticks: int


Piece = bytes | Missing
"""An Opus packet to be decoded, or what has to be made up between two."""


class _Waiting(msgspec.Struct, frozen=True):
    timestamp: int
    payload: bytes
    ticks: int
    since_ns: int


class Incoming:
    """One stream of one sender. ``given_up`` packets came too late or never, ``late`` ones after they were given up;
    ``repeated`` came twice, ``refused`` were more than a person can say."""

    def __init__(self) -> None:
        self.due_ns: int | None = None
        self.given_up = 0
        self.late = 0
        self.repeated = 0
        self.refused = 0
        self._started = False
        self._next = 0
        self._expected = 0  # timestamp of the next sound
        self._waiting: dict[int, _Waiting] = {}
        self._stray: int | None = None
        self._transit: int | None = None
        self._jitter = 0  # ticks, RFC 3550 section 6.4.1, times 16
        self._lateness_ns = 0
        self._covered_ns: int | None = None
        self._abandoned_ns: dict[int, int] = {}
        self._quiet_since_ns: int | None = None
        self._made_up = 0

    @property
    def patience_ns(self) -> int:
        """How long a hole waits for its packet."""
        uneven = CALM_NS + 2 * (self._jitter >> 4) * SECOND // RTP_RATE
        return min(max(min(uneven, UNEVEN_NS), self._lateness_ns), DISORDERLY_NS)

    def arrived(self, sequence: int, timestamp: int, payload: bytes, at_ns: int) -> list[Piece]:
        """What can be passed on now. ``sequence`` is of 16 bits and ``timestamp`` of 32, as in RTP."""
        ticks = opus_ticks(payload)
        if not self._affordable(ticks, at_ns):
            self.refused += 1
            return []
        if not self._started:
            self._started, self._next, self._expected = True, sequence, timestamp
        pieces: list[Piece] = []
        packet = _Waiting(timestamp, payload, ticks, at_ns)
        if sequence == self._next % _SEQUENCES and not self._waiting:  # as nearly all are
            self._stray = None
            self._note_jitter(timestamp, at_ns)
            self._pass_on(packet, pieces)
            self._arm()
            return pieces
        number = self._next + _signed(sequence - self._next, _SEQUENCES)
        if not -RESTART_BEHIND <= number - self._next < RESTART_AHEAD:
            if sequence != self._stray:
                self._stray = (sequence + 1) % _SEQUENCES
                return []
            pieces = self._all()
            self._abandoned_ns.clear()
            self._next, self._expected, self._transit = number, timestamp, None
        self._stray = None
        if number < self._next:
            self._note_late(number, at_ns)
            return pieces
        if number in self._waiting:
            self.repeated += 1
            return pieces
        self._note_jitter(timestamp, at_ns)
        self._waiting[number] = packet
        return pieces + self._in_order(at_ns)

    def waited(self, at_ns: int) -> list[Piece]:
        """What is passed on because ``due_ns`` has come."""
        pieces = self._in_order(at_ns)
        if self._quiet_since_ns is not None and not self._waiting:
            passed = (at_ns - self._quiet_since_ns) * RTP_RATE // SECOND
            while self._made_up + QUIET_STEP <= min(passed, LONGEST_FILL):
                self._made_up += QUIET_STEP
                self._expected += QUIET_STEP
                pieces.append(Missing(QUIET_STEP))
            self._arm()
        return pieces

    def _in_order(self, at_ns: int) -> list[Piece]:
        """All that has no hole before it, or whose hole has waited long enough."""
        pieces: list[Piece] = []
        while self._waiting:
            if self._next not in self._waiting:
                first = min(self._waiting)
                patient = at_ns - self._waiting[first].since_ns < self.patience_ns
                if patient and len(self._waiting) <= HELD:
                    break
                self._give_up(first)
            self._pass_on(self._waiting.pop(self._next), pieces)
        self._arm()
        return pieces

    def _all(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._waiting:
            self._give_up(min(self._waiting))
            self._pass_on(self._waiting.pop(self._next), pieces)
        return pieces

    def _give_up(self, first: int) -> None:
        """The next packet is ``first``; those before it that come later tell how patient one should have been."""
        since = self._waiting[first].since_ns
        self.given_up += first - self._next
        for number in range(max(self._next, first - HELD), first):
            self._abandoned_ns[number] = since
        while len(self._abandoned_ns) > RESTART_BEHIND:
            del self._abandoned_ns[next(iter(self._abandoned_ns))]
        self._next = first

    def _pass_on(self, packet: _Waiting, pieces: list[Piece]) -> None:
        self._next += 1
        hole = _signed(packet.timestamp - self._expected, _TICKS)
        if hole > 0 and self._made_up < LONGEST_FILL:
            pieces.append(Missing(min(hole, LONGEST_FILL - self._made_up)))
        self._made_up = 0
        if packet.payload:
            pieces.append(packet.payload)
        self._expected = packet.timestamp + packet.ticks
        quiet = 0 < len(packet.payload) <= QUIET_BYTES
        self._quiet_since_ns = packet.since_ns if quiet else None

    def _arm(self) -> None:
        if self._waiting:
            self.due_ns = self._waiting[min(self._waiting)].since_ns + self.patience_ns
        elif self._quiet_since_ns is not None and self._made_up + QUIET_STEP <= LONGEST_FILL:
            ticks = self._made_up + QUIET_STEP
            self.due_ns = self._quiet_since_ns + -(-ticks * SECOND // RTP_RATE)
        else:
            self.due_ns = None

    def _note_late(self, number: int, at_ns: int) -> None:
        since = self._abandoned_ns.pop(number, None)
        if since is None:
            self.repeated += 1
            return
        self.late += 1
        self._lateness_ns = max(self._lateness_ns, min(at_ns - since, DISORDERLY_NS))

    def _note_jitter(self, timestamp: int, at_ns: int) -> None:
        transit = at_ns * RTP_RATE // SECOND - timestamp
        if self._transit is not None:
            change = min(abs(_signed(transit - self._transit, _TICKS)), RTP_RATE)
            self._jitter += change - ((self._jitter + 8) >> 4)
        self._transit = transit
        self._lateness_ns -= self._lateness_ns // FORGET_LATE

    def _affordable(self, ticks: int, at_ns: int) -> bool:
        covered = max(at_ns if self._covered_ns is None else self._covered_ns, at_ns - CATCH_UP_NS)
        if covered > at_ns + BURST_NS:
            return False
        self._covered_ns = covered + max(ticks, 1) * SECOND // RTP_RATE
        return True


def opus_ticks(packet: bytes) -> int:
    """How long an Opus packet sounds, at `RTP_RATE` (RFC 6716, section 3.1 and 3.2); 0 for none or a broken one."""
    if not packet:
        return 0
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        ticks = _SILK_MS[configuration & 3] * RTP_RATE // 1_000
    elif configuration < 16:
        ticks = _SILK_MS[configuration & 1] * RTP_RATE // 1_000
    else:
        ticks = _CELT_TICKS[configuration & 3]
    if code < 3:
        return ticks * (2 if code else 1)
    count = packet[1] & 63 if len(packet) > 1 else 0
    return ticks * count if ticks * count <= RTP_RATE * 12 // 100 else 0


def _signed(difference: int, modulus: int) -> int:
    """The shortest way round from one number to another."""
    half = modulus // 2
    return (difference + half) % modulus - half
