"""What a caller says, to the events of the session: where speech begins and ends, and what it means.

Sound is kept for a while, because speech is noticed a little after it began. The detector judges it window by window in one
task of the call; each stretch of speech is recognised in a task of its own, from the sample that the session names on.
"""

import asyncio
from collections.abc import Callable, Sequence

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES
from cozy_domain.chat.turn import Spawn
from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError
from cozy_domain.speech.detection import Detection, DetectionPolicy, begin, step
from cozy_domain.speech.detection import SpeechEnded as LoudEnded
from cozy_domain.speech.detection import SpeechStarted as LoudStarted
from cozy_domain.speech.listen import Hearers, Stretch
from cozy_domain.speech.onset import lacks_one, sounds_on
from cozy_domain.speech.ports import WINDOW, VoiceActivityStream
from cozy_domain.voice.events import (
    CloseTranscription,
    Event,
    FinalizeTranscription,
    OpenTranscription,
    SoundHeard,
    SpeechStarted,
    SpeechStopped,
    TranscriptFailed,
    TranscriptFinished,
    TranscriptUpdated,
)
from cozy_domain.voice.policy import Endpointing

SAMPLE_NS = 1_000_000_000 // HEARING_RATE
KEPT = 5 * HEARING_RATE
"""Samples that the session may still ask for; it reaches back to where an overlap began, at most some seconds."""
KEPT_BY_HAND = 60 * HEARING_RATE
"""The same where only the caller's program ends a turn, which then is all since the last one."""
SIGN_OF_LIFE = HEARING_RATE // 5
"""Samples of speech between two signs that the microphone still sends."""
AT_ONCE = 16
"""Windows that the detector is asked about together, 0.5 s, when it has fallen behind."""
NEVER = 2**62
"""The session itself ends a turn that grows too long."""


