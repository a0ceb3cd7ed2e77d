"""Commands in groups: `cozy keys create`, `cozy db upgrade`. As in `app`, each imports what it needs when it runs."""

from typing import Annotated, Literal

import typer

from cozy_server.cli.guessing import Guessing
from cozy_server.cli.options import AsJson, Config, Data
from cozy_server.cli.telling import EXIT_CODES, told_errors

keys = typer.Typer(cls=Guessing, no_args_is_help=True, help="API keys: who may ask.", epilog=EXIT_CODES)
audit = typer.Typer(
    cls=Guessing, no_args_is_help=True, help="The log that shows tampering.", epilog=EXIT_CODES
)
config = typer.Typer(cls=Guessing, no_args_is_help=True, help="The settings in force.", epilog=EXIT_CODES)
persona = typer.Typer(cls=Guessing, no_args_is_help=True, help="The characters there are.", epilog=EXIT_CODES)
db = typer.Typer(
    cls=Guessing, no_args_is_help=True, help="The store: schema, health, copies.", epilog=EXIT_CODES
)


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
