"""The way of a turn, on in-memory adapters."""

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import Script, ScriptedLanguageModel, calling, saying
from cozy_domain.audit.chain import is_genuine
from cozy_domain.audit.events import ToolCalled, TurnAudited
from cozy_domain.chat.events import AnswerWritten, ToolRan, TurnEnded, TurnStarted
from cozy_domain.chat.parts import ChatLimits
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.chat.plan import plan_turn
from cozy_domain.chat.reply import fold
from cozy_domain.errors import (
    InputError,
    LocalProtocolError,
    MissingError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StorageUnavailableError,
)
from cozy_domain.ids import Owner, SessionId
from cozy_domain.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, UserMessage, text_of
from cozy_domain.models.deltas import ReasoningDelta, TextDelta, ToolCallDelta
from cozy_domain.models.request import Feature, ToolDefinition
from cozy_domain.sessions.turn import IdempotencyKey
from tests.fixtures.chat import (
    AUDIT_KEY,
    SESSION,
    ChatUnderTest,
    asking,
    events_of,
    saying_all,
    text_in,
    until,
)

SUM = ToolCall("x", "calculator", '{"expression":"6*7"}')
LOOKUP = ToolDefinition("lookup")


async def test_a_turn_starts_speaks_and_ends_and_is_stored_when_it_ends() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("Hello", " Mei")) as pipeline:
        events = await events_of(pipeline, asking("hi"))
        stored = await chat.stored()
    assert [type(event) for event in events] == [TurnStarted, TextDelta, TextDelta, TurnEnded]
    assert [message.message for message in stored] == [
        UserMessage(content="hi"),
        AssistantMessage(content="Hello Mei"),
    ]
    assert {message.state for message in stored} == {"completed"}


async def test_the_next_turn_of_a_session_sees_the_one_before() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("Hi Mei"), saying("Mei")) as pipeline:
        await events_of(pipeline, asking("I am Mei"))
        await events_of(pipeline, asking("who am I?"))
    said = [message for message in chat.model.requests[1].messages if isinstance(message, AssistantMessage)]
    assert said == [AssistantMessage(content="Hi Mei")]


async def test_a_stateless_call_brings_its_own_history_and_makes_no_session() -> None:
    chat = ChatUnderTest()
    history = (UserMessage("a"), AssistantMessage("b"), UserMessage("c"))
    async with chat.running(saying("d")) as pipeline:
        events = await events_of(pipeline, saying_all(*history, session=None))
    assert [message for message in chat.model.requests[0].messages if message in history] == list(history)
    assert chat.conversations.sessions == {}
    (cell,) = chat.conversations.turns.values()
    assert cell.messages == (UserMessage("c"), AssistantMessage(content="d"))
    assert isinstance(events[0], TurnStarted)
    assert events[0].session is None


async def test_in_a_session_only_what_follows_the_last_answer_is_new() -> None:
    chat = ChatUnderTest()
    messages = (UserMessage("old"), AssistantMessage("forged"), UserMessage("new"))
    async with chat.running(saying("ok")) as pipeline:
        await events_of(pipeline, saying_all(*messages))
        stored = await chat.stored()
    assert [message.message for message in stored] == [UserMessage("new"), AssistantMessage(content="ok")]


async def test_a_server_tool_runs_and_its_result_reaches_the_model_and_the_history() -> None:
    chat = ChatUnderTest()
    async with chat.running(calling(SUM, before="Let me see."), saying("It is 42.")) as pipeline:
        events = await events_of(pipeline, asking("6*7?"))
        stored = await chat.stored()
    assert text_in(events) == "Let me see.\n\nIt is 42."
    assert [(event.outcome, event.arguments) for event in events if isinstance(event, ToolRan)] == [
        ("ok", SUM.arguments)
    ]
    assert not [event for event in events if isinstance(event, ToolCallDelta)]
    result = chat.model.requests[1].messages[-1]
    assert isinstance(result, ToolMessage)
    assert "42" in str(result.content)
    assert [type(message.message) for message in stored] == [
        UserMessage,
        AssistantMessage,
        ToolMessage,
        AssistantMessage,
    ]


