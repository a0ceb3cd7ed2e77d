"""How commands talk to people: tables or JSON on standard output, errors on standard error, and what exit codes mean."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import typer

from cozy_domain.errors import ConfigError, CozyError
from cozy_server.cli.language import language_of
from cozy_server.cli.visible import visible
from cozy_server.codes import CODES, Language

FAILED = 1
"""It was tried and failed, or found something wrong."""
REFUSED = 2
"""It cannot be done like this: settings, arguments, or what they name."""
INTERRUPTED = 130
"""Ctrl-C, as shells report it: 128 and the number of SIGINT."""
EXIT_CODES = "Exit codes: 0 done · 1 it failed, or found something wrong · 2 settings or arguments are wrong · 130 Ctrl-C."


@contextmanager
def told_errors(*, as_json: bool = False, language: Language | None = None) -> Iterator[None]:
    """Turns errors of the domain into a message, or a JSON object, on standard error and an exit code."""
    try:
        yield
    except CozyError as error:
        if as_json:
            typer.echo(error_object(error.code, error.message, error.hint), err=True)
        else:
            _tell(error, language_of(language, os.environ))
        raise typer.Exit(REFUSED if isinstance(error, ConfigError) else FAILED) from None


def error_object(code: str, message: str, hint: str | None = None) -> str:
    """``{"error": {…}}`` on one line, the shape of every error with ``--json``."""
    return json.dumps({"error": {"code": code, "message": message, "hint": hint}}, ensure_ascii=False)


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Where the package ``extra`` is imported, which the extra of the same name installs; inside of `told_errors`.

    Raises:
        ConfigError: it is not installed; with what to type.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != extra:
            raise
        raise ConfigError(
            f"cozy needs {extra}, which is not installed", hint=f"Type: pip install 'cozy-engine[{extra}]'"
        ) from None


def show(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str = "none") -> None:
    """Rows with equal keys as a table, or as a JSON list."""
    if as_json:
        typer.echo(as_json_text([dict(row) for row in rows]))
    elif not rows:
        typer.echo(empty)
    else:
        _show_table(rows)


def as_json_text(value: object) -> str:
    """Times as in RFC 3339, in UTC: ``2026-01-01T12:00:00.123456Z``."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_json_of)


def counted(number: int, what: str) -> str:
    """``1 persona``, ``2 personas``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def when(time: datetime) -> str:
    """For people: UTC, to the second."""
    return _zulu(time, "seconds")


def _tell(error: CozyError, language: Language) -> None:
    """What happened comes first; in Chinese with what kind of error that is, since the first is in English."""
    known = CODES.get(error.code) or CODES.get(error.default_code)
    message = f"{error.message}（{known.zh.cause}）" if known and language == "zh" else error.message
    typer.secho(f"error: {visible(message)}", fg="red", err=True)
    if error.hint:
        typer.echo(f"  → {visible(error.hint)}", err=True)


def _json_of(value: object) -> str:
    return _zulu(value, "auto") if isinstance(value, datetime) else str(value)


def _zulu(time: datetime, precision: str) -> str:
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _cell(value: object) -> str:
    return when(value) if isinstance(value, datetime) else "" if value is None else str(value)


def _show_table(rows: Sequence[Mapping[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    # Where nobody looks (a pipe, a file), lines are not to be broken.
    console = Console()
    Console(width=None if console.is_terminal else 10_000, markup=False, highlight=False).print(table)
