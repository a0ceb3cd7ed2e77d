"""Who asks: from a request's credential to a `Caller`, before anything of its body is read.

Two doors. ``cozy serve`` wants an API key from everybody. ``cozy dev`` listens on loopback only and takes whoever comes for
the account ``dev``; because a web page in a browser on the same machine also comes from loopback, its Host header must
name loopback too, which a page that rebinds its own name cannot (settled question 2). A token with our prefix is checked at
both: a client that means to be somebody must not silently be somebody else.

A route is open to every caller unless it says otherwise: `PUBLIC` needs no credential, `ADMIN` the role. One whose body says
for whom it is says so with `FOR_OWNER`, and counts the owner when it has read it. One whose clients cannot send headers says
`LATE`: it finds the credential itself and has it judged by `admit`.

A WebSocket that a browser opens must come from a page of this server or of an origin that the operator named: browsers ask
nobody before they open one, and on loopback no key would stand in the way either.
"""

import ipaddress
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qs
from uuid import UUID

from litestar import Request
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cozy_domain.access.caller import Caller
from cozy_domain.access.keys import PREFIX, ApiKey, caller_of, hash_of, prefix_of
from cozy_domain.access.ports import KeyStore
from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AccessRefused, AuditRecord
from cozy_domain.audit.ports import AuditLog
from cozy_domain.clock import Clock
from cozy_domain.errors import AccessError, StorageError
from cozy_domain.ids import Ids

PUBLIC: Mapping[str, Any] = {"access": "public"}
"""Options of a route that asks for no credential."""
ADMIN: Mapping[str, Any] = {"access": "admin"}
"""Options of a route for administrators."""
LATE: Mapping[str, Any] = {"access": "late"}
"""Options of a route that calls `admit` before it does anything else."""
FOR_OWNER: Mapping[str, Any] = {"counts": "owner"}
"""Options of a route that calls `throttle.count_owner`: what a key that serves many costs is taken there, at once."""

KEY_PROTOCOL = "openai-insecure-api-key."
"""What stands before the key in a subprotocol (openai-node, realtime)."""
DEVELOPER = Caller(account="dev", role="admin")
REMEMBERED_NS = 5_000_000_000
"""So long a good key is not looked up again, and so long a revoked one may live on (reliability Z3)."""
MOST_REMEMBERED = 1_024
AUDIT_EVERY_NS = 1_000_000_000
"""Of refusals for the same reason at the same route one a second is audited: the log must not be what a flood fills."""

