"""``POST /webrtc/offer``: an SDP offer and, on the same URL, every candidate that the client finds later."""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.errors import InputError, MissingError
from cozy_domain.voice.ports import IceCandidate, PeerConnections
from cozy_server.auth import LATE, admit, count_request
from cozy_server.body import JsonBody
from cozy_server.fastrtc.asking import admit_first, read_json, wish_in_query, with_body
from cozy_server.fastrtc.conversations import Conversations, order_of
from cozy_server.fastrtc.lines import name_of
from cozy_server.fastrtc.refusals import (
    BAD_CANDIDATE,
    CLOSED,
    EXISTS,
    answer_refusal,
    refused,
)
from cozy_server.fastrtc.wire import (
    ENCODER,
    AnswerOut,
    CallWish,
    Candidate,
    Done,
    OfferAnswered,
    OfferIn,
    Refused,
)
from cozy_server.throttle.throttle import count_owner

CANDIDATE = "ice-candidate"

_BODY = JsonBody(OfferIn)


class WebRtc(msgspec.Struct, frozen=True):
    """What offers are answered with. ``connections`` is None where nothing is installed that speaks WebRTC."""

    conversations: Conversations
    connections: PeerConnections | None


@post(
    "/webrtc/offer",
    status_code=200,
    request_max_body_size=None,
    responses={
        200: ResponseSpec(
            OfferAnswered, description="The answer; or one of FastRTC's refusals.", generate_examples=False
        )
    },
    opt={**LATE, "refusal": Refused, "body": OfferIn, "query": CallWish},
    exception_handlers={Exception: answer_refusal},
    tags=["FastRTC"],
)
async def offer(
    request: Request[Any, Any, Any], webrtc: NamedDependency[SkipValidation[WebRtc]]
) -> Response[Any]:
    """Begins a call over WebRTC, as FastRTC does. Refusals that FastRTC knows have its status 200 and its body. Candidates
    found later are sent here too."""
    wish = wish_in_query(request, CallWish)
    caller = await admit_first(request, wish)
    asked = await read_json(request, _BODY, OfferIn)
    wish = with_body(wish, asked.cozy)
    if caller is None:
        caller = await admit(request.scope, wish.token)
    if asked.candidate is not None or asked.type == CANDIDATE:
        return _json(await add_candidate(request, webrtc, caller, asked))
    await count_request(request.scope)
    return _json(await begin(request, webrtc, caller, asked, wish))


async def add_candidate(
    request: Request[Any, Any, Any], webrtc: WebRtc, caller: Caller, asked: OfferIn
) -> Done:
    """
    Raises:
        RefusedError: one of FastRTC's.
    """
    candidate = asked.candidate or Candidate()
    if not webrtc.conversations.lines.belongs(caller.account, asked.webrtc_id):
        await count_request(request.scope)
    try:
        await connections_of(webrtc).add_candidate(
            name_of(caller.account, asked.webrtc_id),
            IceCandidate(candidate.candidate or "", candidate.sdp_mid, candidate.sdp_m_line_index),
        )
    except InputError:
        raise refused(BAD_CANDIDATE) from None
    except MissingError:
        raise refused(CLOSED) from None
    return Done()


async def begin(
    request: Request[Any, Any, Any], webrtc: WebRtc, caller: Caller, asked: OfferIn, wish: CallWish
) -> AnswerOut:
    """
    Raises:
        RefusedError: one of FastRTC's.
        CozyError: the offer is not as it must be, or as `Conversations.begin`.
    """
    if asked.type != "offer":
        raise InputError("'type' must be 'offer', or 'ice-candidate' with a candidate.", param="type")
    if not asked.sdp:
        raise InputError("An offer needs its SDP.", code="invalid_sdp", param="sdp")
    connections = connections_of(webrtc)
    order = order_of(wish, caller, request.scope)
    await count_owner(request.scope, caller, order.owner)
    conversations = webrtc.conversations
    line = conversations.lines.claim(caller, asked.webrtc_id, wish.user_id)
    if wish.call is not None:
        conversation = conversations.go_on(line, order.owner, wish.call)
    else:
        conversation = await conversations.begin(line, order)
    try:
        answered = await connections.answer(line.name, asked.sdp)
    except BaseException as error:
        await conversations.give_up(conversation, line)
        if isinstance(error, InputError) and error.code == EXISTS:
            raise refused(EXISTS) from None
        raise
    conversation.attach(line, answered.peer, announces=True)
    return AnswerOut(answered.sdp, cozy=conversation.started)


def connections_of(webrtc: WebRtc) -> PeerConnections:
    """
    Raises:
        MissingError: ``not_configured``.
    """
    if webrtc.connections is None:
        raise MissingError(
            "Nothing is installed that speaks WebRTC.",
            code="not_configured",
            hint="pip install 'cozy-engine[voice]'; or use /websocket/offer.",
        )
    return webrtc.connections


def _json(answer: AnswerOut | Done) -> Response[Any]:
    return Response(ENCODER.encode(answer), media_type="application/json")


routes: list[HTTPRouteHandler] = [offer]
