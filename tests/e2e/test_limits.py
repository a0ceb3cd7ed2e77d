"""Limits as clients meet them: what is told, what is refused, and what a spoofed address gains."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from dependency_injector import providers
from msgspec.structs import replace
from openai import AsyncOpenAI, RateLimitError

from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_domain.access.keys import ApiKey, hash_of, prefix_of, render
from cozy_domain.errors import ConfigError
from cozy_server.app import create_app
from cozy_server.settings.secret import Secret
from cozy_server.settings.tree import LimitSettings, RedisSettings, Settings
from cozy_server.throttle.rates import OWNER
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.redis import RedisServer
from tests.fixtures.server import (
    PATIENCE_S,
    UNLIMITED,
    Running,
    container_for,
    running,
    settings_for,
    with_fake,
)
from tests.fixtures.sounds import recorded
from tests.fixtures.speech import hearing

DEFAULT = LimitSettings()
CHAT = {"model": "default", "messages": [{"role": "user", "content": "Hello"}]}
AT_ONCE_S = 5.0
"""Half of what an answer that hangs is given, so that nothing refused by then has waited for its seat."""


def limited(folder: Path, limits: LimitSettings = DEFAULT, **server: object) -> Settings:
    return replace(settings_for(folder, **server), limits=limits)


@asynccontextmanager
async def serving(settings: Settings, *, time_passes: bool = False) -> AsyncIterator[Running]:
    """`cozy serve`. No bucket fills again unless ``time_passes``, so that counts do not depend on how fast we are."""
    container = container_for(settings, development=False)
    if not time_passes:
        container.own_limits.override(providers.Object(InMemoryLimitStore(InMemoryClock())))
    async with running(container) as server:
        yield server


async def key_for(server: Running, account: str, *, serves_many: bool = False) -> str:
    container = server.container
    token = render(account.encode().ljust(6)[:6], account.encode().ljust(32))
    key = ApiKey(
        id=UUID(int=int.from_bytes(account.encode()[:8], "big")),
        prefix=prefix_of(token) or "",
        hash=hash_of(token),
        name=account,
        account=account,
        role="user",
        created_at=container.clock().now(),
        serves_many=serves_many,
    )
    await container.key_store().add(key)
    return token


def client(server: Running, key: str | None) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60)


async def statuses(http: httpx2.AsyncClient, number: int, headers: dict[str, str] | None = None) -> list[int]:
    return [(await http.get("/v1/models", headers=headers)).status_code for _ in range(number)]


async def test_openai_python_raises_its_own_error_and_shows_the_headers(tmp_path: Path) -> None:
    async with serving(limited(tmp_path, LimitSettings(owner_per_minute=2))) as server:
        key = await key_for(server, "anna")
        async with AsyncOpenAI(base_url=server.base_url, api_key=key, max_retries=0) as openai:
            told = []
            for _ in range(2):
                raw = await openai.chat.completions.with_raw_response.create(
                    model="default", messages=[{"role": "user", "content": "Hello"}]
                )
                told.append(raw.headers["x-ratelimit-remaining-requests"])
            with pytest.raises(RateLimitError) as caught:
                await openai.models.list()
    assert told == ["1", "0"]
    error = caught.value
    assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
    assert "2 requests a minute" in error.message
    headers = error.response.headers
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert headers["retry-after"] == "30"
    assert error.request_id == headers["x-request-id"]


async def test_openai_python_waits_as_long_as_it_is_told_and_succeeds(tmp_path: Path) -> None:
    settings = limited(tmp_path, LimitSettings(owner_per_minute=30))
    async with serving(settings, time_passes=True) as server:
        key = await key_for(server, "anna")
        async with client(server, key) as http:
            assert 429 in await statuses(http, 35)
        async with AsyncOpenAI(base_url=server.base_url, api_key=key) as openai:
            assert (await openai.models.list()).data


async def test_a_streamed_answer_tells_what_is_left(tmp_path: Path) -> None:
    async with serving(limited(tmp_path)) as server, client(server, await key_for(server, "anna")) as http:
        answer = await http.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert answer.headers["x-ratelimit-limit-requests"] == str(OWNER)
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_an_answer_that_is_an_error_tells_it_too(tmp_path: Path) -> None:
    async with serving(limited(tmp_path)) as server, client(server, await key_for(server, "anna")) as http:
        answer = await http.post("/v1/chat/completions", content=b"{")
    assert answer.status_code == 400
    assert answer.headers["x-ratelimit-remaining-requests"] == str(OWNER - 1)


async def test_serve_admits_sixty_a_minute_of_an_account_and_the_next_is_refused_in_its_language(
    tmp_path: Path,
) -> None:
    async with serving(limited(tmp_path)) as server:
        async with client(server, await key_for(server, "anna")) as http:
            assert await statuses(http, OWNER + 5) == [200] * OWNER + [429] * 5
            refused = await http.get("/v1/models", headers={"Accept-Language": "zh"})
        async with client(server, await key_for(server, "ben")) as http:
            assert await statuses(http, 1) == [200]
    assert refused.status_code == 429
    assert refused.json()["error"]["message"].startswith("请求过于频繁")


async def test_in_development_nothing_is_limited_unless_it_is_set(tmp_path: Path) -> None:
    async with running(container_for(limited(tmp_path))) as server, client(server, None) as http:
        assert set(await statuses(http, OWNER + 5)) == {200}
        assert "x-ratelimit-limit-requests" not in (await http.get("/v1/models")).headers
    few = limited(tmp_path, LimitSettings(owner_per_minute=3))
    async with running(container_for(few)) as server, client(server, None) as http:
        assert await statuses(http, 4) == [200, 200, 200, 429]


async def test_guessing_keys_ends_in_429_whatever_the_guesser_says_of_his_address(tmp_path: Path) -> None:
    async with serving(limited(tmp_path, LimitSettings(address_per_minute=20))) as server:
        good = await key_for(server, "anna")
        found = []
        async with client(server, None) as http:
            for number in range(30):
                headers = {
                    "Authorization": f"Bearer {render(b'guess!', bytes([number]) * 32)}",
                    "X-Forwarded-For": f"198.51.100.{number}",
                }
                found += await statuses(http, 1, headers)
            assert found == [401] * 20 + [429] * 10
            # Not even the right one tells him anything now.
            refused = await http.get("/v1/models", headers={"Authorization": f"Bearer {good}"})
            assert refused.status_code == 429
            assert 0 < float(refused.headers["retry-after-ms"]) <= 3_000
            for probe in ("/livez", "/readyz", "/health"):
                assert (await http.get(probe)).status_code == 200


async def test_behind_a_proxy_that_is_named_each_client_has_an_address(tmp_path: Path) -> None:
    settings = limited(tmp_path, LimitSettings(address_per_minute=2), trusted_proxies=("127.0.0.0/8",))
    async with serving(settings) as server, client(server, await key_for(server, "anna")) as http:
        one, other = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"}
        forged = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
        assert await statuses(http, 3, one) == [200, 200, 429]
        assert await statuses(http, 1, forged) == [429]
        assert await statuses(http, 1, other) == [200]


async def test_a_key_that_serves_many_has_a_limit_for_each_of_its_people(tmp_path: Path) -> None:
    async with serving(limited(tmp_path, LimitSettings(owner_per_minute=2, address_per_minute=1))) as server:

        async def ask(http: httpx2.AsyncClient, whom: str) -> httpx2.Response:
            return await http.post("/v1/chat/completions", json={**CHAT, "cozy": {"user_id": whom}})

        async with client(server, await key_for(server, "app", serves_many=True)) as http:
            mei = [await ask(http, "mei") for _ in range(3)]
            ben = await ask(http, "ben")
    assert [it.status_code for it in mei] == [200, 200, 429]
    assert "this user" in mei[-1].json()["error"]["message"]
    assert (ben.status_code, ben.headers["x-ratelimit-remaining-requests"]) == (200, "1")


async def test_one_person_of_a_key_that_serves_many_does_not_use_up_what_the_others_have(
    tmp_path: Path,
) -> None:
    limits = LimitSettings(owner_per_minute=2, serving_account_per_minute=6)
    async with serving(limited(tmp_path, limits)) as server:

        async def ask(http: httpx2.AsyncClient, whom: str, **fields: object) -> httpx2.Response:
            return await http.post("/v1/chat/completions", json={**CHAT, "cozy": {"user_id": whom}, **fields})

        async with client(server, await key_for(server, "app", serves_many=True)) as http:
            mei = [(await ask(http, "mei")).status_code for _ in range(10)]
            ben = await ask(http, "ben")
            # What names nobody counts for the key alone: a body that is wrong, a list of models.
            wrong = await ask(http, "ben", messages=7)
            listed = [(await http.get("/v1/models")).status_code for _ in range(4)]
            refused = await ask(http, "eve")
    assert mei == [200] * 2 + [429] * 8
    assert (ben.status_code, ben.headers["x-ratelimit-limit-requests"]) == (200, "2")
    assert (wrong.status_code, wrong.headers["x-ratelimit-remaining-requests"]) == (400, "2")
    assert listed == [200, 200, 429, 429]
    assert refused.status_code == 429
    assert "this API key:" in refused.json()["error"]["message"]


async def test_a_stranger_behind_the_same_address_does_not_shut_out_an_application(tmp_path: Path) -> None:
    async with serving(limited(tmp_path, LimitSettings(address_per_minute=5))) as server:
        app, anna = await key_for(server, "app", serves_many=True), await key_for(server, "anna")
        async with client(server, app) as known, client(server, None) as stranger:
            assert await statuses(known, 1) == [200]
            assert await statuses(stranger, 7) == [401] * 5 + [429] * 2
            assert await statuses(known, 3) == [200] * 3
            assert await statuses(stranger, 1, {"Authorization": f"Bearer {anna}"}) == [429]


async def test_answers_that_are_too_many_at_once_are_refused_at_once(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    limits = replace(UNLIMITED, turns_at_once=4, turns_at_once_per_owner=3)
    settings = with_fake(limited(tmp_path, limits), fake_openai, "ok?chunks=10&gap_ms=300")
    async with serving(settings) as server:
        anna, ben = [await key_for(server, name) for name in ("anna", "ben")]
        async with client(server, anna) as http, client(server, ben) as other:

            async def ask(of: httpx2.AsyncClient) -> httpx2.Response:
                return await of.post("/v1/chat/completions", json=CHAT)

            asked = [asyncio.create_task(ask(http)) for _ in range(5)]
            first = [await it for it in islice(asyncio.as_completed(asked), 2)]
            more = [asyncio.create_task(ask(other)) for _ in range(3)]
            second = [await it for it in islice(asyncio.as_completed(more), 2)]
            rest = await asyncio.gather(*asked, *more)
            assert (await ask(other)).status_code == 200
    assert [it.status_code for it in first] == [429, 429]
    assert [it.status_code for it in second] == [503, 503]
    assert {it.json()["error"]["code"] for it in second} == {"server_overloaded"}
    assert {it.headers["retry-after"] for it in (*first, *second)} == {"1"}
    assert [it.status_code for it in rest].count(200) == 4


async def test_answers_of_all_kinds_share_the_seats(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    limits = replace(UNLIMITED, turns_at_once=1)
    settings = with_fake(limited(tmp_path, limits), fake_openai, "hang", "ok")
    async with running(hearing(container_for(settings), "Hello.")) as server, client(server, None) as http:
        held = asyncio.create_task(http.post("/v1/chat/completions", json=CHAT))
        async with asyncio.timeout(PATIENCE_S):
            while not server.container.pipeline().turns_running:  # noqa: ASYNC110  as it is
                await asyncio.sleep(0.01)

        async def others() -> list[httpx2.Response]:
            return [
                await http.post("/v1/embeddings", json={"model": "offline/lexical", "input": "Hello"}),
                await http.post("/v1/audio/speech", json={"model": "tts-1", "input": "Hello"}),
                await http.post(
                    "/v1/audio/transcriptions",
                    data={"model": "whisper-1"},
                    files={"file": ("a.mp3", recorded("mp3", 0.5))},
                ),
            ]

        refused = await others()
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            while server.container.pipeline().turns_running:  # noqa: ASYNC110  as it is
                await asyncio.sleep(0.01)
        served = await others()
    assert [(it.status_code, it.headers["retry-after"]) for it in refused] == [(503, "1")] * 3
    assert {it.json()["error"]["code"] for it in refused} == {"server_overloaded"}
    assert max(it.elapsed.total_seconds() for it in refused) < AT_ONCE_S
    assert [it.status_code for it in served] == [200, 200, 200]


async def test_processes_count_together_through_redis_and_apart_without_it(
    tmp_path: Path, redis: RedisServer
) -> None:
    def settings(name: str) -> Settings:
        limits = LimitSettings(owner_per_minute=8, address_per_minute=0, processes=2)
        shared = RedisSettings(url=Secret(redis.url), deadline_s=1.0)
        return replace(limited(tmp_path / name, limits), redis=shared)

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    async with (
        serving(settings("one")) as one,
        serving(settings("other")) as other,
        client(one, await key_for(one, "anna")) as first,
        client(other, await key_for(other, "anna")) as second,
    ):
        found = [await statuses(http, 5) for http in (first, second)]
        assert found == [[200] * 5, [200] * 3 + [429] * 2]
        assert (await first.get("/health")).json() == {"status": "ok"}

        redis.stop()
        assert await statuses(first, 8) == [200] * 4 + [429] * 4
        assert (await first.get("/health")).json() == {"status": "degraded"}
        assert (await first.get("/readyz")).status_code == 200

        redis.start()
        async with asyncio.timeout(PATIENCE_S):
            while (await first.get("/health")).json() != {"status": "ok"}:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.1)
        assert await statuses(first, 1) == [200]


def test_an_address_that_is_no_redis_is_refused_and_not_shown(tmp_path: Path) -> None:
    settings = replace(limited(tmp_path), redis=RedisSettings(url=Secret("http://hush@host")))
    with pytest.raises(ConfigError, match=r"redis\.url") as error:
        create_app(container_for(settings, development=False))
    assert "hush" not in str(error.value)