class Ear:
    """One call's microphone. Positions are samples since the call began."""

    def __init__(
        self,
        microphone: VoiceActivityStream,
        hearers: Hearers,
        clock: Clock,
        tell: Callable[[Event], None],
        spawn: Spawn,
    ) -> None:
        self._microphone = microphone
        self._hearers = hearers
        self._clock = clock
        self._tell = tell
        self._spawn = spawn
        self._kept = bytearray()
        self._policy = DetectionPolicy()
        self._most = KEPT
        self._detection = Detection()
        self._sign = 0
        self._news = asyncio.Event()
        self._stretches: dict[tuple[int, int], Stretch] = {}
        self._recognising: dict[tuple[int, int], asyncio.Task[None]] = {}
        self.position = 0
        """The next sample to come."""

    @property
    def starting(self) -> bool:
        """The last window was loud: it may be speech, and is not long enough to be told."""
        return not self._detection.speaking and self._detection.onset is not None

    def follow(self, endpointing: Endpointing) -> None:
        """Detects as the profile says, from now on."""
        self._policy = DetectionPolicy(
            silence=max(WINDOW, endpointing.provisional_ns // SAMPLE_NS), longest=NEVER
        )
        self._most = KEPT if endpointing.automatic else KEPT_BY_HAND

    def heard(self, samples: bytes) -> None:
        """The next sound."""
        self._kept += samples
        self.position += len(samples) // SAMPLE_BYTES
        surplus = len(self._kept) - (self._most + HEARING_RATE) * SAMPLE_BYTES
        if surplus > 0:
            del self._kept[: surplus + HEARING_RATE * SAMPLE_BYTES]
        for stretch in self._stretches.values():
            stretch.add(samples)
        if self.position - self._detection.position >= WINDOW:
            self._news.set()
        self._begin_early()
        if self._detection.speaking and self.position - self._sign >= SIGN_OF_LIFE:
            self._sign = self.position
            self._tell(SoundHeard(self._clock.monotonic_ns(), self.position))

    def forget(self) -> None:
        """The line was lost: what began is over, and what comes has nothing to do with it."""
        self._detection = Detection(position=self.position, free=self.position)

    async def listen(self) -> None:
        """Judges the sound as it comes, until it is cancelled.

        Raises:
            CozyError: the detector does not work.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            while self.position - self._detection.position >= WINDOW:
                await self._judge()

    def open(self, order: OpenTranscription) -> None:
        stretch = Stretch(order.sample)
        if sound := self._since(order.sample):
            stretch.add(sound)
        key = (order.turn_id, order.rev)
        self._stretches[key] = stretch
        self._recognising[key] = self._spawn(self._understand(order, stretch))

    def finalize(self, order: FinalizeTranscription) -> None:
        if stretch := self._stretches.pop((order.turn_id, order.rev), None):
            stretch.close(order.sample)

    def close(self, order: CloseTranscription) -> None:
        key = (order.turn_id, order.rev)
        self._stretches.pop(key, None)
        if task := self._recognising.pop(key, None):
            task.cancel()

    async def _judge(self) -> None:
        """All that is there: where an answer takes longer than a window lasts, one for each would never catch up."""
        at = self._detection.position
        ready = min((self.position - at) // WINDOW, AT_ONCE)
        until = at + ready * WINDOW
        for probability in await self._probabilities(range(at, until, WINDOW)):
            if self._detection.position != at:
                return  # it was told to forget meanwhile
            at += WINDOW
            self._judged(probability, until)

    async def _probabilities(self, windows: range) -> Sequence[float]:
        asked = [self._microphone.probability(self._between(it, it + WINDOW)) for it in windows]
        return [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)

    def _judged(self, probability: float, until: int) -> None:
        """The next window. Those up to ``until`` are known, too, and come before anything else happens."""
        self._detection, edges = step(self._detection, probability, self._policy)
        for edge in edges:
            match edge:
                case LoudStarted():
                    self._begin(edge, self._detection.position - self._policy.start)
                case LoudEnded(sample=sample):
                    silence_ns = (until - sample) * SAMPLE_NS
                    now = self._clock.monotonic_ns()
                    self._tell(SpeechStopped(now, sample, silence_ns, probability))
        self._begin_early()

    def _begin_early(self) -> None:
        """Without the detector, when what came of the last window of an onset tells enough."""
        state = self._detection
        if state.onset is None or not lacks_one(state, self._policy):
            return
        at = state.position
        if sounds_on(self._between(state.onset, at), self._between(at, min(self.position, at + WINDOW))):
            self._detection, edge = begin(state, state.onset, self._policy)
            self._begin(edge, state.onset)

    def _begin(self, edge: LoudStarted, onset: int) -> None:
        self._sign = self.position
        self._tell(SpeechStarted(self._clock.monotonic_ns(), edge.sample, self._time_of(onset)))

    async def _understand(self, order: OpenTranscription, stretch: Stretch) -> None:
        turn, rev = order.turn_id, order.rev

        async def tell(text: str) -> None:
            self._tell(TranscriptUpdated(self._clock.monotonic_ns(), turn, rev, text))

        try:
            transcript = await self._hearers.understood(stretch, tell)
        except CozyError as error:
            self._tell(TranscriptFailed(self._clock.monotonic_ns(), turn, rev, error.code))
        else:
            self._tell(TranscriptFinished(self._clock.monotonic_ns(), turn, rev, transcript.text.strip()))

    def _time_of(self, sample: int) -> int:
        """When it was heard, on the clock of the events."""
        return self._clock.monotonic_ns() - (self.position - sample) * SAMPLE_NS

    def _since(self, sample: int) -> bytes:
        return self._between(sample, self.position)

    def _between(self, start: int, end: int) -> bytes:
        """What is still kept of it."""
        first = self.position - len(self._kept) // SAMPLE_BYTES
        return bytes(
            memoryview(self._kept)[max(0, start - first) * SAMPLE_BYTES : max(0, end - first) * SAMPLE_BYTES]
        )
