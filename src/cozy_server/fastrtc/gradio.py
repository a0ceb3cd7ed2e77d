"""Gradio's ``component_server``: the three functions that FastRTC's component calls, for front ends that embed it.

Which component and which session of Gradio a call is for does not matter here.
"""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation

from cozy_domain.voice.ports import IceServer
from cozy_server.auth import LATE, admit, count_request
from cozy_server.body import JsonBody
from cozy_server.fastrtc.asking import admit_first, read_json, wish_in_query, with_body
from cozy_server.fastrtc.offer import CANDIDATE, WebRtc, add_candidate, begin
from cozy_server.fastrtc.refusals import answer_refusal, incomplete
from cozy_server.fastrtc.wire import (
    ENCODER,
    CallWish,
    ComponentAnswered,
    ComponentCall,
    OfferIn,
    QuitIn,
    Refused,
    Success,
)

_CALL = JsonBody(ComponentCall)
_OFFER = JsonBody(OfferIn)
_QUIT = JsonBody(QuitIn)


@post(
    "/gradio_api/component_server",
    status_code=200,
    request_max_body_size=None,
    responses={
        200: ResponseSpec(ComponentAnswered, description="As the function answers.", generate_examples=False)
    },
    opt={**LATE, "refusal": Refused, "body": ComponentCall, "query": CallWish},
    exception_handlers={Exception: answer_refusal},
    tags=["FastRTC"],
)
async def component_server(
    request: Request[Any, Any, Any],
    webrtc: NamedDependency[SkipValidation[WebRtc]],
) -> Response[Any]:
    """What FastRTC's Gradio component calls: `offer` as `/webrtc/offer`, `turn` the servers to connect through,
    `quit_output_stream` hangs up."""
    wish = wish_in_query(request, CallWish)
    caller = await admit_first(request, wish)
    asked = await read_json(request, _CALL, ComponentCall)
    data = ENCODER.encode(asked.data)
    if asked.fn_name == "offer":
        if wrong := incomplete(data, OfferIn):
            raise wrong
        offer = _OFFER.decode(data)
        wish = with_body(wish, offer.cozy)
        caller = caller or await admit(request.scope, wish.token)
        if offer.candidate is not None or offer.type == CANDIDATE:
            return _json(await add_candidate(request, webrtc, caller, offer))
        await count_request(request.scope)
        return _json(await begin(request, webrtc, caller, offer, wish))
    caller = caller or await admit(request.scope)
    await count_request(request.scope)
    if asked.fn_name == "turn":
        servers = webrtc.connections.ice_servers(caller.account) if webrtc.connections else ()
        return _json({"iceServers": [_server(it) for it in servers]})
    if asked.fn_name == "quit_output_stream":
        line = webrtc.conversations.lines.find(caller, _QUIT.decode(data).webrtc_id, wish.user_id)
        if line is not None and line.call is not None:
            line.call.close("hangup")
        return _json(Success())
    return _json({"detail": "Function not found."}, 404)


def _server(server: IceServer) -> dict[str, Any]:
    """As `RTCIceServer` of a browser; one without a password has none."""
    secret = {"username": server.username, "credential": server.credential} if server.username else {}
    return {"urls": list(server.urls), **secret}


def _json(answer: msgspec.Struct | dict[str, Any], status: int = 200) -> Response[Any]:
    return Response(ENCODER.encode(answer), status_code=status, media_type="application/json")


routes: list[HTTPRouteHandler] = [component_server]
