"""Who speaks in a session, and a store that does not answer."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import saying
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_domain.chat.events import TurnStarted
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.errors import StorageUnavailableError
from cozy_domain.persona.catalog import publish_all
from cozy_domain.persona.persona import Persona, Prompt
from tests.fixtures.chat import DEFAULT, ChatUnderTest, asking, events_of
from tests.fixtures.clocks import LoopClock
from tests.fixtures.fakes import HeldTurnStore

pytestmark = pytest.mark.virtual_time


class HeldChat(ChatUnderTest):
    def __init__(self) -> None:
        super().__init__(clock=LoopClock())
        self.store = HeldTurnStore(InMemoryTurnStore(self.conversations))

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.store)


async def publish(chat: ChatUnderTest, persona: Persona) -> None:
    catalog = await publish_all([persona], chat.revisions, chat.clock)
    chat.snapshot = replace(chat.snapshot, catalog=catalog)


async def revision_of(pipeline: ChatPipeline) -> int:
    started, *_ = await events_of(pipeline, asking("hi"))
    assert isinstance(started, TurnStarted)
    return started.pin.revision


async def test_a_session_keeps_its_persona_as_it_was_until_it_was_idle_for_an_hour() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    old, new = (replace(DEFAULT, prompt=Prompt(system=text)) for text in ("Be brief.", "Be long."))
    await publish(chat, old)
    async with chat.running(*[saying("hello")] * 4) as pipeline:
        assert await revision_of(pipeline) == 1
        await publish(chat, new)
        await asyncio.sleep(timedelta(minutes=59).total_seconds())
        assert await revision_of(pipeline) == 1
        await asyncio.sleep(timedelta(minutes=60).total_seconds())
        assert await revision_of(pipeline) == 2
        assert await revision_of(pipeline) == 2
    assert ["Be brief." in repr(it.messages[0]) for it in chat.model.requests] == [True, True, False, False]


async def test_a_revision_that_is_gone_is_replaced_by_the_current_one() -> None:
    chat = ChatUnderTest(clock=LoopClock())
    await publish(chat, DEFAULT)
    async with chat.running(*[saying("hello")] * 2) as pipeline:
        assert await revision_of(pipeline) == 1
        (cell,) = chat.conversations.sessions.values()
        cell.session = replace(cell.session, pin=replace(cell.session.pin, revision=9))
        assert await revision_of(pipeline) == 1


async def test_a_store_that_does_not_answer_at_the_beginning_is_not_waited_for() -> None:
    chat = HeldChat()
    chat.store.held = {"open"}
    async with chat.running(saying("never")) as pipeline:
        with pytest.raises(StorageUnavailableError):
            await events_of(pipeline, asking("hi"))
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)
    assert chat.model.requests == []


async def test_a_store_that_does_not_answer_at_the_end_is_asked_again() -> None:
    chat = HeldChat()
    chat.store.held = {"close"}
    asyncio.get_running_loop().call_later(12, chat.store.release)
    async with chat.running(saying("hello")) as pipeline:
        await events_of(pipeline, asking("hi"))
    (cell,) = chat.conversations.turns.values()
    assert cell.state == "completed"
    assert 12 <= asyncio.get_running_loop().time() < 15
