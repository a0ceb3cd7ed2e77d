"""What Claude thought before it called tools, sent back with their results (pure).

The API wants the blocks of an answer that called tools back as they were, in their order, signatures and all: without them
it refuses the results, or goes on without having thought (Anthropic, "Thinking" and "Thinking troubleshooting", read
2026-11). So an answer keeps its thoughts, and where its text and its calls stood between them.
"""

from collections.abc import Iterator

import msgspec

from cozy_domain.messages import AssistantMessage, Thinking, text_of

KINDS = ("thinking", "redacted_thinking")


class Thought(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str = ""
    signature: str = ""


class Secret(msgspec.Struct, tag_field="type", tag="redacted_thinking"):
    """Thinking that only the API can read."""

    data: str = ""


class Said(msgspec.Struct, tag_field="type", tag="text"):
    """So many characters of the answer's text."""

    length: int = 0


class Called(msgspec.Struct, tag_field="type", tag="tool_use"):
    """The next of its calls."""


Piece = Thought | Secret | Said | Called
_PIECES = msgspec.json.Decoder(tuple[Piece, ...])


def kept(model: str, pieces: list[Piece], tokens: int) -> Thinking | None:
    """What is to come back with the results; None where nothing was thought or called."""
    if not any(isinstance(it, Called) for it in pieces):
        return None
    if not any(isinstance(it, Thought | Secret) for it in pieces):
        return None
    return Thinking(model, msgspec.json.encode(pieces).decode(), tokens)


def in_order(message: AssistantMessage, model: str) -> tuple[Thought | Secret | str | Called, ...]:
    """The thoughts of ``message``, its text in pieces and its calls, as they stood in the answer; empty where ``model`` has
    none in it. Where the text is not the answer's any more, it follows the thoughts that the answer began with."""
    if message.thinking is None or message.thinking.model != model:
        return ()
    pieces = _PIECES.decode(message.thinking.data)
    text = text_of(message.content)
    if sum(it.length for it in pieces if isinstance(it, Said)) != len(text):
        pieces = _with_text_whole(pieces, len(text))
    return tuple(_cut(pieces, text))


def _with_text_whole(pieces: tuple[Piece, ...], length: int) -> tuple[Piece, ...]:
    begun = next((at for at, it in enumerate(pieces) if isinstance(it, Said | Called)), len(pieces))
    rest = tuple(it for it in pieces[begun:] if not isinstance(it, Said))
    return (*pieces[:begun], Said(length), *rest)


def _cut(pieces: tuple[Piece, ...], text: str) -> Iterator[Thought | Secret | str | Called]:
    at = 0
    for it in pieces:
        if isinstance(it, Said):
            yield text[at : at + it.length]
            at += it.length
        else:
            yield it
