"""What words tell of the user's mind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.voice.policy import DEFAULT
from cozy_domain.voice.prediction import (
    AGREED,
    CALLERS,
    DOUBTED,
    FEWEST,
    REMEMBERED,
    UNHEARD,
    EndOfTurn,
    Listener,
    Stops,
    Verdicts,
    finished,
    listening,
)

ENDING = DEFAULT.endpointing
MEANT = Stops(4, 0)
IDLE = Stops(4, 4)


def ends(text: str, stops: Stops = UNHEARD) -> bool:
    return finished(text, stops) >= ENDING.complete_from


def goes_on(text: str, stops: Stops = UNHEARD) -> bool:
    return finished(text, stops) < ENDING.incomplete_below


@pytest.mark.parametrize(
    "text",
    [
        "What time is it?",
        "Turn it on.",
        "Stop!",
        "Yes.",
        "No.",
        "今天天气怎么样？",
        "好的，我知道了。",
        'He said "go".',
        "What for?",
        "Tell me something that takes a while.",
        "I have the key. The door is open.",
        "When is the train?",
    ],
)
def test_a_sentence_that_was_ended_is_over(text: str) -> None:
    assert ends(text)


@pytest.mark.parametrize(
    "text",
    [
        "I would like to",
        "Tell me about the",
        "Tell me about the.",
        "Tell me about the?",
        "So, um...",
        "first, ",
        "and I",
        "我想",
        "因为",
        "他说，",
        "It's because.",
        "I have the key. And",
    ],
)
@pytest.mark.parametrize("stops", [UNHEARD, MEANT, IDLE])
def test_a_sentence_that_wants_another_word_is_not_over(text: str, stops: Stops) -> None:
    assert goes_on(text, stops)


@pytest.mark.parametrize("text", ["", "  ", "turn on the light", "打开灯", "12", "…", "Yes", "When it rains"])
@pytest.mark.parametrize("stops", [UNHEARD, MEANT, IDLE])
def test_of_others_nobody_can_be_sure(text: str, stops: Stops) -> None:
    if text != "…":
        assert not ends(text, stops)
        assert not goes_on(text, stops)


@pytest.mark.parametrize(
    "text",
    [
        "I know that he is.",
        "Please enter.",
        "My number is four.",
        "My number is 4.",
        "If it rains.",
        "He is currently.",
        "我想。",
    ],
)
def test_a_full_stop_after_words_that_seldom_end_a_sentence_counts_once_it_is_known_to_be_meant(
    text: str,
) -> None:
    assert not ends(text)
    assert ends(text, MEANT)


@pytest.mark.parametrize("text", ["Turn on the light.", "Where is the station?", "打开灯。"])
def test_full_stops_that_are_set_after_anything_tell_nothing(text: str) -> None:
    assert ends(text)
    assert not ends(text, IDLE)
    assert not goes_on(text, IDLE)


@pytest.mark.parametrize(
    "text",
    [
        "turn it off",
        "delete it",
        "turn on the light please",
        "what is the weather tomorrow",
        "no thanks",
        "that's all",
        "你好吗",
        "谢谢",
    ],
)
@pytest.mark.parametrize("stops", [UNHEARD, MEANT, IDLE])
def test_some_endings_need_no_full_stop(text: str, stops: Stops) -> None:
    assert ends(text, stops)


def believes(ending: EndOfTurn) -> bool:
    return ending.probability("Turn on the light.") >= ENDING.complete_from


def calls(verdicts: Verdicts, caller: str = "ann", account: str = "acme", recogniser: str = "") -> EndOfTurn:
    return EndOfTurn(verdicts, Listener(recogniser, account, caller))


def doubts(verdicts: Verdicts, caller: str, account: str = "acme", recogniser: str = "") -> None:
    """A call of a caller who goes on behind full stops."""
    ending = calls(verdicts, caller, account, recogniser)
    for _ in range(FEWEST):
        ending.went_on("Turn on the light.")


def test_full_stops_behind_which_a_caller_went_on_are_believed_until_they_are_two() -> None:
    ending = calls(Verdicts())
    assert believes(ending)
    ending.went_on("Turn on the light.")
    assert believes(ending)
    ending.went_on("And the radio.")
    assert not believes(ending)


def test_full_stops_are_believed_again_when_most_pauses_have_none() -> None:
    ending = calls(Verdicts())
    for _ in range(FEWEST):
        ending.went_on("That is one.")
    for _ in range(3 * FEWEST):
        assert not believes(ending)
        ending.went_on("and this is")
    assert ending.probability("I know that he is.") >= ENDING.complete_from


def test_one_caller_who_goes_on_behind_full_stops_does_not_make_others_wait() -> None:
    verdicts = Verdicts()
    waiting = calls(verdicts, "bob")
    for _ in range(AGREED):
        doubts(verdicts, "ann")
    assert believes(waiting)
    assert believes(calls(verdicts, "bob"))
    assert not believes(calls(verdicts, "ann"))


def test_what_most_callers_of_an_account_have_shown_holds_for_its_next() -> None:
    verdicts = Verdicts()
    for at in range(AGREED - 1):
        doubts(verdicts, f"caller {at}")
    assert believes(calls(verdicts, "bob"))
    doubts(verdicts, "one more")
    assert not believes(calls(verdicts, "bob"))
    for at in range(AGREED):
        calls(verdicts, f"other {at}").went_on("and this is")
    assert believes(calls(verdicts, "bob"))


def test_callers_of_one_account_do_not_make_those_of_another_wait() -> None:
    verdicts = Verdicts()
    for at in range(4 * AGREED):
        doubts(verdicts, f"caller {at}", "acme")
    assert believes(calls(verdicts, "bob", "other"))


def test_a_recogniser_is_not_judged_by_the_full_stops_of_another() -> None:
    verdicts = Verdicts()
    for at in range(AGREED):
        doubts(verdicts, f"caller {at}", recogniser="one")
    assert believes(calls(verdicts, recogniser="other"))
    assert not believes(calls(verdicts, recogniser="one"))


def test_a_call_that_begins_in_doubt_believes_what_its_own_pauses_show() -> None:
    verdicts = Verdicts()
    doubts(verdicts, "ann")
    ending = calls(verdicts, "ann")
    for _ in range(3 * FEWEST):
        assert not believes(ending)
        ending.went_on("and this is")
    assert believes(ending)
    assert believes(calls(verdicts, "ann"))


def test_of_many_callers_the_oldest_verdict_is_forgotten() -> None:
    verdicts = Verdicts()
    for at in range(CALLERS + 1):
        verdicts.tell(Listener("", f"account {at}", "ann"), DOUBTED)
    assert verdicts.beginning(Listener("", "account 0", "ann")) == UNHEARD
    assert verdicts.beginning(Listener("", "account 1", "ann")) == DOUBTED
    assert verdicts.beginning(Listener("", f"account {CALLERS}", "ann")) == DOUBTED


def test_what_a_recogniser_did_long_ago_counts_less() -> None:
    stops = Stops(REMEMBERED, REMEMBERED)
    for _ in range(REMEMBERED // 2):
        stops = stops.after("and")
    assert stops.worth == "nothing"
    for _ in range(REMEMBERED):
        stops = stops.after("and")
    assert stops.worth == "something"


@pytest.mark.parametrize("text", ["Mhm.", "uh-huh", "Yeah, okay", "I see.", "嗯", "好的", "对，嗯嗯"])
def test_signs_of_listening_are_known(text: str) -> None:
    assert listening(text) >= DEFAULT.interruption.backchannel_from


@pytest.mark.parametrize("text", ["", "...", "yes but no", "stop", "等一下"])
def test_other_words_are_more_than_a_sign_of_listening(text: str) -> None:
    assert listening(text) == 0


pauses = st.lists(st.text(max_size=20), max_size=100)


def heard(texts: list[str]) -> Stops:
    stops = UNHEARD
    for text in texts:
        stops = stops.after(text)
    return stops


@given(st.text(max_size=60), pauses)
def test_any_text_has_a_probability(text: str, texts: list[str]) -> None:
    assert 0 <= finished(text, heard(texts)) <= 1
    assert 0 <= listening(text) <= 1


@given(pauses)
def test_never_are_there_more_stops_than_pauses_nor_more_than_are_remembered(texts: list[str]) -> None:
    stops = heard(texts)
    assert 0 <= stops.stopped <= stops.pauses <= REMEMBERED
    if not texts:
        assert stops.worth == "unknown"
    if stops.stopped < FEWEST:
        assert stops.worth != "nothing"


WORDS = st.lists(
    st.sampled_from(
        ("please", "turn", "on", "the", "light", "what", "is", "it", "now", "in", "paris", "好", "我")
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


@given(WORDS)
def test_a_full_stop_makes_an_end_the_more_likely_the_more_it_is_worth(text: str) -> None:
    bare, believed = finished(text), [finished(f"{text}.", it) for it in (IDLE, UNHEARD, MEANT)]
    assert believed == sorted(believed)
    assert bare <= believed[0]
