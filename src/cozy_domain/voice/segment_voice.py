"""The segments of a call's replies, to sound: each is synthesized in a task of its own."""

import asyncio
from collections.abc import Callable

from cozy_domain.audio import SAMPLE_BYTES
from cozy_domain.chat.turn import Spawn
from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError
from cozy_domain.speech.ports import Mark, Sound, Voicing
from cozy_domain.speech.speak import Speaking
from cozy_domain.speech.speakable import Reading, read_aloud
from cozy_domain.voice.events import (
    CancelSegment,
    Event,
    SpeechSynthesized,
    SynthesisFailed,
    SynthesisFinished,
    SynthesizeSegment,
)
from cozy_domain.voice.loudspeaker import Loudspeaker


class SegmentVoice:
    """The voice of one call. ``wanted`` names the engine to ask first."""

    def __init__(
        self,
        speaking: Speaking,
        loudspeaker: Loudspeaker,
        clock: Clock,
        tell: Callable[[Event], None],
        spawn: Spawn,
    ) -> None:
        self._speaking = speaking
        self._loudspeaker = loudspeaker
        self._clock = clock
        self._tell = tell
        self._spawn = spawn
        self._making: dict[int, asyncio.Task[None]] = {}
        self._code: tuple[int, bool] = (0, False)
        self.voicing = Voicing()
        self.wanted: str | None = None

    def synthesize(self, order: SynthesizeSegment) -> None:
        response, fenced = self._code
        reading = read_aloud(order.text, fenced=fenced and response == order.response_id)
        self._code = (order.response_id, reading.fenced)
        self._making[order.segment_id] = self._spawn(self._make(order, reading))

    def cancel(self, order: CancelSegment) -> None:
        if task := self._making.pop(order.segment_id, None):
            task.cancel()
        self._loudspeaker.drop(order.segment_id)

    async def _make(self, order: SynthesizeSegment, reading: Reading) -> None:
        response, segment = order.response_id, order.segment_id
        try:
            if reading.text:
                async with self._speaking.sound(reading.text, self.voicing, wanted=self.wanted) as sounds:
                    async for sound in sounds:
                        self._made(order, reading, sound)
        except CozyError as error:
            self._tell(SynthesisFailed(self._clock.monotonic_ns(), response, segment, error.code))
        else:
            self._tell(SynthesisFinished(self._clock.monotonic_ns(), response, segment))
        finally:
            self._making.pop(segment, None)

    def _made(self, order: SynthesizeSegment, reading: Reading, sound: Sound) -> None:
        self._loudspeaker.made(order.segment_id, sound.samples)
        marks = tuple(Mark(reading.origin(it.index), it.sample) for it in sound.marks)
        samples = len(sound.samples) // SAMPLE_BYTES
        self._tell(
            SpeechSynthesized(self._clock.monotonic_ns(), order.response_id, order.segment_id, samples, marks)
        )
