"""The `cozy` command. Each command imports what it needs when it runs, so that help comes at once."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from cozy_server.cli.language import language_of
from cozy_server.cli.telling import EXIT_CODES, REFUSED, error_object, needing, told_errors

app = typer.Typer(
    name="cozy",
    help="A chat engine whose characters stay themselves.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(no_args_is_help=True, help="API keys: who may ask.", epilog=EXIT_CODES)
audit = typer.Typer(no_args_is_help=True, help="The log that shows tampering.", epilog=EXIT_CODES)
config = typer.Typer(no_args_is_help=True, help="The settings in force.", epilog=EXIT_CODES)
persona = typer.Typer(no_args_is_help=True, help="The characters there are.", epilog=EXIT_CODES)
db = typer.Typer(no_args_is_help=True, help="The store: schema, health, copies.", epilog=EXIT_CODES)
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
app.add_typer(config, name="config")
app.add_typer(persona, name="persona")
app.add_typer(db, name="db")

Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Settings; default ./cozy.yaml.")
]
Data = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Data folder; default COZY_DATA, else ./.cozy.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; errors too, on standard error.")]
Lang = Annotated[
    Literal["en", "zh"] | None, typer.Option("--lang", help="Language of messages; default: the locale's.")
]


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


@keys.command("create", epilog=EXIT_CODES)
def create_key(
    name: Annotated[str, typer.Argument(help="What to call the key.")],
    account: Annotated[
        str | None, typer.Option("--account", help="Whose it is; default: the key's name.")
    ] = None,
    role: Annotated[
        Literal["user", "admin"], typer.Option("--role", help="An admin may also see the server's state.")
    ] = "user",
    serves_many: Annotated[
        bool, typer.Option("--serves-many", help="It asks for many people, each named in its requests.")
    ] = False,
    days: Annotated[int | None, typer.Option("--days", min=1, help="Ends after so many days.")] = None,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown once, and only its hash is kept."""
    from cozy_server.cli import keys as key_commands

    with told_errors(as_json=as_json):
        wanted = key_commands.WantedKey(name, account or name, role, serves_many, days)
        key_commands.create(wanted, data, config_file, as_json=as_json)


@keys.command("list", epilog=EXIT_CODES)
def list_keys(data: Data = None, config_file: Config = None, as_json: AsJson = False) -> None:
    """List the API keys, without their secrets."""
    from cozy_server.cli import keys as key_commands

    with told_errors(as_json=as_json):
        key_commands.show_all(data, config_file, as_json=as_json)


