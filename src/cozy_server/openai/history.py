"""The rules for tool calls in a request's messages (pure).

Providers refuse a history that breaks them, each in its own words, so they are checked here once. The texts are OpenAI's:
clients search for them, and ``param`` is written as OpenAI writes it for these (``messages.[3].role``).
"""

from collections import Counter

from cozy_domain.errors import InputError
from cozy_domain.messages import AssistantMessage, Message, SystemMessage, ToolMessage

_UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
    "The following tool_call_ids did not have response messages: {ids}"
)
_UNASKED = "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'."


def check_history(messages: tuple[Message, ...], *, in_session: bool) -> None:
    """Every call is answered once, directly after the message that made it.

    With a session the call may stand in the stored history, so results may come first.

    Raises:
        InputError: a rule is broken; names the message.
    """
    asked_at = -1
    pending: set[str] = set()
    asked: set[str] = set()
    may_start_with_results = in_session
    for position, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id in pending:
                pending.remove(message.tool_call_id)
            elif message.tool_call_id in asked:
                raise _invalid("A tool call has two results.", f"messages.[{position}].tool_call_id")
            elif may_start_with_results:
                asked.add(message.tool_call_id)
            else:
                raise _invalid(_UNASKED, f"messages.[{position}].role")
            continue
        if pending:
            raise _invalid(_unanswered(messages[asked_at], pending), f"messages.[{position}].role")
        if not isinstance(message, SystemMessage):
            may_start_with_results, asked = False, set()
        if isinstance(message, AssistantMessage) and message.tool_calls:
            asked_at, pending = position, _ids(message, position)
            asked = set(pending)
    if pending:
        raise _invalid(_unanswered(messages[asked_at], pending), f"messages.[{asked_at}].role")


def _ids(message: AssistantMessage, position: int) -> set[str]:
    counts = Counter(call.id for call in message.tool_calls)
    if max(counts.values()) > 1:
        raise _invalid("Two tool calls have the same id.", f"messages.[{position}].tool_calls")
    return set(counts)


def _unanswered(message: Message, pending: set[str]) -> str:
    calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
    return _UNANSWERED.format(ids=", ".join(call.id[:64] for call in calls if call.id in pending))


def _invalid(message: str, param: str) -> InputError:
    return InputError(message, param=param)
