"""The folder that holds what must not be lost or read: the database file, the audit key and the audit anchor."""

import os
import re
import secrets
import shlex
from pathlib import Path

from cozy_domain.errors import ConfigError
from cozy_server.settings.tree import Settings

AUDIT_KEY = "audit.key"
AUDIT_KEY_BYTES = 32
AUDIT_ANCHOR = "audit.anchor"
_HEX_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * AUDIT_KEY_BYTES}}}")
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def folder(settings: Settings) -> Path:
    return Path(settings.data.folder)


def postgres_url(settings: Settings) -> str | None:
    """None when the store is a SQLite file."""
    url = settings.database.url
    return url.reveal() if url and url.reveal().startswith(_POSTGRES) else None


def database_file(settings: Settings) -> Path:
    """
    Raises:
        ConfigError: ``database.url`` is not one of SQLite.
    """
    url = settings.database.url
    if url is None:
        return folder(settings) / "cozy.db"
    if not url.reveal().startswith(_SQLITE):
        raise ConfigError(
            "database.url is neither of the form sqlite:///PATH nor postgresql://USER:PASSWORD@HOST:PORT/NAME",
            hint="Leave it out for the file cozy.db in the data folder.",
        )
    return Path(url.reveal().removeprefix(_SQLITE))


def missing_store(settings: Settings) -> Path | None:
    """The file that should be there and is not; whether a Postgres is there is known when it is asked.

    Raises:
        ConfigError: ``database.url`` names no store that we know.
    """
    if postgres_url(settings) is not None:
        return None
    file = database_file(settings)
    return None if file.exists() else file


def anchor_file(settings: Settings) -> Path:
    return folder(settings) / AUDIT_ANCHOR


def prepare(place: Path) -> None:
    """Creates the folder for its owner alone; one that exists keeps its mode.

    Raises:
        ConfigError: it cannot be created.
    """
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file, not a folder" if place.is_file() else error.strerror
        raise ConfigError(
            f"the data folder {place} cannot be used: {reason}",
            hint="Name another one with --data or COZY_DATA.",
        ) from None


def audit_key(settings: Settings, *, generate: bool) -> bytes:
    """The key that signs audit records: from the settings, else from the folder, where it may be generated.

    Raises:
        ConfigError: there is none, or it is not 64 hex digits.
    """
    if settings.audit.key is not None:
        return _parsed(settings.audit.key.reveal(), "audit.key")
    file = folder(settings) / AUDIT_KEY
    if generate and not file.exists():
        prepare(file.parent)
        _write_new(file, secrets.token_hex(AUDIT_KEY_BYTES))
    try:
        return _parsed(file.read_text(encoding="ascii").strip(), str(file))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no audit key: audit.key is not set, and {file} does not exist",
            hint=(
                f"Name its folder with --data or COZY_DATA. Or make one with `{_making(file)}`, or set"
                " COZY_AUDIT__KEY (also as env:NAME or file:PATH). Keep it: without it the audit log cannot be checked."
            ),
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the audit key {file} cannot be read ({type(error).__name__})") from None


def _making(file: Path) -> str:
    """What to type into a shell for a key that only its owner can read."""
    place, name = shlex.quote(str(file.parent)), shlex.quote(str(file))
    return f"(umask 077 && mkdir -p {place} && openssl rand -hex {AUDIT_KEY_BYTES} > {name})"


def _parsed(text: str, place: str) -> bytes:
    if not _HEX_KEY.fullmatch(text):
        raise ConfigError(f"{place} is not {2 * AUDIT_KEY_BYTES} hex digits")
    return bytes.fromhex(text)


def _write_new(file: Path, text: str) -> None:
    """Readable by its owner from the first moment; of two processes at once, one writes and both read the same."""
    whole = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(text + "\n")
        out.flush()
        os.fsync(descriptor)
    try:
        os.link(whole, file)
    except FileExistsError:
        pass
    finally:
        whole.unlink()