_HOST = re.compile(r"(?:(?P<name>localhost|[0-9.]+)|\[(?P<bracketed>[0-9a-f]*:[0-9a-f:.]*)\])(?::[0-9]+)?")
_log = logging.getLogger(__name__)
_NOBODYS = ApiKey(
    id=UUID(int=0),
    prefix="",
    hash="0" * 64,
    name="",
    account="",
    role="user",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Door(Protocol):
    """Decides who asks."""

    async def caller(self, headers: Headers) -> Caller:
        """
        Raises:
            AccessError: ``missing_api_key``, ``invalid_api_key`` or ``permission_denied``.
            StorageUnavailableError: keys cannot be looked up.
        """
        ...

    def known(self, headers: Headers) -> Caller | None:
        """Who it was when that credential was last looked up. It may have been revoked since: this admits nobody."""
        ...


class Keys:
    """Checks API keys; trusts good ones for five seconds, by the SHA-256 of the whole token."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._good: OrderedDict[str, tuple[Caller, int]] = OrderedDict()

    async def caller(self, token: str) -> Caller:
        """
        Raises:
            AccessError: ``invalid_api_key``.
            StorageUnavailableError: keys cannot be looked up.
        """
        digest = hash_of(token)
        known = self._good.get(digest)
        if known and self._clock.monotonic_ns() < known[1]:
            return known[0]
        try:
            caller = await self._looked_up(token)
        except AccessError:
            self._good.pop(digest, None)
            raise
        self._good[digest] = (caller, self._clock.monotonic_ns() + REMEMBERED_NS)
        self._good.move_to_end(digest)
        while len(self._good) > MOST_REMEMBERED:
            self._good.popitem(last=False)
        return caller

    def known(self, token: str) -> Caller | None:
        """Whose it was when it was last looked up, however long ago."""
        known = self._good.get(hash_of(token))
        return known and known[0]

    async def _looked_up(self, token: str) -> Caller:
        prefix = prefix_of(token)
        key = await self._store.find(prefix) if prefix else None
        # A prefix that nobody has takes the same comparison as a wrong secret.
        caller = caller_of(key or _NOBODYS, token, self._clock.now())
        if caller is None:
            raise AccessError(
                "The API key is wrong, expired or revoked.",
                code="invalid_api_key",
                hint="Check the key; `cozy keys list` shows which are alive.",
            )
        return caller


class KeyDoor:
    """For everybody an API key."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def caller(self, headers: Headers) -> Caller:
        token = _token(headers)
        if token is None:
            raise AccessError(
                "You did not provide an API key.",
                code="missing_api_key",
                hint="Send the header Authorization: Bearer <key>; `cozy keys create` makes one.",
            )
        return await self._keys.caller(token)

    def known(self, headers: Headers) -> Caller | None:
        token = _token(headers)
        return self._keys.known(token) if token else None


class DevelopmentDoor:
    """On loopback: no key is an administrator, a key of ours is whose it is."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def caller(self, headers: Headers) -> Caller:
        host = headers.get("host", "")
        if not is_loopback(host):
            raise AccessError(
                "This server runs for development and answers to loopback names only.",
                hint="Call http://127.0.0.1 or http://localhost; to be reached from elsewhere, run `cozy serve`.",
            )
        token = _token(headers)
        if token is None or not token.startswith(PREFIX):
            return DEVELOPER
        return await self._keys.caller(token)

    def known(self, headers: Headers) -> Caller | None:
        token = _token(headers)
        return self._keys.known(token) if token else None


class Brake(Protocol):
    """Decides how often somebody may ask. All but ``settle`` raise ``LimitError`` when it is too often."""

    def knock(self, scope: Scope, known: Callable[[], Caller | None]) -> str:
        """Before the key is looked up: where the request comes from, for the other two."""
        ...

    async def count_stranger(self, scope: Scope, address: str) -> None: ...

    async def count_caller(
        self, scope: Scope, address: str, caller: Caller, *, owner_follows: bool = False
    ) -> None: ...

    async def settle(self, scope: Scope) -> None:
        """At the end: counts what was to be counted with an owner who was not named after all."""
        ...


class RefusalLog:
    """Audits refusals, a bounded number of them."""

    def __init__(self, audit: AuditLog, key: bytes, ids: Ids, clock: Clock) -> None:
        self._audit = audit
        self._key = key
        self._ids = ids
        self._clock = clock
        self._last: dict[tuple[str, str], int] = {}

    async def note(self, error: AccessError, route: str, request: str | None) -> None:
        """Writes the record, or leaves it when there was one just now; a store that fails changes nothing for the caller."""
        now_ns = self._clock.monotonic_ns()
        event = AccessRefused(reason=error.code, route=route)
        last = self._last.get((event.reason, event.route))
        if last is not None and now_ns - last < AUDIT_EVERY_NS:
            return
        self._last[event.reason, event.route] = now_ns  # as many as there are routes and reasons
        record = AuditRecord(
            id=self._ids.new(), at=self._clock.now(), event=event, level="warning", request=request
        )
        try:
            await self._audit.write((sign(self._key, record),))
        except StorageError:
            _log.warning("refusal_not_audited", extra={"reason": event.reason, "route": route})


class Gate:
    """Middleware on every route: lets a request through with its caller, or refuses it. Guessing keys uses up an address."""

    def __init__(
        self, app: ASGIApp, door: Door, refusals: RefusalLog, brake: Brake, origins: Collection[str] = ()
    ) -> None:
        """``origins`` whose pages may open WebSockets, besides our own."""
        self._app = app
        self._door = door
        self._refusals = refusals
        self._brake = brake
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        opt = scope["route_handler"].opt
        if scope["type"] == ScopeType.WEBSOCKET and not is_own_page(Headers.from_scope(scope), self._origins):
            stranger = AccessError(
                "A page of this origin may not open a socket here.",
                hint="An administrator can list its origin in server.cors_origins.",
            )
            await self._note(stranger, scope)
            raise stranger
        if opt.get("access") == "public":
            await self._app(scope, receive, send)
            return
        if opt.get("access") == "late":
            scope.setdefault("state", {})["gate"] = self
            await self._app(scope, receive, send)
            return
        caller = scope.setdefault("state", {})["caller"] = await self._admitted(scope, opt)
        if not (caller.serves_many and _owner_follows(opt)):
            await self._app(scope, receive, send)
            return

        async def settled(message: Message) -> None:
            await self._brake.settle(scope)  # before the first byte, so that the headers tell it
            await send(message)

        try:  # for whom a socket is, is said when it is open
            await self._app(scope, receive, settled if scope["type"] == ScopeType.HTTP else send)
        finally:
            await self._brake.settle(scope)  # a client that left before it had an answer counts as well

    async def admit(self, scope: Scope, token: str | None) -> Caller:
        """For `admit`."""
        caller, address = await self._known(scope, _with(token, Headers.from_scope(scope)))
        scope["state"].update(caller=caller, address=address)
        return caller

    async def count(self, scope: Scope) -> None:
        """For `count_request`."""
        state = scope["state"]
        await self._brake.count_caller(scope, state["address"], state["caller"])

    async def _known(self, scope: Scope, headers: Headers) -> tuple[Caller, str]:
        address = self._brake.knock(scope, lambda: self._door.known(headers))
        try:
            return await self._door.caller(headers), address
        except AccessError as error:
            await self._note(error, scope)
            await self._brake.count_stranger(scope, address)
            raise

    async def _admitted(self, scope: Scope, opt: Mapping[str, Any]) -> Caller:
        headers = Headers.from_scope(scope)
        if scope["type"] == ScopeType.WEBSOCKET:
            headers = _with(token_of_socket(scope), headers)
        caller, address = await self._known(scope, headers)
        await self._brake.count_caller(scope, address, caller, owner_follows=_owner_follows(opt))
        if opt.get("access") == "admin" and caller.role != "admin":
            refusal = AccessError("This needs the key of an administrator.")
            await self._note(refusal, scope)
            raise refusal
        return caller

    async def _note(self, error: AccessError, scope: Scope) -> None:
        await self._refusals.note(error, scope["path_template"], scope.get("state", {}).get("request_id"))


def caller_of_request(request: Request[Any, Any, Any]) -> Caller:
    """Whom `Gate` let through."""
    return caller_of_scope(request.scope)


def caller_of_scope(scope: Scope) -> Caller:
    """The same, also for a socket."""
    caller: Caller = scope["state"]["caller"]
    return caller


async def admit(scope: Scope, token: str | None = None) -> Caller:
    """Who asks at a route that is `LATE`: by its header if it has one, else by ``token``. Not counted yet.

    Raises:
        AccessError: ``missing_api_key``, ``invalid_api_key`` or ``permission_denied``.
        LimitError: nothing is left for the address.
        StorageUnavailableError: keys cannot be looked up.
    """
    gate: Gate = scope["state"]["gate"]
    return await gate.admit(scope, token)


async def count_request(scope: Scope) -> None:
    """Counts the request of whom `admit` let in.

    Raises:
        LimitError: too many requests.
    """
    gate: Gate = scope["state"]["gate"]
    await gate.count(scope)


def has_credential(scope: Scope) -> bool:
    """Whether the headers name one, good or not."""
    return _token(Headers.from_scope(scope)) is not None


def is_own_page(headers: Headers, origins: Collection[str]) -> bool:
    """Whether whoever opens a WebSocket is no browser, or shows a page of this very host or of one of ``origins``."""
    origin = headers.get("origin")
    if origin is None or origin in origins:
        return True
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and bool(host) and host.lower() == headers.get("host", "").lower()


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine to itself: ``localhost``, ``127.0.0.0/8`` or ``[::1]``, with any port."""
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    name = match["name"] or match["bracketed"]
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def token_of_socket(scope: Scope) -> str | None:
    """The key of a browser, which cannot send a header along with a socket: as a subprotocol, as OpenAI's clients send it,
    or as ``token`` in the query."""
    offered: Sequence[str] = scope.get("subprotocols", ())  # type: ignore[assignment]  # only sockets have them
    keys = [it.removeprefix(KEY_PROTOCOL) for it in offered if it.startswith(KEY_PROTOCOL)]
    keys += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    return next(iter(keys), None)


def _with(token: str | None, headers: Headers) -> Headers:
    """The same with ``token``, unless they hold one."""
    if not token or _token(headers):
        return headers
    plain = {name: value for name, value in headers.items() if name != "authorization"}
    return Headers({**plain, "authorization": f"Bearer {token}"})


def _owner_follows(opt: Mapping[str, Any]) -> bool:
    return bool(opt.get("counts") == FOR_OWNER["counts"])


def _token(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
