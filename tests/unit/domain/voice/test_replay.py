"""A recorded call leads to the same actions again, and shows what another profile would have changed."""

import pytest
from msgspec.structs import replace as changed

from cozy_domain.errors import InputError
from cozy_domain.voice.events import (
    CommitUser,
    MediaConnected,
    PausePlayout,
    SessionUpdated,
    StartResponse,
    Timer,
    TimerFired,
)
from cozy_domain.voice.policy import DEFAULT, MS, S
from cozy_domain.voice.replay import Beginning, Step, beginning_line, read, replay, step_line
from cozy_domain.voice.state import Phase
from tests.fixtures.voice import Call

PROFILE = changed(DEFAULT, interruption=changed(DEFAULT.interruption, call_guard_ns=0))


def recorded(call: Call) -> list[bytes]:
    return [beginning_line(0, PROFILE), *(step_line(event, actions) for event, actions in call.steps)]


@pytest.fixture
def lines() -> list[bytes]:
    call = Call(PROFILE)
    call.ask()
    call.reply()
    call.speak(200 * MS)
    call.wait(2 * S)
    return recorded(call)


def test_the_same_events_lead_to_the_same_actions(lines: list[bytes]) -> None:
    begun, steps = read(lines)
    found = replay(begun, steps)
    assert found.differences == ()
    assert found.steps == len(lines) - 1


def test_an_action_that_was_recorded_otherwise_is_found(lines: list[bytes]) -> None:
    begun, steps = read(lines)
    number = next(i for i, it in enumerate(steps) if any(isinstance(a, PausePlayout) for a in it.actions))
    forged = (*steps[:number], changed(steps[number], actions=()), *steps[number + 1 :])
    (difference,) = replay(begun, forged).differences
    assert difference.number == number + 1
    assert any(isinstance(it.action, PausePlayout) for it in difference.now)


def test_it_can_stop_on_the_way(lines: list[bytes]) -> None:
    begun, steps = read(lines)
    found = replay(begun, steps, until_ns=1_050 * MS)
    assert 0 < found.steps < len(steps)
    assert found.state.turn is not None


def test_another_profile_shows_what_would_have_changed(lines: list[bytes]) -> None:
    begun, steps = read(lines)
    deaf = changed(PROFILE, interruption=changed(PROFILE.interruption, allowed=False))
    found = replay(begun, steps, profile=deaf)
    assert any(
        isinstance(it.action, PausePlayout) for difference in found.differences for it in difference.before
    )


def test_the_same_profile_named_again_changes_nothing(lines: list[bytes]) -> None:
    begun, steps = read(lines)
    assert replay(begun, steps, profile=PROFILE).differences == ()


def test_a_patient_profile_commits_later_by_its_own_timers() -> None:
    call = Call(PROFILE)
    call.speak()
    call.understand("I think")
    call.wait(S)
    call.wait(2 * S)
    begun, steps = read([beginning_line(0, PROFILE), *(step_line(*it) for it in call.steps)])
    patient = changed(PROFILE, endpointing=changed(PROFILE.endpointing, unsure_ns=900 * MS))
    found = replay(begun, steps, profile=patient)
    assert any(
        isinstance(it.action, CommitUser) for difference in found.differences for it in difference.before
    )
    assert not any(
        isinstance(it.action, StartResponse) for difference in found.differences for it in difference.now
    )


HASTY = changed(PROFILE, endpointing=changed(PROFILE.endpointing, unsure_ns=400 * MS))


def unsure() -> tuple[Beginning, tuple[Step, ...]]:
    """Nothing is recorded between the words and the timer that ends the turn, 800 ms after them."""
    call = Call(PROFILE)
    call.speak()
    call.understand("I think")
    call.wait(2 * S)
    return read(recorded(call))


def test_a_hasty_profile_commits_sooner_though_nothing_was_recorded_between() -> None:
    begun, steps = unsure()
    found = replay(begun, steps, profile=HASTY)
    before = [it.at for row in found.differences for it in row.before if isinstance(it.action, CommitUser)]
    now = [it.at for row in found.differences for it in row.now if isinstance(it.action, CommitUser)]
    assert len(before) == len(now) == 1
    assert before[0] - now[0] == PROFILE.endpointing.unsure_ns - 400 * MS


def test_until_a_time_between_two_events_a_hasty_profile_has_done_what_was_due() -> None:
    begun, steps = unsure()
    number = next(i for i, it in enumerate(steps) if any(isinstance(a, CommitUser) for a in it.actions))
    until_ns = steps[number].event.at - 1
    found = replay(begun, steps, profile=HASTY, until_ns=until_ns)
    assert found.steps == number
    (difference,) = found.differences
    assert difference.before == ()
    assert any(isinstance(it.action, CommitUser) for it in difference.now)
    assert replay(begun, steps, until_ns=until_ns).differences == ()


def test_timers_that_fired_a_little_late_are_no_difference_under_the_same_profile() -> None:
    call = Call(PROFILE)
    call.speak()
    call.understand("I think")
    due = next(it for it in call.state.timers if it.timer is Timer.ENDPOINT)
    call.tell(TimerFired(due.due + 3 * MS, due.timer, due.key, due.epoch))
    begun, steps = read(recorded(call))
    assert replay(begun, steps, profile=PROFILE).differences == ()
    (shown,) = [
        it
        for row in replay(begun, steps, profile=HASTY).differences
        for it in row.before
        if isinstance(it.action, CommitUser)
    ]
    assert shown.at == due.due + 3 * MS


def test_another_profile_holds_though_the_call_changed_its_own() -> None:
    call = Call(PROFILE, connected=False)
    call.tell(SessionUpdated(call.at, PROFILE))
    call.tell(MediaConnected(call.at))
    begun, steps = read(recorded(call))
    assert replay(begun, steps, profile=HASTY).state.profile == HASTY


def test_a_line_cut_short_at_the_end_is_left_out(lines: list[bytes]) -> None:
    begun, steps = read([*lines, lines[-1][:20]])
    assert len(steps) == len(lines) - 1
    assert replay(begun, steps).state.phase is Phase.ACTIVE


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        ([], "line 1"),
        ([b"{"], "line 1"),
        ([b'{"at":0,"profile":{},"version":9}'], "line 1"),
        ([b'{"at":0,"profile":{}}', b'{"event":{"type":"no.such","at":1}}'], "line 2"),
        ([b'{"at":0,"profile":{}}', b"{", b'{"event":{"type":"media.lost","at":1}}'], "line 2"),
    ],
)
def test_what_is_no_recording_is_refused_by_its_line(broken: list[bytes], place: str) -> None:
    with pytest.raises(InputError) as refused:
        read(broken)
    assert refused.value.code == "invalid_recording"
    assert refused.value.param == place
