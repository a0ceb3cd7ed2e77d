"""What a worker is asked and answers: one JSON value in a line each, one answer for every question, in their order."""

import msgspec


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """A new utterance; what was going on is forgotten. ``phrases`` are normal forms, none for free speech; ``live`` asks for
    partial results."""

    phrases: tuple[str, ...] = ()
    live: bool = False


class Feed(msgspec.Struct, frozen=True, tag="feed"):
    """More of it: PCM16 at 16 kHz."""

    samples: bytes


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """There is no more."""


Question = Begin | Feed | Finish


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """``unknown`` are words of the phrases that are not in the dictionary; if there are any, nothing has begun."""

    unknown: tuple[str, ...] = ()


class Partial(msgspec.Struct, frozen=True, tag="partial"):
    text: str = ""


class HeardWord(msgspec.Struct, frozen=True):
    """In samples from the beginning of the utterance."""

    text: str
    start: int
    end: int


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """``text`` is one of the phrases, or what is free; empty when nothing was understood."""

    text: str = ""
    words: tuple[HeardWord, ...] = ()


Answer = Begun | Partial | Heard

QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)
