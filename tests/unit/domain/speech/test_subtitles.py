"""A transcript becomes subtitles."""

from cozy_domain.audio import HEARING_RATE
from cozy_domain.speech.subtitles import srt, vtt
from cozy_domain.speech.transcript import Segment, Transcript

TWO = Transcript(
    "Hi. A & B <b>",
    segments=(
        Segment("Hi.", 0, HEARING_RATE * 3 // 2),
        Segment(" A & B\n\n<b>", HEARING_RATE * 3_661, HEARING_RATE * 3_662),
    ),
)


def test_srt_numbers_the_cues_and_writes_times_with_a_comma() -> None:
    assert srt(TWO, 0) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHi.\n\n2\n01:01:01,000 --> 01:01:02,000\nA & B\n<b>\n"
    )


def test_vtt_begins_with_its_name_and_escapes_what_would_be_markup() -> None:
    assert vtt(TWO, 0) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHi.\n\n01:01:01.000 --> 01:01:02.000\nA &amp; B\n&lt;b&gt;\n"
    )


def test_without_times_the_whole_text_is_one_cue() -> None:
    whole = Transcript("Hello there")
    assert srt(whole, 2 * HEARING_RATE) == "1\n00:00:00,000 --> 00:00:02,000\nHello there\n"


def test_nothing_said_is_no_cue() -> None:
    assert srt(Transcript(""), HEARING_RATE) == "\n"
    assert vtt(Transcript(""), HEARING_RATE) == "WEBVTT\n"
