"""Which of several recognisers can do what is asked of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.inmemory.speech import ScriptedSpeechToText
from cozy_domain.errors import InputError
from cozy_domain.routing.switchover import Named
from cozy_domain.speech.ability import able, base, hears, needs
from cozy_domain.speech.ports import Hearing, HearingFeature, SpeechToText

LANGUAGES = st.none() | st.frozensets(st.sampled_from(["en", "zh", "de"]), min_size=1)
ASKED = st.sampled_from([None, "en", "EN-gb", "zh", "zh-CN", "de", "fr"])


def named(*known: frozenset[str] | None) -> list[Named[SpeechToText]]:
    return [Named(f"r{number}", ScriptedSpeechToText([], it)) for number, it in enumerate(known)]


class Plain(ScriptedSpeechToText):
    """Can only tell what was said."""

    def features(self) -> frozenset[HearingFeature]:
        return frozenset()


PLAIN = Named[SpeechToText]("plain", Plain([]))


def test_without_recognisers_nobody_is_able_and_nothing_is_refused() -> None:
    assert able([], Hearing(language="de", word_times=True)) == frozenset()


def test_who_has_no_partial_results_is_passed_over_where_they_are_wanted() -> None:
    assert able([PLAIN, *named(None)], Hearing(partials=True)) == {"r0"}
    with pytest.raises(InputError, match="partial results") as caught:
        able([PLAIN], Hearing(partials=True))
    assert caught.value.param == "partials"


@pytest.mark.parametrize("asked", ["en", "EN", "en-GB", None])
def test_a_region_and_capitals_do_not_matter_and_no_language_is_heard_by_all(asked: str | None) -> None:
    assert hears(ScriptedSpeechToText([], frozenset({"en"})), Hearing(language=asked))


@given(st.lists(LANGUAGES, min_size=1, max_size=4), ASKED)
def test_who_is_able_hears_the_language_and_who_hears_it_is_able(
    known: list[frozenset[str] | None], asked: str | None
) -> None:
    wanted = {
        f"r{number}" for number, it in enumerate(known) if it is None or asked is None or base(asked) in it
    }
    if wanted:
        assert able(named(*known), Hearing(language=asked)) == wanted
    else:
        with pytest.raises(InputError) as refused:
            able(named(*known), Hearing(language=asked))
        assert refused.value.param == "language"


def test_who_cannot_do_what_is_asked_is_left_out_though_it_hears_the_language() -> None:
    recognisers = [PLAIN, *named(frozenset({"en"}))]
    asked = Hearing(language="en", word_times=True)
    assert able(recognisers, asked) == {"r0"}


def test_a_feature_that_only_a_recogniser_of_another_language_has_is_refused_for_the_language() -> None:
    recognisers = [PLAIN, *named(frozenset({"en"}))]
    with pytest.raises(InputError) as refused:
        able(recognisers, Hearing(language="zh", word_times=True))
    assert refused.value.param == "language"


@pytest.mark.parametrize(
    ("asked", "param"),
    [(Hearing(word_times=True), "timestamp_granularities"), (Hearing(translate=True), "model")],
)
def test_what_nobody_can_do_is_refused_by_name(asked: Hearing, param: str) -> None:
    with pytest.raises(InputError, match=min(needs(asked))) as refused:
        able([PLAIN], asked)
    assert (refused.value.code, refused.value.param) == ("unsupported_value", param)