async def test_a_client_tool_is_handed_over_and_the_turn_waits() -> None:
    chat = ChatUnderTest()
    call = ToolCall("p1", "lookup", '{"q":1}')
    async with chat.running(calling(call), saying("found")) as pipeline:
        async with pipeline.turn(asking("look", tools=(LOOKUP,))) as turn:
            reply = await fold(turn)
        assert reply.ended.state == "waiting"
        assert reply.choices[0].finish == "tool_calls"
        (sent,) = reply.choices[0].tool_calls
        answer = (UserMessage("look"), AssistantMessage(None, (sent,)), ToolMessage(sent.id, "yes"))
        events = await events_of(pipeline, saying_all(*answer, tools=(LOOKUP,)))
    assert text_in(events) == "found"
    assert chat.model.requests[1].messages[-2:] == (
        AssistantMessage(content=None, tool_calls=(ToolCall(sent.id, "lookup", '{"q":1}'),)),
        ToolMessage(sent.id, "yes"),
    )


@pytest.mark.parametrize("session", [None, SESSION])
async def test_both_kinds_of_tools_in_one_round_come_together_again(session: SessionId | None) -> None:
    chat = ChatUnderTest()
    both = calling(SUM, ToolCall("p2", "lookup", "{}"))
    async with chat.running(both, saying("done")) as pipeline:
        async with pipeline.turn(asking("do both", tools=(LOOKUP,), session=session)) as turn:
            reply = await fold(turn)
        (sent,) = reply.choices[0].tool_calls
        assert sent.name == "lookup"
        answer = (UserMessage("do both"), AssistantMessage(None, (sent,)), ToolMessage(sent.id, "yes"))
        events = await events_of(pipeline, saying_all(*answer, tools=(LOOKUP,), session=session))
    assert text_in(events) == "done"
    shown = [m for m in chat.model.requests[1].messages if isinstance(m, AssistantMessage | ToolMessage)]
    calls = shown[0]
    assert isinstance(calls, AssistantMessage)
    assert [call.name for call in calls.tool_calls] == ["calculator", "lookup"]
    results = {m.tool_call_id: m.content for m in shown[1:] if isinstance(m, ToolMessage)}
    assert set(results) == {call.id for call in calls.tool_calls}
    assert "42" in str(results[calls.tool_calls[0].id])


async def test_results_that_no_turn_waits_for_are_refused_in_a_session() -> None:
    chat = ChatUnderTest()
    async with chat.running() as pipeline:
        with pytest.raises(InputError) as refused:
            await events_of(pipeline, saying_all(ToolMessage("call_x", "yes")))
    assert refused.value.param == "messages[0].tool_call_id"


async def handed_over(pipeline: ChatPipeline) -> ToolCall:
    """A call that the session's turn waits for."""
    async with pipeline.turn(asking("look", tools=(LOOKUP,))) as turn:
        return (await fold(turn)).choices[0].tool_calls[0]


def sent(chat: ChatUnderTest) -> list[str]:
    """What the model was last asked, message by message, without what frames it."""
    messages = chat.model.requests[-1].messages
    return [
        f"{type(it).__name__[:4]} {text_of(it.content)}"
        for it in messages
        if not (isinstance(it, SystemMessage) or text_of(it.content).startswith("<context>"))
    ]


async def test_results_are_taken_when_another_turn_came_between() -> None:
    chat = ChatUnderTest()
    async with chat.running(
        calling(ToolCall("p", "lookup", "{}")), saying("typed"), saying("ok")
    ) as pipeline:
        call = await handed_over(pipeline)
        await events_of(pipeline, asking("meanwhile"))
        await events_of(pipeline, saying_all(ToolMessage(call.id, "yes"), tools=(LOOKUP,)))
    assert sent(chat) == ["User meanwhile", "Assi typed", "User look", "Assi ", "Tool yes"]


