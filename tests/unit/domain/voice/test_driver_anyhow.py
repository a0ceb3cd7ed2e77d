"""Whatever a caller and the engines do: a call ends, leaves nothing behind, and remembers nothing that was not heard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_adapters.inmemory.language_model import Script, calling, saying
from cozy_adapters.inmemory.peer import InMemoryCall
from cozy_adapters.inmemory.speech import ScriptedSpeechToText, ScriptedUtterance, ToneTextToSpeech
from cozy_domain.errors import ProviderUnavailableError
from cozy_domain.messages import AssistantMessage, ToolMessage, text_of
from cozy_domain.speech.ports import Hearing, Sound, Voicing
from cozy_domain.voice.public import ResponseDone, ResponseTextGrown, SessionClosed
from tests.fixtures.driven_calls import LOOKUP, CallUnderTest, VoiceUnderTest, begun, with_lookup
from tests.virtual_time import run

DEAD = ProviderUnavailableError("dead", provider="test")
WORDS = (
    "What time is it?",
    "Tell me about the",
    "Mhm.",
    "",
    "Stop!",
    "And then",
    "Yes, please.",
    "讲个故事吧。",
)
ANSWERS = (
    "Yes.",
    "It is noon, as far as I can see from here. And the sun is shining. What else would you like to know?",
    "*smiles* **Bold** words: https://example.org and `code`. 😀",
    "😀",
    "从前有座山，山里有座庙。庙里有个老和尚在讲故事。",
)


class MoodySpeechToText(ScriptedSpeechToText):
    def __init__(self, chance: Random) -> None:
        super().__init__([chance.choice((*WORDS, *WORDS, DEAD)) for _ in range(50)])
        self._chance = chance

    @asynccontextmanager
    async def listen(self, hearing: Hearing) -> AsyncIterator[ScriptedUtterance]:
        async with super().listen(hearing) as utterance:
            finish = utterance.finish

            async def slowly():  # type: ignore[no-untyped-def]
                await asyncio.sleep(self._chance.choice((0, 0, 0.1, 0.4, 6.0)))
                return await finish()

            utterance.finish = slowly  # type: ignore[method-assign]
            yield utterance


class MoodyTextToSpeech(ToneTextToSpeech):
    def __init__(self, chance: Random) -> None:
        self._chance = chance

    @asynccontextmanager
    async def speak(self, text: str, voicing: Voicing) -> AsyncIterator[AsyncIterator[Sound]]:
        await asyncio.sleep(self._chance.choice((0, 0, 0.1, 0.3, 7.0)))
        if self._chance.random() < 0.05:
            raise DEAD
        async with super().speak(text, voicing) as sounds:
            yield sounds


def scripts(chance: Random) -> list[Script]:
    found: list[Script] = []
    for _ in range(60):
        kind = chance.random()
        if kind < 0.1:
            found.append((DEAD,))
        elif kind < 0.2:
            found.append(calling(LOOKUP, before=chance.choice(("", "Let me see what there is to find."))))
        else:
            found.append(saying(chance.choice(ANSWERS)))
    return found


async def act(call: CallUnderTest, chance: Random) -> None:
    match chance.choice(
        ("say", "say", "say", "quiet", "quiet", "type", "away", "line", "cancel", "commit", "forget")
    ):
        case "say":
            await call.say(chance.choice((0.1, 0.3, 0.6, 1.2)))
        case "quiet":
            await call.quiet(chance.choice((0.1, 0.5, 2.0, 20.0)))
        case "type":
            call.call.typed("Typed words.")
        case "away":
            call.line.caller.go_away()
            await asyncio.sleep(chance.choice((0.5, 4.0, 10.0)))
            call.line.caller.come_back()
        case "line":
            call.line = InMemoryCall()
            call.call.attach(call.line.peer)
        case "cancel":
            call.call.cancel()
        case "commit":
            call.call.commit()
        case "forget":
            call.call.forget()


async def live(seed: int, steps: int) -> None:
    chance = Random(seed)
    voice = VoiceUnderTest(
        chat=with_lookup(chance.choice((0.1, 3.0, 9.0))),
        recognisers=[MoodySpeechToText(chance)],
        voices=[MoodyTextToSpeech(chance)],
    )
    async with voice.running(*scripts(chance)) as calls:
        call = await begun(calls)
        for _ in range(steps):
            if call.call.reason:
                break
            await act(call, chance)
        await call.hang_up()
        assert calls.calls_open == 0
        assert not call.call._tasks
        assert voice.chat.model.streaming == 0
    assert call.call.reason in {"hangup", "media_lost", "idle"}
    assert [it.reason for it in call.told(SessionClosed)] == [call.call.reason]
    assert all(cell.state != "started" for cell in voice.chat.conversations.turns.values())
    written: dict[int, str] = {}
    for grown in call.told(ResponseTextGrown):
        written[grown.response_id] = written.get(grown.response_id, "") + grown.text
    heard = [it.text for it in call.told(ResponseDone) if it.text]
    for done in call.told(ResponseDone):
        assert written.get(done.response_id, "").startswith(done.text)
    stored = [it.message for it in await voice.chat.stored()] if voice.chat.conversations.turns else []
    for message in stored:
        if isinstance(message, AssistantMessage) and message.content:
            assert text_of(message.content) in heard
    called = [one.id for it in stored if isinstance(it, AssistantMessage) for one in it.tool_calls]
    assert sorted(called) == sorted(it.tool_call_id for it in stored if isinstance(it, ToolMessage))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_a_call_ends_leaves_nothing_and_remembers_what_was_heard(seed: int, steps: int) -> None:
    run(live(seed, steps))
