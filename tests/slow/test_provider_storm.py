"""Every fault of a provider at once, with clients that leave: each answer is whole or says why not, and nothing
stays behind."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_server.codes import CODES
from tests.fixtures.chat import until
from tests.fixtures.fake_anthropic import FakeAnthropic
from tests.fixtures.fake_openai.server import FakeOpenAI, FakeProvider
from tests.fixtures.provider_faults import Said, Server, Setting, serving
from tests.fixtures.server import UNLIMITED

WHOLE = " ".join(f"word{n}" for n in range(1, 9))
FAULTY = (
    "status?code=429&every=3&retry_after_ms=50",
    "status?code=500&every=2",
    "status?code=529&every=2&retry_after_ms=20",
    "status?code=503",
    "status?code=400",
    "slow-first?ms=300",
    "hang",
    "stall?after=2&every=2",
    "drop?after=3&every=2",
    "reset?every=2",
    "bad-json?every=3",
    "cut?every=3",
    "error-event?event=1&every=3",
    "endless",
    "utf8-split",
)
REQUESTS = 240
AT_ONCE = 12
SEED = 20261122
LONGEST_S = 20.0
"""A silence of 4 s, a try and its retry, and a machine under load."""


@pytest.mark.parametrize("protocol", [FakeOpenAI, FakeAnthropic])
async def test_a_storm_of_faults_passes(tmp_path: Path, protocol: type[FakeProvider]) -> None:
    rng = random.Random(SEED)
    routes = {f"route-{n}": (f"fake/{model}", "fake/ok") for n, model in enumerate(FAULTY)}
    limits = replace(UNLIMITED, answer_characters=500)
    setting = Setting(FAULTY, routes, first_token_s=4.0, between_s=4.0, limits=limits)
    async with protocol() as fake, serving(tmp_path, fake, setting) as server:
        names = ["fake/ok"] * 5 + [f"fake/{model}" for model in FAULTY] + [*routes]
        asked = [(rng.choice(names), rng.random() < 0.5, rng.random() < 0.1) for _ in range(REQUESTS)]
        room = asyncio.Semaphore(AT_ONCE)

        async def one(model: str, stream: bool, leaves: bool) -> tuple[str, Said | None]:
            async with room:
                asking = asyncio.create_task(server.ask(model, stream=stream))
                if leaves:
                    await asyncio.wait((asking,), timeout=rng.random() / 5)
                    asking.cancel()
                    await asyncio.wait((asking,))
                return model, None if asking.cancelled() else await asking

        answers = await asyncio.gather(*(one(*it) for it in asked))
        outcomes = Counter(_judged(model, said) for model, said in answers)
        assert not {name for name in outcomes if name.startswith("bad")}, outcomes
        assert outcomes["whole"] > REQUESTS / 4
        await _calm(server, fake)


def _judged(model: str, said: Said | None) -> str:
    """What became of a request; ``bad`` when it should not have."""
    if said is None:
        return "left"
    if said.took_s > LONGEST_S:
        return f"bad: {model} took {said.took_s:.1f} s"
    if said.error is not None:
        code = said.error["code"]
        known = code in CODES and not said.done and said.status in (200, 400, 429, 502, 503, 504)
        return f"error {code}" if known and model != "fake/ok" else f"bad: {model} {said.status} {said.error}"
    if model == "fake/ok" or model.startswith("route"):
        return "whole" if WHOLE in said.text or said.finish else f"bad: {model} {said.text!r}"
    return "whole" if said.finish else f"bad: {model} {said.status}"


async def _calm(server: Server, fake: FakeProvider) -> None:
    pipeline = server.container.pipeline()
    await until(lambda: pipeline.turns_running == 0, within_s=10.0)
    await fake.until(lambda: not fake.open_streams)
    assert (await server.ask("fake/ok")).text == WHOLE
