"""The `cozy` command: what it does by itself. What it does to keys, personas and so on is in `groups`.

Each command imports what it needs when it runs, so that help comes at once.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from cozy_server.cli import groups
from cozy_server.cli.guessing import Guessing
from cozy_server.cli.language import language_of
from cozy_server.cli.options import AsJson, Config, Data, Lang
from cozy_server.cli.telling import EXIT_CODES, REFUSED, error_object, needing, told_errors

app = typer.Typer(
    name="cozy",
    help="A chat engine whose characters stay themselves.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    cls=Guessing,
)
app.add_typer(groups.keys, name="keys")
app.add_typer(groups.audit, name="audit")
app.add_typer(groups.config, name="config")
app.add_typer(groups.persona, name="persona")
app.add_typer(groups.db, name="db")

# What Typer raises for arguments that are not right; it exports only this one of them.
_SLIP = cast(type[Exception], typer.BadParameter.__base__)


def main() -> None:
    """The command. With ``--json`` a slip in its arguments is a JSON object as well."""
    if "--json" not in sys.argv:
        app()
        return
    try:
        code = app(standalone_mode=False)
    except _SLIP as slip:
        typer.echo(error_object("usage", slip.format_message()), err=True)  # type: ignore[attr-defined]  # as Typer has it
        code = REFUSED
    raise SystemExit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cozy {version('cozy-engine')}")
        raise typer.Exit


@app.callback()
def cozy(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version, and do nothing else."
        ),
    ] = False,
) -> None:
    """A chat engine whose characters stay themselves."""


@app.command(epilog=EXIT_CODES)
def dev(
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="Default 8000, or the next free one; 0 takes any."),
    ] = None,
    simulate: Annotated[
        str | None,
        typer.Option(
            "--simulate",
            metavar="STT/LLM/TTS",
            help="For load tests: engines that only take so many milliseconds (150/250/150, or 0/0/0).",
        ),
    ] = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Serve on this machine: no key, no database, no question."""
    from cozy_server.cli import run

    with told_errors(as_json=as_json):
        run.dev(port, data, config_file, simulate=simulate, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; default 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Default 8000.")] = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Serve to those who have an API key."""
    from cozy_server.cli import run

    with told_errors(as_json=as_json):
        run.serve_all(host, port, data, config_file, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def demo(
    model: Annotated[
        str | None, typer.Option("--model", metavar="PROVIDER/ID", help="Default: the offline model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole thing at work, and check it: a persona answers, calls a tool, and remembers."""
    with told_errors(as_json=as_json), needing("openai"):
        from cozy_server.cli import demo as demonstration

        demonstration.run(model, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def chat(
    message: Annotated[
        str | None,
        typer.Argument(metavar="MESSAGE|-", help="Say this, once; - says all of standard input."),
    ] = None,
    persona: Annotated[
        str | None, typer.Option("--persona", "-p", metavar="ID", help="Who answers; default: default.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="UUID|last", help="Go on with this session.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new session, as without --session.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="An alias or an allowed provider/id.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="On whose behalf: cozy.user_id.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="A running server, instead of this process.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Its API key; better env:NAME or file:PATH than the key.")
    ] = None,
    color: Annotated[bool, typer.Option("--color/--no-color", help="Notes are dim, or plain.")] = True,
    lang: Lang = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Talk to a persona: streamed, remembered, with the tools that it uses.

    In a pipe each line of standard input is a message, and only answers are on standard output.
    """
    from cozy_server.cli.chat import command

    with told_errors(as_json=as_json, language=lang):
        command.run(
            command.ChatOptions(
                message=message,
                persona=persona,
                session=session,
                new=new,
                model=model,
                user=user,
                url=url,
                key=key,
                as_json=as_json,
                color=color,
                language=language_of(lang, os.environ),
                data=data,
                config=config_file,
            )
        )


@app.command(epilog=EXIT_CODES)
def say(
    text: Annotated[str, typer.Argument(metavar="TEXT|-", help="What to say; - is all of standard input.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Its ending is the format: .mp3 .opus .ogg .aac .flac .wav .pcm",
        ),
    ],
    form: Annotated[
        Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None,
        typer.Option("--format", help="The format, whatever the ending; needed with -o -, standard output."),
    ] = None,
    voice: Annotated[
        str | None, typer.Option("--voice", metavar="NAME", help="Default: the persona's.")
    ] = None,
    speed: Annotated[float | None, typer.Option("--speed", min=0.25, max=4, help="1 is natural.")] = None,
    persona: Annotated[
        str | None, typer.Option("--persona", "-p", metavar="ID", help="Whose voice, language and pace.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="One of speech.tts; default: the first.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    lang: Lang = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say a text into a sound file. It is there once it is whole."""
    with told_errors(as_json=as_json, language=lang):
        from cozy_server.cli import speech

        wanted = speech.Say(text, output, form, voice, speed, persona, engine, force)
        speech.say(wanted, data, config_file, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def transcribe(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-", help="MP3, WAV, M4A, MP4, WebM, OGG, FLAC or AAC; - is standard input."
        ),
    ],
    form: Annotated[
        Literal["text", "srt", "vtt"], typer.Option("--format", help="Text, or subtitles.")
    ] = "text",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; default: standard output.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="Of what is said, as en or zh-CN.")
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="How names in it are written.")] = "",
    words: Annotated[
        bool, typer.Option("--words", help="With --json: times of words, where they are known.")
    ] = False,
    persona: Annotated[
        str | None, typer.Option("--persona", "-p", metavar="ID", help="Whose recogniser and language.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="One of speech.stt; default: the first.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --output.")] = False,
    lang: Lang = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write down what is said in a sound file. On a terminal it tells how far it is."""
    with told_errors(as_json=as_json, language=lang):
        from cozy_server.cli import speech

        wanted = speech.Transcribe(file, form, language, prompt, words, persona, engine, output, force)
        speech.transcribe(wanted, data, config_file, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def call(
    wav: Annotated[str, typer.Option("--wav", metavar="FILE", help="What to say: any sound file.")],
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Where the answer goes, as WAV.")
    ] = "answer.wav",
    url: Annotated[str, typer.Option("--url", help="A running server.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None, typer.Option("--key", help="Its API key; better env:NAME or file:PATH than the key.")
    ] = None,
    persona: Annotated[
        str | None, typer.Option("--persona", "-p", metavar="ID", help="Who answers; default: default.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="UUID", help="Go on with this conversation.")
    ] = None,
    lang: Lang = None,
    as_json: AsJson = False,
) -> None:
    """Call a running server as a browser does, say what is in a sound file, and keep the spoken answer."""
    from cozy_server.cli import call as calling

    with told_errors(as_json=as_json, language=lang):
        calling.run(calling.CallOptions(wav, out, url, key, persona, session, as_json))


@app.command(epilog=EXIT_CODES)
def doctor(
    development: Annotated[bool, typer.Option("--dev", help="As `cozy dev` sees it, with .env.")] = False,
    lang: Lang = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Look for what keeps it from working well: each line says cause and fix."""
    from cozy_server.cli.doctor import command

    language = language_of(lang, os.environ)
    with told_errors(as_json=as_json, language=lang):
        command.run(data, config_file, development=development, as_json=as_json, language=language)


@app.command(epilog=EXIT_CODES)
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording: one JSON object a line.")],
    until: Annotated[
        float | None,
        typer.Option("--until", metavar="SECONDS", min=0, help="Stop there; default: to its end."),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="Another profile (JSON): what would have changed?"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go through a recorded call again: the same events must lead to the same actions."""
    from cozy_server.cli import replay as replays

    with told_errors(as_json=as_json):
        replays.run(file, until, profile, as_json=as_json)
