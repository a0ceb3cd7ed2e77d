"""Folders of models for sherpa-onnx and faster-whisper: what is missing or wrong is told before anything is heard, and what
only the library finds wrong, when it loads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cozy_adapters.clock import SystemClock
from cozy_adapters.fasterwhisper import folder as fasterwhisper
from cozy_adapters.inmemory.speech import tone
from cozy_adapters.sherpa import recogniser as sherpa
from cozy_adapters.sherpa import speaker
from cozy_adapters.sherpa.folder import HearingKind, SpeakingKind, language_told, recogniser_in, voice_in
from cozy_domain.audio import HEARING_RATE, Pcm
from cozy_domain.errors import ConfigError, ProviderUnavailableError
from cozy_domain.speech.ports import Hearing, HearingFeature, Voicing
from cozy_server.container.speech import recognisers, voices
from cozy_server.settings.tree import SpeechSettings
from tests.fixtures import models
from tests.fixtures.whisper_model import whisper

STT, TTS, WHISPER = "speech.sherpa_stt", "speech.sherpa_tts", "speech.faster_whisper"
SOUND = Pcm(tone(440, HEARING_RATE))


def without(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def holding(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without("model.onnx", "tokens.txt"), "lacks a model"),
        (without("tokens.txt"), "lacks tokens.txt"),
        (cut("model.onnx"), "model.onnx: it is cut short"),
        (holding("model.onnx", b"<html>404</html>"), "model.onnx: it is"),
        (lambda folder: models.recogniser(folder, model_type="gpt"), "is of the type 'gpt'"),
        (lambda folder: models.recogniser(folder, model_type=""), "says no type"),
        (lambda folder: models.recogniser(folder, window_size="9"), "streaming 'nemo_ctc' model"),
        (holding("tiny-encoder.onnx", b""), "lacks a decoder"),
    ],
)
def test_a_folder_that_is_no_recogniser_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    models.recogniser(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=STT) as refused:
        sherpa.recogniser(str(tmp_path), STT, ())
    assert told in refused.value.message
    assert str(tmp_path) in refused.value.message
    assert "tokens.txt" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without("model.onnx"), "lacks a model"),
        (without("tokens.txt"), "lacks tokens.txt"),
        (
            lambda folder: models.voice(folder, frontend="espeak"),
            "lacks espeak-ng-data or lexicon.txt",
        ),
        (lambda folder: models.voice(folder, model_type="paraformer"), "of the type 'paraformer'"),
    ],
)
def test_a_folder_that_is_no_voice_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    models.voice(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=TTS) as refused:
        speaker.voice(str(tmp_path), TTS)
    assert told in refused.value.message


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without("model.bin", "tokenizer.json"), "lacks model.bin, tokenizer.json"),
        (without("vocabulary.json"), "lacks vocabulary.json or vocabulary.txt"),
        (holding("vocabulary.json", b"{}"), "is no list of tokens"),
    ],
)
def test_a_folder_that_is_no_whisper_model_is_refused_with_what_is_missing(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    whisper(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ConfigError, match=WHISPER) as refused:
        fasterwhisper.recogniser(str(tmp_path), WHISPER)
    assert told in refused.value.message
    assert "ct2-transformers-converter" in str(refused.value.hint)


def test_a_folder_that_is_not_there_is_refused_by_its_name() -> None:
    for make in (
        lambda: sherpa.recogniser("/nowhere/model", STT, ()),
        lambda: speaker.voice("/nowhere/model", TTS),
        lambda: fasterwhisper.recogniser("/nowhere/model", WHISPER),
    ):
        with pytest.raises(ConfigError, match="there is no folder /nowhere/model"):
            make()


@pytest.mark.parametrize("name", ["sherpa", "faster-whisper"])
def test_an_engine_without_a_folder_is_refused_with_the_setting(name: str) -> None:
    with pytest.raises(ConfigError, match=r"speech\..* names no folder"):
        recognisers(SpeechSettings(stt=(name,)), {}, SystemClock())
    if name == "sherpa":
        with pytest.raises(ConfigError, match=r"speech\.sherpa_tts names no folder"):
            voices(SpeechSettings(tts=(name,)), {}, SystemClock())


def test_the_settings_make_engines_of_folders(tmp_path: Path) -> None:
    settings = SpeechSettings(
        stt=("sherpa", "faster-whisper", "pocketsphinx"),
        sherpa_stt=str(models.recogniser(tmp_path / "ear")),
        sherpa_languages=("zh-CN",),
        sherpa_tts=str(models.voice(tmp_path / "mouth")),
        faster_whisper=str(whisper(tmp_path / "whisper")),
        tts=("sherpa", "espeak"),
    )
    ears = recognisers(settings, {}, SystemClock()).engines
    assert [it.name for it in ears] == ["sherpa", "faster-whisper", "pocketsphinx"]
    assert [it.engine.languages() for it in ears] == [frozenset({"zh"}), frozenset({"en"}), frozenset({"en"})]
    assert [it.name for it in voices(settings, {}, SystemClock()).engines] == ["sherpa", "espeak"]


async def test_what_the_library_finds_wrong_is_told_in_its_words_and_without_the_folder(
    tmp_path: Path,
) -> None:
    """sherpa-onnx ends its process; the other raises."""
    (models.recogniser(tmp_path / "ear") / "tokens.txt").write_text("no numbers here\n")
    whisper(tmp_path / "whisper")
    (tmp_path / "whisper" / "model.bin").write_bytes(b"\x06\0\0\0junk")
    for recogniser, told in (
        (sherpa.recogniser(str(tmp_path / "ear"), STT, ()), "no numbers here"),
        (fasterwhisper.recogniser(str(tmp_path / "whisper"), WHISPER), "model.bin is incomplete"),
    ):
        for _ in range(2):
            with pytest.raises(ProviderUnavailableError) as failed:
                await recogniser.aopen()
            assert told in failed.value.message
            assert str(tmp_path) not in failed.value.message
        await recogniser.aclose()


async def test_a_voice_that_the_library_does_not_load_is_told(tmp_path: Path) -> None:
    models.voice(tmp_path, sample_rate="none")
    voice = speaker.voice(str(tmp_path), TTS)
    with pytest.raises(ProviderUnavailableError, match=r"voice 'sherpa' cannot load its model: .* 0 Hz"):
        async with voice.speak("hello", Voicing()):
            pass
    await voice.aclose()


async def test_a_long_recording_is_cut_and_heard_in_stretches(tmp_path: Path) -> None:
    recogniser = sherpa.recogniser(str(models.recogniser(tmp_path)), STT, ())
    second, quiet = SOUND.samples, bytes(len(SOUND.samples) * 24)
    told = await recogniser.transcribe(
        Pcm(second + quiet + second + quiet + second), Hearing(word_times=True)
    )
    await recogniser.aclose()
    assert told.text.split() == ["hello"] * 3
    assert [round(it.start / HEARING_RATE) for it in told.words] == [0, 25, 50]


def test_the_kind_of_a_model_is_told_by_its_files_and_properties(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    for part in ("encoder", "decoder", "joiner"):
        models.recogniser(tmp_path / part)
        parts.mkdir(exist_ok=True)
        (tmp_path / part / "model.onnx").rename(parts / f"{part}-epoch-99.int8.onnx")
    (parts / "tokens.txt").write_text("a 0\n")
    model = recogniser_in(str(parts), STT)
    assert model.kind is HearingKind.TRANSDUCER
    assert model.files["joiner"].endswith("joiner-epoch-99.int8.onnx")

    models.recogniser(tmp_path / "stream", decode_chunk_len="32", model_type="zipformer2")
    (tmp_path / "stream" / "model.onnx").rename(parts / "encoder-epoch-99.int8.onnx")
    assert recogniser_in(str(parts), STT).kind is HearingKind.STREAMING
    features = sherpa.recogniser(str(parts), STT, ()).features()
    assert features == {HearingFeature.PARTIALS, HearingFeature.WORD_TIMES}

    models.recogniser(tmp_path / "whisper", model_type="whisper-tiny", is_multilingual="1")
    (tmp_path / "whisper" / "model.onnx").rename(parts / "encoder-epoch-99.int8.onnx")
    whisper = recogniser_in(str(parts), STT)
    assert whisper.kind is HearingKind.WHISPER
    assert language_told(whisper, ()) == {"language": ""}
    assert language_told(whisper, ("de-AT",)) == {"language": "de"}
    models.recogniser(tmp_path / "english", model_type="whisper-tiny.en", is_multilingual="0")
    (tmp_path / "english" / "model.onnx").rename(parts / "encoder-epoch-99.int8.onnx")
    assert language_told(recogniser_in(str(parts), STT), ("de",)) == {"language": "en"}

    kokoro = models.voice(tmp_path / "kokoro", n_speakers="53")
    (kokoro / "voices.bin").write_bytes(b"")
    found = voice_in(str(kokoro), TTS)
    assert (found.kind, found.speakers) == (SpeakingKind.KOKORO, 53)


def test_the_model_in_eight_bits_is_taken_where_there_are_both(tmp_path: Path) -> None:
    models.recogniser(tmp_path)
    (tmp_path / "model.int8.onnx").write_bytes((tmp_path / "model.onnx").read_bytes())
    assert recogniser_in(str(tmp_path), STT).files["model"].endswith("model.int8.onnx")
