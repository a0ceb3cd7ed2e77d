"""A store that is late, away or cannot hold what it is given."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import saying
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_domain.chat.parts import ChatParts
from cozy_domain.errors import CozyError, MissingError, StorageUnavailableError
from cozy_domain.messages import AssistantMessage, UserMessage, text_of
from cozy_domain.models.deltas import TextDelta
from cozy_domain.sessions.turn import Opening, TurnClosed, TurnOpened
from tests.fixtures.chat import OWNER, SESSION, ChatUnderTest, asking, events_of, text_in
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time


class LateStore(InMemoryTurnStore):
    """Stores the first turn that is opened after 5.1 s, when nobody waits any more, as a database does that is slow."""

    late = True

    async def open(self, turn: TurnOpened) -> Opening:
        opening = await super().open(turn)
        if self.late:
            self.late = False
            await asyncio.sleep(5.1)
        return opening


class PickyStore(InMemoryTurnStore):
    """Fails at words that its encoding cannot hold."""

    async def close(self, turn: TurnClosed) -> None:
        for message in turn.messages:
            text_of(message.content).encode()
        await super().close(turn)


class BrokenUpkeep(InMemoryTurnStore):
    """Fails in a way that nobody foresaw whenever turns are looked after."""

    async def checkpoint(self, *_: object) -> None:
        raise RuntimeError("a bug")

    async def reap(self, *_: object) -> tuple[()]:
        raise RuntimeError("a bug")


class ChatOn(ChatUnderTest):
    """The chat path on another turn store."""

    store: type[InMemoryTurnStore] = InMemoryTurnStore

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.store(self.conversations))


def chat_on(store: type[InMemoryTurnStore]) -> ChatOn:
    chat = ChatOn(clock=LoopClock())
    chat.store = store
    return chat


async def test_a_turn_that_was_stored_too_late_is_not_in_the_history_of_the_next_try() -> None:
    chat = chat_on(LateStore)
    async with chat.running(saying("hello")) as pipeline:
        with pytest.raises(StorageUnavailableError):
            await events_of(pipeline, asking("hi"))
        await asyncio.sleep(10)
        assert text_in(await events_of(pipeline, asking("hi"))) == "hello"
    assert [cell.state for cell in chat.conversations.turns.values()] == ["failed", "completed"]
    asked = [it for it in chat.model.requests[0].messages if it == UserMessage("hi")]
    assert len(asked) == 1


async def test_a_turn_whose_words_cannot_be_stored_still_ends() -> None:
    chat = chat_on(PickyStore)
    async with chat.running(saying("half of \ud83d")) as pipeline:
        with pytest.raises(CozyError) as failed:
            await events_of(pipeline, asking("hi"))
    assert failed.value.code == "server_error"
    (cell,) = chat.conversations.turns.values()
    assert (cell.state, cell.messages) == ("failed", (UserMessage("hi"),))


async def test_upkeep_that_fails_ends_no_turn() -> None:
    chat = chat_on(BrokenUpkeep)
    gate = asyncio.Event()
    async with chat.running((TextDelta("half"), gate, *saying(" whole"))) as pipeline:
        asyncio.get_running_loop().call_later(12, gate.set)
        events = await events_of(pipeline, asking("hi"))
        stored = await chat.stored()
    assert text_in(events) == "half whole"
    assert stored[-1].message == AssistantMessage("half whole")


async def test_a_store_that_is_away_at_the_end_is_waited_for_thirty_seconds_and_not_longer() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    gate, loop = asyncio.Event(), asyncio.get_running_loop()
    async with chat.running((TextDelta("hi"), gate, *saying("!"))) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await anext(turn)
            chat.conversations.available = False
            gate.set()
            began = loop.time()
            with pytest.raises(StorageUnavailableError):
                [event async for event in turn]
            assert timedelta(seconds=27) < timedelta(seconds=loop.time() - began) <= timedelta(seconds=30)
        chat.conversations.available = True


async def test_a_session_that_is_not_theirs_is_named_in_the_requests_words() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    async with chat.running(saying("hi")) as pipeline:
        await events_of(pipeline, asking("hi"))
        await chat.sessions.delete(OWNER, SESSION, chat.clock.now())
        with pytest.raises(MissingError) as missing:
            await events_of(pipeline, asking("again"))
    assert (missing.value.code, missing.value.param) == ("session_not_found", "cozy.session_id")
