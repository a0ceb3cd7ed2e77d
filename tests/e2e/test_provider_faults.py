"""What becomes of a provider's faults on the whole way through the server, whichever protocol it speaks.

The scenarios are P1 to P4 and P6: rate limits; failures before the answer, the breaker; silence; answers that break; tool
loops. Deadlines are configured short. P5, slow clients, is in ``test_slow_clients``.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.toolbox import InMemoryToolBox, ToolFunction
from cozy_domain.tools.builtin import CALCULATOR
from cozy_domain.tools.tool import ToolContext
from cozy_server.settings.tree import ProviderSettings, ToolSettings
from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.fake_openai.server import FakeOpenAI, FakeProvider
from tests.fixtures.provider_faults import Said, Server, Setting, is_refusal, serving
from tests.fixtures.server import UNLIMITED, provider_settings

WHOLE = " ".join(f"word{n}" for n in range(1, 9))
SOON_S = 15.0
"""Within which every failure is told: it is promised within 5 s (reliability P2), and a busy machine takes its time."""


@pytest.fixture(params=[FakeOpenAI, FakeAnthropic], ids=["openai", "anthropic"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeProvider]:
    async with request.param() as fake:
        yield fake


# P1: a provider that limits us.


async def test_a_rate_limit_is_waited_for_and_told_when_it_stays(tmp_path: Path, fake: FakeProvider) -> None:
    once = "status?code=429&times=1&retry_after_ms=300"
    unsaid = "status?code=429&times=1"
    stays = "status?code=429&retry_after_ms=100"
    long = "status?code=429&retry_after=21"
    async with serving(tmp_path, fake, Setting((once, unsaid, stays, long))) as server:
        for model, wait_s in ((once, 0.3), (unsaid, 1.0)):
            said = await server.ask(f"fake/{model}")
            first, second = fake.chats(model)
            assert said.text == WHOLE
            assert wait_s <= second.at_s - first.at_s < wait_s + SOON_S
            fake.forget()
        for stream in (False, True):
            said = await server.ask(f"fake/{stays}", stream=stream)
            assert is_refusal(said, 429, "rate_limit_exceeded")
            assert (said.headers["retry-after-ms"], said.headers["x-should-retry"]) == ("100", "false")
            assert server.asked(stays) == 2
            fake.forget()
            said = await server.ask(f"fake/{long}", stream=stream)
            assert is_refusal(said, 429, "rate_limit_exceeded")
            assert (said.headers["retry-after"], server.asked(long)) == ("21", 1)
            assert said.took_s < SOON_S
            fake.forget()
        assert await server.health() == "ok"


async def test_a_third_of_all_requests_limited_reaches_nobody(tmp_path: Path, fake: FakeProvider) -> None:
    model = "status?code=429&every=3&retry_after_ms=20"
    async with serving(tmp_path, fake, Setting((model,))) as server:
        said = [await server.ask(f"fake/{model}") for _ in range(6)]
        assert [it.text for it in said] == [WHOLE] * 6
        assert server.asked(model) == 8


# P2: a provider that fails before it answers.

FAILING = (
    "status?code=500",
    "status?code=502",
    "status?code=503",
    "status?code=529&retry_after_ms=10",
    "reset",
)


async def test_a_failing_provider_is_told_soon_or_replaced(tmp_path: Path, fake: FakeProvider) -> None:
    routes = {f"route-{n}": (f"fake/{model}", "fake/ok") for n, model in enumerate(FAILING)}
    async with serving(tmp_path, fake, Setting(FAILING, routes)) as server:
        for n, model in enumerate(FAILING):
            said = await server.ask(f"route-{n}", stream=bool(n % 2))
            assert (said.text, said.error) == (WHOLE, None)
            assert server.asked(model) == (1 if "529" in model else 2)
            fake.forget()
            said = await server.ask(f"fake/{model}", stream=bool(n % 2))
            told = "provider_overloaded" if "529" in model else "provider_unavailable"
            assert is_refusal(said, 503, told)
            assert said.took_s < SOON_S
            assert server.asked(model) == 2
            assert said.headers.get("retry-after-ms") == ("10" if "529" in model else None)


async def test_a_provider_that_cannot_be_reached_is_told_soon_or_replaced(
    tmp_path: Path, fake: FakeProvider
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        kind = provider_settings(fake).kind
        urls = {
            "refused": f"http://127.0.0.1:{port}/v1",
            "nameless": "http://no-such-host.invalid:9/v1",  # RFC 6761: never resolves
            "plain": f"https://127.0.0.1:{fake.port}/v1",
        }
        configured = {name: ProviderSettings(base_url=url, kind=kind) for name, url in urls.items()}
        routes = {f"route-{name}": (f"{name}/any", "fake/ok") for name in urls}
        alone = {f"alone-{name}": (f"{name}/any",) for name in urls}
        async with serving(tmp_path, fake, Setting((), {**routes, **alone}, configured)) as server:
            for name in urls:
                assert (await server.ask(f"route-{name}")).text == WHOLE
                said = await server.ask(f"alone-{name}", stream=True)
                assert is_refusal(said, 503, "provider_unavailable")
                assert said.took_s < SOON_S
                assert str(port) not in json.dumps(said.error)


async def test_a_model_that_keeps_failing_is_left_alone_until_one_probe_succeeds(
    tmp_path: Path, fake: FakeProvider
) -> None:
    model = "status?code=503&times=5"
    routes = {"route": (f"fake/{model}", "fake/ok")}
    async with serving(tmp_path, fake, Setting((model,), routes)) as server:
        # Two tries a request; the breaker opens with the fifth.
        failed = [await server.ask(f"fake/{model}") for _ in range(3)]
        assert {it.status for it in failed} == {503}
        assert server.asked(model) == 5
        closed = await asyncio.gather(*(server.ask(f"fake/{model}") for _ in range(10)))
        assert all(is_refusal(it, 503, "provider_circuit_open") for it in closed)
        assert {it.headers["retry-after"] for it in closed} == {"30"}
        assert (await server.ask("route")).text == WHOLE
        assert server.asked(model) == 5
        assert await server.health() == "degraded"
        server.clock.skip(30.1)
        await _herd(server, model)
        assert (await server.ask(f"fake/{model}")).text == WHOLE
        assert await server.health() == "ok"


async def _herd(server: Server, model: str) -> None:
    """Many at once, of whom one may try."""
    said = await asyncio.gather(*(server.ask(f"fake/{model}") for _ in range(10)))
    # Once the probe has its first word, those who come late pass too.
    assert sum(it.text == WHOLE for it in said) >= 1
    others = [it for it in said if it.text != WHOLE]
    assert all(is_refusal(it, 503, "provider_circuit_open") for it in others)


async def test_while_one_probes_nobody_else_asks(tmp_path: Path, fake: FakeProvider) -> None:
    async with serving(tmp_path, fake, Setting(("hang",), first_token_s=0.2)) as server:
        failed = [await server.ask("fake/hang") for _ in range(5)]
        assert {it.status for it in failed} == {504}
        assert is_refusal(await server.ask("fake/hang"), 503, "provider_circuit_open")
        fake.forget()
        server.clock.skip(30.1)
        said = await asyncio.gather(*(server.ask("fake/hang") for _ in range(10)))
        assert server.asked("hang") == 1
        assert sorted(it.status for it in said) == [503] * 9 + [504]
        assert is_refusal(await server.ask("fake/hang"), 503, "provider_circuit_open")


async def test_what_a_caller_did_wrong_is_no_failure_of_the_provider(
    tmp_path: Path, fake: FakeProvider
) -> None:
    refusals = tuple(f"status?code={code}&retry_after=30" for code in (400, 404, 413, 429))
    async with serving(tmp_path, fake, Setting(refusals)) as server:
        for model in refusals:
            for _ in range(6):
                assert (await server.ask(f"fake/{model}")).status in (400, 429, 502)
            assert server.asked(model) == 6
        assert await server.health() == "ok"


# P3: silence.


async def test_a_provider_that_does_not_begin_is_replaced_or_given_up(
    tmp_path: Path, fake: FakeProvider
) -> None:
    silent = ("hang", "hang?head=early", "slow-first?ms=120000", "stall?after=0")
    routes = {f"route-{n}": (f"fake/{model}", "fake/ok") for n, model in enumerate(silent)}
    async with serving(tmp_path, fake, Setting(silent[:1], routes, first_token_s=1.0)) as server:
        for n in range(len(silent)):
            said = await server.ask(f"route-{n}", stream=bool(n % 2))
            assert (said.text, said.error) == (WHOLE, None)
        for stream in (False, True):
            said = await server.ask(f"fake/{silent[0]}", stream=stream)
            assert is_refusal(said, 504, "provider_timeout")
            assert said.took_s < SOON_S
        await fake.until(lambda: not fake.open_streams)


async def test_a_provider_that_falls_silent_ends_the_answer_and_the_words_are_kept(
    tmp_path: Path, fake: FakeProvider
) -> None:
    session = str(uuid4())
    async with serving(tmp_path, fake, Setting(("stall?after=2",), between_s=1.0)) as server:
        said = await server.ask("fake/stall?after=2", stream=True, session=session)
        assert (said.status, said.text, said.done) == (200, "word1 word2", False)
        assert said.error is not None
        assert said.error["code"] == "provider_timeout"
        assert (await server.stored(session))[-1] == ("assistant", "interrupted", "word1 word2")
        assert is_refusal(await server.ask("fake/stall?after=2"), 504, "provider_timeout")
        await fake.until(lambda: not fake.open_streams)


# P4: answers that break.

BREAKING = {
    "drop?after=3": "provider_unavailable",
    "fin?after=3": "provider_unavailable",
    "error-event?event=1": "provider_unavailable",
    "bad-json": "provider_malformed",
    "cut": "provider_malformed",
    "half-event": "provider_malformed",
}


async def test_an_answer_that_breaks_ends_with_an_error_and_its_words_are_kept(
    tmp_path: Path, fake: FakeProvider
) -> None:
    async with serving(tmp_path, fake, Setting(tuple(BREAKING))) as server:
        for model, code in BREAKING.items():
            session = str(uuid4())
            said = await server.ask(f"fake/{model}", stream=True, session=session)
            if said.status == 200:  # a reset may overtake all that was sent before it
                assert said.text == "word1 word2 word3"
                assert (await server.stored(session))[-1] == ("assistant", "interrupted", said.text)
            assert said.error is not None
            assert (said.error["code"], said.done) == (code, False)
            assert server.asked(model) == 1
            said = await server.ask(f"fake/{model}")
            assert is_refusal(said, 503 if code == "provider_unavailable" else 502, code)
            assert said.headers["x-should-retry"] == "false"


async def test_an_endless_answer_is_ended(tmp_path: Path, fake: FakeProvider) -> None:
    limits = replace(UNLIMITED, answer_characters=2_000)
    async with serving(tmp_path, fake, Setting(("endless",), limits=limits)) as server:
        said = await server.ask("fake/endless", stream=True)
        assert (said.finish, said.done, said.error) == ("length", True, None)
        assert 2_000 <= len(said.text) < 2_100
        await fake.until(lambda: not fake.open_streams)


# P6: tools.


async def _used(
    tmp_path: Path, fake: FakeProvider, model: str, tool: ToolFunction, deadline_s: float = 30.0
) -> tuple[Said, str]:
    """The answer after a tool of the server ran, and what the model was told last."""
    box = InMemoryToolBox([(CALCULATOR, tool)])
    tools = ToolSettings(deadline_s=deadline_s, result_characters=500)
    async with serving(tmp_path, fake, Setting((model,), tools=tools, toolbox=box)) as server:
        said = await server.ask(f"fake/{model}", stream=True)
        return said, json.dumps(fake.chats(model)[-1].body["messages"], ensure_ascii=False)


async def test_a_tool_loop_that_never_ends_is_ended(tmp_path: Path, fake: FakeProvider) -> None:
    said, _ = await _used(tmp_path, fake, "tool-forever", lambda arguments, context: "again")
    assert (said.finish, said.done, said.error) == ("stop", True, None)
    assert said.text.startswith("The tools said: again; again")
    assert len(fake.chats("tool-forever")) == 11


async def test_a_tool_that_hangs_is_told_to_the_model(tmp_path: Path, fake: FakeProvider) -> None:
    async def hang(arguments: msgspec.Raw, context: ToolContext) -> str:
        await asyncio.Event().wait()
        return "never"

    said, told = await _used(tmp_path, fake, "tool", hang, deadline_s=0.3)
    assert (said.finish, said.done) == ("stop", True)
    assert "0.3 s" in told
    assert said.took_s < SOON_S


async def test_a_huge_result_is_cut_before_the_model_reads_it(tmp_path: Path, fake: FakeProvider) -> None:
    said, told = await _used(tmp_path, fake, "tool", lambda arguments, context: "x" * 1_000_000)
    assert (said.finish, said.done) == ("stop", True)
    assert told.count("x") < 600
    assert "x" * 400 in told
