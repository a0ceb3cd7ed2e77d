"""What the Messages API answers: Structs (pure).

Source: the types of the official package, 2.12, for API version 2026-10-21. Events and blocks of a kind that is not known
here may come at any time (Anthropic, "Versions"), so an event is one Struct whose fields are optional, told apart by
``type``.
"""

import msgspec


class OutputDetails(msgspec.Struct, frozen=True):
    thinking_tokens: int | None = None


class WireUsage(msgspec.Struct, frozen=True):
    """Cumulative. ``input_tokens`` are those that the cache has nothing to do with: the whole prompt is the sum of the three
    inputs."""

    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class StartedMessage(msgspec.Struct, frozen=True):
    usage: WireUsage | None = None


class Block(msgspec.Struct, frozen=True):
    """A content block as it begins; ``input`` is ``{}`` until its pieces come, and whole from servers that send none."""

    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


class StopDetails(msgspec.Struct, frozen=True):
    explanation: str | None = None


class Delta(msgspec.Struct, frozen=True):
    """Of a block (``text``, ``thinking``, ``signature``, ``partial_json``) or of the message (``stop_reason``)."""

    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Details(msgspec.Struct, frozen=True):
    error_code: str | None = None


class WireError(msgspec.Struct, frozen=True):
    type: str | None = None
    message: str | None = None
    details: Details | None = None


class Event(msgspec.Struct, frozen=True):
    """One event of a stream, or the body of a refusal."""

    type: str | None = None
    index: int = 0
    message: StartedMessage | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: WireUsage | None = None
    error: WireError | None = None


class Support(msgspec.Struct, frozen=True):
    supported: bool = True


class Capabilities(msgspec.Struct, frozen=True):
    image_input: Support | None = None
    pdf_input: Support | None = None
    structured_outputs: Support | None = None
    effort: Support | None = None


class ListedModel(msgspec.Struct, frozen=True):
    """``max_tokens`` is the most that may be asked for."""

    id: str
    max_tokens: int | None = None
    capabilities: Capabilities | None = None


class ModelList(msgspec.Struct, frozen=True):
    data: tuple[ListedModel, ...]
