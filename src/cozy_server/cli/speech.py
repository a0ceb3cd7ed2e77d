"""`cozy say` and `cozy transcribe`: a text as a sound file, and a sound file as text, in this process."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec
import typer

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, AudioFormat, Upload
from cozy_domain.errors import ConfigError, InputError, ProviderUnavailableError
from cozy_domain.ids import PersonaId
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import PublishedPersona
from cozy_domain.speech.choice import SpeechAsked, choose_ear, choose_voice
from cozy_domain.speech.ports import Hearing, HearingFeature
from cozy_domain.speech.subtitles import srt, vtt
from cozy_domain.speech.transcribe import Heard
from cozy_domain.speech.transcript import seconds
from cozy_server.cli.given import settings_from
from cozy_server.cli.persona import examined
from cozy_server.cli.telling import INTERRUPTED, as_json_text
from cozy_server.container.container import Container
from cozy_server.settings.load import Loaded

STDIO = "-"
ENDINGS = {f".{it}": it for it in AudioFormat} | {".ogg": AudioFormat.OPUS}
ANY_VOICE, ANY_EAR = "tts-1", "whisper-1"
"""OpenAI's names, which mean whatever is configured first."""
PIECE_S = 60
"""Of a long file, after which there is something to tell."""
LONGEST_FILE = 2_000_000_000
"""Bytes; the codec has a limit of its own for what is decoded."""


class Say(msgspec.Struct, frozen=True):
    """As typed. ``text`` and ``output`` may be ``-``."""

    text: str
    output: str
    format: str | None
    voice: str | None
    speed: float | None
    persona: str | None
    engine: str | None
    force: bool


class Transcribe(msgspec.Struct, frozen=True):
    """As typed."""

    file: str
    format: str
    language: str | None
    prompt: str
    words: bool
    persona: str | None
    engine: str | None
    output: str | None
    force: bool


