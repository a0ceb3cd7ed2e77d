"""FastRTC's routes with `cozy serve`: who is let in, by which way its key comes, and whose id is whose."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cozy_domain.access.keys import render
from tests.fixtures.fastrtc import OFFER, Caller, key_for, offered, socket_to, taking_calls
from tests.fixtures.server import Running
from tests.fixtures.webrtc import until_connected

CANDIDATE = {"candidate": {"candidate": ""}, "webrtc_id": "x", "type": "ice-candidate"}
TURN = {"fn_name": "turn", "data": []}
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", OFFER, CANDIDATE),
    ("POST", "/gradio_api/component_server", TURN),
    ("POST", "/input_hook", {"webrtc_id": "x"}),
    ("GET", "/outputs?webrtc_id=x", None),
]


@dataclass(frozen=True)
class Served:
    server: Running
    anna: str
    ben: str
    crowd: str

    def client(self, key: str | None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(base_url=self.server.url, headers=headers, timeout=60)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with taking_calls(tmp_path, development=False) as (server, _):
        yield Served(
            server,
            await key_for(server, "anna", 1),
            await key_for(server, "ben", 2),
            await key_for(server, "crowd", 3, serves_many=True),
        )


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_nobody_is_let_in_without_a_good_key(served: Served, method: str, path: str, body: Any) -> None:
    wrong = render(b"wrong!", b"w" * 32)
    for key, code in ((None, "missing_api_key"), (wrong, "invalid_api_key")):
        async with served.client(key) as client:
            answer = await client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["status"]) == (401, "failed")
        assert answer.json()["meta"]["error"] == code
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_a_key_may_come_in_the_header_or_in_the_query(
    served: Served, method: str, path: str, body: Any
) -> None:
    async with served.client(served.anna) as client:
        by_header = await client.request(method, path, json=body)
    async with served.client(None) as client:
        joined = "&" if "?" in path else "?"
        by_query = await client.request(method, f"{path}{joined}token={served.anna}", json=body)
    assert by_header.status_code == by_query.status_code != 401


async def test_a_key_may_come_in_the_offer(served: Served) -> None:
    async with served.client(None) as client:
        caller = Caller(client)
        await caller.call(cozy={"token": served.anna})
        assert caller.answer["cozy"]["session_id"]
        await caller.hang_up()


async def test_a_socket_without_a_key_is_told_so(served: Served) -> None:
    for path, start, code in (
        ("/websocket/offer", {}, "missing_api_key"),
        ("/websocket/offer?token=cz_wrong", {}, "invalid_api_key"),
        ("/websocket/offer", {"cozy": {"token": "cz_wrong"}}, "invalid_api_key"),
    ):
        async with socket_to(served.server, path) as caller:
            await caller.send(event="start", websocket_id="w", **start)
            await caller.closed()
            assert caller.messages[0]["meta"]["error"] == code
    async with socket_to(served.server, f"/websocket/offer?token={served.anna}") as caller:
        await caller.send(event="start", websocket_id="w")
        await caller.until_told("session.active")


async def test_a_guessed_id_opens_nothing_and_takes_nothing(served: Served) -> None:
    async with served.client(served.anna) as anna, served.client(served.ben) as ben:
        caller, other = Caller(anna, "guess"), Caller(ben, "guess")
        await caller.call()
        await caller.until_told("session.active")
        never = await ben.get("/outputs?webrtc_id=never")
        theirs = await ben.get("/outputs?webrtc_id=guess")
        assert never.status_code == theirs.status_code == 404
        assert without_id(never) == without_id(theirs)
        typed = await ben.post("/input_hook", json={"webrtc_id": "guess", "text": "Mine now"})
        assert typed.status_code == 404
        quitting = {"fn_name": "quit_output_stream", "data": {"webrtc_id": "guess"}}
        assert (await ben.post("/gradio_api/component_server", json=quitting)).json() == {"success": True}
        call = caller.answer["cozy"]["call_id"]
        taken = await ben.post(
            OFFER,
            json={"sdp": await other.offered(), "type": "offer", "webrtc_id": "t", "cozy": {"call": call}},
        )
        assert taken.status_code == 404
        session = caller.answer["cozy"]["session_id"]
        await anna.post("/input_hook", json={"webrtc_id": "guess", "text": "Hello"})
        await caller.until_told("turn.latency")
        stolen = await ben.post(
            OFFER,
            json={
                "sdp": await offered(ben),
                "type": "offer",
                "webrtc_id": "s",
                "cozy": {"session": session},
            },
        )
        assert stolen.status_code == 404
        second = Caller(ben, "guess")
        await second.call()
        assert not caller.ours("session.closed")
        await second.hang_up()
        await caller.hang_up()
        await other.hang_up()


def without_id(answer: httpx2.Response) -> dict[str, Any]:
    return {name: it for name, it in answer.json()["meta"].items() if name != "request_id"}


async def test_a_key_that_serves_many_keeps_its_people_apart(served: Served) -> None:
    async with served.client(served.crowd) as client:
        caller = Caller(client)
        await caller.call("?user_id=mei")
        assert (await client.get(f"/outputs?webrtc_id={caller.id}&user_id=lin")).status_code == 404
        hook = {"webrtc_id": caller.id, "text": "Hello"}
        assert (await client.post("/input_hook?user_id=lin", json=hook)).status_code == 404
        assert (await client.post("/input_hook?user_id=mei", json=hook)).status_code == 200
        nobody = Caller(client, "nobody")
        await nobody.call()
        assert nobody.answer["cozy"]["session_id"] is None
        await nobody.hang_up()
        await caller.hang_up()


async def test_calls_of_one_owner_are_limited_and_of_another_are_not(served: Served) -> None:
    async with served.client(served.anna) as anna, served.client(served.ben) as ben:
        callers = [Caller(anna, f"c{it}") for it in range(3)]
        for caller in callers:
            await caller.call()
        fourth = {"sdp": await offered(anna), "type": "offer", "webrtc_id": "c3"}
        told = (await anna.post(OFFER, json=fourth)).json()
        assert told == {"status": "failed", "meta": {"error": "concurrency_limit_reached", "limit": 3}}
        other = Caller(ben)
        await other.call()
        for caller in (*callers, other):
            await until_connected(caller)
            await caller.hang_up()


async def test_calls_of_one_person_of_a_key_that_serves_many_are_limited_and_of_another_are_not(
    served: Served,
) -> None:
    async with served.client(served.crowd) as client:
        mei = [Caller(client, f"m{it}") for it in range(3)]
        for caller in mei:
            await caller.call("?user_id=mei")
        fourth = {"sdp": await offered(client), "type": "offer", "webrtc_id": "m3"}
        told = (await client.post(f"{OFFER}?user_id=mei", json=fourth)).json()
        assert told["meta"] == {"error": "concurrency_limit_reached", "limit": 3}
        lin = Caller(client, "l0")
        await lin.call("?user_id=lin")
        for caller in (*mei, lin):
            await until_connected(caller)
            await caller.hang_up()


async def test_a_page_of_another_origin_opens_no_socket(served: Served) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refusal:
        async with socket_to(served.server, Origin="https://evil.example"):
            pass
    assert refusal.value.response.status_code == 403