async def test_results_are_taken_again_when_their_answer_was_interrupted() -> None:
    chat = ChatUnderTest()
    cut = (TextDelta("hal"), asyncio.Event())
    async with chat.running(calling(ToolCall("p", "lookup", "{}")), cut, saying("ok")) as pipeline:
        call = await handed_over(pipeline)
        again = saying_all(ToolMessage(call.id, "yes"), tools=(LOOKUP,))
        async with pipeline.turn(again) as turn:
            await anext(turn)
        await until(lambda: pipeline.turns_running == 0)
        await events_of(pipeline, again)
    assert sent(chat) == ["User look", "Assi ", "Tool yes"]


async def test_results_that_come_again_with_the_users_next_words_are_not_repeated() -> None:
    chat = ChatUnderTest()
    cut = (TextDelta("half"), asyncio.Event())
    async with chat.running(calling(ToolCall("p", "lookup", "{}")), cut, saying("ok")) as pipeline:
        call = await handed_over(pipeline)
        async with pipeline.turn(saying_all(ToolMessage(call.id, "yes"), tools=(LOOKUP,))) as turn:
            assert [await anext(turn), await anext(turn)][1] == TextDelta("half")
        await until(lambda: pipeline.turns_running == 0)
        await events_of(pipeline, saying_all(ToolMessage(call.id, "yes"), UserMessage("never mind")))
    assert sent(chat) == ["User look", "Assi ", "Tool yes", "Assi half", "User never mind"]


async def test_results_from_before_the_session_are_left_out_when_the_user_goes_on() -> None:
    chat = ChatUnderTest()
    brought = AssistantMessage(None, (ToolCall("call_x", "lookup", "{}"),))
    async with chat.running(saying("hello"), saying("ok")) as pipeline:
        await events_of(pipeline, asking("hi"))
        request = saying_all(UserMessage("old"), brought, ToolMessage("call_x", "r"), UserMessage("so?"))
        await events_of(pipeline, request)
    assert sent(chat) == ["User hi", "Assi hello", "User so?"]


async def test_results_of_nobodys_calls_are_refused_also_when_the_user_goes_on() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("hello")) as pipeline:
        await events_of(pipeline, asking("hi"))
        with pytest.raises(InputError) as refused:
            await events_of(pipeline, saying_all(ToolMessage("call_x", "r"), UserMessage("so?")))
    assert refused.value.param == "messages[0].tool_call_id"


async def test_leaving_in_mid_stream_closes_the_model_and_keeps_the_text() -> None:
    gate = asyncio.Event()
    chat = ChatUnderTest()
    async with chat.running((TextDelta("half"), gate, TextDelta("never"))) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await anext(turn)
            assert await anext(turn) == TextDelta("half")
            assert chat.model.streaming == 1
        await until(lambda: pipeline.turns_running == 0)
        stored = await chat.stored()
    assert chat.model.streaming == 0
    assert stored[-1].message == AssistantMessage(content="half")
    assert stored[-1].state == "interrupted"


async def test_leaving_before_the_first_delta_interrupts_an_empty_turn() -> None:
    gate = asyncio.Event()
    chat = ChatUnderTest()
    async with chat.running((gate, TextDelta("never"))) as pipeline:
        async with pipeline.turn(asking("hi")):
            await until(lambda: chat.model.streaming == 1)
        await until(lambda: pipeline.turns_running == 0)
        stored = await chat.stored()
    assert [(message.message, message.state) for message in stored] == [(UserMessage("hi"), "interrupted")]


