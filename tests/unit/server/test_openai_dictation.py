"""The rules of a socket that sound comes in over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.audio import HEARING_RATE
from cozy_domain.errors import (
    AccessError,
    CozyError,
    InputError,
    LimitError,
    MissingError,
    ProviderMalformedError,
    ProviderUnavailableError,
)
from cozy_domain.speech.detection import DetectionPolicy
from cozy_server.openai.dictation import (
    Dictation,
    Limits,
    came,
    close_code,
    due_ns,
    heard,
    is_heard,
    opened,
    overdue,
    policy_of,
    started,
    stopped,
    taken,
)
from cozy_server.openai.wire.listening import DetectionIn

S = 1_000_000_000
LIMITS = Limits(
    message_bytes=100,
    messages_a_second=10,
    messages_at_once=5,
    start_s=10,
    idle_s=60,
    open_s=600,
    sound_s=20,
    pace=4,
    ahead_s=2,
)
NEW = opened(S)
HEARING = started(NEW)


def refused(error: InputError | None) -> str:
    assert error is not None
    return error.code


def test_a_message_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert came(NEW, 100, S, LIMITS).spoken_ns == S
    with pytest.raises(InputError) as caught:
        came(NEW, 101, S, LIMITS)
    assert caught.value.code == "message_too_large"


def test_so_many_messages_may_come_at_once_and_the_next_one_not() -> None:
    state = NEW
    for _ in range(5):
        state = came(state, 1, S, LIMITS)
    with pytest.raises(InputError) as caught:
        came(state, 1, S, LIMITS)
    assert caught.value.code == "too_many_messages"
    came(state, 1, S + S // 10, LIMITS)


@given(st.lists(st.integers(0, 3 * S), max_size=200))
def test_never_do_more_messages_pass_than_the_rate_and_a_burst(times: list[int]) -> None:
    state, passed = NEW, []
    for at_ns in sorted(times):
        try:
            state = came(state, 1, at_ns, LIMITS)
        except InputError:
            break
        passed.append(at_ns)
    if passed:
        span_s = (passed[-1] - passed[0]) / S
        assert len(passed) <= LIMITS.messages_at_once + span_s * LIMITS.messages_a_second + 1


def test_messages_come_in_their_order() -> None:
    for wrong in (lambda: is_heard(NEW), lambda: stopped(NEW), lambda: started(HEARING)):
        with pytest.raises(InputError) as caught:
            wrong()
        assert caught.value.code == "unexpected_message"
    assert is_heard(HEARING)
    assert not is_heard(stopped(HEARING))
    assert stopped(stopped(HEARING)) == stopped(HEARING)


def test_a_while_of_sound_may_come_at_once_and_more_has_to_wait_for_its_pace() -> None:
    state, wait_ns = heard(HEARING, 2 * HEARING_RATE, S, LIMITS)
    assert (state.samples, wait_ns) == (2 * HEARING_RATE, 0)
    state, wait_ns = heard(state, HEARING_RATE, S, LIMITS)
    assert wait_ns == S // 4
    _, wait_ns = heard(state, HEARING_RATE, S + wait_ns, LIMITS)
    assert wait_ns == S // 4


def test_sound_that_comes_as_fast_as_it_is_spoken_never_waits() -> None:
    state = HEARING
    for second in range(20):
        state, wait_ns = heard(state, HEARING_RATE, (second + 1) * S, LIMITS)
        assert wait_ns == 0


def test_there_may_be_so_much_sound_and_not_a_sample_more() -> None:
    state, _ = heard(HEARING, 20 * HEARING_RATE, S, LIMITS)
    with pytest.raises(InputError) as caught:
        heard(state, 1, S, LIMITS)
    assert caught.value.code == "audio_too_long"


def test_the_beginning_must_come_soon_and_pings_do_not_put_it_off() -> None:
    assert due_ns(came(NEW, 1, 9 * S, LIMITS), LIMITS) == 11 * S
    assert "'start'" in overdue(NEW, 11 * S, LIMITS).message


def test_who_is_silent_is_given_up_and_every_message_puts_it_off() -> None:
    state = came(HEARING, 1, 30 * S, LIMITS)
    assert due_ns(state, LIMITS) == 90 * S
    assert due_ns(taken(state, 50 * S), LIMITS) == 110 * S
    gone = overdue(state, 90 * S, LIMITS)
    assert (gone.code, "60 s" in gone.message) == ("socket_timeout", True)


def test_no_socket_is_open_for_ever() -> None:
    state = came(HEARING, 1, 590 * S, LIMITS)
    assert due_ns(state, LIMITS) == due_ns(stopped(state), LIMITS) == 601 * S
    assert "600 s" in overdue(state, 601 * S, LIMITS).message


def test_after_stop_nobody_has_to_say_anything() -> None:
    assert due_ns(stopped(HEARING), LIMITS) == 601 * S


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 1008),
        (InputError("x", code="message_too_large"), 1009),
        (AccessError("x"), 1008),
        (MissingError("x"), 1008),
        (LimitError("x", retry_after_s=1.0), 1013),
        (LimitError("x", retry_after_s=1.0, code="server_shutdown"), 1012),
        (ProviderUnavailableError("x", provider="p"), 1013),
        (ProviderUnavailableError("x", provider="p", code="not_configured"), 1011),
        (ProviderMalformedError("x", provider="p"), 1011),
        (CozyError("x"), 1011),
    ],
)
def test_each_error_has_a_close_code(error: CozyError, code: int) -> None:
    assert close_code(error) == code


def test_what_is_not_asked_of_the_detector_stays_as_it_is() -> None:
    assert policy_of(None) == policy_of(DetectionIn()) == DetectionPolicy()


def test_milliseconds_become_samples_and_speech_goes_on_a_little_below_its_threshold() -> None:
    policy = policy_of(DetectionIn(threshold=0.8, prefix_padding_ms=100, silence_duration_ms=200))
    assert (policy.threshold, policy.prefix, policy.silence) == (0.8, 1_600, 3_200)
    assert policy.release == pytest.approx(0.65)
    assert policy_of(DetectionIn(threshold=0.05)).release == 0.01


def test_a_state_is_a_value() -> None:
    assert started(NEW) == Dictation(opened_ns=S, spoken_ns=S, phase="hearing")
