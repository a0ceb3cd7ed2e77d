"""What FastRTC's clients send and read, as Structs (contract: FastRTC 0.0.34), and our additions, all of them optional.

Sound in JSON is base64. Every object that goes to a client is encoded by `ENCODER`, on one line.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ENCODER = msgspec.json.Encoder()

LONGEST_TEXT = 32_768
"""Characters of typed text: more than is spoken in half an hour."""

CallerId = Annotated[str, Meta(min_length=1, max_length=128)]
"""``webrtc_id`` or ``websocket_id``, which the client makes up; FastRTC's own are 5 to 11 characters."""
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Subject = Annotated[str, Meta(min_length=1, max_length=256)]
Token = Annotated[str, Meta(max_length=512)]


class CallWish(msgspec.Struct, frozen=True):
    """With whom and in which conversation: as ``cozy`` in the offer, or as query parameters of its URL."""

    persona: Name | None = None
    """Its id; `default` unless given."""
    session: Annotated[str, Meta(max_length=64)] | None = None
    """A conversation to go on with; else a new one."""
    token: Token | None = None
    """An API key, where the client cannot send headers."""
    user_id: Subject | None = None
    """Who speaks, for a key that serves many."""
    timezone: Name | None = None
    """IANA zone of who speaks."""
    call: Annotated[str, Meta(max_length=64)] | None = None
    """The `call_id` of a call whose line was lost, to go on with it on this one."""


class Candidate(msgspec.Struct, frozen=True, rename="camel"):
    """As `RTCIceCandidate.toJSON()` of a browser gives it."""

    candidate: Annotated[str, Meta(max_length=1_024)] | None = None
    """Empty or null: there are no more."""
    sdp_mid: Annotated[str, Meta(max_length=64)] | None = None
    sdp_m_line_index: Annotated[int, Meta(ge=0, le=255)] | None = msgspec.field(
        default=None, name="sdpMLineIndex"
    )


class OfferIn(msgspec.Struct, frozen=True):
    """Body of `POST /webrtc/offer`: an offer, or one of its candidates, told apart by `candidate`."""

    webrtc_id: CallerId
    """Made up by the client; the key to everything that belongs to this call, for its caller alone."""
    type: Annotated[str, Meta(max_length=32)]
    """`offer` or `ice-candidate`."""
    sdp: Annotated[str, Meta(max_length=65_536)] | None = None
    candidate: Candidate | None = None
    cozy: dict[str, Any] | None = None
    """A `CallWish`; it counts more than the query."""


class CallStarted(msgspec.Struct, frozen=True):
    """What we add to the answer, and tell first. ``session_id`` is the conversation's, None when nothing is remembered."""

    call_id: str
    session_id: str | None
    persona: str


class AnswerOut(msgspec.Struct, frozen=True):
    """The answer to an offer; all of the server's candidates are in it."""

    sdp: str
    type: Literal["answer"] = "answer"
    cozy: CallStarted | None = None


class Done(msgspec.Struct, frozen=True):
    """A candidate was taken."""

    status: Literal["success"] = "success"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """How FastRTC says no; ``meta.error`` is the code."""

    status: Literal["failed"] = "failed"
    meta: dict[str, str | int | None]


class Refused(msgspec.Struct, frozen=True):
    """For the documentation: a refusal with a status of its own. `meta` says what every error says, its code as `error`; of
    a body that lacks a field there is `detail` instead, as FastAPI has it."""

    status: Literal["failed"] | msgspec.UnsetType = msgspec.UNSET
    meta: dict[str, str | int | None] | msgspec.UnsetType = msgspec.UNSET
    detail: list[dict[str, Any]] | str | msgspec.UnsetType = msgspec.UNSET


class OfferAnswered(msgspec.Struct, frozen=True):
    """For the documentation: what the status 200 may hold. An answer has ``sdp``, ``type`` and ``cozy``; a candidate is
    answered ``{"status": "success"}``; a refusal has ``status`` ``failed`` and ``meta``, whose ``error`` says which."""

    sdp: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["answer"] | msgspec.UnsetType = msgspec.UNSET
    cozy: CallStarted | msgspec.UnsetType = msgspec.UNSET
    status: Literal["success", "failed"] | msgspec.UnsetType = msgspec.UNSET
    meta: dict[str, str | int | None] | msgspec.UnsetType = msgspec.UNSET


class ComponentAnswered(OfferAnswered, frozen=True):
    """The same of `component_server`: as an offer is answered, or ``iceServers``, or ``success``."""

    ice_servers: list[dict[str, list[str] | str]] | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="iceServers"
    )
    success: bool | msgspec.UnsetType = msgspec.UNSET


class InputHookIn(msgspec.Struct, frozen=True):
    """Body of `POST /input_hook`. Whatever else an application sends there is ignored."""

    webrtc_id: CallerId
    text: Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)] | None = None
    """Typed words: they start a turn as spoken ones do."""


class Ok(msgspec.Struct, frozen=True):
    status: Literal["ok"] = "ok"


class OutputsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    webrtc_id: CallerId
    token: Token | None = None
    user_id: Subject | None = None


class ComponentCall(msgspec.Struct, frozen=True):
    """Body of Gradio's `component_server`. Which component and which session of Gradio it is for does not matter here."""

    fn_name: Annotated[str, Meta(max_length=64)]
    """`offer`, `turn` or `quit_output_stream`."""
    data: Any = None
    """What the function takes: the body of an offer or a candidate, nothing, or `webrtc_id`."""


class QuitIn(msgspec.Struct, frozen=True):
    webrtc_id: CallerId


class Success(msgspec.Struct, frozen=True):
    success: bool = True
