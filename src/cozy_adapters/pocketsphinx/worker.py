"""Hears one utterance at a time (``python -m cozy_adapters.pocketsphinx.worker``): questions on standard input, answers on
standard output. It ends with its input."""

import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import pocketsphinx

from cozy_adapters.child.pool import line
from cozy_adapters.child.process import fall_silent, leave_interrupts_to_parent
from cozy_adapters.pocketsphinx import wire
from cozy_adapters.pocketsphinx.acceptance import Piece, accepted, consistent
from cozy_adapters.pocketsphinx.phrases import grammar
from cozy_adapters.pocketsphinx.wire import Answer, Begin, Begun, Feed, Heard, HeardWord, Partial, Question

FRAME = 160
"""Samples: 10 ms, the library's ``frate``."""
BEAM, WORD_BEAM = 1e-80, 1e-60
"""How much worse than the best something may be for now and still win in the end; the library's own 1e-48 and 7e-29 lose
phrases. With its search for the best path, or its weight of 6.5 for the grammar, half of them come out cut short:
of 26 phrases in two voices it had 11 right as it comes, 24 so, at 0.04 of real time."""
SETTLING = 20 * FRAME
"""Samples; 6 ms of CPU."""
LOWEST = -1e9
"""Instead of the logarithm of a probability that is too small for a float."""
PHRASES, FREE, PHONES = "phrases", "free", "phones"
"""What can be searched for."""


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    ear = Ear()
    for question in questions:
        answers.write(line(ear.answer(wire.QUESTIONS.decode(question))))
        answers.flush()


class Ear:
    """The library with its models, and the utterance going on."""

    def __init__(self) -> None:
        self._strict = pocketsphinx.Decoder(
            loglevel="FATAL", lm=None, bestpath=False, lw=1.0, beam=BEAM, pbeam=BEAM, wbeam=WORD_BEAM
        )
        self._strict.add_allphone_file(PHONES, None)
        self._aligner = pocketsphinx.Decoder(
            loglevel="FATAL", lm=None, bestpath=False, beam=BEAM, pbeam=BEAM, wbeam=WORD_BEAM
        )
        self._free: Any = None
        self._fresh: str = self._strict.get_cmn()
        self._forms: tuple[str, ...] = ()
        self._sound = bytearray()
        self._begun = Begin()
        self._running: Any = None

    def answer(self, question: Question) -> Answer:
        match question:
            case Begin():
                return self._begin(question)
            case Feed(samples=samples):
                return self._feed(samples)
        return self._finish()

    def _begin(self, begin: Begin) -> Begun:
        self._stop()
        unknown = self._unknown(begin.phrases)
        if not unknown:
            self._sound.clear()
            self._begun = begin
            self._load(begin.phrases)
            self._start(PHRASES if begin.phrases else FREE)
        return Begun(unknown)

    def _feed(self, samples: bytes) -> Partial:
        if self._begun.phrases:
            self._sound += samples
        self._running.process_raw(samples)
        return Partial(_text(self._running)) if self._begun.live else Partial()

    def _finish(self) -> Heard:
        decoder = self._running
        self._stop()
        text, words = _text(decoder), _pieces(decoder)
        if not self._begun.phrases:
            return _heard(text, words)
        if text not in self._begun.phrases:
            return Heard()
        phones = self._phones()
        if not (accepted(words, phones) and consistent(self._aligned(text), phones)):
            return Heard()
        return _heard(text, words)

    def _phones(self) -> Sequence[Piece]:
        self._start(PHONES)
        self._running.process_raw(bytes(self._sound))
        self._stop()
        return _pieces(self._strict)

    def _aligned(self, text: str) -> Sequence[Piece]:
        """The phones of ``text``, where they fit the sound best; none if they do not fit at all."""
        decoder = self._aligner
        decoder.set_align_text(text)
        self._align()
        try:
            decoder.set_alignment()  # from now on the phones in the words that were found
        except RuntimeError:
            return ()
        self._align()
        return [
            Piece(phone.name, phone.start, phone.start + phone.duration, phone.score)
            for word in decoder.get_alignment()
            for phone in word
        ]

    def _align(self) -> None:
        self._aligner.set_cmn(self._fresh)
        self._aligner.start_utt()
        self._aligner.process_raw(bytes(self._sound), full_utt=True)
        self._aligner.end_utt()

    def _start(self, search: str) -> None:
        self._running = self._free if search == FREE else self._strict
        self._running.activate_search(search)
        if search == FREE:
            self._settle()
        self._running.set_cmn(self._fresh)  # nothing of the utterance before
        self._running.start_utt()

    def _settle(self) -> None:
        """The library looks for the best Gaussians of a frame first among those of the frame before, also across utterances
        (ptm_mgau.c): free speech came out differently after a loud one. In a little silence that is forgotten."""
        self._running.start_utt()
        self._running.process_raw(bytes(SETTLING * 2))
        self._running.end_utt()

    def _stop(self) -> None:
        if self._running:
            self._running.end_utt()
        self._running = None

    def _load(self, forms: tuple[str, ...]) -> None:
        if not forms and not self._free:
            self._free = pocketsphinx.Decoder(loglevel="FATAL", lm=None)
            self._free.add_lm_file(FREE, pocketsphinx.get_model_path("en-us/en-us.lm.bin"))
        if forms and forms != self._forms:
            self._strict.add_jsgf_string(PHRASES, grammar(forms))
            self._forms = forms

    def _unknown(self, forms: tuple[str, ...]) -> tuple[str, ...]:
        words = dict.fromkeys(word for form in forms for word in form.split())
        return tuple(it for it in words if self._strict.lookup_word(it) is None)


def _text(decoder: Any) -> str:
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


def _pieces(decoder: Any) -> Sequence[Piece]:
    logarithm = decoder.logmath.log
    if not decoder.hyp():
        return ()
    return [
        Piece(it.word, it.start_frame, it.end_frame + 1, logarithm(it.ascore) if it.ascore else LOWEST)
        for it in decoder.seg()
    ]


def _heard(text: str, pieces: Sequence[Piece]) -> Heard:
    """The dictionary writes a second way to say a word as ``word(2)``."""
    words = tuple(
        HeardWord(it.text.partition("(")[0], it.start * FRAME, it.end * FRAME)
        for it in pieces
        if not it.silent
    )
    return Heard(text, words)


if __name__ == "__main__":
    leave_interrupts_to_parent()
    fall_silent()
    serve(sys.stdin.buffer, sys.stdout.buffer)
