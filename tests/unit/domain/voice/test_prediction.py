"""What words tell of the user's mind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.voice.policy import DEFAULT
from cozy_domain.voice.prediction import classified, finished

ENDING = DEFAULT.endpointing


@pytest.mark.parametrize(
    "text",
    [
        "What time is it?",
        "Turn it on.",
        "I know that he is.",
        "Stop!",
        "今天天气怎么样？",
        "好的，我知道了。",
        'He said "go".',
        "What for?",
    ],
)
def test_a_sentence_that_was_ended_is_over(text: str) -> None:
    assert finished(text) >= ENDING.complete_from


@pytest.mark.parametrize(
    "text",
    [
        "I would like to",
        "Tell me about the",
        "Tell me about the.",
        "So, um...",
        "first, ",
        "and I",
        "我想",
        "因为",
        "他说，",
        "It's because.",
    ],
)
def test_a_sentence_that_wants_another_word_is_not_over(text: str) -> None:
    assert finished(text) < ENDING.incomplete_below


@pytest.mark.parametrize("text", ["", "  ", "turn on the light", "打开灯", "12", "。"])
def test_of_others_nobody_can_be_sure(text: str) -> None:
    if text == "。":
        assert finished(text) >= ENDING.complete_from
    else:
        assert ENDING.incomplete_below <= finished(text) < ENDING.complete_from


@pytest.mark.parametrize("text", ["Mhm.", "uh-huh", "Yeah, okay", "I see.", "嗯", "好的", "对，嗯嗯"])
def test_signs_of_listening_are_known(text: str) -> None:
    assert classified(text) == "backchannel"


@pytest.mark.parametrize("text", ["", "...", "yes but no", "stop", "等一下"])
def test_of_other_words_nothing_is_told(text: str) -> None:
    assert classified(text) is None


@given(st.text(max_size=60))
def test_any_text_has_a_probability(text: str) -> None:
    assert 0 <= finished(text) <= 1
