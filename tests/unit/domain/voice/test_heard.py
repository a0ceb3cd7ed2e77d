"""How much of a reply was heard, from how much of its sound was played."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.speech.ports import Mark
from cozy_domain.voice.heard import heard_characters, heard_text, is_whole
from cozy_domain.voice.state import Response, Segment

TEXT = "One two three four. Five six, seven eight! 你好，我的朋友。"


def response(*segments: Segment, text: str = TEXT, written: bool = True) -> Response:
    return Response(1, 1, "turn", "", 0, 0, text=text, written=written, segments=segments)


def segment(
    start: int, end: int, samples: int, *, done: bool = True, marks: tuple[Mark, ...] = ()
) -> Segment:
    return Segment(start + 1, TEXT[start:end], start, end, True, done, samples, samples, marks)


FIRST, SECOND, THIRD = (0, 20), (20, 43), (43, len(TEXT))


def whole(samples: int = 24_000) -> Response:
    return response(*(segment(*it, samples) for it in (FIRST, SECOND, THIRD)))


def test_nothing_played_is_nothing_heard() -> None:
    assert heard_text(whole(), 0) == ""


def test_all_is_heard_when_all_was_played() -> None:
    assert heard_text(whole(), 72_000) == TEXT
    assert is_whole(whole(), 72_000)
    assert not is_whole(whole(), 71_999)


def test_a_reply_that_is_not_all_written_is_not_whole() -> None:
    assert not is_whole(replace(whole(), written=False), 72_000)


def test_without_marks_the_sound_is_spread_over_the_syllables_and_rounded_down_to_a_word() -> None:
    assert heard_text(whole(), 14_399) == "One"
    assert heard_text(whole(), 14_400) == "One two"
    assert heard_text(whole(), 24_000) == "One two three four."
    assert heard_text(whole(), 25_000) == "One two three four."


def test_marks_say_which_words_have_begun_and_the_one_that_sounds_is_not_counted() -> None:
    marks = (Mark(0, 0), Mark(4, 6_000), Mark(8, 9_000), Mark(14, 20_000))
    marked = response(segment(*FIRST, 24_000, marks=marks), text=TEXT[:20])
    assert heard_text(marked, 6_000) == ""
    assert heard_text(marked, 6_001) == "One"
    assert heard_text(marked, 9_001) == "One two"


def test_chinese_is_heard_by_the_character() -> None:
    assert heard_text(whole(), 48_000 + 12_000).endswith("！ 你好，我") or heard_text(
        whole(), 60_000
    ).endswith("你好，我")


def test_a_segment_whose_end_is_not_known_is_taken_as_long_as_its_syllables() -> None:
    growing = response(segment(*FIRST, 4_800, done=False))
    assert heard_text(growing, 4_800) in {"", "One"}


def test_a_segment_without_sound_counts_when_something_behind_it_is_heard() -> None:
    silent = response(segment(*FIRST, 0), segment(*SECOND, 24_000), text=TEXT[:43])
    assert heard_text(silent, 0) == ""
    assert heard_text(silent, 20_000).startswith("One two three four. Five")


def test_what_was_heard_on_an_earlier_line_stays_heard() -> None:
    again = replace(whole(), said=7, segments=(segment(8, 20, 24_000),))
    assert heard_text(again, 0) == "One two"
    assert heard_text(replace(again, said=len(TEXT), segments=()), 0) == TEXT


def test_a_phrase_between_segments_is_no_text() -> None:
    filler = Segment(9, "One moment.", 20, 20, True, True, 24_000, 24_000)
    mixed = response(segment(*FIRST, 24_000), filler, segment(*SECOND, 24_000), text=TEXT[:43])
    assert heard_text(mixed, 40_000) == "One two three four."
    assert heard_text(mixed, 72_000) == TEXT[:43].rstrip()
    marked = replace(filler, marks=(Mark(0, 0), Mark(4, 100)))
    assert (
        heard_text(replace(mixed, segments=(segment(*FIRST, 24_000), marked)), 40_000)
        == "One two three four."
    )


lengths = st.integers(0, 30_000)


@given(st.tuples(lengths, lengths, lengths), st.integers(0, 100_000), st.integers(0, 100_000), st.booleans())
def test_more_played_is_never_less_heard_and_heard_is_a_beginning_of_the_text(
    samples: tuple[int, int, int], one: int, other: int, done: bool
) -> None:
    made = response(
        *(segment(*it, count) for it, count in zip((FIRST, SECOND), samples, strict=False)),
        segment(*THIRD, samples[2], done=done),
    )
    less, more = sorted((one, other))
    assert heard_characters(made, less) <= heard_characters(made, more) <= len(TEXT)
    assert TEXT.startswith(heard_text(made, less))
