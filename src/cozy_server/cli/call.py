"""`cozy call`: says what is in a sound file to a running server, over WebRTC as a browser does, and keeps the answer."""

import asyncio
import wave
from pathlib import Path

import msgspec
import typer

from cozy_domain.audio import HEARING_RATE, SAMPLE_BYTES, SPEAKING_RATE, Upload
from cozy_domain.errors import ConfigError
from cozy_server.cli.caller import Heard, Wanted, check_there, converse
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED
from cozy_server.cli.visible import visible
from cozy_server.settings.load import secret_of


class CallOptions(msgspec.Struct, frozen=True):
    """As typed."""

    question: str
    answer: str
    url: str
    key: str | None
    persona: str | None
    session: str | None
    as_json: bool


class Reply(msgspec.Struct, frozen=True):
    """``heard_after_ms`` is from the last word of the question to the first sound of the answer."""

    question: str
    answer: str
    file: str
    seconds: float
    heard_after_ms: float
    session_id: str | None


def run(options: CallOptions) -> None:
    """Exits 1 when there was no answer.

    Raises:
        CozyError: there could be no call.
    """
    data = _read(Path(options.question))
    check_there(options.url)
    key = secret_of(options.key, settings_from(development=True).variables) if options.key else None
    wanted = Wanted(options.url, key, options.persona, options.session)
    reply = asyncio.run(_call(options, wanted, Upload(data, Path(options.question).name)))
    if options.as_json:
        typer.echo(msgspec.json.encode(reply).decode())
    else:
        typer.echo(f"you:    {visible(reply.question) or '(not told)'}")
        typer.echo(f"answer: {visible(reply.answer) or '(no words)'}")
        typer.echo(f"{reply.file}: {reply.seconds:.1f} s, {reply.heard_after_ms:.0f} ms after your last word")
    if not reply.seconds:
        raise typer.Exit(FAILED)


async def _call(options: CallOptions, wanted: Wanted, question: Upload) -> Reply:
    # Only now: what speaks WebRTC takes half a second to load.
    from cozy_server.container.speech import audio_codec
    from cozy_server.container.voice import placed_calls

    calls, codec = placed_calls(), audio_codec()
    if calls is None or codec is None:
        raise ConfigError(
            "cozy call needs aiortc and PyAV, which are not installed",
            hint="Type: pip install 'cozy-engine[voice]'",
        )
    try:
        sound = await codec.decode(question)
        samples = codec.resampler(HEARING_RATE, SPEAKING_RATE).decode(sound.samples)
        heard = await converse(calls, wanted, samples)
    finally:
        await calls.aclose()
    _write(Path(options.answer), heard)
    return Reply(heard.question, heard.answer, options.answer, heard.seconds, heard.late_ms, heard.session_id)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None


def _write(file: Path, heard: Heard) -> None:
    try:
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(SAMPLE_BYTES)
            out.setframerate(HEARING_RATE)
            out.writeframes(heard.sound)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
