"""Step 1 of a turn: what is asked, checked against ONE configuration snapshot (pure).

From the request, and the session if there is one, follow the persona, the chain of models, the tools on offer and the
messages that are new. Nothing is stored yet, so everything that the caller did wrong is said here.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from cozy_domain.chat.request import ChatRequest
from cozy_domain.errors import InputError
from cozy_domain.ids import PersonaId
from cozy_domain.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage, text_of
from cozy_domain.models.request import Feature, ModelRef, ModelRequest, Sampling, ToolDefinition
from cozy_domain.persona.persona import Persona
from cozy_domain.routing.choice import Choice, Snapshot, choose, fitting, missing_features
from cozy_domain.routing.default import OFFLINE
from cozy_domain.sessions.session import EPOCH_IDLE, Session
from cozy_domain.tools.policy import offer, permitted, runnable, strangers
from cozy_domain.tools.tool import ToolSpec

Features = Callable[[ModelRef], frozenset[Feature]]

OTHERS_CAN = "Leave it out, or ask a model that can: GET /v1/models lists them."
OFFLINE_CANNOT = (
    "This is the offline stand-in, which reads text alone. Leave it out, or have a model answer: whoever runs the server "
    "sets OPENAI_API_KEY, or COZY_MODEL=provider/id."
)


class Conversation(msgspec.Struct, frozen=True):
    """The request's messages, sorted. ``instructions`` are its system messages, which hold for this turn only; ``new`` is
    what this turn adds to the stored history; ``said`` is the whole of a stateless call, without the instructions."""

    instructions: tuple[SystemMessage, ...]
    said: tuple[Message, ...]
    new: tuple[Message, ...]

    @property
    def query(self) -> str:
        """What to look for in memory and knowledge: the last words of the user."""
        users = [message for message in self.said if isinstance(message, UserMessage)]
        return text_of(users[-1].content) if users else ""


class Offer(msgspec.Struct, frozen=True):
    """Tools of this turn: the server's by name, and what the model is shown of them and of the client's. ``unapproved``
    are the names of those that somebody would have to approve first; ``strangers`` the servers whose descriptions it is
    shown and nobody vouches for."""

    server: Mapping[str, ToolSpec]
    client: frozenset[str]
    definitions: tuple[ToolDefinition, ...]
    unapproved: frozenset[str] = frozenset()
    strangers: frozenset[str] = frozenset()


def route(request: ChatRequest, session: Session | None, snapshot: Snapshot) -> Choice:
    """Persona and models for this request.

    Raises:
        MissingError: the model or the persona does not exist.
        InputError: the request asks for a session but says not whose, or for several choices in one.
    """
    if request.session and not request.personal:
        raise InputError(
            "This key serves many people, so a session needs to know whose it is.",
            code="missing_required_parameter",
            param="cozy.user_id",
            hint="Send cozy.user_id with the id of the person you ask for.",
        )
    if request.session and request.sampling.choices > 1:
        raise InputError("n must be 1 in a session: one answer is remembered.", param="n")
    pin = session.pin if session else None
    return choose(request.model, request.persona, pin, snapshot)


def pinned_revision(choice: PersonaId, session: Session | None, current: int, now: datetime) -> int:
    """The revision that speaks: a session keeps its own until it was idle for an hour (settled question 13)."""
    if session is None or session.pin.persona != choice or now - session.last_turn_at >= EPOCH_IDLE:
        return current
    return session.pin.revision


def sort_messages(messages: tuple[Message, ...], *, in_session: bool, unasked: bool = False) -> Conversation:
    """Splits the request's messages. ``unasked``: nothing need be new. Nor need it in a stateless call, which has no past
    but what it brings: with instructions alone they say what to answer, and words of the assistant are gone on with.

    Raises:
        InputError: a session is told nothing new: the last message is the assistant's own, or there are only instructions.
    """
    instructions = tuple(message for message in messages if isinstance(message, SystemMessage))
    said = tuple(message for message in messages if not isinstance(message, SystemMessage))
    last = max((i for i, message in enumerate(said) if isinstance(message, AssistantMessage)), default=-1)
    new = said[last + 1 :]
    if not new and (unasked or (messages and not in_session)):
        return Conversation(instructions, () if in_session else said, ())
    if not new:
        raise InputError(
            "In a session the last message must be from the user, or the result of a tool.",
            param=f"messages[{max(len(messages) - 1, 0)}].role",
        )
    return Conversation(instructions, new if in_session else said, new if in_session else _latest(new))


def offer_tools(
    request: ChatRequest, persona: Persona, specs: tuple[ToolSpec, ...], *, supported: bool
) -> Offer:
    """Which tools the model is shown; the server's only when the model is able to call tools.

    Raises:
        InputError: the request names an unknown tool or one that needs approval, gives two one name, or chooses one
            that is not there.
    """
    found = permitted(
        specs, persona.tools, request.allowed_tools, request.caller.role, request.sampling.choices
    )
    usable = found if supported else replace(found, tools=())
    return Offer(
        server=runnable(usable, request.tool_choice),
        client=frozenset(tool.name for tool in request.tools),
        definitions=offer(usable, request.tools, request.tool_choice),
        unapproved=frozenset(found.unapproved),
        strangers=strangers(usable),
    )


def able_models(
    request: ChatRequest, chain: tuple[ModelRef, ...], features: Features
) -> tuple[ModelRef, ...]:
    """The models of ``chain`` that can do all that is asked, in order.

    Raises:
        InputError: none can; names the first thing that the first model cannot do.
    """
    asked = ModelRequest(
        model=request.model,
        messages=request.messages,
        tools=request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        sampling=request.sampling,
    )
    able = tuple(ref for ref in chain if not missing_features(asked, features(ref)))
    if not able:
        param, feature = missing_features(asked, features(chain[0]))[0]
        raise InputError(
            f"The model '{chain[0]}' does not support '{feature}'.",
            code="unsupported_parameter",
            param=param,
            hint=OFFLINE_CANNOT if chain[0] == OFFLINE else OTHERS_CAN,
        )
    return able


def sampling_for(asked: Sampling, persona: Persona, features: frozenset[Feature]) -> Sampling:
    """The request's wishes first, then those of the persona that the model knows."""
    wishes = persona.model
    preferred = fitting(
        Sampling(
            temperature=wishes.temperature,
            top_p=wishes.top_p,
            max_output=wishes.max_output,
            stop=wishes.stop,
            reasoning_effort=wishes.reasoning,
        ),
        features,
    )
    return replace(
        asked,
        temperature=preferred.temperature if asked.temperature is None else asked.temperature,
        top_p=preferred.top_p if asked.top_p is None else asked.top_p,
        max_output=preferred.max_output if asked.max_output is None else asked.max_output,
        stop=asked.stop or preferred.stop,
        reasoning_effort=asked.reasoning_effort or preferred.reasoning_effort,
    )


def _latest(new: tuple[Message, ...]) -> tuple[Message, ...]:
    """What a stateless call stores: the results of the client's tools, or the last message of the user."""
    results = tuple(message for message in new if isinstance(message, ToolMessage))
    return results if isinstance(new[-1], ToolMessage) else new[-1:]
