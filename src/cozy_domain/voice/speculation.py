"""Work ahead of the end of a turn: when a reply is begun on what is understood so far, kept, or dropped (pure).

A speculation is never heard, told or stored before its turn is committed, and only with the very words that it was begun
with.
"""

from cozy_domain.voice import response
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.state import Phase, Turn, Turning, VoiceSession


def normalised(text: str) -> str:
    """What of a text changes an answer: its words, not its case or punctuation."""
    return "".join(it for it in text.casefold() if it.isalnum())


def is_wanted(state: VoiceSession, turn: Turn, at: int) -> bool:
    """Whether to begin one now."""
    policy = state.profile.speculation
    return (
        policy.enabled
        and state.phase is Phase.ACTIVE
        and state.response is None
        and turn.kind is not Turning.OPEN
        and turn.tries < policy.tries
        and at - turn.began <= policy.longest_ns
        and state.load < policy.below
        and not is_unfinished(turn, state.profile)
        and bool(normalised(turn.text))
    )


def is_unfinished(turn: Turn, profile: VoiceProfile) -> bool:
    """The prediction says that the sentence goes on."""
    return turn.verdict is not None and turn.verdict < profile.endpointing.incomplete_below


def holds(state: VoiceSession, turn: Turn) -> bool:
    """The reply under way answers what is understood now."""
    under_way = state.response
    return (
        under_way is not None
        and under_way.speculative
        and normalised(under_way.basis) == normalised(turn.text)
    )


def review(m: Moment) -> None:
    """After anything that changes what is understood of the open turn."""
    turn = m.state.turn
    if turn is None:
        return
    under_way = m.state.response
    if under_way and under_way.speculative and not holds(m.state, turn):
        response.drop(m, "superseded")
    if is_wanted(m.state, turn, m.at):
        turn = m.put_turn(turn, tries=turn.tries + 1)
        response.start(m, "turn", turn, speculative=True)
