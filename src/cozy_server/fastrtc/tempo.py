"""At which rate a page sends its sound that does not say so (pure).

FastRTC's socket never announces a rate. The pages of its demonstrations send 24,000 samples a second; the one in its
documentation sends what the browser's AudioContext has, which is 44,100 or 48,000. A microphone is sent as fast as it is
spoken into, so how fast sound comes tells its rate. It is looked at twice early, when it is only clear that it is far more
than was assumed, and then until it is clear how much.

Sound that stalls and is made up for tells nothing: counting begins anew after each gap. Sound that comes faster than from
any browser, as of a file, tells nothing either: it is taken as it was assumed. Times are integer nanoseconds.
"""

KNOWN = (24_000, 44_100, 48_000)
"""Of FastRTC's demonstrations, and of the AudioContext of browsers."""
GAP_NS = 200_000_000
"""A piece that comes so much later than it was spoken brings others along."""
SETTLE_NS = 250_000_000
"""What has waited, for the call to begin or for the network, comes at once in it; it does not count."""
EARLY_NS = (600_000_000, 1_200_000_000)
"""By then twice the rate is not so far ahead that it is read slower (`SURPLUS_NS`), which would hide it. At the first a
piece that is late by nearly `GAP_NS` may hide it too; what was assumed never seems so much faster by one."""
SURE_NS = 4_000_000_000
"""A browser sends some 20 pieces a second: by then one of them is 1 % of what came."""
_LEAST = 1.5
_MOST = 1.25
"""What comes is taken for a browser's from so many times the assumed rate to so many times the highest."""
_NEAR = 0.04
"""Half of what 44,100 and 48,000 are apart."""
_SECOND_NS = 1_000_000_000


class Tempo:
    """Of one page, from its first sound. ``rate`` is what it is taken to send."""

    def __init__(self, assumed: int) -> None:
        self.rate = assumed
        self._assumed = assumed
        self._last_ns: int | None = None
        self._began_ns = 0
        self._since_ns: int | None = None
        self._counted = 0
        self._looks_ns = list(EARLY_NS)

    def came(self, samples: int, now_ns: int) -> bool:
        """So many more; whether ``rate`` is another one from these on."""
        if not self._looks_ns:
            return False
        last_ns, self._last_ns = self._last_ns, now_ns
        spoken_ns = samples * _SECOND_NS // self._assumed
        if last_ns is None or now_ns - last_ns > GAP_NS + spoken_ns:
            self._began_ns, self._since_ns = now_ns, None
            return False
        if self._since_ns is None:
            if now_ns - self._began_ns >= SETTLE_NS:
                self._since_ns, self._counted = now_ns, 0
            return False
        self._counted += samples
        took_ns = now_ns - self._since_ns
        if took_ns < self._looks_ns[0]:
            return False
        before, self.rate = self.rate, self._seen(self._counted * _SECOND_NS // took_ns)
        return self.rate != before

    def _seen(self, measured: int) -> int:
        if self._looks_ns[0] == SURE_NS:
            nearest = min((self._assumed, *KNOWN), key=lambda it: abs(it - measured))
            self._looks_ns = [] if abs(nearest - measured) <= _NEAR * nearest else [SURE_NS]
            self._since_ns = None
            return nearest
        if _LEAST * self._assumed <= measured <= _MOST * max(KNOWN):
            self._looks_ns, self._since_ns = [SURE_NS], None
            return max(KNOWN)
        del self._looks_ns[0]
        return self.rate
