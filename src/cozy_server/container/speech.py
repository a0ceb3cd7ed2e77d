"""Voices, recognisers, and what reads and writes sound files."""

from collections.abc import Mapping

from cozy_adapters.inmemory.simulated import NAME as SIMULATED
from cozy_adapters.inmemory.simulated import SimulatedSpeechToText, SimulatedTextToSpeech, Simulation
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_domain.audio import AudioFormat
from cozy_domain.clock import Clock
from cozy_domain.errors import ConfigError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.routing.choice import parse_ref
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.listen import Listening
from cozy_domain.speech.ports import AudioCodec, AudioEncoder, SpeechToText, TextToSpeech, VoiceActivity
from cozy_domain.speech.transcribe import Transcribing, TranscribingDeadlines
from cozy_server.container.installed import is_installed
from cozy_server.settings.tree import (
    SpeechSettings,
)


def voices(
    settings: SpeechSettings,
    models: Mapping[str, LanguageModel],
    clock: Clock,
    simulation: Simulation | None = None,
) -> Switchover[TextToSpeech]:
    """The voices of the settings, in their order; in a simulation only its own. The offline one is optional: without its
    package it is left out.

    Raises:
        ConfigError: one of them is no voice.
    """
    if simulation:
        simulated = Named[TextToSpeech](SIMULATED, SimulatedTextToSpeech(simulation.first_sound_s))
        return Switchover("voice", [simulated], clock)
    found = (_voice(name, models, settings) for name in settings.tts)
    return Switchover("voice", [it for it in found if it], clock, "speech.tts")


def recognisers(
    settings: SpeechSettings,
    models: Mapping[str, LanguageModel],
    clock: Clock,
    simulation: Simulation | None = None,
) -> Switchover[SpeechToText]:
    """The recognisers of the settings, in their order; in a simulation only its own. The offline one is optional: without
    its package it is left out.

    Raises:
        ConfigError: one of them is no recogniser, or nothing is installed that reads sound files.
    """
    if simulation:
        simulated = Named[SpeechToText](SIMULATED, SimulatedSpeechToText(simulation.transcript_s))
        return Switchover("recogniser", [simulated], clock)
    if set(settings.stt) - {"pocketsphinx"} and not is_installed("av"):
        raise ConfigError("speech.stt needs PyAV", hint="pip install 'cozy-engine[speech]'")
    found = (_recogniser(name, models, settings) for name in settings.stt)
    return Switchover("recogniser", [it for it in found if it], clock, "speech.stt")


def audio_codec() -> AudioCodec | None:
    """None where nothing is installed that reads sound files."""
    if not is_installed("av"):
        return None
    from cozy_adapters.codec.files import PyAvAudioCodec  # on first use: FFmpeg takes 0.1 s to load

    return PyAvAudioCodec()


def preload_speech() -> None:
    """Loads what encodes; it takes 0.1 s of CPU."""
    if is_installed("av"):
        import cozy_adapters.codec.encoding  # noqa: F401


def audio_encoder(kind: AudioFormat) -> AudioEncoder:
    """
    Raises:
        ConfigError: the package that encodes is not installed.
    """
    if not is_installed("av"):
        raise ConfigError("PyAV is not installed", hint="pip install 'cozy-engine[speech]'")
    from cozy_adapters.codec.encoding import encoder_of  # on first use: FFmpeg takes 0.1 s to load

    return encoder_of(kind)


def listening(
    activity: VoiceActivity, recognisers: Switchover[SpeechToText], transcribing: Transcribing | None
) -> Listening | None:
    return Listening(activity, recognisers, transcribing) if transcribing else None


def engine_names(recognisers: Switchover[SpeechToText]) -> tuple[str, ...]:
    return tuple(it.name for it in recognisers.engines)


