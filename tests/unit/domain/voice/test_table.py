"""Every event in every state: nothing raises, what is not welcome changes nothing, and the page of the states is true."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_domain.voice import session
from cozy_domain.voice.diagram import markdown
from cozy_domain.voice.events import (
    CancelRequested,
    CloseRequested,
    DrainRequested,
    DtmfPressed,
    EndOfTurnPredicted,
    Event,
    InputCleared,
    InputCommitted,
    LoadReported,
    MediaConnected,
    MediaLost,
    MediaResumed,
    OverlapClassified,
    PersonaSwitched,
    PlayoutCleared,
    PlayoutFinished,
    PlayoutProgressed,
    PlayoutStarted,
    ResponseFailed,
    ResponseRequested,
    ResponseTextAdded,
    ResponseTextFinished,
    SessionUpdated,
    SoundHeard,
    SpeechStarted,
    SpeechStopped,
    SpeechSynthesized,
    SynthesisFailed,
    SynthesisFinished,
    TextTyped,
    Timer,
    TimerFired,
    ToolCompleted,
    ToolFailed,
    ToolProgressed,
    ToolRequested,
    TranscriptFailed,
    TranscriptFinished,
    TranscriptUpdated,
    TruncationRequested,
)
from cozy_domain.voice.policy import DEFAULT, MS, S
from cozy_domain.voice.session import WELCOME, step
from cozy_domain.voice.state import Phase, VoiceSession
from cozy_domain.voice.table import REGIONS
from tests.fixtures.voice import WINDOWS, Call, samples
from tests.fixtures.voice_watch import REGIONS as SEEN_AS
from tests.fixtures.voice_watch import Watcher, unchanged

PROFILE = replace(DEFAULT, interruption=replace(DEFAULT.interruption, call_guard_ns=0))


def _speaking() -> Call:
    call = Call(PROFILE)
    call.ask()
    call.reply(played=600 * MS)
    return call


def _calls() -> Iterator[tuple[str, Call]]:
    yield "connecting", Call(PROFILE, connected=False)
    yield "listening", Call(PROFILE)
    starting = Call(PROFILE)
    starting.start_speaking()
    yield "starting", starting
    open_ = Call(PROFILE)
    open_.start_speaking()
    open_.wait(300 * MS)
    yield "turn open", open_
    endpointing = Call(PROFILE)
    endpointing.speak()
    yield "endpointing", endpointing
    awaiting = Call(PROFILE)
    awaiting.speak()
    awaiting.wait(S)
    yield "awaiting a transcript", awaiting
    guessing = Call(PROFILE)
    guessing.speak()
    guessing.understand("How are you?")
    yield "speculating", guessing
    generating = Call(PROFILE)
    generating.ask()
    yield "generating", generating
    tool = Call(PROFILE)
    asked = tool.ask()
    tool.tell(ToolRequested(tool.at, asked.response_id, "call_1", "search"))
    yield "waiting for a tool", tool
    buffering = Call(PROFILE)
    buffering.ask()
    buffering.write("I am well. And you?")
    buffering.sound()
    yield "buffering", buffering
    yield "speaking", _speaking()
    noted = Call(replace(PROFILE, interruption=replace(PROFILE.interruption, protected=("turn",))))
    noted.ask()
    noted.reply(played=600 * MS)
    noted.start_speaking()
    yield "noted", noted
    paused = _speaking()
    paused.start_speaking()
    yield "paused", paused
    cancelling = _speaking()
    cancelling.tell(CancelRequested(cancelling.at))
    yield "cancelling", cancelling
    lost = _speaking()
    lost.tell(MediaLost(lost.at))
    yield "suspended", lost
    draining = _speaking()
    draining.tell(DrainRequested(draining.at, 10 * S))
    yield "draining", draining
    closing = _speaking()
    closing.tell(CloseRequested(closing.at, "hangup"))
    yield "closing", closing
    closed = Call(PROFILE)
    closed.tell(CloseRequested(closed.at, "hangup"))
    yield "closed", closed


CALLS = dict(_calls())


def _events(state: VoiceSession, at: int) -> Iterator[Event]:
    """Each kind, fitting as well as it can; and every timer that is armed."""
    turn = state.turn or (state.overlap.turn if state.overlap else None)
    turn_id, rev = (turn.turn_id, turn.rev) if turn else (1, 1)
    response = state.response.response_id if state.response else 1
    segment = state.response.segments[-1].segment_id if state.response and state.response.segments else 1
    call = state.calls[0].call_id if state.calls else "call_9"
    yield from (
        MediaConnected(at),
        MediaLost(at),
        MediaResumed(at),
        MediaResumed(at, kept=False),
        SoundHeard(at, samples(at)),
        SpeechStarted(at, samples(at), at - WINDOWS),
        SpeechStopped(at, samples(at), WINDOWS),
        TranscriptUpdated(at, turn_id, rev, "well then"),
        TranscriptFinished(at, turn_id, rev, "well then"),
        TranscriptFailed(at, turn_id, rev, "broken"),
        EndOfTurnPredicted(at, turn_id, rev, 0.9, 0.9),
        OverlapClassified(at, turn_id, "interruption"),
        OverlapClassified(at, turn_id, "noise"),
        ResponseTextAdded(at, response, "More of it. "),
        ResponseTextFinished(at, response),
        ResponseFailed(at, response, "broken"),
        ToolRequested(at, response, "call_2", "search"),
        ToolProgressed(at, call),
        ToolCompleted(at, call),
        ToolFailed(at, call, "broken"),
        SpeechSynthesized(at, response, segment, 4_800),
        SynthesisFinished(at, response, segment),
        SynthesisFailed(at, response, segment, "broken"),
        PlayoutStarted(at, state.playout.line + 480),
        PlayoutProgressed(at, state.playout.line + 480),
        PlayoutFinished(at, state.playout.base + state.playout.pushed),
        PlayoutCleared(at, state.playout.line, state.playout.epoch),
        TextTyped(at, "Hello"),
        InputCommitted(at, samples(at)),
        InputCleared(at, samples(at)),
        ResponseRequested(at),
        CancelRequested(at),
        TruncationRequested(at, response, 4_800),
        SessionUpdated(at, PROFILE),
        DtmfPressed(at, "1"),
        LoadReported(at, 50),
        DrainRequested(at, S),
        CloseRequested(at, "hangup"),
        PersonaSwitched(at, "rosalind", PROFILE),
        TimerFired(at, Timer.IDLE, 0, 0),
    )
    for it in state.timers:
        yield TimerFired(max(at, it.due), it.timer, it.key, it.epoch)


def test_the_states_from_which_events_are_tried_are_all_that_there_are() -> None:
    seen = {(name, SEEN_AS[name](it.state)) for it in CALLS.values() for name in REGIONS}
    all_of_them = {(name, kind) for name, region in REGIONS.items() for kind in region.kinds}
    assert seen == all_of_them


@pytest.mark.parametrize("name", CALLS)
def test_every_event_is_allowed_in_every_state_and_keeps_the_invariants(name: str) -> None:
    call = CALLS[name]
    for event in _events(call.state, call.at + 50 * MS):
        begun, actions = session.begin(0, PROFILE)
        watcher, state = Watcher(begun, actions), begun
        if name == "noted":
            state = replace(state, profile=call.state.profile)
        for earlier in call.log:
            before = state
            state, actions = step(state, earlier)
            watcher.see(before, earlier, state, actions)
        after, actions = step(state, event)
        watcher.see(state, event, after, actions)
        if state.phase not in WELCOME[type(event)]:
            assert unchanged(state, after)
            assert actions == ()


def test_a_closed_call_ignores_everything() -> None:
    closed = CALLS["closed"]
    for event in _events(CALLS["speaking"].state, closed.at):
        after, actions = step(closed.state, event)
        assert actions == ()
        assert after.ignored.closed == closed.state.ignored.closed + 1


def test_the_events_that_are_tried_are_all_that_there_are() -> None:
    for call in CALLS.values():
        assert {type(it) for it in _events(call.state, call.at)} == set(Event.__args__)


def test_every_event_has_its_phases() -> None:
    assert set(WELCOME) == set(Event.__args__)
    assert not any(Phase.CLOSED in it for it in WELCOME.values())


def test_every_state_of_a_region_can_be_reached_and_left() -> None:
    for region in REGIONS.values():
        reached = {it.new for it in region.moves} | {region.kinds[0]}
        left = {it.old for it in region.moves} | {Phase.CLOSED}
        assert reached == set(region.kinds)
        assert left >= set(region.kinds)


def test_the_page_of_the_states_is_up_to_date() -> None:
    page = Path(__file__).parents[4] / "docs" / "reference" / "voice-states.md"
    assert page.read_text(encoding="utf-8") == markdown(), "python -m cozy_domain.voice.diagram"
