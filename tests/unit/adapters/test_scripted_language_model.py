"""What scripts can do, beyond the contract of the port."""

import asyncio

import pytest

from cozy_adapters.inmemory.language_model import Script, ScriptedLanguageModel, calling, saying
from cozy_domain.errors import ProviderOverloadedError, ProviderRefusedError, ProviderUnavailableError
from cozy_domain.messages import ToolCall, UserMessage
from cozy_domain.models.deltas import ChoiceFinished, ModelDelta, TextDelta, ToolCallDelta
from cozy_domain.models.request import ModelRequest

REQUEST = ModelRequest(model="scripted", messages=(UserMessage("Hello"),))
BUSY = ProviderOverloadedError("busy", provider="scripted", retry_after_s=1)
BROKEN = ProviderUnavailableError("broke off", provider="scripted", billed=True)


async def listen(
    model: ScriptedLanguageModel, heard: list[ModelDelta], begun: asyncio.Event | None = None
) -> None:
    """Puts every delta in ``heard`` at once, so that what came before a failure can be seen."""
    async with model.stream(REQUEST) as deltas:
        async for delta in deltas:
            heard.append(delta)  # a comprehension would show nothing before the end
            if begun is not None:
                begun.set()


async def played(*scripts: Script) -> list[ModelDelta]:
    model = ScriptedLanguageModel(scripts)
    async with model.stream(REQUEST) as deltas:
        return [delta async for delta in deltas]


async def test_calls_are_answered_in_the_order_of_the_scripts() -> None:
    model = ScriptedLanguageModel([saying("one")])
    model.add(saying("two"))
    texts = []
    for _ in range(2):
        async with model.stream(REQUEST) as deltas:
            texts += [delta.text async for delta in deltas if isinstance(delta, TextDelta)]
    assert texts == ["one", "two"]
    assert model.requests == [REQUEST, REQUEST]


async def test_one_call_too_many_is_refused() -> None:
    with pytest.raises(ProviderRefusedError, match="script has ended") as refusal:
        await played()
    assert refusal.value.code == "script_ended"


async def test_an_error_before_the_first_delta_comes_as_a_status_does() -> None:
    stream = ScriptedLanguageModel([(BUSY,)]).stream(REQUEST)
    with pytest.raises(ProviderOverloadedError):
        await stream.__aenter__()


async def test_an_error_after_a_delta_comes_while_reading() -> None:
    heard: list[ModelDelta] = []
    with pytest.raises(ProviderUnavailableError):
        await listen(ScriptedLanguageModel([(TextDelta("He"), BROKEN)]), heard)
    assert heard == [TextDelta("He")]


async def test_an_event_holds_the_stream_until_it_is_set() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    heard: list[ModelDelta] = []
    model = ScriptedLanguageModel([(TextDelta("a"), gate, TextDelta("b"))])
    listener = asyncio.create_task(listen(model, heard, begun))
    await begun.wait()
    assert (heard, model.streaming) == ([TextDelta("a")], 1)
    gate.set()
    await listener
    assert (heard, model.streaming) == ([TextDelta("a"), TextDelta("b")], 0)


async def test_a_cancelled_entry_leaves_no_stream_open() -> None:
    model = ScriptedLanguageModel([(asyncio.Event(),)])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(listen(model, []), timeout=0.01)
    assert len(model.requests) == 1
    assert model.streaming == 0


async def test_tool_calls_come_with_their_name_first() -> None:
    deltas = await played(calling(ToolCall("c1", "clock", "{}"), ToolCall("c2", "calculator", '{"a":1}')))
    assert deltas[:5] == [
        ToolCallDelta(index=0, id="c1", name="clock"),
        ToolCallDelta(index=0, arguments="{}"),
        ToolCallDelta(index=1, id="c2", name="calculator"),
        ToolCallDelta(index=1, arguments='{"a":1}'),
        ChoiceFinished("tool_calls"),
    ]
