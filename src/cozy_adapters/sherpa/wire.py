"""What a program that speaks is asked and answers; one answer for every question, in their order."""

import msgspec


class Say(msgspec.Struct, frozen=True, tag="say"):
    """``speaker`` is the number of a voice; an empty text only loads the model."""

    text: str = ""
    speaker: int = 0
    speed: float = 1.0


class Said(msgspec.Struct, frozen=True, tag="said"):
    """PCM16 mono at ``rate`` hertz, the model's."""

    samples: bytes
    rate: int


class Unusable(msgspec.Struct, frozen=True, tag="unusable"):
    """The model cannot be loaded, in the library's words; the program ends."""

    reason: str


Answer = Said | Unusable

QUESTIONS: msgspec.json.Decoder[Say] = msgspec.json.Decoder(Say)
ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)
