"""Hears with a Whisper model (``python -m cozy_adapters.fasterwhisper.worker FOLDER``), an utterance once it is over."""

import os
import sys
from typing import Any

from cozy_adapters.ear.hearing import main
from cozy_adapters.ear.wire import Heard, HeardSegment, HeardWord
from cozy_domain.audio import HEARING_RATE
from cozy_domain.speech.ports import Hearing

FULL_SCALE = 32_768.0


class WhisperEar:
    """The model, on the CPU in 8 bits unless CTranslate2 finds a GPU."""

    def __init__(self, folder: str) -> None:
        from faster_whisper import WhisperModel  # here, so that a fault of it is told as one

        self._model = WhisperModel(folder, compute_type="default", local_files_only=True)
        self._sound = bytearray()
        self._hearing = Hearing()

    def begin(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._sound.clear()

    def feed(self, samples: bytes, *, live: bool) -> str:  # noqa: ARG002 - it has no partial results
        self._sound += samples
        return ""

    def finish(self) -> Heard:
        import numpy as np

        sound = np.frombuffer(bytes(self._sound), dtype="<i2").astype(np.float32) / FULL_SCALE
        if not sound.any():
            return Heard()
        hearing = self._hearing
        options: dict[str, Any] = {} if hearing.temperature is None else {"temperature": hearing.temperature}
        found, about = self._model.transcribe(
            sound,
            language=(hearing.language or "").partition("-")[0].lower() or None,
            task="translate" if hearing.translate else "transcribe",
            initial_prompt=hearing.prompt or None,
            hotwords=", ".join(hearing.phrases) or None,
            word_timestamps=hearing.word_times,
            **options,
        )
        segments = list(found)
        return Heard(
            text="".join(it.text for it in segments),
            language=about.language,
            words=tuple(
                HeardWord(word.word, _sample(word.start), _sample(word.end))
                for it in segments
                for word in it.words or ()
            ),
            segments=tuple(
                HeardSegment(it.text, _sample(it.start), _sample(it.end), it.avg_logprob, it.no_speech_prob)
                for it in segments
            ),
        )


def _sample(seconds: float) -> int:
    return round(seconds * HEARING_RATE)


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched, whatever is missing
    main(lambda: WhisperEar(sys.argv[1]))