async def test_a_reader_who_stops_the_answer_is_told_when_what_was_said_is_stored() -> None:
    chat = ChatUnderTest()
    async with (
        chat.running((TextDelta("half"), asyncio.Event(), TextDelta("never"))) as pipeline,
        pipeline.turn(asking("hi")) as turn,
    ):
        await anext(turn)
        assert await anext(turn) == TextDelta("half")
        turn.stop()
        rest = [event async for event in turn]
        stored = await chat.stored()
    assert [event.state for event in rest if isinstance(event, TurnEnded)] == ["interrupted"]
    assert len(rest) == 1
    assert chat.model.streaming == 0
    assert (stored[-1].message, stored[-1].state) == (AssistantMessage(content="half"), "interrupted")


async def test_an_answer_stopped_before_its_first_word_ends_without_a_start() -> None:
    chat = ChatUnderTest()
    async with (
        chat.running((asyncio.Event(), TextDelta("never"))) as pipeline,
        pipeline.turn(asking("hi")) as turn,
    ):
        await until(lambda: chat.model.streaming == 1)
        turn.stop()
        events = [event async for event in turn]
    (ended,) = events
    assert isinstance(ended, TurnEnded)
    assert (ended.state, ended.outcome.error) == ("interrupted", None)


async def test_thinking_is_shown_and_neither_said_nor_stored() -> None:
    chat = ChatUnderTest()
    async with chat.running((ReasoningDelta("hm"), *saying("hello"))) as pipeline:
        events = await events_of(pipeline, asking("hi"))
        stored = await chat.stored()
    assert ReasoningDelta("hm") in events
    assert stored[-1].message == AssistantMessage(content="hello")


async def test_a_provider_that_dies_in_mid_stream_leaves_its_text_and_raises() -> None:
    broken = ProviderUnavailableError("gone", provider="scripted", billed=True)
    chat = ChatUnderTest()
    async with chat.running((TextDelta("half"), broken)) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            seen = [await anext(turn), await anext(turn)]
            with pytest.raises(ProviderUnavailableError):
                await anext(turn)
        stored = await chat.stored()
    assert seen[1] == TextDelta("half")
    assert stored[-1].message == AssistantMessage(content="half")
    assert stored[-1].state == "interrupted"


async def test_a_provider_that_refuses_fails_the_turn_before_anything_is_seen() -> None:
    chat = ChatUnderTest()
    async with chat.running((ProviderRefusedError("no", provider="scripted"),)) as pipeline:
        with pytest.raises(ProviderRefusedError):
            await events_of(pipeline, asking("hi"))
        stored = await chat.stored()
    assert [message.state for message in stored] == ["failed"]


async def test_no_model_is_asked_when_the_turn_cannot_be_opened() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("hi")) as pipeline:
        chat.conversations.available = False
        with pytest.raises(StorageUnavailableError):
            await events_of(pipeline, asking("hi", session=None))
        chat.conversations.available = True
    assert chat.model.requests == []


@pytest.mark.virtual_time
async def test_a_store_that_comes_back_within_the_deadline_loses_nothing() -> None:
    chat = ChatUnderTest()
    gate = asyncio.Event()
    async with chat.running((TextDelta("hi"), gate, *saying("!"))) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await anext(turn)
            chat.conversations.available = False
            gate.set()
            asyncio.get_running_loop().call_later(20, setattr, chat.conversations, "available", True)
            rest = [event async for event in turn]
        stored = await chat.stored()
    assert isinstance(rest[-1], TurnEnded)
    assert stored[-1].message == AssistantMessage(content="hi!")


@pytest.mark.virtual_time
async def test_a_store_that_stays_away_makes_the_turn_an_error_and_no_end() -> None:
    chat = ChatUnderTest()
    gate = asyncio.Event()
    async with chat.running((TextDelta("hi"), gate, *saying("!"))) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            await anext(turn)
            chat.conversations.available = False
            gate.set()
            with pytest.raises(StorageUnavailableError):
                [event async for event in turn]
        chat.conversations.available = True


async def test_another_owners_session_does_not_exist() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("hi")) as pipeline:
        await events_of(pipeline, asking("hi"))
        with pytest.raises(MissingError):
            await events_of(pipeline, asking("hi", owner=Owner("acme", "eve")))


