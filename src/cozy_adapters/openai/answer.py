"""Events of a streamed answer, as the domain's deltas (pure).

What lives here: order, ends, and what lookalike servers do differently. Every choice that began ends with exactly one
``ChoiceFinished``; an answer that breaks off before that is an error, never a short answer.
"""

import json
from collections.abc import Callable, Iterator

import msgspec

from cozy_adapters.openai.wire import (
    NOTHING,
    Chunk,
    Delta,
    FunctionPiece,
    Logprobs,
    ToolCallPiece,
    WireChoice,
    WireUsage,
)
from cozy_domain.errors import ProviderError, ProviderMalformedError, ProviderUnavailableError
from cozy_domain.messages import FinishReason, Usage
from cozy_domain.models.deltas import (
    ChoiceFinished,
    ModelDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    UsageReported,
)
from cozy_domain.text import whole

DONE = b"[DONE]"
_SHORT = 16
"""Bytes; a longer event is not the end, and need not be copied to see that."""
_NO_ERROR = (b"null", b"false", b'""', b"{}")
_CHUNKS = msgspec.json.Decoder(Chunk)
_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""Anything else that a server invents (``eos``, ``end_turn``) means that it was done: ``stop``."""


class Answer:
    """One answer while it arrives. ``complete`` once ``[DONE]`` was read: nothing that follows matters."""

    def __init__(self, provider: str, new_call_id: Callable[[], str]) -> None:
        self.complete = False
        self._provider = provider
        self._new_call_id = new_call_id
        self._choices: dict[int, _Choice] = {}
        self._tier: str | None = None
        self._fingerprint: str | None = None

    def read(self, event: bytes) -> Iterator[ModelDelta]:
        """The deltas of one event.

        Raises:
            ProviderMalformedError: it is no chunk.
            ProviderUnavailableError: it is an error; the work done so far may be billed.
        """
        if self.complete:
            return
        if len(event) < _SHORT and event.strip() == DONE:
            self.complete = True
            return
        chunk = self._decoded(event)
        if chunk.error is not NOTHING and bytes(chunk.error) not in _NO_ERROR:
            raise ProviderUnavailableError(
                f"{self._provider} broke off its answer with an error.", provider=self._provider, billed=True
            )
        for choice in chunk.choices or ():
            known = self._choices.get(choice.index)
            if known is None:
                known = self._choices[choice.index] = _Choice(choice.index)
            yield from known.read(choice, self._new_call_id)
        self._tier = chunk.service_tier or self._tier
        self._fingerprint = chunk.system_fingerprint or self._fingerprint
        if chunk.usage is not None:
            yield UsageReported(
                _usage(chunk.usage), whole(self._tier or "") or None, whole(self._fingerprint or "") or None
            )

    def end(self) -> Iterator[ModelDelta]:
        """What is left when no more events come: the end of choices that the server did not end itself.

        Raises:
            ProviderMalformedError: there is no answer, or its end is missing.
        """
        if not self._choices:
            raise self._malformed("answered nothing")
        for choice in self._choices.values():
            if choice.finished:
                continue
            if not self.complete:
                raise self._malformed("broke off its answer without an end")
            yield choice.finish("stop")

    def _decoded(self, event: bytes) -> Chunk:
        try:
            return _CHUNKS.decode(event)
        except msgspec.ValidationError as error:
            raise self._malformed("sent an event of an unknown form") from error
        except msgspec.DecodeError:
            return self._decoded_with_halves(event)

    def _decoded_with_halves(self, event: bytes) -> Chunk:
        r"""Half a surrogate pair (``"\ud83d"``) is JSON by RFC 8259, section 8.2, and servers that cut an emoji in two send
        it; msgspec refuses it, so this way is slower."""
        try:
            tree = json.loads(event)
            if isinstance(tree, dict) and "error" in tree:
                tree["error"] = msgspec.Raw(json.dumps(tree["error"]).encode())
            return msgspec.convert(tree, Chunk)
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            raise self._malformed("sent an event that is no JSON") from error

    def _malformed(self, what: str) -> ProviderError:
        return ProviderMalformedError(f"{self._provider} {what}.", provider=self._provider, billed=True)


class _Cut:
    """A text that comes in pieces, and half a character that waits for its other half. One that still waits when the text
    ends is left out."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str | None) -> str:
        """What of the text is whole by now."""
        if not self._half and (not piece or piece.isascii()):
            return piece or ""
        text = self._half + (piece or "")
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)


