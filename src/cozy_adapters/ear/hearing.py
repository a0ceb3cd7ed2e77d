"""The side of the program: it answers questions from standard input on standard output, and ends with its input."""

import os
import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol

from cozy_adapters.child.pool import line
from cozy_adapters.child.process import fall_silent, leave_interrupts_to_parent
from cozy_adapters.ear.wire import QUESTIONS, Answer, Begin, Begun, Feed, Finish, Heard, Partial, Unusable
from cozy_domain.speech.ports import Hearing


class Ear(Protocol):
    """A library with its model, and the utterance going on."""

    def begin(self, hearing: Hearing) -> None: ...

    def feed(self, samples: bytes, *, live: bool) -> str:
        """The text so far; empty unless ``live``, or where there are no partial results."""
        ...

    def finish(self) -> Heard: ...


def main(load: Callable[[], Ear]) -> None:
    """Until there are no more questions. A model that cannot be loaded is the answer to the first one."""
    leave_interrupts_to_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    try:
        ear = load()
    except Exception as error:  # noqa: BLE001 - libraries raise what they like
        reason = " ".join(str(error).split())
        _say(answers, Unusable(f"{type(error).__name__}: {reason}"))
        return
    fall_silent()
    serve(ear, sys.stdin.buffer, answers)


def serve(ear: Ear, questions: BinaryIO, answers: BinaryIO) -> None:
    live = False
    for question in questions:
        match QUESTIONS.decode(question):
            case Begin(hearing=hearing, live=live):
                ear.begin(hearing)
                _say(answers, Begun())
            case Feed(samples=samples):
                _say(answers, Partial(ear.feed(samples, live=live)))
            case Finish():
                _say(answers, ear.finish())


def _say(answers: BinaryIO, answer: Answer) -> None:
    answers.write(line(answer))
    answers.flush()
