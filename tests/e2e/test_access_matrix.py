"""Every route of the application × who asks × whose thing it is. A route that is not listed here fails."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute, WebSocketRoute
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from cozy_domain.access.caller import Role
from cozy_domain.access.keys import ApiKey, hash_of, prefix_of, render
from cozy_domain.audit.events import AccessRefused
from cozy_domain.ids import Owner, SessionId, TurnId
from cozy_domain.sessions.blobs import Blob
from cozy_server.app import create_app
from tests.fixtures.server import Running, container_for, running, settings_for
from tests.fixtures.sounds import recorded
from tests.fixtures.speech import hearing
from tests.fixtures.turns import opened

CHAT = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}
WHO = ("nobody", "wrong", "revoked", "user", "admin")


@dataclass(frozen=True)
class Row:
    """``access``: public, key or admin; or fastrtc, whose refusals are its own (`test_fastrtc_access` tries those).
    ``owned``: the path names a session, or what is in one, which another owner must not find; ``file`` is a recording in a
    form."""

    access: str
    owned: bool = False
    body: object = None
    file: bool = False


ROWS = {
    "POST /v1/chat/completions": Row("key", body=CHAT),
    "POST /v1/embeddings": Row("key", body={"model": "lexical", "input": "Hello"}),
    "POST /v1/audio/speech": Row("key", body={"model": "tts-1", "input": "Hello."}),
    "POST /v1/audio/tts": Row("key", body={"model": "tts-1", "input": "Hello."}),
    "POST /v1/audio/tts/stream": Row("key", body={"model": "tts-1", "input": "Hello."}),
    "POST /v1/audio/transcriptions": Row("key", file=True),
    "POST /v1/audio/stt": Row("key", file=True),
    "POST /v1/audio/stt/stream": Row("key", file=True),
    "POST /v1/audio/translations": Row("key", file=True),
    "WEBSOCKET /v1/audio/transcriptions/stream": Row("key"),
    "WEBSOCKET /v1/audio/stt/stream": Row("key"),
    "GET /v1/models": Row("key"),
    "GET /v1/models/{model}": Row("key"),
    "GET /v1/cozy/sessions": Row("key"),
    "GET /v1/cozy/sessions/{session_id}": Row("key", owned=True),
    "PATCH /v1/cozy/sessions/{session_id}": Row("key", owned=True, body={"title": "mine"}),
    "DELETE /v1/cozy/sessions/{session_id}": Row("key", owned=True),
    "GET /v1/cozy/sessions/{session_id}/messages": Row("key", owned=True),
    "GET /v1/cozy/blobs/{sha256}": Row("key", owned=True),
    "POST /webrtc/offer": Row("fastrtc"),
    "POST /gradio_api/component_server": Row("fastrtc"),
    "GET /outputs": Row("fastrtc"),
    "POST /input_hook": Row("fastrtc"),
    "WEBSOCKET /websocket/offer": Row("fastrtc"),
    "POST /telephone/incoming": Row("fastrtc"),
    "WEBSOCKET /telephone/handler": Row("fastrtc"),
    "GET /livez": Row("public"),
    "HEAD /livez": Row("public"),
    "GET /readyz": Row("public"),
    "HEAD /readyz": Row("public"),
    "GET /health": Row("public"),
    "HEAD /health": Row("public"),
    "GET /health/engines": Row("admin"),
    "GET /openapi.json": Row("key"),
    "GET /docs/errors": Row("public"),
}
VOICE_PAGE = tuple(
    f"{method} /voice{rest}"
    for method in ("GET", "HEAD")
    for rest in ("", "/voice.js", "/call.js", "/texts.js", "/voice.css", "/personas")
)
EXPECTED = {
    "public": dict.fromkeys(WHO, 200),
    "key": {"nobody": 401, "wrong": 401, "revoked": 401, "user": 200, "admin": 200},
    "admin": {"nobody": 401, "wrong": 401, "revoked": 401, "user": 403, "admin": 200},
}


@dataclass(frozen=True)
class Served:
    server: Running
    keys: dict[str, str | None]

    def client(self, who: str) -> httpx2.AsyncClient:
        key = self.keys[who]
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(base_url=self.server.url, headers=headers, timeout=60)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """`cozy serve` with a key for each of WHO, and one for another account."""
    container = hearing(container_for(settings_for(tmp_path), development=False))
    async with running(container) as server:
        store, clock = container.key_store(), container.clock()
        keys: dict[str, str | None] = {"nobody": None, "wrong": render(b"wrong!", b"w" * 32)}
        roles: dict[str, Role] = {
            "user": "user",
            "admin": "admin",
            "revoked": "admin",
            "other": "user",
            "boss": "admin",
        }
        for number, (who, role) in enumerate(roles.items()):
            token = render(number.to_bytes(6, "big"), who.encode().rjust(32))
            key = ApiKey(
                id=UUID(int=number + 1),
                prefix=prefix_of(token) or "",
                hash=hash_of(token),
                name=who,
                account="others" if who in ("other", "boss") else "ours",
                role=role,
                created_at=clock.now(),
            )
            await store.add(key)
            keys[who] = token
        await store.revoke(UUID(int=3), clock.now())
        yield Served(server, keys)


def listed(app: Litestar) -> Iterator[str]:
    """Every operation as ``METHOD /path``; OPTIONS is Litestar's own and tells only the methods."""
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            yield f"WEBSOCKET {route.path_format}"
            continue
        assert isinstance(route, HTTPRoute), f"{route.path}: say here how it is tested"
        yield from (f"{method} {route.path_format}" for method in route.methods if method != "OPTIONS")


