"""What was stored, as a new request meets it again (pure)."""

from collections.abc import Iterator

from cozy_domain.chat.events import ChatEvent, TurnEnded, TurnStarted
from cozy_domain.messages import AssistantMessage, Message, ToolMessage, text_of
from cozy_domain.models.deltas import RefusalDelta, TextDelta, ToolCallDelta
from cozy_domain.sessions.session import PersonaPin
from cozy_domain.sessions.turn import TurnRecord, WaitingRound


def replayed(record: TurnRecord) -> Iterator[ChatEvent]:
    """The events of a finished turn, its answer in one piece (settled question 16)."""
    yield TurnStarted(record.turn, record.session, PersonaPin(record.persona, record.revision), record.at)
    for choice, message in enumerate(record.outcome.answers):
        if isinstance(message, AssistantMessage):
            yield from _written(message, choice)
    yield TurnEnded(record.state, record.outcome)


def _written(message: AssistantMessage, choice: int) -> Iterator[ChatEvent]:
    if message.content:
        yield TextDelta(text_of(message.content), choice)
    if message.refusal:
        yield RefusalDelta(message.refusal, choice)
    for index, call in enumerate(message.tool_calls):
        yield ToolCallDelta(index, call.arguments, call.id, call.name, choice)


def waited_for(messages: tuple[Message, ...]) -> tuple[str, ...]:
    """The tool calls whose results are new at the end of ``messages``, in order; none when the user speaks."""
    ids: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        ids.append(message.tool_call_id)
    return tuple(reversed(ids))


def with_waiting_round(said: tuple[Message, ...], found: WaitingRound) -> tuple[Message, ...]:
    """A stateless call's messages with the round that waits put back in place of the client's half of it: the client saw
    only its own calls, the model wants all of them and our results. An embedder may send the results alone."""
    results = len(waited_for(said))
    before, answers = said[: len(said) - results], said[len(said) - results :]
    if before and isinstance(before[-1], AssistantMessage):
        before = before[:-1]
    return (*before, *found.messages, *answers)
