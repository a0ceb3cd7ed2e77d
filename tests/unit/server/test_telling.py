"""How commands tell errors: in the user's language or as JSON, with an exit code."""

import json

import pytest
import typer

from cozy_domain.errors import ConfigError, CozyError, MissingError, StorageUnavailableError
from cozy_server.cli.telling import told_errors
from cozy_server.codes import Language
from cozy_server.settings.load import SettingsError


@pytest.mark.parametrize(
    ("error", "code", "zh"),
    [
        (ConfigError("no key", hint="make one"), 2, "error: no key（"),
        (SettingsError(()), 2, "error: "),
        (StorageUnavailableError("disk", code="storage_in_use"), 1, "error: disk（"),
        (MissingError("gone"), 1, "error: gone（"),
        (CozyError("odd", code="a_code_that_is_in_no_table"), 1, "error: odd（"),
    ],
)
def test_every_error_has_an_exit_code_and_is_told_in_both_languages_and_as_json(
    error: CozyError, code: int, zh: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for options in ({"language": "en"}, {"language": "zh"}, {"as_json": True}):
        with pytest.raises(typer.Exit) as end, told_errors(**options):
            raise error
        assert end.value.exit_code == code
        told.append(capsys.readouterr().err)
    assert told[0].startswith(f"error: {error.message}\n")
    assert zh in told[1]
    assert json.loads(told[2]) == {
        "error": {"code": error.code, "message": error.message, "hint": error.hint}
    }


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_terminal_obeys_nothing_in_an_error(language: Language, capsys: pytest.CaptureFixture[str]) -> None:
    error = CozyError("gone\x1b]0;owned\x07\nnext", hint="go\x1b[2J on\x9b\u202e", code="invalid_input")
    with pytest.raises(typer.Exit), told_errors(language=language):
        raise error
    told = capsys.readouterr().err
    assert not set(told) & set("\x1b\x07\x9b\u202e")
    assert "gone\ufffd]0;owned\ufffd\nnext" in told
