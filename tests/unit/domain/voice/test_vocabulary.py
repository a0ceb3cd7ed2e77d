"""Events, actions and what callers are told are values that survive being written down."""

import msgspec
import pytest

from cozy_domain.voice.events import Action, Emit, Event, MediaConnected, SpeechStarted
from cozy_domain.voice.policy import DEFAULT, VoiceProfile
from cozy_domain.voice.public import PublicEvent, SessionActive


def tags(union: object) -> list[str]:
    return [it.__struct_config__.tag for it in union.__args__]  # type: ignore[attr-defined]


@pytest.mark.parametrize("union", [Event, Action, PublicEvent])
def test_no_two_of_a_kind_have_the_same_tag(union: object) -> None:
    assert len(set(tags(union))) == len(tags(union))


def test_an_event_is_told_by_its_tag() -> None:
    line = msgspec.json.encode(SpeechStarted(5, 480, 3))
    assert msgspec.json.decode(line, type=Event) == SpeechStarted(5, 480, 3)
    assert b'"type":"vad.speech_started"' in line


def test_what_callers_are_told_survives_inside_its_action() -> None:
    told = Emit(1, SessionActive(resumed=True))
    assert msgspec.json.decode(msgspec.json.encode(told), type=Action) == told


def test_every_event_says_when_it_happened() -> None:
    assert all(it.__struct_fields__[0] == "at" for it in Event.__args__)
    assert MediaConnected(7).at == 7


def test_a_profile_survives_being_written_down() -> None:
    assert msgspec.json.decode(msgspec.json.encode(DEFAULT), type=VoiceProfile) == DEFAULT


def test_a_misspelt_setting_of_a_profile_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="endpoint_ing"):
        msgspec.convert({"endpoint_ing": {}}, VoiceProfile)
