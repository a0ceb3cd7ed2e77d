"""What a program that hears is asked and answers; one answer for every question, in their order. Positions are samples from
the beginning of the utterance."""

import msgspec

from cozy_domain.speech.ports import Hearing


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """A new utterance; what was going on is forgotten. ``live`` asks for partial results."""

    hearing: Hearing = Hearing()
    live: bool = False


class Feed(msgspec.Struct, frozen=True, tag="feed"):
    """More of it: PCM16 at 16 kHz."""

    samples: bytes


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """There is no more."""


Question = Begin | Feed | Finish


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    pass


class Partial(msgspec.Struct, frozen=True, tag="partial"):
    text: str = ""


class HeardWord(msgspec.Struct, frozen=True):
    text: str
    start: int
    end: int


class HeardSegment(msgspec.Struct, frozen=True):
    text: str
    start: int
    end: int
    logprob: float | None = None
    silence: float | None = None


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    text: str = ""
    language: str | None = None
    words: tuple[HeardWord, ...] = ()
    segments: tuple[HeardSegment, ...] = ()


class Unusable(msgspec.Struct, frozen=True, tag="unusable"):
    """The model cannot be loaded, in the library's words; the program ends."""

    reason: str


Answer = Begun | Partial | Heard | Unusable

QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)
