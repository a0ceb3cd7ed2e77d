"""What was heard, in each form that OpenAI's clients ask for."""

import msgspec
import pytest

from cozy_domain.audio import HEARING_RATE
from cozy_domain.errors import InputError
from cozy_domain.speech.choice import ChosenEar
from cozy_domain.speech.transcribe import Heard
from cozy_domain.speech.transcript import Segment, Transcript, Word
from cozy_server.openai.transcript import events, transcription, translation, written
from cozy_server.openai.wire.transcription import ChunkingIn, Form, TranscriptionIn, TranslationIn

S = HEARING_RATE
TOLD = Transcript(
    "Good evening. Goodbye.",
    language="en",
    words=(Word("Good", 0, S // 2), Word("evening.", S // 2, S)),
    segments=(Segment("Good evening.", 0, S, -0.5, 0.25), Segment("Goodbye.", S, 2 * S)),
)
HEARD = Heard(TOLD, 2 * S, "r")
PLAIN = Heard(Transcript("Hello.", tokens=(7, 3)), S, "r")
EAR = ChosenEar()


def body(heard: Heard, asked: TranscriptionIn | TranslationIn) -> dict[str, object]:
    wanted = (
        transcription(asked, EAR, stream=False) if isinstance(asked, TranscriptionIn) else translation(asked)
    )
    kind, data = written(heard, wanted)
    assert kind == b"application/json"
    found: dict[str, object] = msgspec.json.decode(data)
    return found


def test_json_has_the_text_and_the_tokens_or_else_the_length() -> None:
    assert body(HEARD, TranscriptionIn()) == {
        "text": TOLD.text,
        "usage": {"type": "duration", "seconds": 2.0},
        "cozy": {"recogniser": "r"},
    }
    assert body(PLAIN, TranscriptionIn())["usage"] == {
        "type": "tokens",
        "input_tokens": 7,
        "output_tokens": 3,
        "total_tokens": 10,
    }


@pytest.mark.parametrize("form", ["json", "verbose_json"])
def test_a_recogniser_of_which_little_is_to_be_expected_is_told_with_the_reason(form: Form) -> None:
    doubtful = Heard(Transcript("Hello.", caution="Demo quality."), S, "pocketsphinx")
    told = {"recogniser": "pocketsphinx", "caution": "Demo quality."}
    assert body(doubtful, TranscriptionIn(response_format=form))["cozy"] == told
    *_, done = events(doubtful)
    assert msgspec.json.decode(done)["cozy"] == told


def test_verbose_json_has_segments_as_whisper_has_them() -> None:
    found = body(HEARD, TranscriptionIn(response_format="verbose_json", temperature=0.3))
    assert {name: found[name] for name in ("task", "language", "duration", "text")} == {
        "task": "transcribe",
        "language": "english",
        "duration": 2.0,
        "text": TOLD.text,
    }
    assert "words" not in found
    first, second = msgspec.convert(found["segments"], list[dict[str, object]])
    assert first == {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 1.0,
        "text": "Good evening.",
        "tokens": [],
        "temperature": 0.3,
        "avg_logprob": -0.5,
        "compression_ratio": first["compression_ratio"],
        "no_speech_prob": 0.25,
    }
    assert (second["id"], second["start"], second["no_speech_prob"]) == (1, 1.0, 0.0)


def test_words_are_told_when_asked_for_and_then_segments_only_if_asked_for_too() -> None:
    words = [{"word": "Good", "start": 0.0, "end": 0.5}, {"word": "evening.", "start": 0.5, "end": 1.0}]
    found = body(HEARD, TranscriptionIn(response_format="verbose_json", timestamp_granularities=("word",)))
    assert found["words"] == words
    assert "segments" not in found
    both = TranscriptionIn(response_format="verbose_json", timestamp_granularities=("segment", "word"))
    assert {"words", "segments"} <= set(body(HEARD, both))


def test_without_times_there_is_one_segment_and_without_a_text_none() -> None:
    asked = TranscriptionIn(response_format="verbose_json")
    (segment,) = msgspec.convert(body(PLAIN, asked)["segments"], list[dict[str, object]])
    assert (segment["start"], segment["end"], segment["text"]) == (0.0, 1.0, "Hello.")
    assert body(Heard(Transcript(""), S, "r"), asked)["segments"] == []


@pytest.mark.parametrize(
    ("told", "asked", "language"),
    [
        ("sv", "de", "swedish"),
        (None, "zh-CN", "chinese"),
        (None, "xx", "xx"),
        (None, None, "unknown"),
    ],
)
def test_the_language_is_named_as_whisper_names_it(
    told: str | None, asked: str | None, language: str
) -> None:
    heard = Heard(Transcript("x", language=told), S, "r")
    found = body(heard, TranscriptionIn(response_format="verbose_json", language=asked))
    assert found["language"] == language


def test_a_translation_is_english() -> None:
    found = body(PLAIN, TranslationIn(response_format="verbose_json"))
    assert (found["task"], found["language"]) == ("translate", "english")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("text", "Hello.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\nHello.\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello.\n"),
    ],
)
def test_texts_are_bare_and_end_with_a_newline(form: str, text: str) -> None:
    wanted = transcription(TranscriptionIn(response_format=form), EAR, stream=False)  # type: ignore[arg-type]
    assert written(PLAIN, wanted) == (b"text/plain; charset=utf-8", text.encode())


