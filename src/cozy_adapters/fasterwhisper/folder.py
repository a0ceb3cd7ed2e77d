"""A folder with a Whisper model in CTranslate2's form, as ``ct2-transformers-converter`` writes it."""

from pathlib import Path

import msgspec

from cozy_adapters.child.pool import Program
from cozy_adapters.ear.recogniser import Abilities, LocalSpeechToText
from cozy_domain.errors import ConfigError
from cozy_domain.speech.languages import NAMES
from cozy_domain.speech.ports import HearingFeature

NAME = "faster-whisper"
NEEDED = ("model.bin", "config.json", "tokenizer.json")
"""Without ``tokenizer.json`` the library would ask a hub for it."""
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
MULTILINGUAL = 51_865
"""Tokens from which on a Whisper model knows more than English (openai/whisper, model.py, ``is_multilingual``)."""


def recogniser(folder: str, setting: str) -> LocalSpeechToText:
    """Of the model in ``folder``; ``setting`` names it in errors.

    Raises:
        ConfigError: the folder is not one of such a model; with what is missing.
    """
    path = checked(folder, setting)
    features = {HearingFeature.WORD_TIMES}
    languages = frozenset({"en"})
    if tokens(path, setting) >= MULTILINGUAL:
        features.add(HearingFeature.TRANSLATION)
        languages = frozenset(NAMES)
    program = Program(
        NAME, "The recogniser 'faster-whisper'", "cozy_adapters.fasterwhisper.worker", (str(path),)
    )
    return LocalSpeechToText(program, Abilities(frozenset(features), languages))


def checked(folder: str, setting: str) -> Path:
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(f"{setting}: there is no folder {path}", hint=_WHERE)
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if not any((path / name).is_file() for name in VOCABULARIES):
        missing.append(" or ".join(VOCABULARIES))
    if missing:
        raise ConfigError(f"{setting}: {path} lacks {', '.join(missing)}", hint=_WHERE)
    return path


def tokens(path: Path, setting: str) -> int:
    """How many the vocabulary has."""
    found = next(path / name for name in VOCABULARIES if (path / name).is_file())
    try:
        if found.suffix == ".txt":
            return len(found.read_text(encoding="utf-8").splitlines())
        return len(msgspec.json.decode(found.read_bytes(), type=list[str]))
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        raise ConfigError(f"{setting}: {found} is no list of tokens", hint=_WHERE) from None


_WHERE = (
    "It must hold a Whisper model for CTranslate2: model.bin, config.json, tokenizer.json and vocabulary.json, as "
    "Systran/faster-whisper-* have it on Hugging Face, or as `ct2-transformers-converter --copy_files tokenizer.json` "
    "writes it."
)
