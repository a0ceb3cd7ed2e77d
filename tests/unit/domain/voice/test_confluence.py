"""27: whatever comes first, quiet, transcript or prediction: the same words are committed, and one reply is made."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_domain.voice.events import (
    CommitUser,
    EndOfTurnPredicted,
    Event,
    ResponseTextAdded,
    SpeechStopped,
    TranscriptFinished,
    TranscriptUpdated,
)
from cozy_domain.voice.policy import MS, S
from cozy_domain.voice.public import ResponseCreated
from tests.fixtures.voice import WINDOWS, Call, samples


def outcome(
    order: tuple[str, ...], gaps: tuple[int, ...], probability: float, partial: str
) -> tuple[str, int]:
    """The text that was committed, and how many replies callers heard of."""
    call = Call()
    call.start_speaking()
    call.wait(S)
    if partial:
        call.tell(TranscriptUpdated(call.at, 1, 1, partial))
    ended = call.at
    call.wait(WINDOWS)
    for name, gap in zip(order, gaps, strict=True):
        call.wait(gap)
        at = call.at
        events: dict[str, Event] = {
            "quiet": SpeechStopped(at, samples(ended), at - ended),
            "text": TranscriptFinished(at, 1, 1, "Where is the harbour?"),
            "verdict": EndOfTurnPredicted(at, 1, 1, probability),
        }
        call.tell(events[name])
        if call.state.response:
            call.tell(ResponseTextAdded(call.at, call.state.response.response_id, "It "))
    call.wait(3 * S)
    (committed,) = call.all(CommitUser)
    return committed.text, len(call.all(ResponseCreated))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.tuples(*[st.integers(0, 60).map(lambda ms: ms * MS)] * 3),
    st.sampled_from((0.05, 0.3, 0.9)),
    st.sampled_from(("", "Where is", "where is the harbour")),
)
def test_the_order_of_what_comes_at_the_end_of_speech_does_not_matter(
    gaps: tuple[int, ...], probability: float, partial: str
) -> None:
    found = {
        outcome(order, gaps, probability, partial) for order in permutations(("quiet", "text", "verdict"))
    }
    assert found == {("Where is the harbour?", 1)}
