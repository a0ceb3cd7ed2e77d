"""Tools of a call: what the user's voice does to them, and what is remembered of them."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_adapters.inmemory.toolbox import builtin_tools
from cozy_domain.messages import AssistantMessage, ToolCall, ToolMessage
from cozy_domain.models.request import ToolDefinition
from cozy_domain.persona.persona import ToolPermissions
from cozy_domain.tools.tool import Effect, ToolContext, ToolSpec
from cozy_domain.voice.policy import DEFAULT as PROFILE
from cozy_domain.voice.policy import S, VoiceProfile
from cozy_domain.voice.public import OutputStarted, ResponseDone, ToolEnded, ToolStarted
from tests.fixtures.chat import DEFAULT, ChatUnderTest
from tests.fixtures.clocks import LoopClock
from tests.fixtures.driven_calls import CallUnderTest, VoiceUnderTest, settled

pytestmark = pytest.mark.virtual_time

FIRST, SECOND = ToolCall("x", "first", "{}"), ToolCall("y", "second", "{}")
BEFORE = "Let me see what I can find for you."
UNGUARDED = replace(PROFILE, interruption=replace(PROFILE.interruption, call_guard_ns=0))


class Tools:
    """``first`` and ``second``, which take so many seconds; ``ended`` tells which ended, and how."""

    def __init__(self, seconds: float) -> None:
        self.ended: list[tuple[str, str]] = []
        self._seconds = seconds

    def chat(self, *cancelled: str) -> ChatUnderTest:
        tools = ToolPermissions(allow=("first", "second"), cancel_on_barge_in=cancelled)
        box = builtin_tools([self._tool("first"), self._tool("second")])
        return ChatUnderTest(clock=LoopClock(), personas=(replace(DEFAULT, tools=tools),), toolbox=box)

    def _tool(self, name: str):  # type: ignore[no-untyped-def]
        async def run(arguments: msgspec.Raw, context: ToolContext) -> str:
            try:
                await asyncio.sleep(self._seconds)
            except asyncio.CancelledError:
                self.ended.append((name, "cancelled"))
                raise
            self.ended.append((name, "ok"))
            return f"{name} found 42."

        return ToolSpec(ToolDefinition(name, "Looks it up."), Effect.READ), run


def voiced(chat: ChatUnderTest, profile: VoiceProfile = UNGUARDED) -> VoiceUnderTest:
    return VoiceUnderTest(chat=chat, heard=["Look it up, please.", "And how are you?"], profile=profile)


async def asked_and_talked_over(call: CallUnderTest) -> None:
    await call.say(1.0)
    await call.until(OutputStarted)
    await call.quiet(0.5)
    await call.say(1.0)


async def said(voice: VoiceUnderTest, text: str, call: CallUnderTest) -> None:
    await settled(lambda: any(it.text == text for it in call.told(ResponseDone)))


async def test_a_tool_that_the_persona_says_so_of_is_cancelled_by_the_users_voice() -> None:
    tools = Tools(8.0)
    voice = voiced(tools.chat("first"))
    async with voice.call(calling(FIRST, before=BEFORE), saying("Fine.")) as call:
        await asked_and_talked_over(call)
        await said(voice, "Fine.", call)
        assert tools.ended == [("first", "cancelled")]
        await call.quiet(12.0)
    assert [it.outcome for it in call.told(ToolEnded)] == ["cancelled"]
    assert len(voice.chat.model.requests) == 2, "nobody is told later of what nobody waits for"
    stored = [it.message for it in await voice.chat.stored()]
    assert not any(isinstance(it, ToolMessage) for it in stored)
    assert not any(it.tool_calls for it in stored if isinstance(it, AssistantMessage))


async def test_of_two_tools_only_the_one_that_says_so_is_cancelled() -> None:
    tools = Tools(8.0)
    voice = voiced(tools.chat("first"))
    scripts = (calling(FIRST, SECOND, before=BEFORE), saying("Fine."), saying("By the way, 42."))
    async with voice.call(*scripts) as call:
        await asked_and_talked_over(call)
        await said(voice, "Fine.", call)
        assert tools.ended == [("first", "cancelled")]
        await said(voice, "By the way, 42.", call)
    assert [it.outcome for it in call.told(ToolEnded)] == ["cancelled", "ok"]
    stored = [it.message for it in await voice.chat.stored()]
    results = [it.content for it in stored if isinstance(it, ToolMessage)]
    assert results == ["The call was stopped before it had a result.", "second found 42."]
    assert (await voice.history())[-1] == ("agent", "By the way, 42.")


async def test_a_tool_that_the_call_does_not_wait_for_any_longer_is_stopped_and_the_model_goes_on() -> None:
    tools = Tools(20.0)
    patience = replace(UNGUARDED, watchdogs=replace(PROFILE.watchdogs, tool_ns=3 * S))
    voice = voiced(tools.chat(), patience)
    async with voice.call(calling(FIRST, before=BEFORE), saying("It takes too long.")) as call:
        await call.say(1.0)
        await call.until(ToolStarted)
        began = asyncio.get_running_loop().time()
        await call.until(ToolEnded)
        assert asyncio.get_running_loop().time() - began < 3.5
        await call.until(ResponseDone)
    assert tools.ended == [("first", "cancelled")]
    assert (await voice.history())[-1][1].endswith("It takes too long.")


async def test_more_tools_at_once_than_a_call_may_have_do_not_run_to_their_end() -> None:
    tools = Tools(3.0)
    alone = replace(UNGUARDED, tools=replace(PROFILE.tools, at_once=1))
    voice = voiced(tools.chat(), alone)
    async with voice.call(calling(FIRST, SECOND, before=BEFORE), saying("One found 42.")) as call:
        await call.say(1.0)
        await call.until(ResponseDone)
    assert tools.ended == [("second", "cancelled"), ("first", "ok")]
    assert [it.name for it in call.told(ToolStarted)] == ["first"]
    results = [it.message for it in await voice.chat.stored() if isinstance(it.message, ToolMessage)]
    assert [it.content for it in results] == [
        "first found 42.",
        "The call was stopped before it had a result.",
    ]
