"""What is in a model folder, by the names of its files and by what they say of themselves.

The names are those of the archives that the project publishes (k2-fsa.github.io/sherpa/onnx/pretrained_models): a single
model, or encoder, decoder and joiner, in 32 or in 8 bits, and ``tokens.txt``. The 8 bits are taken where both are there.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from cozy_adapters.sherpa.metadata import properties
from cozy_domain.errors import ConfigError


class HearingKind(StrEnum):
    """Of a recogniser; the names of the library's constructors, beside the first."""

    STREAMING = "streaming transducer"
    TRANSDUCER = "transducer"
    WHISPER = "whisper"
    SENSE_VOICE = "sense_voice"
    PARAFORMER = "paraformer"
    NEMO_CTC = "nemo_ctc"
    ZIPFORMER_CTC = "zipformer_ctc"
    WENET_CTC = "wenet_ctc"


class SpeakingKind(StrEnum):
    VITS = "vits"
    KOKORO = "kokoro"


class HearingModel(msgspec.Struct, frozen=True):
    """``files`` by the library's names for them. ``multilingual``, of Whisper: it can be told a language."""

    kind: HearingKind
    files: Mapping[str, str]
    multilingual: bool = False


class SpeakingModel(msgspec.Struct, frozen=True):
    """``speakers`` is how many voices it has."""

    kind: SpeakingKind
    files: Mapping[str, str]
    speakers: int = 1


SINGLE: Mapping[str, HearingKind] = {
    "sense_voice_ctc": HearingKind.SENSE_VOICE,
    "paraformer": HearingKind.PARAFORMER,
    "EncDecCTCModel": HearingKind.NEMO_CTC,
    "EncDecCTCModelBPE": HearingKind.NEMO_CTC,
    "EncDecHybridRNNTCTCBPEModel": HearingKind.NEMO_CTC,
    "zipformer2_ctc": HearingKind.ZIPFORMER_CTC,
    "wenet_ctc": HearingKind.WENET_CTC,
}
"""By ``model_type`` of a model in one file (sherpa-onnx, offline-ctc-model.cc and offline-recognizer-impl.cc)."""
STREAMS = frozenset({"decode_chunk_len", "rnn_hidden_size", "window_size"})
"""Properties that only models for streams have."""
_HEARS = "A recogniser's folder holds tokens.txt and either model.onnx or encoder, decoder and joiner."
_SPEAKS = "A voice's folder holds a VITS (Piper) or Kokoro model: *.onnx, tokens.txt, and espeak-ng-data or lexicon.txt."


def absolute(folder: str) -> str:
    return str(Path(folder).expanduser().absolute())


def recogniser_in(folder: str, setting: str) -> HearingModel:
    """``setting`` names the folder in errors.

    Raises:
        ConfigError: there is no recogniser in it that we can load; with what is missing or not known.
    """
    place = _Place(folder, setting, _HEARS)
    tokens = place.one("tokens.txt", "*tokens.txt")
    encoder, decoder = place.model("encoder"), place.model("decoder")
    if encoder or decoder:
        return _of_parts(place, encoder, decoder, tokens)
    model = place.model("model") or place.model()
    if model is None:
        raise place.wrong("lacks a model (*.onnx)")
    told = place.properties(model)
    kind = SINGLE.get(told.get("model_type", ""))
    if kind is None:
        raise place.unknown(model, told)
    if STREAMS & set(told):
        raise place.wrong(f"has a streaming '{kind}' model; of those only transducers can be loaded here")
    name = "paraformer" if kind is HearingKind.PARAFORMER else "model"
    return HearingModel(kind, {name: str(model), "tokens": place.needed(tokens, "tokens.txt")})


