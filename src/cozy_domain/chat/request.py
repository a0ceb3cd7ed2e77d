"""What is asked of the chat path, whatever protocol it came in."""

import msgspec

from cozy_domain.access.caller import Caller
from cozy_domain.ids import Owner, PersonaId, SessionId
from cozy_domain.messages import Message
from cozy_domain.models.request import Sampling, ToolChoice, ToolDefinition
from cozy_domain.sessions.turn import IdempotencyKey


class ChatRequest(msgspec.Struct, frozen=True):
    """One turn.

    ``messages`` hold the whole history of a stateless call, or at least the new messages of one with ``session``.
    ``personal`` is False when it is unknown for whom the caller asks: no session, memory or profile then.
    ``personalise`` None leaves it to the persona; ``allowed_tools`` None means all that the persona allows.
    """

    caller: Caller
    owner: Owner
    model: str
    messages: tuple[Message, ...]
    request: str
    personal: bool = True
    persona: PersonaId | None = None
    session: SessionId | None = None
    personalise: bool | None = None
    allowed_tools: tuple[str, ...] | None = None
    timezone: str | None = None
    locale: str = "en"
    tools: tuple[ToolDefinition, ...] = ()
    """Tools that the client runs itself."""
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    idempotency: IdempotencyKey | None = None
    unasked: bool = False
    """The user has said nothing new: the instructions among the messages say what the answer is about."""