async def test_what_the_model_cannot_do_is_refused_by_name() -> None:
    chat = ChatUnderTest(model=ScriptedLanguageModel(features=frozenset({Feature.TOOLS})))
    request = asking("hi", session=None)
    async with chat.running() as pipeline:
        sampling = replace(request.sampling, choices=2)
        with pytest.raises(InputError) as refused:
            await events_of(pipeline, replace(request, sampling=sampling))
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "n")


async def test_a_repeated_request_with_its_key_is_answered_from_the_store() -> None:
    chat = ChatUnderTest()
    key = IdempotencyKey("chat", "k1", "digest")
    async with chat.running(saying("once", " only")) as pipeline:
        first = await events_of(pipeline, asking("hi", idempotency=key))
        again = await events_of(pipeline, asking("hi", idempotency=key))
    assert text_in(again) == text_in(first) == "once only"
    assert again[-1] == first[-1]
    assert len(chat.model.requests) == 1


@pytest.mark.virtual_time
async def test_twenty_equal_requests_at_once_ask_the_model_once() -> None:
    chat = ChatUnderTest()
    key = IdempotencyKey("chat", "k1", "digest")
    gate = asyncio.Event()
    async with chat.running((gate, *saying("once"))) as pipeline:
        asyncio.get_running_loop().call_later(1, gate.set)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(events_of(pipeline, asking("hi", idempotency=key))) for _ in range(20)]
    assert {text_in(task.result()) for task in tasks} == {"once"}
    assert len(chat.model.requests) == 1


async def test_every_turn_and_tool_is_audited_and_the_records_are_genuine() -> None:
    chat = ChatUnderTest()
    async with chat.running(calling(SUM), saying("42")) as pipeline:
        await events_of(pipeline, asking("6*7?"))
    events = [record.event for record in chat.records]
    assert [type(event) for event in events] == [ToolCalled, TurnAudited]
    assert all(is_genuine(AUDIT_KEY, record) for record in chat.records)
    assert "6*7" not in repr(chat.records)


async def test_a_stored_turn_leaves_a_job_to_learn_from_it() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("hi")) as pipeline:
        await events_of(pipeline, asking("hi"))
    (job,) = await chat.jobs.list()
    assert (job.kind, job.key) == ("learn", f"session/{SESSION}")


async def test_a_speculative_turn_shows_and_stores_nothing_until_it_is_confirmed() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("early")) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            first = asyncio.ensure_future(anext(turn))
            await until(lambda: len(chat.model.requests) == 1 and chat.model.streaming == 0)
            assert not first.done()
            assert chat.conversations.turns == {}
            await turn.confirm()
            events = [await first, *[event async for event in turn]]
        stored = await chat.stored()
    assert isinstance(events[-1], TurnEnded)
    assert stored[-1].message == AssistantMessage(content="early")


async def test_a_dropped_speculation_leaves_only_its_usage() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("early")) as pipeline:
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await until(lambda: len(chat.model.requests) == 1 and chat.model.streaming == 0)
            turn.drop()
        await until(lambda: pipeline.turns_running == 0)
    assert chat.conversations.turns == {}
    (record,) = chat.records
    assert isinstance(record.event, TurnAudited)
    assert (record.event.state, record.event.prompt_tokens) == ("dropped", 10)


async def test_only_a_speculative_turn_can_be_confirmed_and_only_once() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("a"), saying("b")) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            with pytest.raises(LocalProtocolError):
                await turn.confirm()
            [event async for event in turn]
        async with pipeline.turn(asking("hi"), speculative=True) as turn:
            await turn.confirm()
            with pytest.raises(LocalProtocolError):
                turn.drop()
            [event async for event in turn]