def test_every_route_is_listed_and_no_other(tmp_path: Path) -> None:
    app = create_app(container_for(settings_for(tmp_path), development=False))
    assert set(listed(app)) == set(ROWS)


def test_development_adds_the_documentation_alone(tmp_path: Path) -> None:
    app = create_app(container_for(settings_for(tmp_path), development=True))
    assert set(listed(app)) == {*ROWS, "GET /", "GET /docs", *VOICE_PAGE}


async def call(client: httpx2.AsyncClient, operation: str, session: str) -> httpx2.Response:
    method, _, path = operation.partition(" ")
    if method == "WEBSOCKET":
        return await handshake(client, path)
    filled = path.replace("{model}", "default").replace("{session_id}", session)
    filled = filled.replace("{sha256}", picture_in(session).sha256)
    files = {"file": ("speech.mp3", recorded("mp3", 0.5))} if ROWS[operation].file else None
    return await client.request(method, filled, json=ROWS[operation].body, files=files)


async def handshake(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    """Its answer; an open socket is closed at once, and counts as 200."""
    address = f"ws{str(client.base_url).removeprefix('http').rstrip('/')}{path}"
    key = client.headers.get("authorization")
    try:
        async with connect(
            address, proxy=None, open_timeout=60, additional_headers={"Authorization": key} if key else {}
        ):
            return httpx2.Response(200)
    except InvalidStatus as refused:
        answer = refused.response
        return httpx2.Response(
            answer.status_code, headers=dict(answer.headers), content=bytes(answer.body or b"")
        )


def picture_in(session: str) -> Blob:
    return Blob(sha256(session.encode()).hexdigest(), session.encode())


async def session_of(served: Served, who: str) -> str:
    """A new session of that key's account, with a picture in it that the offline model would not look at."""
    session = str(uuid4())
    async with served.client(who) as client:
        answer = await client.post("/v1/chat/completions", json={**CHAT, "cozy": {"session_id": session}})
    assert answer.status_code == 200
    account = "others" if who in ("other", "boss") else "ours"
    container = served.server.container
    turn = replace(
        opened(1, owner=Owner(account, account), when=container.clock().now()),
        turn=TurnId(container.ids().new()),
        session=SessionId(UUID(session)),
        blobs=(picture_in(session),),
    )
    await container.turns().open(turn)
    return session


async def test_each_route_lets_in_whom_it_must_and_nobody_else(served: Served) -> None:
    wrong = []
    for who, (operation, row) in product(WHO, ROWS.items()):
        if row.access == "fastrtc":
            continue
        session = await session_of(served, who) if row.owned and who in ("user", "admin") else str(uuid4())
        async with served.client(who) as client:
            answer = await call(client, operation, session)
        wanted = EXPECTED[row.access][who]
        if answer.status_code not in ((200, 204) if wanted == 200 else (wanted,)):
            wrong.append((who, operation, wanted, answer.status_code))
        if wanted != 200:
            error = answer.json()["error"]
            assert answer.headers["x-request-id"] == error["request_id"]
            code = {401: None if who == "nobody" else "invalid_api_key", 403: "permission_denied"}[wanted]
            assert error["code"] == code
    assert not wrong


async def test_anothers_session_answers_as_one_that_never_was(served: Served) -> None:
    theirs = await session_of(served, "user")
    owned = [operation for operation, row in ROWS.items() if row.owned]
    assert owned
    for who, operation in product(("other", "boss"), owned):
        async with served.client(who) as client:
            found = await call(client, operation, theirs)
            missing = await call(client, operation, str(uuid4()))
        assert found.status_code == missing.status_code == 404, operation
        assert without_id(found) == without_id(missing)
    async with served.client("user") as client:
        assert (await client.get(f"/v1/cozy/sessions/{theirs}/messages")).status_code == 200


async def test_anothers_session_cannot_be_talked_in(served: Served) -> None:
    theirs = await session_of(served, "user")
    async with served.client("other") as client:
        answer = await client.post("/v1/chat/completions", json={**CHAT, "cozy": {"session_id": theirs}})
        assert answer.status_code == 404
        assert (await client.get("/v1/cozy/sessions")).json()["data"] == []


async def test_a_subject_of_the_same_account_does_not_find_the_accounts_own(served: Served) -> None:
    theirs = await session_of(served, "user")
    async with served.client("user") as client:
        answer = await client.get(f"/v1/cozy/sessions/{theirs}", params={"user_id": "mei"})
    assert answer.status_code == 404


async def test_refusals_are_audited_by_the_routes_template(served: Served) -> None:
    async with served.client("wrong") as client:
        await client.get("/v1/cozy/sessions/canary-in-the-path")
    records, _ = await served.server.container.audit().read()
    refused = [record.event for record in records if isinstance(record.event, AccessRefused)]
    assert refused == [AccessRefused("invalid_api_key", "/v1/cozy/sessions/{session_id}")]


def without_id(answer: httpx2.Response) -> dict[str, object]:
    error = dict(answer.json()["error"])
    error.pop("request_id")
    return error
