"""How an answer reaches its user: written, it is there at once; spoken, the caller tells what was heard of it."""

import asyncio
import contextlib

from cozy_domain.errors import LocalProtocolError


class Delivery:
    """``heard`` is what the user has got so far of a spoken answer; ``whole`` None until it is known."""

    def __init__(self, *, spoken: bool, grace_s: float) -> None:
        self.spoken = spoken
        self.heard = ""
        self.whole: bool | None = None if spoken else True
        self._grace_s = grace_s
        self._until_s = 0.0
        self._news = asyncio.Event()

    def expect(self, audio_ms: int) -> None:
        """How long the rest of the answer takes to play from now on."""
        self._until_s = asyncio.get_running_loop().time() + audio_ms / 1000 + self._grace_s
        self._news.set()

    def settle(self, heard: str, *, whole: bool) -> None:
        if not self.spoken:
            raise LocalProtocolError("only a spoken answer is delivered")
        self.heard, self.whole = heard, whole
        self._news.set()

    async def settled(self) -> None:
        """Waits until the caller has told, at most as long as the audio lasts and the grace after it."""
        loop = asyncio.get_running_loop()
        self._until_s = self._until_s or loop.time() + self._grace_s
        while self.whole is None and loop.time() < self._until_s:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._until_s):
                    await self._news.wait()