async def test_of_a_spoken_answer_only_what_was_heard_is_kept() -> None:
    chat = ChatUnderTest()
    async with chat.running(saying("One two three")) as pipeline:
        async with pipeline.turn(asking("count"), delivery="spoken") as turn:
            async for event in turn:
                if isinstance(event, AnswerWritten):
                    turn.expect_audio(1000)
                    turn.delivered("One two", interrupted=True)
                last = event
        stored = await chat.stored()
    assert isinstance(last, TurnEnded)
    assert last.state == "interrupted"
    assert stored[-1].message == AssistantMessage(content="One two")


@pytest.mark.virtual_time
async def test_a_caller_who_never_says_what_was_heard_is_not_waited_for_for_ever() -> None:
    chat = ChatUnderTest()
    loop = asyncio.get_running_loop()
    async with chat.running(saying("One two three")) as pipeline:
        async with pipeline.turn(asking("count"), delivery="spoken") as turn:
            async for event in turn:
                if isinstance(event, AnswerWritten):
                    began = loop.time()
                    turn.expect_audio(3000)
                    turn.heard("One")
        stored = await chat.stored()
    assert loop.time() - began == pytest.approx(8.0)
    assert stored[-1].message == AssistantMessage(content="One")


@pytest.mark.virtual_time
async def test_a_model_that_falls_silent_is_given_up_after_20_s_and_its_text_is_kept() -> None:
    chat = ChatUnderTest()
    loop = asyncio.get_running_loop()
    async with chat.running((TextDelta("half"), asyncio.Event())) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            with pytest.raises(ProviderTimeoutError):
                [event async for event in turn]
        assert loop.time() == pytest.approx(20.0)
        stored = await chat.stored()
    assert (stored[-1].message, stored[-1].state) == (AssistantMessage(content="half"), "interrupted")


@pytest.mark.virtual_time
async def test_a_whole_turn_has_a_deadline_after_which_its_text_is_kept() -> None:
    chat = ChatUnderTest(limits=ChatLimits(turn_s=30.0))
    loop = asyncio.get_running_loop()
    gates = [asyncio.Event() for _ in range(3)]
    for number, gate in enumerate(gates[:2], start=1):
        loop.call_later(15 * number - 1, gate.set)
    drip = tuple(step for gate in gates for step in (gate, TextDelta(".")))
    async with chat.running((TextDelta("."), *drip)) as pipeline:
        async with pipeline.turn(asking("hi")) as turn:
            with pytest.raises(ProviderTimeoutError) as late:
                [event async for event in turn]
        stored = await chat.stored()
    assert late.value.code == "turn_timeout"
    assert stored[-1].message == AssistantMessage(content="...")


async def test_an_endless_answer_is_ended_and_says_so() -> None:
    chat = ChatUnderTest(limits=ChatLimits(answer_characters=10))
    endless: Script = (*[TextDelta("abc")] * 100, asyncio.Event())
    async with chat.running(endless) as pipeline, pipeline.turn(asking("hi")) as turn:
        reply = await fold(turn)
    assert reply.choices[0].finish == "length"
    assert reply.choices[0].text == "abc" * 4


@pytest.mark.virtual_time
async def test_a_turn_of_a_process_that_died_is_reaped_and_audited() -> None:
    chat = ChatUnderTest()
    parts = chat.parts()
    plan = await plan_turn(parts, asking("hi"))
    await parts.turns.open(plan.opened(plan.at))
    await parts.turns.checkpoint(((plan.turn, "half"),), plan.at)
    async with chat.running():
        await until(lambda: len(chat.records) == 1)
        stored = await chat.stored()
    assert stored[-1].state == "interrupted"
    assert stored[-1].message == AssistantMessage(content="half")


async def test_an_unknown_session_id_creates_the_session_with_a_title() -> None:
    chat = ChatUnderTest()
    new = SessionId(UUID("018f0000-0000-7000-8000-0000000000ff"))
    async with chat.running(saying("hi")) as pipeline:
        await events_of(pipeline, asking("What a  lovely day", session=new))
    assert chat.conversations.sessions[new].session.title == "What a lovely day"
