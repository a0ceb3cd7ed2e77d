"""Speaks with a model of a folder (``python -m cozy_adapters.sherpa.mouth FOLDER``)."""

import os
import sys
from collections.abc import Callable
from typing import Any

from cozy_adapters.child.pool import line
from cozy_adapters.child.process import fall_silent, leave_interrupts_to_parent
from cozy_adapters.sherpa.folder import SpeakingKind, voice_in
from cozy_adapters.sherpa.wire import QUESTIONS, Said, Say, Unusable

LOUDEST = 32_767
LOWEST_RATE, HIGHEST_RATE = 8_000, 48_000
THREADS = min(4, os.cpu_count() or 1)


def loaded(folder: str) -> Callable[[Say], Said]:
    import numpy as np
    import sherpa_onnx  # here, so that a fault of it is told as one

    model = voice_in(folder, "model")
    kind = {
        SpeakingKind.VITS: sherpa_onnx.OfflineTtsVitsModelConfig,
        SpeakingKind.KOKORO: sherpa_onnx.OfflineTtsKokoroModelConfig,
    }[model.kind]
    parts: Any = {model.kind.value: kind(**model.files), "num_threads": THREADS}
    config = sherpa_onnx.OfflineTtsConfig(model=sherpa_onnx.OfflineTtsModelConfig(**parts))
    if not config.validate():
        raise ValueError("the library finds the model's files wrong")
    speech = sherpa_onnx.OfflineTts(config)
    if not LOWEST_RATE <= speech.sample_rate <= HIGHEST_RATE:
        raise ValueError(f"the model speaks at {speech.sample_rate} Hz")

    def said(order: Say) -> Said:
        if not order.text.strip():
            return Said(b"", speech.sample_rate)
        sound = speech.generate(order.text, sid=order.speaker, speed=order.speed)
        samples = np.clip(np.asarray(sound.samples) * LOUDEST, -LOUDEST, LOUDEST).astype("<i2")
        return Said(samples.tobytes(), sound.sample_rate)

    return said


def main(folder: str) -> None:
    leave_interrupts_to_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    try:
        said = loaded(folder)
    except Exception as error:  # noqa: BLE001 - libraries raise what they like
        answers.write(line(Unusable(f"{type(error).__name__}: {' '.join(str(error).split())}")))
        answers.flush()
        return
    fall_silent()
    for question in sys.stdin.buffer:
        answers.write(line(said(QUESTIONS.decode(question))))
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
