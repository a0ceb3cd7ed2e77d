"""Hears with a model of a folder (``python -m cozy_adapters.sherpa.ear FOLDER [LANGUAGE ...]``)."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from cozy_adapters.ear.hearing import Ear, main
from cozy_adapters.ear.wire import Heard
from cozy_adapters.sherpa.folder import HearingKind, language_told, recogniser_in
from cozy_adapters.sherpa.words import words
from cozy_domain.audio import HEARING_RATE
from cozy_domain.speech.ports import Hearing

FULL_SCALE = 32_768.0
THREADS = min(4, os.cpu_count() or 1)
TAIL = HEARING_RATE * 2 // 3
"""Samples of silence behind an utterance, in which a streaming model says its last word (the library's own examples)."""


def loaded(folder: str, languages: Sequence[str]) -> Ear:
    import sherpa_onnx  # here, so that a fault of it is told as one

    model = recogniser_in(folder, "model")
    if model.kind is HearingKind.STREAMING:
        return StreamEar(sherpa_onnx.OnlineRecognizer.from_transducer(**model.files, num_threads=THREADS))
    make: Any = {
        HearingKind.TRANSDUCER: sherpa_onnx.OfflineRecognizer.from_transducer,
        HearingKind.WHISPER: sherpa_onnx.OfflineRecognizer.from_whisper,
        HearingKind.SENSE_VOICE: sherpa_onnx.OfflineRecognizer.from_sense_voice,
        HearingKind.PARAFORMER: sherpa_onnx.OfflineRecognizer.from_paraformer,
        HearingKind.NEMO_CTC: sherpa_onnx.OfflineRecognizer.from_nemo_ctc,
        HearingKind.ZIPFORMER_CTC: sherpa_onnx.OfflineRecognizer.from_zipformer_ctc,
        HearingKind.WENET_CTC: sherpa_onnx.OfflineRecognizer.from_wenet_ctc,
    }
    more = {"use_itn": True} if model.kind is HearingKind.SENSE_VOICE else {}
    told = language_told(model, languages)
    return WholeEar(make[model.kind](**model.files, **more, **told, num_threads=THREADS))


class WholeEar:
    """Hears an utterance once it is over."""

    def __init__(self, recogniser: Any) -> None:
        self._recogniser = recogniser
        self._sound = bytearray()

    def begin(self, hearing: Hearing) -> None:  # noqa: ARG002 - the model finds out
        self._sound.clear()

    def feed(self, samples: bytes, *, live: bool) -> str:  # noqa: ARG002 - it has no partial results
        self._sound += samples
        return ""

    def finish(self) -> Heard:
        if not any(self._sound):
            return Heard()
        stream = self._recogniser.create_stream()
        stream.accept_waveform(HEARING_RATE, _floats(bytes(self._sound)))
        self._recogniser.decode_stream(stream)
        told = stream.result
        return Heard(told.text, told.lang.strip("<|>") or None, words(told.tokens, told.timestamps))


class StreamEar:
    """Hears an utterance while it is spoken."""

    def __init__(self, recogniser: Any) -> None:
        self._recogniser = recogniser
        self._stream: Any = None

    def begin(self, hearing: Hearing) -> None:  # noqa: ARG002 - the model knows one language
        self._stream = self._recogniser.create_stream()

    def feed(self, samples: bytes, *, live: bool) -> str:
        self._stream.accept_waveform(HEARING_RATE, _floats(samples))
        self._decode()
        return str(self._recogniser.get_result(self._stream)) if live else ""

    def finish(self) -> Heard:
        self._stream.accept_waveform(HEARING_RATE, _floats(bytes(2 * TAIL)))
        self._stream.input_finished()
        self._decode()
        told = self._recogniser.get_result_all(self._stream)
        return Heard(told.text, None, words(told.tokens, told.timestamps))

    def _decode(self) -> None:
        while self._recogniser.is_ready(self._stream):
            self._recogniser.decode_stream(self._stream)


def _floats(samples: bytes) -> Any:
    import numpy as np

    return np.frombuffer(samples, dtype="<i2").astype(np.float32) / FULL_SCALE


if __name__ == "__main__":
    main(lambda: loaded(sys.argv[1], sys.argv[2:]))