def transcribing(
    codec: AudioCodec | None, recognisers: Switchover[SpeechToText], settings: SpeechSettings
) -> Transcribing | None:
    if codec is None:
        return None
    return Transcribing(codec, recognisers, TranscribingDeadlines(file_s=settings.transcript_s))


def _offline_voice(name: str) -> Named[TextToSpeech] | None:
    if not (is_installed("espeakng_loader") and is_installed("av")):
        return None
    from cozy_adapters.espeak.speaker import EspeakTextToSpeech  # as above

    return Named(name, EspeakTextToSpeech())


def _offline_recogniser(name: str) -> Named[SpeechToText] | None:
    if not (is_installed("pocketsphinx") and is_installed("av")):
        return None
    from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText  # as above

    return Named(name, PocketsphinxSpeechToText())


def _sherpa_recogniser(name: str, settings: SpeechSettings) -> Named[SpeechToText]:
    folder = _folder(name, "speech.sherpa_stt", settings.sherpa_stt, "sherpa_onnx")
    from cozy_adapters.sherpa.recogniser import recogniser  # only here may it be missing

    return Named(name, recogniser(folder, "speech.sherpa_stt", settings.sherpa_languages))


def _whisper(name: str, settings: SpeechSettings) -> Named[SpeechToText]:
    folder = _folder(name, "speech.faster_whisper", settings.faster_whisper, "faster_whisper")
    from cozy_adapters.fasterwhisper.folder import recogniser  # as above

    return Named(name, recogniser(folder, "speech.faster_whisper"))


def _sherpa_voice(name: str, settings: SpeechSettings) -> Named[TextToSpeech]:
    folder = _folder(name, "speech.sherpa_tts", settings.sherpa_tts, "sherpa_onnx")
    from cozy_adapters.sherpa.speaker import voice  # as above

    return Named(name, voice(folder, "speech.sherpa_tts"))


def _folder(name: str, setting: str, folder: str | None, package: str) -> str:
    """
    Raises:
        ConfigError: it is not named, or the engine's package is not installed.
    """
    if not is_installed(package):
        raise ConfigError(f"'{name}' is not installed", hint=f"pip install 'cozy-engine[{name}]'")
    if folder is None:
        raise ConfigError(f"'{name}' needs a model, and {setting} names no folder")
    return folder


def _voice(
    name: str, models: Mapping[str, LanguageModel], settings: SpeechSettings
) -> Named[TextToSpeech] | None:
    if name == "espeak":
        return _offline_voice(name)
    if name == "sherpa":
        return _sherpa_voice(name, settings)
    ref = parse_ref(name)
    model = models.get(ref.provider) if ref else None
    if ref and isinstance(model, OpenAILanguageModel):
        return Named(name, model.text_to_speech(ref.id))
    raise ConfigError(
        f"speech.tts: '{name}' is neither 'espeak', 'sherpa' nor provider/model of a provider that speaks; "
        f"there are: {_with_sound(models)}"
    )


def _recogniser(
    name: str, models: Mapping[str, LanguageModel], settings: SpeechSettings
) -> Named[SpeechToText] | None:
    match name:
        case "pocketsphinx":
            return _offline_recogniser(name)
        case "sherpa":
            return _sherpa_recogniser(name, settings)
        case "faster-whisper":
            return _whisper(name, settings)
    ref = parse_ref(name)
    model = models.get(ref.provider) if ref else None
    if ref and isinstance(model, OpenAILanguageModel):
        return Named(name, model.speech_to_text(ref.id))
    raise ConfigError(
        f"speech.stt: '{name}' is neither 'pocketsphinx', 'sherpa', 'faster-whisper' nor provider/model of a provider "
        "that listens; "
        f"there are: {_with_sound(models)}"
    )


def _with_sound(models: Mapping[str, LanguageModel]) -> str:
    """The providers that speak and listen, for people."""
    names = sorted(it for it, model in models.items() if isinstance(model, OpenAILanguageModel))
    return ", ".join(names) or "none"