def test_events_are_the_text_and_the_end_and_silence_is_only_the_end() -> None:
    found = [msgspec.json.decode(it) for it in events(PLAIN)]
    assert [it["type"] for it in found] == ["transcript.text.delta", "transcript.text.done"]
    assert found[0]["delta"] == found[1]["text"] == "Hello."
    assert found[1]["usage"]["total_tokens"] == 10
    silence = [msgspec.json.decode(it) for it in events(Heard(Transcript(""), S, "r"))]
    assert [it["type"] for it in silence] == ["transcript.text.done"]
    assert "usage" not in silence[0]  # seconds are no usage there


def test_what_is_asked_reaches_the_recogniser() -> None:
    asked = TranscriptionIn(prompt="Names:", keywords=("Mei", "Robin"), temperature=0.5, language="de")
    hearing = transcription(asked, ChosenEar(language="zh-CN"), stream=False).hearing
    assert (hearing.prompt, hearing.temperature, hearing.language) == ("Names:, Mei, Robin", 0.5, "de")
    assert not hearing.translate
    assert transcription(TranscriptionIn(keywords=("Mei",)), EAR, stream=False).hearing.prompt == "Mei"


def test_the_language_is_the_requests_before_the_personas() -> None:
    ear = ChosenEar(language="zh-CN")
    assert transcription(TranscriptionIn(), ear, stream=False).hearing.language == "zh-CN"
    assert transcription(TranscriptionIn(languages=("de",)), ear, stream=False).hearing.language == "de"


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        (TranscriptionIn(stream=True, response_format="srt"), "stream", "unsupported_value"),
        (TranscriptionIn(timestamp_granularities=("word",)), "timestamp_granularities", "unsupported_value"),
        (TranscriptionIn(include=("logprobs",)), "include", "unsupported_value"),
        (TranscriptionIn(languages=("de", "en")), "languages", "unsupported_value"),
        (TranscriptionIn(languages=("de",), language="en"), "languages", "unsupported_value"),
        (TranscriptionIn(chunking_strategy="none"), "chunking_strategy", "unsupported_value"),
        (
            TranscriptionIn(chunking_strategy=ChunkingIn("server_vad")),
            "chunking_strategy[type]",
            "unsupported_value",
        ),
        (TranscriptionIn(known_speaker_names=("a",)), "known_speaker_names", "unsupported_parameter"),
        (
            TranscriptionIn(known_speaker_references=("a",)),
            "known_speaker_references",
            "unsupported_parameter",
        ),
    ],
)
def test_what_nobody_here_does_is_refused_by_name(asked: TranscriptionIn, param: str, code: str) -> None:
    with pytest.raises(InputError) as error:
        transcription(asked, EAR, stream=False)
    assert (error.value.param, error.value.code) == (param, code)


def test_the_path_that_streams_refuses_what_a_stream_cannot_do() -> None:
    with pytest.raises(InputError):
        transcription(TranscriptionIn(response_format="vtt"), EAR, stream=True)
    assert transcription(TranscriptionIn(), EAR, stream=True).stream


def test_chunking_by_the_server_is_what_happens_anyway() -> None:
    assert not transcription(TranscriptionIn(chunking_strategy="auto"), EAR, stream=False).stream


def test_a_translation_is_not_streamed() -> None:
    with pytest.raises(InputError) as error:
        translation(TranslationIn(stream=True))
    assert error.value.param == "stream"
