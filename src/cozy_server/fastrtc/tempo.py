"""At which rate a page sends its sound that does not say so (pure).

FastRTC's socket never announces a rate. The pages of its demonstrations send 24,000 samples a second; the one in its
documentation sends what the browser's AudioContext has, which is 44,100 or 48,000. A microphone is sent as fast as it is
spoken into, so how fast sound comes tells its rate. It is looked twice: early, when it is only clear that it is far more
than was assumed, and later, when it is clear how much.

Sound that comes faster than from any browser, as of a file, tells nothing: it is taken as it was assumed. Times are integer
nanoseconds.
"""

KNOWN = (24_000, 44_100, 48_000)
"""Of FastRTC's demonstrations, and of the AudioContext of browsers."""
SETTLE_NS = 250_000_000
"""What has waited for the call to begin comes at once in it; it does not count."""
FIRST_NS = 850_000_000
"""By then twice the rate is not so far ahead that it is read slower (`SURPLUS_NS`), which would hide it."""
SURE_NS = 5_000_000_000
"""A browser sends some 20 pieces a second: by then one of them is 1 % of what came."""
_LEAST = 1.5
_MOST = 1.125
"""What comes is taken for a browser's from so many times the assumed rate to so many times the highest."""
_NEAR = 0.04
"""Half of what 44,100 and 48,000 are apart."""
_SECOND_NS = 1_000_000_000


class Tempo:
    """Of one page, from its first sound. ``rate`` is what it is taken to send."""

    def __init__(self, assumed: int) -> None:
        self.rate = assumed
        self._assumed = assumed
        self._began_ns: int | None = None
        self._since_ns: int | None = None
        self._counted = 0
        self._look_ns: int | None = FIRST_NS

    def came(self, samples: int, now_ns: int) -> bool:
        """So many more; whether ``rate`` is another one from these on."""
        if self._look_ns is None:
            return False
        if self._began_ns is None:
            self._began_ns = now_ns
        age_ns = now_ns - self._began_ns
        if self._since_ns is None:
            self._since_ns = now_ns if age_ns >= SETTLE_NS else None
            return False
        self._counted += samples
        if age_ns < self._look_ns:
            return False
        measured = self._counted * _SECOND_NS // (now_ns - self._since_ns)
        before, self.rate = self.rate, self._seen(measured)
        self._since_ns, self._counted = now_ns, 0
        self._look_ns = SURE_NS if self._look_ns == FIRST_NS and self.rate != before else None
        return self.rate != before

    def _seen(self, measured: int) -> int:
        if self._look_ns == FIRST_NS:
            is_browser = _LEAST * self._assumed <= measured <= _MOST * max(KNOWN)
            return max(KNOWN) if is_browser else self.rate
        nearest = min((self._assumed, *KNOWN), key=lambda it: abs(it - measured))
        return nearest if abs(nearest - measured) <= _NEAR * nearest else self.rate
