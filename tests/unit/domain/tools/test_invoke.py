"""Calls of tools: always a result, bounded in time and size."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_adapters.inmemory.arguments import InMemoryArgumentCheck
from cozy_adapters.inmemory.clock import InMemoryClock
from cozy_adapters.inmemory.toolbox import InMemoryToolBox
from cozy_domain.audit.chain import mac_of
from cozy_domain.audit.events import ToolCalled
from cozy_domain.errors import MissingError, ToolError
from cozy_domain.ids import Owner, TurnId
from cozy_domain.messages import ToolCall
from cozy_domain.models.request import ToolDefinition
from cozy_domain.tools.invoke import (
    MAX_ARGUMENTS,
    CallTerms,
    Stops,
    audited,
    bounded,
    handed_over,
    invoke,
    invoke_all,
)
from cozy_domain.tools.tool import Effect, ToolContext, ToolResult, ToolSpec, ToolTime

DEADLINE_S = 30.0
MAX_RESULT = 1_000
CONTEXT = ToolContext(Owner("a", "b"), TurnId(UUID(int=1)), ToolTime(0))
CLOCK = InMemoryClock()
CHECK = InMemoryArgumentCheck()
KEY = b"k" * 32
PROMPT_S = 60.0  # far more than needed; bounds a test that would hang


class Stubborn:
    """A tool that is asked to stop, notes it in ``asked``, and goes on until ``release``. Asked again it stops, so that
    no failing test hangs."""

    def __init__(self) -> None:
        self.started, self.asked, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def __call__(self, arguments: msgspec.Raw, context: ToolContext) -> str:
        self.started.set()
        while not self._released.is_set():
            try:
                await self._released.wait()
            except asyncio.CancelledError:
                if self.asked.is_set():
                    raise
                self.asked.set()
        self.ended.set()
        raise ValueError("too late for anybody to hear")


Body = Callable[[msgspec.Raw, ToolContext], str | Awaitable[str]]


def spec(name: str = "tool", schema: bytes = b'{"type":"object"}', effect: Effect = Effect.READ) -> ToolSpec:
    return ToolSpec(ToolDefinition(name=name, parameters=msgspec.Raw(schema)), effect)


def said(text: str) -> Body:
    return lambda arguments, context: text


def failing(error: BaseException) -> Body:
    def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        raise error

    return body


async def stuck(arguments: msgspec.Raw, context: ToolContext) -> str:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def terms(*tools: tuple[ToolSpec, Body], **changes: object) -> CallTerms:
    """All of ``tools`` are allowed; ``changes`` are fields of ``CallTerms``."""
    usual = CallTerms(
        box=InMemoryToolBox(tools),
        allowed={of.name: of for of, _ in tools},
        check=CHECK,
        context=CONTEXT,
        clock=CLOCK,
        deadline_s=DEADLINE_S,
        max_result=MAX_RESULT,
    )
    return replace(usual, **changes)


async def run(
    body: Body, arguments: str = "{}", *, of: ToolSpec | None = None, name: str = "tool"
) -> ToolResult:
    return await invoke(ToolCall("call_1", name, arguments), terms((of or spec(), body)))


async def results_of(calls: Sequence[ToolCall], under: CallTerms) -> tuple[ToolResult, ...]:
    """Of all calls, for tests to which reports do not matter."""
    return await invoke_all(calls, under, lambda result: None)


async def test_a_tool_gets_its_arguments_and_its_context_and_its_text_is_the_result() -> None:
    seen: list[tuple[bytes, ToolContext]] = []

    def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        seen.append((bytes(arguments), context))
        return "42"

    result = await run(body, '{"a": 1}')
    assert (result.outcome, result.text, result.effect) == ("ok", "42", Effect.READ)
    assert seen == [(b'{"a": 1}', CONTEXT)]


async def test_no_arguments_are_an_empty_object() -> None:
    assert (await run(lambda arguments, context: bytes(arguments).decode(), "")).text == "{}"


async def test_a_tool_that_does_not_exist_is_told_to_the_model() -> None:
    result = await run(said("x"), name="teleport")
    assert (result.outcome, result.effect) == ("unknown", None)
    assert "teleport" in result.text


async def test_a_tool_that_is_not_permitted_does_not_run_and_reads_like_one_that_does_not_exist() -> None:
    ran: list[int] = []

    def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        ran.append(1)
        return "x"

    call = ToolCall("call_1", "tool", "{}")
    refused = await invoke(call, terms((spec(), body), allowed={}))
    unknown = await invoke(call, terms())
    assert (refused.outcome, unknown.outcome) == ("refused", "unknown")
    assert refused.text == unknown.text
    assert ran == []


async def test_a_tool_that_nobody_has_approved_does_not_run_and_says_why() -> None:
    of = spec(effect=Effect.DANGEROUS)
    unapproved = terms((of, failing(AssertionError("ran"))), allowed={}, unapproved=frozenset({"tool"}))
    result = await invoke(ToolCall("call_1", "tool", "{}"), unapproved)
    assert result.outcome == "refused"
    assert "'tool'" in result.text
    assert "approve" in result.text
    assert "this version" in result.text


async def test_a_tool_that_left_the_box_is_unknown() -> None:
    assert (await run(failing(MissingError("gone")))).outcome == "unknown"


@pytest.mark.parametrize(
    "arguments",
    [
        "{",
        "null",
        "[]",
        '"text"',
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 1} extra',
        '{"a": "\udc00"}',
        '{"a":' * 100_000,
        '{"a": "' + "x" * MAX_ARGUMENTS + '"}',
    ],
    ids=["cut", "null", "list", "text", "quotes", "nan", "extra", "surrogate", "deep", "huge"],
)
async def test_arguments_that_are_no_json_object_are_told_and_nothing_runs(arguments: str) -> None:
    result = await run(failing(AssertionError("ran")), arguments)
    assert result.outcome == "invalid_arguments"
    assert "JSON object" in result.text


async def test_arguments_that_do_not_fit_the_schema_are_told_with_the_reason_and_nothing_runs() -> None:
    of = spec(schema=b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["m"]}')
    result = await run(failing(AssertionError("ran")), '{"n": "one"}', of=of)
    assert result.outcome == "invalid_arguments"
    assert "$.n" in result.text
    assert "'m' is missing" in result.text


async def test_a_tool_error_is_told_in_its_own_words() -> None:
    result = await run(failing(ToolError("the sea is closed")))
    assert (result.outcome, result.text) == ("failed", "Error: the sea is closed")


async def test_any_other_error_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        result = await run(failing(ValueError("password=hunter2")))
    assert result.outcome == "failed"
    assert "hunter2" not in result.text
    assert "hunter2" not in caplog.text
    assert "ValueError" in caplog.text
    assert "test_invoke.py" in caplog.text


async def test_an_error_of_the_argument_check_is_a_failed_call() -> None:
    class Broken:
        def problems(self, schema: msgspec.Raw, arguments: msgspec.Raw) -> tuple[str, ...]:
            raise KeyError("schema")

    result = await invoke(ToolCall("call_1", "tool", "{}"), terms((spec(), said("x")), check=Broken()))
    assert result.outcome == "failed"


async def test_a_tool_that_gives_no_text_is_a_failed_call() -> None:
    assert (await run(lambda arguments, context: None)).outcome == "failed"  # type: ignore[arg-type, return-value]


@pytest.mark.virtual_time
async def test_a_tool_that_does_not_answer_is_stopped_at_the_deadline() -> None:
    loop = asyncio.get_running_loop()
    result = await run(stuck)
    assert result.outcome == "timeout"
    assert loop.time() == DEADLINE_S
    assert "30 s" in result.text


@pytest.mark.virtual_time
async def test_a_call_that_is_stopped_says_so_and_the_others_go_on() -> None:
    stubborn, stops, reported = Stubborn(), Stops(), list[ToolResult]()
    calls = [ToolCall("a", "stubborn", "{}"), ToolCall("b", "slow", "{}"), ToolCall("c", "stuck", "{}")]

    async def slow(arguments: msgspec.Raw, context: ToolContext) -> str:
        await asyncio.sleep(3)
        return "done"

    under = terms((spec("stubborn"), stubborn), (spec("slow"), slow), (spec("stuck"), stuck))
    found = asyncio.ensure_future(invoke_all(calls, under, reported.append, stops))
    await asyncio.sleep(1)
    for call in ("a", "c", "c", "no such call"):
        stops.stop(call)
    results = await found
    assert asyncio.get_running_loop().time() == 3
    stops.stop("b")
    stubborn.release()
    assert [it.outcome for it in results] == ["cancelled", "ok", "cancelled"]
    assert [it.call.id for it in reported] == ["a", "c", "b"]
    assert results[0].text
    assert stubborn.asked.is_set()


@pytest.mark.virtual_time
async def test_a_tool_that_will_not_be_stopped_delays_nobody_beyond_the_deadline() -> None:
    stubborn = Stubborn()
    calls = [ToolCall("a", "stubborn", "{}"), ToolCall("b", "tool", "{}")]
    found = asyncio.ensure_future(
        results_of(calls, terms((spec("stubborn"), stubborn), (spec(), said("done"))))
    )
    await asyncio.wait((found,), timeout=2 * DEADLINE_S)
    waited = asyncio.get_running_loop().time()
    stubborn.release()
    assert [result.outcome for result in await found] == ["timeout", "ok"]
    assert stubborn.asked.is_set()
    assert waited == DEADLINE_S


async def test_a_tool_that_will_not_be_stopped_does_not_keep_a_caller_who_leaves() -> None:
    stubborn = Stubborn()
    caller = asyncio.ensure_future(results_of([ToolCall("a", "tool", "{}")], terms((spec(), stubborn))))
    async with asyncio.timeout(PROMPT_S):
        await stubborn.started.wait()
        caller.cancel()
        await asyncio.wait((caller,), timeout=PROMPT_S / 5)
        left = caller.done()
        await stubborn.asked.wait()
        stubborn.release()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert left


async def test_asyncio_does_not_complain_of_how_an_abandoned_tool_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stubborn = Stubborn()
    caller = asyncio.ensure_future(results_of([ToolCall("a", "tool", "{}")], terms((spec(), stubborn))))
    async with asyncio.timeout(PROMPT_S):
        await stubborn.started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        stubborn.release()
        await stubborn.ended.wait()
        await asyncio.sleep(0)  # one round, in which the loop tells of the end
    del caller
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_timeout_of_the_tools_own_is_a_failure_and_not_our_deadline() -> None:
    assert (await run(failing(TimeoutError("socket")))).outcome == "failed"


async def test_a_cancellation_inside_the_tool_does_not_cancel_the_turn() -> None:
    async def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner
        return "never"

    assert (await run(body)).outcome == "failed"


async def test_cancelling_one_call_leaves_no_result() -> None:
    caller = asyncio.ensure_future(run(stuck))
    await asyncio.sleep(0)
    caller.cancel()
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(asyncio.CancelledError):
            await caller


async def test_cancelling_the_caller_cancels_the_tools_at_once() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        started.set()
        try:
            return await stuck(arguments, context)
        finally:
            stopped.set()

    calls = [ToolCall(str(n), "tool", "{}") for n in range(3)]
    caller = asyncio.ensure_future(results_of(calls, terms((spec(), body))))
    async with asyncio.timeout(PROMPT_S):
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert stopped.is_set()


async def test_a_long_result_is_cut_and_says_so() -> None:
    result = await run(said("x" * (MAX_RESULT + 1)))
    assert result.outcome == "ok"
    assert len(result.text) == MAX_RESULT
    assert result.text.endswith(f"[cut: the result has {MAX_RESULT + 1} characters]")


async def test_a_long_tool_error_is_cut_too() -> None:
    assert len((await run(failing(ToolError("x" * 100_000)))).text) == MAX_RESULT


async def test_a_result_of_just_the_limit_is_whole() -> None:
    assert (await run(said("x" * MAX_RESULT))).text == "x" * MAX_RESULT


@given(st.text(st.characters(), max_size=200), st.integers(60, 200))
def test_a_bounded_text_is_short_and_can_be_stored(text: str, limit: int) -> None:
    kept = bounded(text, limit)
    assert len(kept) <= limit
    assert "\x00" not in kept
    assert kept.encode().decode() == kept


def test_what_cannot_be_stored_is_replaced() -> None:
    assert bounded("a\x00b\udc00c", 100) == "a\ufffdb?c"


async def test_the_duration_is_what_the_clock_says() -> None:
    clock = InMemoryClock()
    clock.advance(timedelta(seconds=5))

    def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        clock.advance(timedelta(milliseconds=1_234))
        return "x"

    result = await invoke(ToolCall("call_1", "tool", "{}"), terms((spec(), body), clock=clock))
    assert result.duration_ms == 1_234


@pytest.mark.virtual_time
async def test_calls_run_at_the_same_time_and_their_results_keep_the_order() -> None:
    async def slow(arguments: msgspec.Raw, context: ToolContext) -> str:
        seconds: dict[str, float] = msgspec.json.decode(arguments)
        await asyncio.sleep(seconds["s"])
        return str(seconds["s"])

    calls = [ToolCall(f"call_{s}", "tool", f'{{"s": {s}}}') for s in (3, 1, 2)]
    found = await results_of(calls, terms((spec(), slow)))
    assert [result.text for result in found] == ["3", "1", "2"]
    assert [result.call for result in found] == calls
    assert asyncio.get_running_loop().time() == 3


@pytest.mark.virtual_time
async def test_each_call_has_its_own_end_whatever_the_others_do() -> None:
    bodies = {
        "fine": said("ok"),
        "broken": failing(ValueError("x")),
        "stuck": stuck,
        "sorry": failing(ToolError("no")),
    }
    calls = [ToolCall(name, name, "{}") for name in (*bodies, "other")]
    found = await results_of(calls, terms(*[(spec(name), body) for name, body in bodies.items()]))
    assert [result.outcome for result in found] == ["ok", "failed", "timeout", "failed", "unknown"]


async def test_no_calls_have_no_results() -> None:
    assert await results_of((), terms()) == ()


@pytest.mark.virtual_time
async def test_each_result_is_reported_as_soon_as_it_is_there() -> None:
    async def slow(arguments: msgspec.Raw, context: ToolContext) -> str:
        await asyncio.sleep(10)
        return "slow"

    loop = asyncio.get_running_loop()
    reported: list[tuple[float, ToolResult]] = []
    calls = [ToolCall(name, name, "{}") for name in ("slow", "tool")]
    found = await invoke_all(
        calls,
        terms((spec("slow"), slow), (spec(), said("quick"))),
        lambda result: reported.append((loop.time(), result)),
    )
    assert [(at, result.text) for at, result in reported] == [(0, "quick"), (10, "slow")]
    assert [result.text for result in found] == ["slow", "quick"]


async def test_calls_that_were_cut_off_are_reported_as_cancelled_and_ended_ones_as_they_ended() -> None:
    clock, stubborn = InMemoryClock(), Stubborn()
    clock.advance(timedelta(seconds=5))
    reported: list[ToolResult] = []
    others_ended = asyncio.Event()

    def report(result: ToolResult) -> None:
        reported.append(result)
        if len(reported) == 2:
            others_ended.set()

    of = spec("stubborn", effect=Effect.WRITE)
    calls = [ToolCall("a", "tool", "{}"), ToolCall("b", "stubborn", "{}"), ToolCall("c", "other", "{}")]
    caller = asyncio.ensure_future(
        invoke_all(calls, terms((spec(), said("done")), (of, stubborn), clock=clock), report)
    )
    async with asyncio.timeout(PROMPT_S):
        await stubborn.started.wait()
        await others_ended.wait()
        clock.advance(timedelta(milliseconds=700))
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        stubborn.release()
    assert [(result.call.id, result.outcome) for result in sorted(reported, key=lambda it: it.call.id)] == [
        ("a", "ok"),
        ("b", "cancelled"),
        ("c", "unknown"),
    ]
    assert reported[-1] == ToolResult(calls[1], "", "cancelled", Effect.WRITE, 700)


async def test_a_call_that_is_cut_off_while_it_begins_is_reported_too() -> None:
    reported: list[ToolResult] = []
    calls = [ToolCall(id, "tool", "{}") for id in ("a", "b")]
    caller = asyncio.ensure_future(invoke_all(calls, terms((spec(), stuck)), reported.append))
    await asyncio.sleep(0)
    caller.cancel()
    async with asyncio.timeout(PROMPT_S):
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert reported == [ToolResult(call, "", "cancelled", Effect.READ) for call in calls]


# What the audit log keeps


async def test_a_call_is_audited_by_sizes_and_a_mac_of_its_arguments() -> None:
    result = await run(said("schön"), '{"city": "Köln"}', of=spec(effect=Effect.NETWORK))
    event = audited(result, KEY)
    assert event == ToolCalled(
        tool="tool",
        call="call_1",
        effect="network",
        outcome="ok",
        duration_ms=0,
        arguments_bytes=17,
        arguments_mac=mac_of(KEY, '{"city": "Köln"}'.encode()),
        result_bytes=6,
    )


async def test_neither_arguments_nor_result_are_audited() -> None:
    event = audited(await run(said("secret answer"), '{"a": "secret question"}'), KEY)
    assert b"secret" not in msgspec.json.encode(event)


async def test_a_name_that_is_no_tool_is_not_audited() -> None:
    event = audited(await run(said("x"), name="my_secret_diary"), KEY)
    assert (event.tool, event.effect, event.outcome) == ("unknown", "unknown", "unknown")


async def test_a_cancelled_call_of_a_name_that_is_no_tool_is_audited_without_it() -> None:
    event = audited(ToolResult(ToolCall("c", "my_secret_diary", "{}"), "", "cancelled"), KEY)
    assert (event.tool, event.effect, event.outcome) == ("unknown", "unknown", "cancelled")


def test_arguments_that_are_no_text_can_still_be_audited() -> None:
    assert audited(ToolResult(ToolCall("c", "tool", "\udc00"), "", "failed"), KEY).arguments_bytes == 1


def test_a_call_handed_to_the_client_is_audited_as_such() -> None:
    event = audited(handed_over(ToolCall("c", "lamp", '{"on": true}')), KEY)
    assert (event.tool, event.outcome, event.result_bytes) == ("lamp", "handed_over", 0)


async def test_a_call_that_is_held_back_is_refused_with_the_reason_and_nothing_runs() -> None:
    ran: list[str] = []

    def body(arguments: msgspec.Raw, context: ToolContext) -> str:
        ran.append("ran")
        return "ran"

    held, free = call_of("a"), call_of("b")
    under = terms((spec(), body), held_back={"a": "not now"})
    assert (await invoke(held, under)).outcome == "refused"
    assert (await invoke(held, under)).text == "Error: not now. Nothing was run."
    assert (await invoke(free, under)).outcome == "ok"
    assert ran == ["ran"]


async def test_a_tool_that_is_another_than_was_offered_is_refused() -> None:
    offered, changed = spec(schema=b'{"type":"object"}'), spec(schema=b'{"type":"object","required":["a"]}')
    under = replace(terms((changed, said("done"))), allowed={"tool": offered})
    result = await invoke(call_of("a"), under)
    assert result.outcome == "refused"
    assert "changed" in result.text


async def test_a_tool_that_was_listed_again_as_it_was_runs() -> None:
    under = replace(terms((spec(), said("done"))), allowed={"tool": spec()})
    assert (await invoke(call_of("a"), under)).text == "done"


def call_of(id: str) -> ToolCall:
    return ToolCall(id, "tool", "{}")
