"""``/telephone/incoming`` and ``/telephone/handler``: calls over Twilio's media streams.

Twilio asks the first what to do with a call, in a request that it signs; the answer sends it to the second, a socket, with a
ticket for this one call: sockets are not asked for by Twilio alone. Without a token both do not exist; but in development,
where nobody needs a key, they answer loopback, unsigned and without tickets, so that anything that speaks as Twilio does can
be tried.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

import msgspec
from litestar import MediaType, Request, Response, WebSocket, post, websocket
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.params import SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.clock import Clock
from cozy_domain.errors import AccessError, InputError, MissingError
from cozy_server.auth import DEVELOPER, PUBLIC, is_loopback
from cozy_server.body import read_bytes
from cozy_server.fastrtc.conversations import order_of
from cozy_server.fastrtc.frames import SocketWish, Start
from cozy_server.fastrtc.refusals import answer_refusal
from cozy_server.fastrtc.socket import Inbox, Sockets, StillbornError, carry, first, refuse, sound_of
from cozy_server.fastrtc.socket_peer import SocketPeer
from cozy_server.fastrtc.wire import CallWish
from cozy_server.settings.tree import VoiceSettings
from cozy_server.sockets import PlainSocket, opened

TICKET_S = 60
"""Between the answer to Twilio and its opening of the socket; it takes about one."""
FORM_BYTES = 16_384
RATE = 8_000
_INCOMING = "/telephone/incoming"
_HANDLER = "/telephone/handler"
_NUMBER = 32
"""Characters of a number, or of a SIP address or a client's name, that a person is known by."""


class Telephone(msgspec.Struct, frozen=True):
    sockets: Sockets
    settings: VoiceSettings
    development: bool = False

    def token(self, host: str) -> str | None:
        """What requests are signed with; None where nobody is asked for a signature.

        Raises:
            MissingError: there are no telephones.
        """
        if self.settings.twilio_token is not None:
            return self.settings.twilio_token.reveal()
        if self.development and is_loopback(host):
            return None
        raise MissingError("Telephones are not configured.", code="unknown_url")


@post(
    _INCOMING,
    status_code=200,
    media_type=MediaType.XML,
    request_max_body_size=None,
    opt={**PUBLIC, "media_types": ("application/xml",)},
    exception_handlers={Exception: answer_refusal},
    include_in_schema=False,
)
async def incoming(
    request: Request[Any, Any, Any], telephone: NamedDependency[SkipValidation[Telephone]]
) -> Response[str]:
    """What Twilio asks when somebody calls."""
    token = telephone.token(request.headers.get("host", ""))
    here = request.url.path.rstrip("/").removesuffix(_INCOMING) + _HANDLER
    if token is None:
        return Response(twiml(f"ws://{request.headers['host']}{here}"), media_type=MediaType.XML)
    form = _form(await read_bytes(request, FORM_BYTES))
    called = _address(request, telephone.settings, str(request.url.path), request.url.query)
    # As bytes: text must be ASCII to be compared, and what a stranger sends need not be.
    signed = request.headers.get("x-twilio-signature", "").encode()
    if not hmac.compare_digest(signature(token, called, form).encode(), signed):
        raise AccessError(
            "The request is not signed by Twilio for this address.",
            hint="voice.twilio_token is the account's auth token; voice.twilio_url is this server as Twilio calls it.",
        )
    given = dict(form)
    place = _address(request, telephone.settings, here, "")
    ticket = ticket_for(
        token, given.get("CallSid", ""), given.get("From", "")[:_NUMBER], telephone.sockets.clock
    )
    return Response(twiml(f"ws{place.removeprefix('http')}", ticket), media_type=MediaType.XML)


@websocket(_HANDLER, websocket_class=PlainSocket, opt=dict(PUBLIC))
async def handler(
    socket: WebSocket[Any, Any, Any], telephone: NamedDependency[SkipValidation[Telephone]]
) -> None:
    """The sound of one call."""
    token = telephone.token(socket.headers.get("host", ""))
    way = await opened(socket)
    inbox = Inbox(way)
    sockets = telephone.sockets
    try:
        with sockets.place(None, socket.scope):
            start = await first(inbox, way)
        if not start.stream_sid:
            raise InputError("'start' needs a streamSid.", param="streamSid")
        number = None if token is None else number_in(token, start, sockets.clock) or None
        wish = CallWish(persona=telephone.settings.twilio_persona, user_id=number)
        caller = (
            DEVELOPER
            if token is None
            else Caller(account=telephone.settings.twilio_account, serves_many=True)
        )
        order = order_of(wish, caller, socket.scope)
        conversations = sockets.conversations
        sound = sound_of(SocketWish(), sockets.codec, RATE, RATE)
        line = conversations.lines.claim(caller, start.stream_sid, number)
        conversation = await conversations.begin(line, order)
    except StillbornError:
        await way.close(1000)
        return
    except Exception as error:  # noqa: BLE001  the top of a socket: Twilio ends the call when it closes
        await refuse(way, error, socket.scope)
        return
    peer = SocketPeer(sound, sockets.clock, take_back=True, stream_sid=start.stream_sid)
    await carry(way, inbox, peer, conversation, line, sockets.leave_s)


def signature(token: str, url: str, form: Iterable[tuple[str, str]]) -> str:
    """Twilio's (twilio.com/docs/usage/security, 2026-07): HMAC-SHA1 of the address and all fields in the order of their
    names, in base64."""
    told = url + "".join(name + value for name, value in sorted(form))
    return b64encode(hmac.new(token.encode(), told.encode(), sha1).digest()).decode()


def ticket_for(token: str, call_sid: str, number: str, clock: Clock) -> str:
    """For one call, for a minute: ``expiry.signature.number``."""
    until = int(clock.now().timestamp()) + TICKET_S
    return f"{until}.{_sealed(token, f'{until}/{call_sid}/{number}')}.{number}"


def number_in(token: str, start: Start, clock: Clock) -> str:
    """Who calls, as the ticket says.

    Raises:
        AccessError: it is not for this call, or too old.
    """
    until, _, rest = start.parameters.get("ticket", "").partition(".")
    sealed, _, number = rest.partition(".")
    genuine = hmac.compare_digest(
        _sealed(token, f"{until}/{start.call_sid or ''}/{number}").encode(), sealed.encode()
    )
    if not genuine or int(until) < clock.now().timestamp():
        raise AccessError("The stream has no ticket for this call, or an old one.")
    return number


def twiml(handler: str, ticket: str = "") -> str:
    """Connects the call to the socket, for both ways."""
    told = f'<Parameter name="ticket" value={quoteattr(ticket)}/>' if ticket else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Connect>'
        f"<Stream url={quoteattr(handler)}>{told}</Stream>"
        "</Connect></Response>"
    )


def _sealed(token: str, told: str) -> str:
    return hmac.new(token.encode(), f"ticket/{told}".encode(), sha256).hexdigest()


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=200)
    except ValueError:
        raise InputError("The body is no form.", code="invalid_form") from None


def _address(request: Request[Any, Any, Any], settings: VoiceSettings, path: str, query: str) -> str:
    """As Twilio knows it."""
    origin = settings.twilio_url.rstrip("/") or f"https://{request.headers.get('host', '')}"
    return f"{origin}{path}{'?' + query if query else ''}"


routes: list[HTTPRouteHandler] = [incoming]
socket_routes: list[WebsocketRouteHandler] = [handler]