def say(wanted: Say, data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: it cannot be said, or the file not written.
    """
    kind = _format(wanted)
    if wanted.output != STDIO:
        _refuse_to_replace(Path(wanted.output), force=wanted.force)
    text = sys.stdin.read() if wanted.text == STDIO else wanted.text
    if not text.strip():
        raise InputError("There is nothing to say.", param="text")
    if as_json and wanted.output == STDIO:
        raise ConfigError(
            "--json and the sound cannot both go to standard output", hint="Name a file with -o."
        )
    loaded = settings_from(data=data, config=config, development=True)
    told = _run(_said(wanted, text, kind, loaded))
    if as_json:
        typer.echo(as_json_text(told))
    elif wanted.output != STDIO:
        typer.echo(f"{wanted.output}: {told['seconds']:.1f} s of sound")


def transcribe(wanted: Transcribe, data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: it cannot be understood, or not be read or written.
    """
    if wanted.output is not None:
        _refuse_to_replace(Path(wanted.output), force=wanted.force)
    sound = _read(wanted.file)
    loaded = settings_from(data=data, config=config, development=True)
    heard = _run(_heard(wanted, sound, loaded))
    text = as_json_text(_row(heard)) if as_json else _written(heard, wanted.format)
    if wanted.output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        _write(wanted.output, text if text.endswith("\n") else f"{text}\n")
    if heard.transcript.caution and not as_json:
        typer.echo(f"note: {heard.by}: {heard.transcript.caution}", err=True)


async def _said(wanted: Say, text: str, kind: AudioFormat, loaded: Loaded) -> dict[str, Any]:
    async with _speech(loaded) as container:
        speech = container.speech()
        engines = [it.name for it in speech.speaking.engines]
        chosen = choose_voice(
            SpeechAsked(wanted.engine or ANY_VOICE, _id(wanted.persona), wanted.voice, wanted.speed),
            await _catalog(wanted.persona, wanted.engine, loaded),
            engines,
        )
        encoder, samples, length = speech.encoder(kind), 0, 0
        with _Progress() as progress:
            async with speech.speaking.sound(text, chosen.voicing, wanted=chosen.engine) as sounds:
                with _sink(wanted) as file:
                    async for sound in sounds:
                        samples += len(sound.samples) // SAMPLE_BYTES
                        progress.tell(f"{samples / SPEAKING_RATE:.0f} s of sound")
                        length += _out(file, await encoder.encode(sound.samples))
                    length += _out(file, await encoder.finish())
    return {
        "file": wanted.output,
        "format": str(kind),
        "seconds": round(samples / SPEAKING_RATE, 3),
        "bytes": length,
    }


async def _heard(wanted: Transcribe, sound: bytes, loaded: Loaded) -> Heard:
    async with _speech(loaded) as container:
        transcribing = container.transcribing()
        if transcribing is None:
            raise ProviderUnavailableError(
                "Nothing is installed that reads sound files.",
                provider="none",
                code="not_configured",
                hint="pip install 'cozy-engine[speech]'",
            )
        chosen = choose_ear(
            wanted.engine or ANY_EAR,
            _id(wanted.persona),
            await _catalog(wanted.persona, wanted.engine, loaded),
            transcribing.engines,
        )
        able = any(
            HearingFeature.WORD_TIMES in it.engine.features() for it in container.recognisers().engines
        )
        hearing = Hearing(
            language=wanted.language or chosen.language,
            prompt=chosen.prompt(wanted.prompt),
            word_times=wanted.words and able,
        )
        with _Progress() as progress:

            def tell(done: int, whole: int) -> None:
                progress.tell(f"{done / HEARING_RATE:.0f} of {whole / HEARING_RATE:.0f} s understood")

            progress.tell("decoding")
            return await transcribing.file(
                Upload(sound, Path(wanted.file).name),
                hearing,
                wanted=chosen.engine,
                piece_s=PIECE_S,
                progress=tell,
            )


@asynccontextmanager
async def _speech(loaded: Loaded) -> AsyncIterator[Container]:
    """What speaks and listens on this configuration; there is no store."""
    container = Container(
        settings=loaded.settings,
        audit_key=b"",
        database_role="reader",
        development=True,
        environment=loaded.variables,
    )
    try:
        yield container
    finally:
        engines: list[object] = [
            *(it.engine for it in container.voices().engines),
            *(it.engine for it in container.recognisers().engines),
            container.codec(),
            *container.models().values(),
        ]
        for engine in engines:
            if hasattr(engine, "aclose"):
                await engine.aclose()


async def _catalog(persona: str | None, engine: str | None, loaded: Loaded) -> Catalog:
    """Empty when nobody is named: then a mistake in a persona's file is no reason to be silent."""
    if persona is None and engine is None:
        return Catalog()
    found = await examined(loaded)
    return Catalog(PublishedPersona(it, 1, "", 0) for it in found.personas)


def _id(persona: str | None) -> PersonaId | None:
    return PersonaId(persona) if persona else None


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Ctrl-C ends what is under way, and then the command."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _format(wanted: Say) -> AudioFormat:
    """
    Raises:
        ConfigError: the file's ending says nothing.
    """
    if wanted.format:
        return AudioFormat(wanted.format)
    kind = ENDINGS.get(Path(wanted.output).suffix.lower())
    if kind is None:
        known = ", ".join(ENDINGS)
        raise ConfigError(
            f"what '{wanted.output}' ends in says no format", hint=f"One of {known}; or --format."
        )
    return kind


class _sink:  # noqa: N801 - used as a function
    """Where the sound goes. A file is there once it is whole: until then its name has ``.part`` behind it."""

    def __init__(self, wanted: Say) -> None:
        self._path = None if wanted.output == STDIO else Path(wanted.output)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> IO[bytes]:
        if self._path is None:
            return sys.stdout.buffer
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            raise _unwritable(self._path, error) from None
        return self._file

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._path is None or self._file is None:
            sys.stdout.buffer.flush()
            return
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        path = self._path or Path()
        return path.with_name(f"{path.name}.part")


def _out(file: IO[bytes], data: bytes) -> int:
    try:
        return file.write(data)
    except OSError as error:
        raise _unwritable(Path(getattr(file, "name", STDIO)), error) from None


def _write(output: str, text: str) -> None:
    path = Path(output)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None


def _refuse_to_replace(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already", hint="Replace it with --force, or name another.")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {error.strerror}")


def _read(file: str) -> bytes:
    """
    Raises:
        ConfigError: it is not there, or no file.
        InputError: ``audio_too_long``.
    """
    if file == STDIO:
        return sys.stdin.buffer.read(LONGEST_FILE)
    path = Path(file)
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise InputError(f"{file} is larger than {LONGEST_FILE} bytes", code="audio_too_long")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def _written(heard: Heard, form: str) -> str:
    match form:
        case "srt":
            return srt(heard.transcript, heard.samples)
        case "vtt":
            return vtt(heard.transcript, heard.samples)
    return heard.transcript.text


def _row(heard: Heard) -> dict[str, object]:
    told = heard.transcript
    return {
        "text": told.text,
        "language": told.language,
        "seconds": seconds(heard.samples),
        "recogniser": heard.by,
        "caution": told.caution or None,
        "segments": [
            {"start": seconds(it.start), "end": seconds(it.end), "text": it.text} for it in told.segments
        ],
        "words": [{"start": seconds(it.start), "end": seconds(it.end), "text": it.text} for it in told.words],
    }


class _Progress:
    """One line of a terminal on standard error, written over; nothing where nobody looks, and gone at the end."""

    def __init__(self) -> None:
        self._seen = sys.stderr.isatty()
        self._since = time.monotonic()
        self._shown = False

    def __enter__(self) -> "_Progress":
        return self

    def tell(self, text: str) -> None:
        if self._seen:
            self._shown = True
            sys.stderr.write(f"\r\x1b[K{text} ({time.monotonic() - self._since:.0f} s)")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            with suppress(OSError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