def language_told(model: HearingModel, languages: Sequence[str]) -> Mapping[str, str]:
    """What the library is told of the one language that the model is to hear; where there are several or none, it finds out.
    It takes none for one recording alone."""
    only = languages[0].partition("-")[0].lower() if len(languages) == 1 else ""
    if model.kind is HearingKind.WHISPER:
        return {"language": only if model.multilingual else "en"}
    return {"language": only or "auto"} if model.kind is HearingKind.SENSE_VOICE else {}


def voice_in(folder: str, setting: str) -> SpeakingModel:
    """
    Raises:
        ConfigError: there is no voice in it that we can load; with what is missing or not known.
    """
    place = _Place(folder, setting, _SPEAKS)
    model = place.model()
    if model is None:
        raise place.wrong("lacks a model (*.onnx)")
    told = place.properties(model)
    files = {"model": str(model), "tokens": place.needed(place.one("tokens.txt"), "tokens.txt")}
    data, lexicons = place.path / "espeak-ng-data", sorted(map(str, place.path.glob("lexicon*.txt")))
    if data.is_dir():
        files["data_dir"] = str(data)
    if lexicons:
        files["lexicon"] = ",".join(lexicons)
    if len(files) == len(("model", "tokens")) and told.get("frontend") != "characters":
        raise place.wrong("lacks espeak-ng-data or lexicon.txt")
    speakers = told.get("n_speakers", "1")
    count = max(1, int(speakers)) if speakers.isdecimal() else 1
    voices = place.one("voices.bin")
    if voices:
        return SpeakingModel(SpeakingKind.KOKORO, {**files, "voices": str(voices)}, count)
    if told.get("model_type", "vits") != "vits":
        raise place.unknown(model, told)
    return SpeakingModel(SpeakingKind.VITS, files, count)


def _of_parts(
    place: "_Place", encoder: Path | None, decoder: Path | None, tokens: Path | None
) -> HearingModel:
    files = {
        "encoder": place.needed(encoder, "an encoder (*encoder*.onnx)"),
        "decoder": place.needed(decoder, "a decoder (*decoder*.onnx)"),
        "tokens": place.needed(tokens, "tokens.txt"),
    }
    told = place.properties(Path(files["encoder"]))
    if told.get("model_type", "").startswith("whisper"):
        return HearingModel(HearingKind.WHISPER, files, told.get("is_multilingual") == "1")
    files["joiner"] = place.needed(place.model("joiner"), "a joiner (*joiner*.onnx)")
    streams = STREAMS & set(told) and not told.get("model_type", "").startswith("EncDec")
    return HearingModel(HearingKind.STREAMING if streams else HearingKind.TRANSDUCER, files)


class _Place:
    """A folder; what is wrong with it is told with the setting."""

    def __init__(self, folder: str, setting: str, hint: str) -> None:
        self.path = Path(absolute(folder))
        self._setting = setting
        self._hint = hint
        if not self.path.is_dir():
            raise ConfigError(f"{setting}: there is no folder {self.path}", hint=hint)

    def one(self, *patterns: str) -> Path | None:
        """The first file of the first pattern that has one."""
        return next((file for it in patterns for file in sorted(self.path.glob(it)) if file.is_file()), None)

    def model(self, part: str = "") -> Path | None:
        """The one whose name has ``part`` in it."""
        name = f"*{part}*" if part else "*"
        return self.one(f"{name}.int8.onnx", f"{name}.onnx")

    def needed(self, file: Path | None, what: str) -> str:
        if file is None:
            raise self.wrong(f"lacks {what}")
        return str(file)

    def properties(self, model: Path) -> Mapping[str, str]:
        try:
            return properties(model)
        except (OSError, ValueError) as error:
            raise self.wrong(f"has a model that cannot be read, {model.name}: {error}") from None

    def unknown(self, model: Path, told: Mapping[str, str]) -> ConfigError:
        kind = told.get("model_type")
        about = f"is of the type '{kind[:60]}'" if kind else "says no type"
        return self.wrong(f"has a model that cannot be used here: {model.name} {about}")

    def wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self._setting}: {self.path} {what}", hint=self._hint)
