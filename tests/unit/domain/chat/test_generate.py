"""Which model answers, and what is waited for."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cozy_adapters.inmemory.language_model import Script, ScriptedLanguageModel, saying
from cozy_domain.chat.generate import Generation, ModelDeadlines
from cozy_domain.errors import (
    ProviderError,
    ProviderMalformedError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from cozy_domain.messages import UserMessage
from cozy_domain.models.deltas import ModelDelta, TextDelta
from cozy_domain.models.request import Feature, ModelRef, ModelRequest
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time

A, B, C, D = (ModelRef("scripted", name) for name in "abcd")
HELLO = saying("hello")


def gone(*, billed: bool = False) -> Script:
    return (ProviderUnavailableError("gone", provider="scripted", billed=billed),)


def busy(after_s: float) -> Script:
    error = ProviderOverloadedError("busy", provider="scripted")
    error.retry_after_s = after_s
    return (error,)


def refusing() -> Script:
    return (ProviderRefusedError("no", provider="scripted"),)


def silent() -> Script:
    """Never gives its first delta."""
    return (asyncio.Event(),)


def after(seconds: float, *script: ModelDelta | ProviderError | asyncio.Event) -> Script:
    """Begins ``seconds`` from now."""
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, gate.set)
    return (gate, *script)


class Asking:
    """A generation on scripts, and what was asked of the model."""

    def __init__(self, *scripts: Script) -> None:
        self.model = ScriptedLanguageModel(scripts)
        self.generation = Generation({"scripted": self.model}, LoopClock())

    async def __call__(self, *chain: ModelRef) -> tuple[ModelRef, str]:
        """Who answered, and the whole text."""
        async with self.generation.answer(chain, ask) as answer:
            deltas = [delta async for delta in answer]
        return answer.model, "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))

    @property
    def asked(self) -> str:
        return "".join(request.model for request in self.model.requests)


def ask(ref: ModelRef) -> ModelRequest:
    return ModelRequest(ref.id, (UserMessage("hi"),))


async def failing(work: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        await work
    return failed.value


def now() -> float:
    """Seconds since the test began, to the microsecond."""
    return round(asyncio.get_running_loop().time(), 6)


# The chain.


async def test_the_first_model_that_answers_is_the_only_one_asked() -> None:
    asking = Asking(HELLO)
    assert await asking(A, B) == (A, "hello")
    assert (asking.asked, asking.model.streaming) == ("a", 0)


async def test_models_are_asked_in_their_order_and_only_one_of_them_twice() -> None:
    asking = Asking(gone(), gone(), gone(), HELLO)
    assert await asking(A, B, C) == (C, "hello")
    assert asking.asked == "aabc"
    assert now() == 0.25


async def test_an_error_tells_whether_the_retry_was_spent_on_it() -> None:
    assert (await failing(Asking(gone(), gone())(A))).retried
    assert not (await failing(Asking(gone(billed=True))(A))).retried


async def test_the_last_failure_is_the_one_told() -> None:
    asking = Asking(gone(), silent(), refusing())
    error = await failing(asking(A, B))
    assert isinstance(error, ProviderRefusedError)
    assert asking.asked == "aab"


async def test_a_refused_request_goes_to_no_other_model() -> None:
    asking = Asking(refusing(), HELLO)
    assert isinstance(await failing(asking(A, B)), ProviderRefusedError)
    assert asking.asked == "a"


async def test_a_provider_that_asks_for_time_gets_it() -> None:
    asking = Asking(busy(7.0), HELLO)
    assert await asking(A) == (A, "hello")
    assert now() == 7.0


async def test_a_provider_that_asks_for_too_much_time_is_taken_at_its_word() -> None:
    asking = Asking(busy(21.0), HELLO)
    error = await failing(asking(A))
    assert (error.retry_after_s, now(), asking.asked) == (21.0, 0.0, "a")


async def test_after_the_first_delta_there_is_no_other_model() -> None:
    asking = Asking((TextDelta("half"), *gone()), HELLO)
    assert isinstance(await failing(asking(A, B)), ProviderUnavailableError)
    assert (asking.asked, asking.model.streaming) == ("a", 0)


async def test_an_answer_without_a_delta_is_malformed_and_the_next_model_is_asked() -> None:
    asking = Asking((), HELLO)
    assert await asking(A, B) == (B, "hello")
    assert isinstance(await failing(Asking(())(A)), ProviderMalformedError)


async def test_a_model_whose_provider_is_not_there_is_passed_over() -> None:
    asking = Asking(HELLO)
    stranger = ModelRef("nobody", "x")
    assert await asking(stranger, A) == (A, "hello")
    assert (await failing(Asking()(stranger))).provider == "nobody"
    assert asking.generation.features(stranger) == frozenset()
    assert asking.generation.features(A) == frozenset(Feature)


# Deadlines.


async def test_a_model_has_ten_seconds_for_its_first_delta() -> None:
    asking = Asking(silent(), HELLO)
    assert await asking(A, B) == (B, "hello")
    assert now() == 10.0


async def test_a_model_that_begins_just_in_time_is_heard() -> None:
    asking = Asking(after(9.999, *HELLO))
    assert await asking(A, B) == (A, "hello")


async def test_a_silent_model_is_not_asked_again() -> None:
    asking = Asking(silent(), HELLO)
    assert isinstance(await failing(asking(A)), ProviderTimeoutError)
    assert (asking.asked, now()) == ("a", 10.0)


async def test_the_whole_chain_has_thirty_seconds() -> None:
    asking = Asking(silent(), silent(), silent(), HELLO)
    error = await failing(asking(A, B, C, D))
    assert isinstance(error, ProviderTimeoutError)
    assert "30 s" in error.message
    assert (asking.asked, asking.model.streaming, now()) == ("abc", 0, 30.0)


async def test_a_wait_for_a_busy_provider_counts_towards_the_chain() -> None:
    asking = Asking(silent(), after(15.0, *busy(18.0)), HELLO)
    asking.generation = Generation(
        {"scripted": asking.model}, LoopClock(), ModelDeadlines(first_token_s=20.0)
    )
    error = await failing(asking(A, B))
    assert isinstance(error, ProviderTimeoutError)
    assert (asking.asked, now()) == ("ab", 30.0)


async def test_between_two_deltas_a_model_may_be_silent_for_twenty_seconds() -> None:
    asking = Asking((TextDelta("a"), *after(19.999, TextDelta("b"))))
    assert await asking(A) == (A, "ab")


async def test_a_model_that_is_silent_for_longer_is_given_up() -> None:
    asking = Asking((TextDelta("a"), asyncio.Event()), HELLO)
    error = await failing(asking(A, B))
    assert isinstance(error, ProviderTimeoutError)
    assert error.billed
    assert (asking.asked, asking.model.streaming, now()) == ("a", 0, 20.0)


async def test_a_slow_reader_is_not_a_silent_model() -> None:
    asking = Asking((TextDelta("a"), TextDelta("b"), TextDelta("c")))
    async with asking.generation.answer((A,), ask) as answer:
        async for _ in answer:
            await asyncio.sleep(60)
    assert now() == 180.0


# Leaving.


async def test_leaving_early_closes_the_stream() -> None:
    asking = Asking((TextDelta("a"), asyncio.Event()))
    async with asking.generation.answer((A,), ask) as answer:
        assert await anext(answer) == TextDelta("a")
        assert asking.model.streaming == 1
    assert asking.model.streaming == 0


@pytest.mark.parametrize("script", [silent, lambda: (TextDelta("a"), asyncio.Event()), lambda: busy(15.0)])
async def test_cancelling_leaves_no_stream_open_and_no_mark_on_the_model(
    script: Callable[[], Script],
) -> None:
    asking = Asking(script(), HELLO)
    task = asyncio.create_task(asking(A))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (asking.model.streaming, now()) == (0, 5.0)
    assert asking.generation.circuits()[A].failures == 0
    assert await asking(A) == (A, "hello")


# The breaker.


async def broken(failures: int, *then: Script) -> Asking:
    """A model that has failed so often in a row."""
    asking = Asking(*[gone(billed=True)] * failures, *then)
    for _ in range(failures):
        await failing(asking(A))
    return asking


async def test_four_failures_leave_a_model_in_use_and_the_fifth_does_not() -> None:
    asking = await broken(4, HELLO)
    assert await asking(A) == (A, "hello")
    asking = await broken(5, HELLO)
    error = await failing(asking(A))
    assert (error.code, error.provider) == ("provider_circuit_open", "scripted")
    assert asking.asked == "a" * 5


async def test_an_open_breaker_passes_its_model_over() -> None:
    asking = await broken(5, HELLO)
    assert await asking(A, B) == (B, "hello")


async def test_a_success_between_failures_counts_them_anew() -> None:
    asking = await broken(4, HELLO, *[gone(billed=True)] * 4, HELLO)
    await asking(A)
    for _ in range(4):
        await failing(asking(A))
    assert await asking(A) == (A, "hello")


@pytest.mark.parametrize("script", [refusing, lambda: busy(25.0)])
async def test_what_is_an_answer_too_does_not_open_the_breaker(script: Callable[[], Script]) -> None:
    asking = Asking(*[script() for _ in range(6)], HELLO)
    for _ in range(6):
        await failing(asking(A))
    assert await asking(A) == (A, "hello")


async def test_after_thirty_seconds_one_caller_at_a_time_may_try() -> None:
    asking = await broken(5, after(33.0, *HELLO), HELLO)
    await asyncio.sleep(29.999)
    assert (await failing(asking(A))).code == "provider_circuit_open"
    await asyncio.sleep(0.002)
    probe = asyncio.create_task(asking(A))
    await asyncio.sleep(1)
    assert (await failing(asking(A))).code == "provider_circuit_open"
    assert await probe == (A, "hello")
    assert await asking(A) == (A, "hello")
    assert asking.asked == "a" * 7


async def test_a_try_that_fails_closes_the_door_for_another_thirty_seconds() -> None:
    asking = await broken(5, gone(billed=True), HELLO)
    await asyncio.sleep(30)
    assert (await failing(asking(A))).code == "provider_unavailable"
    await asyncio.sleep(29.999)
    assert (await failing(asking(A))).code == "provider_circuit_open"
    await asyncio.sleep(0.002)
    assert await asking(A) == (A, "hello")


async def test_an_answer_that_breaks_off_counts_as_a_failure() -> None:
    asking = Asking((TextDelta("half"), *gone(billed=True)))
    await failing(asking(A))
    assert asking.generation.circuits()[A].failures == 1


async def test_a_model_whose_answers_always_break_off_is_left_alone_too() -> None:
    asking = Asking(*[(TextDelta("half"), *gone(billed=True))] * 5)
    for _ in range(5):
        await failing(asking(A))
    assert (await failing(asking(A))).code == "provider_circuit_open"


async def test_a_busy_model_is_waited_for_when_the_others_are_left_alone() -> None:
    asking = await broken(5, busy(3.0), HELLO)
    assert await asking(B, A) == (B, "hello")
    assert asking.asked == "aaaaabb"