@keys.command("revoke", epilog=EXIT_CODES)
def revoke_key(
    key: Annotated[str, typer.Argument(help="Its id, or its prefix (cz_ and 8 characters).")],
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """End an API key; running servers notice within 5 seconds."""
    from cozy_server.cli import keys as key_commands

    with told_errors(as_json=as_json):
        key_commands.revoke(key, data, config_file, as_json=as_json)


@keys.command("rotate", epilog=EXIT_CODES)
def rotate_key(
    key: Annotated[str, typer.Argument(help="Its id, or its prefix (cz_ and 8 characters).")],
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key like this one, and end this one. The new key is shown once."""
    from cozy_server.cli import keys as key_commands

    with told_errors(as_json=as_json):
        key_commands.rotate(key, data, config_file, as_json=as_json)


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


@audit.command("tail", epilog=EXIT_CODES)
def tail_audit(
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many of the newest.")] = 20,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest audit records."""
    from cozy_server.cli import audit as audit_commands

    with told_errors(as_json=as_json):
        audit_commands.tail(number, data, config_file, as_json=as_json)


@audit.command("verify", epilog=EXIT_CODES)
def verify_audit(data: Data = None, config_file: Config = None, as_json: AsJson = False) -> None:
    """Find changed, removed and inserted audit records; also while a server runs."""
    from cozy_server.cli import audit as audit_commands

    with told_errors(as_json=as_json):
        audit_commands.verify(data, config_file, as_json=as_json)


@config.command("show", epilog=EXIT_CODES)
def show_config(
    origin: Annotated[bool, typer.Option("--origin", help="Also where each value comes from.")] = False,
    development: Annotated[bool, typer.Option("--dev", help="As `cozy dev` sees it, with .env.")] = False,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting in force; secrets are masked."""
    from cozy_server.cli import config as config_commands

    with told_errors(as_json=as_json):
        config_commands.show_all(data, config_file, origin=origin, development=development, as_json=as_json)


@persona.command("list", epilog=EXIT_CODES)
def list_personas(config_file: Config = None, as_json: AsJson = False) -> None:
    """List the personas of this configuration."""
    from cozy_server.cli import persona as persona_commands

    with told_errors(as_json=as_json):
        persona_commands.show_all(config_file, as_json=as_json)


@persona.command("show", epilog=EXIT_CODES)
def show_persona(
    id: Annotated[str, typer.Argument(help="Which persona.")],
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a persona as it speaks: with what it extends, and with every default."""
    from cozy_server.cli import persona as persona_commands

    with told_errors(as_json=as_json):
        persona_commands.show_one(id, config_file, as_json=as_json)


@persona.command("validate", epilog=EXIT_CODES)
def validate_personas(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|FOLDER]", help="A YAML file, or a folder of them; default: the configured one."
        ),
    ] = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check persona files: each problem with its file, line and what was probably meant."""
    from cozy_server.cli import persona as persona_commands

    with told_errors(as_json=as_json):
        persona_commands.validate(place, config_file, as_json=as_json)


@persona.command("import", epilog=EXIT_CODES)
def import_card(
    file: Annotated[str, typer.Argument(help="A character card, V1 to V3: JSON, PNG or CHARX.")],
    id: Annotated[str | None, typer.Option("--id", help="What to call it; default: from its name.")] = None,
    folder: Annotated[
        str | None, typer.Option("--folder", metavar="DIR", help="Where to; default: the configured folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a persona of this id.")] = False,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a persona of a character card. It gets words only: nothing in a card is run, fetched or allowed."""
    from cozy_server.cli import cards

    with told_errors(as_json=as_json):
        wanted = cards.Import(file, id=id, folder=folder, force=force)
        cards.import_card(wanted, config_file, as_json=as_json)


@persona.command("export", epilog=EXIT_CODES)
def export_card(
    id: Annotated[str, typer.Argument(help="Which persona.")],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Its ending says what it is: .json .png .charx"),
    ],
    spec: Annotated[Literal["v2", "v3"], typer.Option("--spec", help="Version of the card.")] = "v3",
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="FILE", help="A PNG to use; default: the one it came with."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a character card of a persona. What it was imported with and did not change stays as it was."""
    from cozy_server.cli import cards

    with told_errors(as_json=as_json):
        wanted = cards.Export(id, output, spec=spec, image=image, force=force)
        cards.export_card(wanted, config_file, as_json=as_json)


@db.command("upgrade", epilog=EXIT_CODES)
def upgrade_db(data: Data = None, config_file: Config = None, as_json: AsJson = False) -> None:
    """Bring the schema up to date, which a server does by itself when it starts."""
    from cozy_server.cli import db as db_commands

    with told_errors(as_json=as_json):
        db_commands.upgrade(data, config_file, as_json=as_json)


@db.command("downgrade", epilog=EXIT_CODES)
def downgrade_db(
    revision: Annotated[
        str, typer.Argument(help="The migration to go back to, as `cozy db current` names it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Yes, what only the newer schema holds may go.")] = False,
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Go back to an older schema, for an older version of this program."""
    from cozy_server.cli import db as db_commands

    with told_errors(as_json=as_json):
        db_commands.downgrade(revision, data, config_file, yes=yes, as_json=as_json)


@db.command("current", epilog=EXIT_CODES)
def current_db(data: Data = None, config_file: Config = None, as_json: AsJson = False) -> None:
    """Show which schema the store has."""
    from cozy_server.cli import db as db_commands

    with told_errors(as_json=as_json):
        db_commands.current(data, config_file, as_json=as_json)


@db.command("check", epilog=EXIT_CODES)
def check_db(data: Data = None, config_file: Config = None, as_json: AsJson = False) -> None:
    """Check that the schema is the newest and the file is whole; also while a server runs."""
    from cozy_server.cli import db as db_commands

    with told_errors(as_json=as_json):
        db_commands.check(data, config_file, as_json=as_json)


@db.command("backup", epilog=EXIT_CODES)
def backup_db(
    target: Annotated[str, typer.Argument(metavar="FILE", help="Where to; it must not exist.")],
    data: Data = None,
    config_file: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite store, also while a server runs; of Postgres it says what to type."""
    from cozy_server.cli import db as db_commands

    with told_errors(as_json=as_json):
        db_commands.backup(target, data, config_file, as_json=as_json)
