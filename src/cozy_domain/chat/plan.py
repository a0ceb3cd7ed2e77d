"""A turn as it was admitted: who speaks, with which models and tools, to what was said."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from cozy_domain.chat.admit import (
    Conversation,
    Offer,
    able_models,
    offer_tools,
    pinned_revision,
    route,
    sampling_for,
    sort_messages,
)
from cozy_domain.chat.deadline import stored
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.request import ChatRequest
from cozy_domain.context.bundle import Moment
from cozy_domain.errors import InputError, MissingError
from cozy_domain.ids import TurnId
from cozy_domain.messages import Message
from cozy_domain.models.request import Feature, ModelRef, ModelRequest, ToolChoice
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.routing.choice import fitting_messages
from cozy_domain.sessions.blobs import detached
from cozy_domain.sessions.session import PersonaPin, Session
from cozy_domain.sessions.turn import TurnOpened
from cozy_domain.tools.tool import ToolContext, ToolTime


class TurnPlan(msgspec.Struct, frozen=True):
    """``chain`` are the models that can do what is asked, in order; ``session`` is None when there is none yet."""

    turn: TurnId
    request: ChatRequest
    speaker: PublishedPersona
    session: Session | None
    chain: tuple[ModelRef, ...]
    offer: Offer
    conversation: Conversation
    at: datetime
    timezone: str

    @property
    def pin(self) -> PersonaPin:
        return PersonaPin(self.speaker.persona.id, self.speaker.revision)

    @property
    def personalised(self) -> bool:
        """Whether memory, knowledge and profile take part."""
        asked = self.request.personalise
        return self.request.personal and (self.speaker.persona.personalise if asked is None else asked)

    @property
    def moment(self) -> Moment:
        return Moment(self.at.astimezone(zone_of(self.timezone)), self.timezone)

    def opened(self, lease_until: datetime) -> TurnOpened:
        request = self.request
        messages, blobs = detached(self.conversation.new)
        return TurnOpened(
            turn=self.turn,
            owner=request.owner,
            persona=self.speaker.persona.id,
            revision=self.speaker.revision,
            model=request.model,
            messages=messages,
            at=self.at,
            lease_until=lease_until,
            request=request.request,
            session=request.session,
            idempotency=request.idempotency,
            blobs=blobs,
        )

    def model_request(
        self,
        ref: ModelRef,
        messages: tuple[Message, ...],
        choice: ToolChoice,
        features: frozenset[Feature],
        cache_key: str,
    ) -> ModelRequest:
        request = self.request
        return ModelRequest(
            model=ref.id,
            messages=fitting_messages(messages, features),
            tools=self.offer.definitions if Feature.TOOLS in features else (),
            tool_choice=choice,
            parallel_tool_calls=request.parallel_tool_calls,
            sampling=sampling_for(request.sampling, self.speaker.persona, features),
            cache_key=cache_key,
            end_user=request.owner.id.hex,
        )

    def tool_context(self, now: datetime) -> ToolContext:
        unix_us = int(now.timestamp() * 1_000_000)
        return ToolContext(
            owner=self.request.owner,
            turn=self.turn,
            now=ToolTime(unix_us, self.timezone),
            locale=self.request.locale,
        )


async def plan_turn(parts: ChatParts, request: ChatRequest) -> TurnPlan:
    """Admits the request, on ONE configuration snapshot.

    Raises:
        InputError, MissingError: the request.
        StorageUnavailableError: the session could not be read.
    """
    now, within_s = parts.clock.now(), parts.limits.storage_s
    conversation = sort_messages(
        request.messages, in_session=request.session is not None, unasked=request.unasked
    )
    session = None
    if request.session is not None and request.personal:
        work = parts.history.session(request.owner, request.session)
        try:
            session = await stored(work, within_s)
        except MissingError:
            raise no_such_session() from None
    snapshot = parts.snapshot()
    choice = route(request, session, snapshot)
    current = snapshot.catalog.get(choice.persona)
    revision = pinned_revision(choice.persona, session, current.revision, now)
    if revision != current.revision:
        pinned = await stored(parts.revisions.find(choice.persona, revision), within_s)
        current = pinned or current
    chain = able_models(request, choice.models, parts.generation.features)
    supported = any(Feature.TOOLS in parts.generation.features(ref) for ref in chain)
    return TurnPlan(
        turn=TurnId(parts.ids.new()),
        request=request,
        speaker=current,
        session=session,
        chain=chain,
        offer=offer_tools(request, current.persona, parts.toolbox.specs(), supported=supported),
        conversation=conversation,
        at=now,
        timezone=_zone_name(request.timezone or parts.timezone),
    )


def _zone_name(name: str) -> str:
    zone_of(name)
    return name


def zone_of(name: str) -> tzinfo:
    """UTC needs no time zone database, which not every machine has.

    Raises:
        InputError: it is no IANA name.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            "The time zone is not an IANA name.", param="cozy.timezone", hint="For example Asia/Shanghai."
        ) from None


def no_such_session() -> MissingError:
    """The same words for one that is another owner's and for one that was deleted."""
    return MissingError("The session does not exist.", code="session_not_found", param="cozy.session_id")