class _Call:
    """A call that began. ``place`` is the server's index, ``theirs`` its id for the call; id and name are empty until
    it gives them."""

    def __init__(self, index: int, place: int | None) -> None:
        self.index = index
        self.place = place
        self.theirs = ""
        self.name = ""
        self.arguments = _Cut()


class _Choice:
    """One choice: which calls it began, and whether it ended."""

    def __init__(self, index: int) -> None:
        self.finished = False
        self._index = index
        self._calls: list[_Call] = []
        self._thought = _Cut()
        self._text = _Cut()
        self._refusal = _Cut()

    def read(self, choice: WireChoice, new_call_id: Callable[[], str]) -> list[ModelDelta]:
        said = choice.delta or choice.message or Delta()
        found: list[ModelDelta] = []
        if thought := self._thought.add(said.reasoning_content or said.reasoning):
            found.append(ReasoningDelta(thought, self._index))
        text, tokens = self._text.add(said.content), _logprobs(choice.logprobs)
        if text or tokens:
            found.append(TextDelta(text, self._index, tokens))
        if refusal := self._refusal.add(said.refusal):
            found.append(RefusalDelta(refusal, self._index))
        for position, piece in enumerate(said.tool_calls or ()):
            found.append(self._call(piece, position if choice.message else None, new_call_id))
        if choice.finish_reason and not self.finished:
            found.append(self.finish(choice.finish_reason))
        return found

    def finish(self, reason: str) -> ChoiceFinished:
        """A choice that called tools ended for that, whatever a server says: agent loops branch on it."""
        self.finished = True
        ended = _REASONS.get(reason, "stop")
        return ChoiceFinished("tool_calls" if self._calls and ended == "stop" else ended, self._index)

    def _call(
        self, piece: ToolCallPiece, position: int | None, new_call_id: Callable[[], str]
    ) -> ToolCallDelta:
        place = position if piece.index is None else piece.index
        function = piece.function or FunctionPiece()
        theirs, name = whole(piece.id or ""), whole(function.name or "")
        call, id = self._continued(place, theirs, name), None
        if call is None:
            call, id = _Call(len(self._calls), place), theirs or new_call_id()
            self._calls.append(call)
        new_name = None if call.name else name or None
        call.theirs, call.name = call.theirs or theirs, call.name or name
        return ToolCallDelta(call.index, call.arguments.add(function.arguments), id, new_name, self._index)

    def _continued(self, place: int | None, theirs: str, name: str) -> _Call | None:
        """The call that a piece continues. Some servers give every call index 0 and some give none, so another id begins
        another call; some give every call the same id, so that it counts only under its index."""
        there = [call for call in reversed(self._calls) if place is None or call.place == place]
        known = [call for call in there if call.theirs == theirs] if theirs else there
        if known or not there:
            return known[0] if known else None
        id_comes_late = not there[0].theirs and not (name and there[0].name)
        return there[0] if id_comes_late else None


def _logprobs(logprobs: Logprobs | None) -> tuple[TokenLogprob, ...]:
    if logprobs is None:
        return ()
    return tuple(
        TokenLogprob(
            token=whole(entry.token),
            logprob=entry.logprob,
            bytes=entry.bytes,
            top=tuple(
                TokenLogprob(whole(top.token), top.logprob, top.bytes) for top in entry.top_logprobs or ()
            ),
        )
        for entry in logprobs.content or ()
    )


def _usage(usage: WireUsage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=(prompt and prompt.cached_tokens) or 0,
        cache_write_tokens=(prompt and prompt.cache_write_tokens) or 0,
        reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
        known=True,
    )
