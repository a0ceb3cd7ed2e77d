"""Too many turns at once are refused before anything is done for them."""

import asyncio
import logging

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import saying
from cozy_domain.chat.parts import ChatLimits
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.errors import LimitError, LocalProtocolError
from tests.fixtures.chat import ChatUnderTest, asking, events_of, until
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time

TWO = ChatLimits(turns_at_once=2, turns_at_once_each=2)


def chat_with(limits: ChatLimits) -> ChatUnderTest:
    return ChatUnderTest(clock=LoopClock(), limits=limits)


async def ask(pipeline: ChatPipeline) -> None:
    await events_of(pipeline, asking("hi", session=None))


async def test_one_turn_too_many_is_refused_at_once_and_nothing_is_kept_of_it() -> None:
    chat = chat_with(TWO)
    async with chat.running(saying("one"), saying("two"), saying("three")) as pipeline:
        async with pipeline.turn(asking("a")) as first, pipeline.turn(asking("b")):
            with pytest.raises(LimitError) as caught:
                await ask(pipeline)
            async for _ in first:
                pass
        assert caught.value.code == "server_overloaded"
        await until(lambda: not pipeline.turns_running)
        await ask(pipeline)
    assert len(chat.conversations.turns) == 3


async def test_a_turn_gives_its_seat_back_however_it_ends() -> None:
    chat = chat_with(replace(TWO, turns_at_once=1))
    async with chat.running(saying("left"), saying("whole")) as pipeline:
        async with pipeline.turn(asking("a")) as turn:
            await anext(turn)
        await until(lambda: not pipeline.turns_running)
        with pytest.raises(LimitError):
            async with pipeline.turn(asking("b")):
                await ask(pipeline)
        await until(lambda: not pipeline.turns_running)
        await ask(pipeline)


async def test_a_pipeline_that_does_not_run_keeps_no_seat() -> None:
    pipeline = ChatPipeline(chat_with(TWO).parts())
    for _ in range(5):
        with pytest.raises(LocalProtocolError):
            await ask(pipeline)


async def test_how_many_were_refused_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    chat = chat_with(replace(TWO, turns_at_once=1))
    async with chat.running(saying("one")) as pipeline:
        async with pipeline.turn(asking("a")):
            for _ in range(7):
                with pytest.raises(LimitError):
                    await ask(pipeline)
        with caplog.at_level(logging.WARNING):
            await asyncio.sleep(10)
    told = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert told == ["7 answers were refused: 1 at once are the most"]
