"""The turns of a call in the chat pipeline: whatever becomes of an answer, what was asked is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cozy_adapters.inmemory.language_model import Script, saying
from cozy_domain.chat.request import ChatRequest
from cozy_domain.messages import SystemMessage, UserMessage
from cozy_domain.models.deltas import TextDelta
from cozy_domain.voice.events import CancelResponse, CorrectUser, Event, StartResponse
from cozy_domain.voice.public import PublicEvent, ResponseCreated, ResponseDone, TurnCommitted
from cozy_domain.voice.replies import Replies
from tests.fixtures.chat import ChatUnderTest, saying_all
from tests.fixtures.clocks import LoopClock
from tests.fixtures.driven_calls import VoiceUnderTest, begun

pytestmark = pytest.mark.virtual_time

WORDS = "What time is it?"
MADE_AHEAD = StartResponse(1, 1, 1, WORDS, "turn", speculative=True)


class Asking:
    """The requests of a call with a session."""

    def __call__(self, text: str, *, after_tools: bool = False) -> ChatRequest:
        new = UserMessage(text) if text else SystemMessage("Go on.")
        return saying_all(new, unasked=not text)

    def heard(self, question: str, answer: str) -> None: ...

    def corrected(self, question: str, said: str) -> None: ...

    def shortened(self, answer: str, heard: str) -> None: ...


class Driven:
    """The replies of one call, without the call."""

    def __init__(self, chat: ChatUnderTest) -> None:
        self.chat = chat
        self.events: list[Event] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.replies: Replies

    @asynccontextmanager
    async def running(self, *scripts: Script) -> AsyncIterator[Replies]:
        async with self.chat.running(*scripts) as pipeline, asyncio.TaskGroup() as tasks:
            self.replies = Replies(pipeline, Asking(), self.chat.clock, self.events.append, tasks.create_task)
            yield self.replies

    async def kept(self) -> list[str]:
        return [str(it.message.content) for it in await self.chat.stored()]


@pytest.fixture
def driven() -> Driven:
    return Driven(ChatUnderTest(clock=LoopClock()))


async def passed(seconds: float | None) -> None:
    """None: not even the task that asks the pipeline has begun."""
    if seconds is not None:
        await asyncio.sleep(seconds)


def cancelled(replies: Replies) -> None:
    """As the session orders it, in one step."""
    replies.cancel(CancelResponse(1, "turn_detected"))
    replies.done(1)
    replies.settle()


@pytest.mark.parametrize("ahead_s", [None, 0, 1])
async def test_a_turn_that_is_committed_is_kept_though_its_answer_is_cancelled_in_the_same_moment(
    driven: Driven, ahead_s: float | None
) -> None:
    async with driven.running((TextDelta("It is "), asyncio.Event())) as replies:
        replies.start(MADE_AHEAD)
        await passed(ahead_s)
        replies.confirm(1)
        cancelled(replies)
        await replies.over()
    assert await driven.kept() == [WORDS]
    assert driven.chat.model.streaming == 0


@pytest.mark.parametrize("ahead_s", [None, 0, 1])
async def test_a_turn_that_is_committed_is_kept_though_the_call_breaks_down_in_the_same_moment(
    driven: Driven, ahead_s: float | None
) -> None:
    async with driven.running((TextDelta("It is "), asyncio.Event())) as replies:
        replies.start(MADE_AHEAD)
        await passed(ahead_s)
        replies.confirm(1)
        replies.leave()
        await replies.over()
    assert await driven.kept() == [WORDS]


@pytest.mark.parametrize("ahead_s", [None, 0, 1])
async def test_of_a_turn_that_was_never_committed_nothing_is_kept(
    driven: Driven, ahead_s: float | None
) -> None:
    async with driven.running((TextDelta("It is "), asyncio.Event())) as replies:
        replies.start(MADE_AHEAD)
        await passed(ahead_s)
        cancelled(replies)
        await replies.over()
    assert not driven.chat.conversations.turns


async def test_a_turn_that_is_cancelled_before_it_has_begun_is_kept(driven: Driven) -> None:
    async with driven.running(saying("Noon.")) as replies:
        replies.start(StartResponse(1, 1, 1, WORDS, "turn"))
        cancelled(replies)
        await replies.over()
    assert await driven.kept() == [WORDS]


async def test_words_that_come_late_do_not_hold_up_an_answer_that_still_waits_for_what_was_said_before(
    driven: Driven,
) -> None:
    """The correction follows the answer, which follows what was stored before both."""
    async with driven.running(saying("Noon."), saying("Noon in Rome.")) as replies:
        replies.keep("Well then.")
        replies.start(StartResponse(1, 1, 1, WORDS, "turn"))
        await passed(0)
        replies.correct(CorrectUser(1, "What time is it in Rome?"))
        cancelled(replies)
        async with asyncio.timeout(60):
            await replies.over()
    assert await driven.kept() == ["Well then.", "What time is it in Rome?"]


async def test_a_reply_that_cannot_even_be_asked_for_is_over(driven: Driven) -> None:
    def broken(text: str, *, after_tools: bool = False) -> ChatRequest:
        raise RuntimeError("a bug")

    async def asked() -> None:
        async with driven.running() as replies:
            replies._request = broken  # type: ignore[assignment]
            replies.start(StartResponse(1, 1, 1, WORDS, "turn"))
            async with asyncio.timeout(1.0):
                await replies.over()

    with pytest.raises(ExceptionGroup):
        await asked()
    assert driven.replies.under_way == 0


@pytest.mark.parametrize("at", [TurnCommitted, ResponseCreated])
@pytest.mark.parametrize("act", ["cancel", "hang up"])
async def test_what_a_caller_said_is_kept_whatever_its_program_does_at_the_end_of_the_turn(
    at: type[PublicEvent], act: str
) -> None:
    voice = VoiceUnderTest(heard=[WORDS])
    async with voice.running((TextDelta("It is "), asyncio.Event())) as calls:
        call = await begun(calls)

        def react(event: PublicEvent) -> None:
            if isinstance(event, at):
                call.call.cancel() if act == "cancel" else call.call.close("hangup")

        call.react = react
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(ResponseDone)
        await call.hang_up()
    assert await voice.history() == [("user", WORDS)]
