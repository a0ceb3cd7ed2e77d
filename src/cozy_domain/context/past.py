"""History as it stands in the prompt: whole exchanges, every tool call with its result (pure)."""

from collections.abc import Iterable, Sequence

import msgspec

from cozy_domain.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage
from cozy_domain.sessions.session import PastTurn

NO_ANSWER = "No answer came: the caller did not report a result for this call."
"""Stands for the result of a client's tool that the client never sent; a call without a result is refused by providers."""


class Exchange(msgspec.Struct, frozen=True):
    """Turns that belong together: one that asks the client for a tool, and those that answer it. ``last`` is the ``seq``
    of the newest."""

    last: int
    messages: tuple[Message, ...]


class Past(msgspec.Struct, frozen=True):
    """Exchanges before the present one, oldest first, each with its tokens."""

    exchanges: tuple[Exchange, ...] = ()
    sizes: tuple[int, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(message for exchange in self.exchanges for message in exchange.messages)

    @property
    def tokens(self) -> int:
        return sum(self.sizes)

    def without_oldest(self, count: int) -> "Past":
        return Past(self.exchanges[count:], self.sizes[count:])


def exchanges(turns: Sequence[PastTurn]) -> tuple[Exchange, ...]:
    """By the ``seq`` of their newest turn. System messages held for their own turn only and are left out; so are results
    that answer nothing."""
    found: list[Exchange] = []
    for turn in sorted(turns, key=lambda turn: turn.seq):
        said = tuple([message for message in turn.messages if not isinstance(message, SystemMessage)])
        asked = asking(found, results_of(said))
        earlier = () if asked is None else found.pop(asked).messages
        found.append(Exchange(turn.seq, earlier + said))
    return tuple(Exchange(it.last, _without_strays(it.messages)) for it in found)


def results_of(new: Sequence[Message]) -> tuple[str, ...]:
    """The calls that new messages begin by answering: then the turn that asked belongs to the present."""
    ids = []
    for message in new:
        if not isinstance(message, ToolMessage):
            break
        ids.append(message.tool_call_id)
    return tuple(ids)


def asking(found: Sequence[Exchange], calls: Sequence[str]) -> int | None:
    """Which exchange asked the first of ``calls``; the newest of them, None when none did."""
    if not calls:
        return None
    return next((i for i in reversed(range(len(found))) if calls[0] in _called(found[i].messages)), None)


def resumed(
    before: tuple[Exchange, ...], new: tuple[Message, ...]
) -> tuple[tuple[Exchange, ...], tuple[Message, ...]]:
    """The past, and the present: the new messages, behind the exchange whose calls they answer.

    Turns may have ended since it asked (settled question 7): it still stands last. Calls that were answered before stay
    answered when the user goes on talking; results that come alone once more ask for another answer.
    """
    calls = results_of(new)
    asked = asking(before, calls)
    if asked is None:
        return before, new[len(calls) :]
    exchange = before[asked].messages
    present = (*exchange, *new) if len(new) > len(calls) else (*_up_to(exchange, calls), *new)
    return before[:asked] + before[asked + 1 :], _without_strays(present)


def answered(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same messages, with ``NO_ANSWER`` behind every call that has no result before the next message."""
    if not any(map(_calls, messages)):  # as in most exchanges of a long history
        return tuple(messages)
    whole: list[Message] = []
    open_calls: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            open_calls = [call for call in open_calls if call != message.tool_call_id]
        else:
            whole.extend(_unanswered(open_calls))
            open_calls = _calls(message)
        whole.append(message)
    whole.extend(_unanswered(open_calls))
    return tuple(whole)


def last_said(messages: Sequence[Message]) -> int:
    """Where the last run of the user's messages begins; 0 when there is none. Data put there comes between no call and
    its result."""
    end = len(messages)
    while end and not isinstance(messages[end - 1], UserMessage):
        end -= 1
    while end and isinstance(messages[end - 1], UserMessage):
        end -= 1
    return end


def _up_to(messages: tuple[Message, ...], calls: Sequence[str]) -> tuple[Message, ...]:
    """Until the round that made ``calls``, with the results that others have given to it."""
    end = max(i for i, message in enumerate(messages) if calls[0] in _calls(message)) + 1
    results = messages[end : end + len(results_of(messages[end:]))]
    others = (it for it in results if isinstance(it, ToolMessage) and it.tool_call_id not in calls)
    return (*messages[:end], *others)


def _without_strays(messages: Sequence[Message]) -> tuple[Message, ...]:
    if ToolMessage not in map(type, messages):
        return tuple(messages)
    kept: list[Message] = []
    open_calls: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                continue
            open_calls.remove(message.tool_call_id)
        else:
            open_calls = _calls(message)
        kept.append(message)
    return tuple(kept)


def _called(messages: Sequence[Message]) -> set[str]:
    return {call for message in messages for call in _calls(message)}


def _calls(message: Message) -> list[str]:
    if not isinstance(message, AssistantMessage) or not message.tool_calls:
        return []
    return [call.id for call in message.tool_calls]


def _unanswered(calls: Iterable[str]) -> list[Message]:
    return [ToolMessage(tool_call_id=call, content=NO_ANSWER) for call in calls]
