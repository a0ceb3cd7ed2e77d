"""What is said without asking a model is a turn of its own, and an answer of which less was heard is cut short."""

import asyncio

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import saying
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_domain.audit.events import TurnAudited
from cozy_domain.chat.aside import KeptTurn
from cozy_domain.chat.parts import ChatParts
from cozy_domain.errors import LocalProtocolError, MissingError, StorageUnavailableError
from cozy_domain.ids import Owner, PersonaId, TurnId
from cozy_domain.messages import AssistantMessage, SystemMessage, UserMessage
from cozy_domain.sessions.session import PersonaPin
from tests.fixtures.chat import ChatUnderTest, asking, events_of, saying_all, until
from tests.fixtures.clocks import LoopClock
from tests.fixtures.fakes import HeldTurnStore
from tests.unit.domain.chat.test_pipeline_storage import ChatOn, LateStore

pytestmark = pytest.mark.virtual_time

PHRASE = saying_all(SystemMessage("Go on."), unasked=True)
UNKNOWN = KeptTurn(TurnId(asking("").session), PersonaPin(PersonaId("default"), 1))  # type: ignore[arg-type]


class HeldChat(ChatUnderTest):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.turns = HeldTurnStore(InMemoryTurnStore(self.conversations))

    def parts(self) -> ChatParts:
        return replace(super().parts(), turns=self.turns)


@pytest.fixture
def chat() -> HeldChat:
    return HeldChat(clock=LoopClock())


def audited(chat: ChatUnderTest) -> list[tuple[str, str | None, int]]:
    return [
        (it.event.state, it.event.model, it.event.said_characters)
        for it in chat.records
        if isinstance(it.event, TurnAudited)
    ]


async def test_a_phrase_is_in_the_history_of_the_next_turn_and_nothing_is_learned_from_it(
    chat: HeldChat,
) -> None:
    async with chat.running(saying("Fine.")) as pipeline:
        await pipeline.keep(PHRASE, "Hello.")
        assert not chat.conversations.jobs
        await events_of(pipeline, asking("How are you?"))
    assert AssistantMessage("Hello.") in chat.model.requests[-1].messages
    assert [it.message for it in await chat.stored()] == [
        AssistantMessage("Hello."),
        UserMessage("How are you?"),
        AssistantMessage("Fine."),
    ]
    assert audited(chat)[0] == ("completed", None, len("Hello."))
    assert chat.conversations.jobs


async def test_words_of_the_user_alone_are_in_the_history_and_learned_from(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        await pipeline.keep(asking("My name is Mei."))
        assert chat.conversations.jobs
    (stored,) = await chat.stored()
    assert (stored.message, stored.state) == (UserMessage("My name is Mei."), "interrupted")


async def test_a_phrase_that_was_cut_short_says_so(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        await pipeline.keep(PHRASE, "Hel", interrupted=True)
    assert [(it.message, it.state) for it in await chat.stored()] == [
        (AssistantMessage("Hel"), "interrupted")
    ]


@pytest.mark.parametrize("method", ["open", "close"])
async def test_it_is_stored_also_when_nobody_waits_for_it(chat: HeldChat, method: str) -> None:
    async with chat.running() as pipeline:
        chat.turns.held.add(method)
        waiting = asyncio.ensure_future(pipeline.keep(PHRASE, "Hello."))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.wait((waiting,))
        chat.turns.release()
    assert [it.message for it in await chat.stored()] == [AssistantMessage("Hello.")]


async def test_a_store_that_answers_too_late_keeps_nothing(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        chat.turns.held.add("open")
        with pytest.raises(StorageUnavailableError):
            await pipeline.keep(PHRASE, "Hello.")
        chat.turns.release()
        await until(lambda: all(it.state != "started" for it in chat.conversations.turns.values()))
    assert not chat.conversations.turns


async def test_what_is_stored_too_late_is_undone() -> None:
    chat = ChatOn(clock=LoopClock())
    chat.store = LateStore
    async with chat.running() as pipeline:
        with pytest.raises(StorageUnavailableError):
            await pipeline.keep(PHRASE, "Hello.")
    assert [it.state for it in chat.conversations.turns.values()] == ["failed"]
    assert await chat.stored() == ()


async def test_a_bug_of_the_store_is_told_and_fails_nothing_else(chat: HeldChat) -> None:
    async with chat.running(saying("Fine.")) as pipeline:
        chat.turns.broken.add("open")
        with pytest.raises(RuntimeError):
            await pipeline.keep(PHRASE, "Hello.")
        chat.turns.broken.clear()
        await events_of(pipeline, asking("How are you?"))
    assert len(await chat.stored()) == 2


async def test_nobody_keeps_words_in_another_owners_session(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        await pipeline.keep(PHRASE, "Hello.")
        with pytest.raises(MissingError):
            await pipeline.keep(replace(PHRASE, owner=Owner("acme", "lin")), "Hello.")


async def test_nothing_is_kept_before_the_pipeline_runs(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        pass
    with pytest.raises(LocalProtocolError):
        await pipeline.keep(PHRASE, "Hello.")


async def test_an_answer_is_cut_short_when_the_store_is_back(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        kept = await pipeline.keep(PHRASE, "Hello, Mei.")
        chat.conversations.available = False
        cutting = asyncio.ensure_future(pipeline.shorten(PHRASE, kept, "Hello,"))
        await asyncio.sleep(10.0)
        assert not cutting.done()
        chat.conversations.available = True
        await cutting
    assert [it.message for it in await chat.stored()] == [AssistantMessage("Hello,")]
    assert audited(chat)[-1] == ("amended", None, len("Hello,"))


async def test_an_answer_that_is_not_there_cannot_be_cut_short(chat: HeldChat) -> None:
    async with chat.running() as pipeline:
        with pytest.raises(MissingError):
            await pipeline.shorten(PHRASE, UNKNOWN, "")
