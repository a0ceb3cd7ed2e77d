"""Transcripts move and join."""

from cozy_domain.speech.transcript import Segment, Transcript, Word, joined, seconds, shifted

HELLO = Transcript("Hello.", "en", (Word("Hello.", 0, 10),), (Segment("Hello.", 0, 10, -0.5),))


def test_a_transcript_can_be_heard_later() -> None:
    later = shifted(HELLO, 100)
    assert later.words == (Word("Hello.", 100, 110),)
    assert later.segments == (Segment("Hello.", 100, 110, -0.5),)
    assert later.text == "Hello."


def test_sentences_are_joined_by_a_space_and_chinese_ones_without() -> None:
    assert joined((HELLO, Transcript(""), Transcript("World."))).text == "Hello. World."
    assert joined((Transcript("你好。"), Transcript("再见。"))).text == "你好。再见。"


def test_what_is_joined_keeps_its_words_and_the_first_language_known() -> None:
    both = joined((Transcript("x"), HELLO, shifted(HELLO, 10)))
    assert both.language == "en"
    assert [it.start for it in both.words] == [0, 10]
    assert [it.start for it in both.segments] == [0, 10]


def test_tokens_and_cautions_of_all_parts_count() -> None:
    counted = Transcript("x", tokens=(3, 1))
    assert joined((counted, counted)).tokens == (6, 2)
    assert joined((counted, Transcript("y"))).tokens is None
    assert joined(()).tokens is None
    assert joined((Transcript("x"), Transcript("", caution="Doubt it."))).caution == "Doubt it."


def test_samples_are_told_in_seconds_to_the_microsecond() -> None:
    assert seconds(24_000) == 1.5
    assert seconds(8) == 0.0005
