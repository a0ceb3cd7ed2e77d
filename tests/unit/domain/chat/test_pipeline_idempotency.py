"""The same request twice."""

import asyncio

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_domain.chat.events import TurnEnded, TurnStarted
from cozy_domain.chat.parts import ChatLimits
from cozy_domain.chat.reply import fold
from cozy_domain.errors import InputError, ProviderRefusedError, StorageUnavailableError
from cozy_domain.messages import ToolCall
from cozy_domain.models.deltas import TextDelta
from cozy_domain.models.request import ToolDefinition
from cozy_domain.sessions.turn import IdempotencyKey
from tests.fixtures.chat import OWNER, ChatUnderTest, asking, events_of, text_in, until
from tests.fixtures.clocks import LoopClock
from tests.fixtures.turns import at, opened

pytestmark = pytest.mark.virtual_time

KEY = IdempotencyKey("chat", "k1", "digest")
ASKED = asking("hi", idempotency=KEY)


async def test_a_replay_folds_to_the_first_reply_tools_included() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    asked = asking("look", idempotency=KEY, tools=(ToolDefinition("lookup"),))
    async with chat.running(calling(ToolCall("p", "lookup", '{"q":1}'), before="Wait.")) as pipeline:
        async with pipeline.turn(asked) as turn:
            first = await fold(turn)
        async with pipeline.turn(asked) as turn:
            again = await fold(turn)
    assert again == first
    assert again.choices[0].finish == "tool_calls"


async def test_a_replay_stores_and_audits_nothing_more() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("once")) as pipeline:
        await events_of(pipeline, ASKED)
        records, jobs = chat.records, await chat.jobs.list()
        started, *_, ended = await events_of(pipeline, ASKED)
        assert await chat.jobs.list() == jobs
    assert isinstance(started, TurnStarted)
    assert started.turn in chat.conversations.turns
    assert isinstance(ended, TurnEnded)
    assert (chat.records, len(chat.conversations.turns)) == (records, 1)


async def test_another_body_under_the_same_key_is_refused() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("once")) as pipeline:
        await events_of(pipeline, ASKED)
        with pytest.raises(InputError) as refused:
            await events_of(pipeline, asking("other", idempotency=IdempotencyKey("chat", "k1", "another")))
    assert refused.value.code == "idempotency_key_reused"


async def test_a_failed_turn_frees_its_key() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running((ProviderRefusedError("no", provider="scripted"),), saying("now")) as pipeline:
        with pytest.raises(ProviderRefusedError):
            await events_of(pipeline, ASKED)
        assert text_in(await events_of(pipeline, ASKED)) == "now"


async def test_an_interrupted_turn_hands_its_key_to_the_one_that_waits() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running((TextDelta("half"), asyncio.Event()), saying("whole")) as pipeline:
        async with pipeline.turn(ASKED):
            await until(lambda: chat.model.streaming == 1)
            waiting = asyncio.create_task(events_of(pipeline, ASKED))
            await asyncio.sleep(3)
            assert not waiting.done()
        assert text_in(await waiting) == "whole"


async def test_a_request_that_waits_for_the_first_does_not_wait_for_ever() -> None:
    chat = ChatUnderTest(clock=LoopClock(), limits=ChatLimits(turn_s=20.0))
    elsewhere = replace(opened(900, owner=OWNER, key=KEY), lease_until=at(3_600))
    async with chat.running(saying("never")) as pipeline:
        await chat.parts().turns.open(elsewhere)
        with pytest.raises(StorageUnavailableError):
            await events_of(pipeline, ASKED)
    assert asyncio.get_running_loop().time() == pytest.approx(20.0)
    assert chat.model.requests == []


async def test_leaving_while_the_first_runs_ends_the_waiting() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with (
        chat.running((TextDelta("half"), asyncio.Event())) as pipeline,
        pipeline.turn(ASKED),
    ):
        await until(lambda: chat.model.streaming == 1)
        async with pipeline.turn(ASKED):
            await asyncio.sleep(1)
        await until(lambda: pipeline.turns_running == 1, within_s=0.5)
    assert len(chat.conversations.turns) == 1
