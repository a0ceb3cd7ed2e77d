"""What somebody meant who typed a command that does not exist."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cozy_server.cli.app import app
from cozy_server.cli.guessing import MEANT, Guessing


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sevre", "serve"),
        ("start", "dev"),
        ("tts", "say"),
        ("help", "--help"),
        ("version", "--version"),
        ("persona lst", "list"),
        ("persona vaildate", "validate"),
        ("db migrate", "upgrade"),
        ("keys add", "create"),
        ("key", "keys"),
    ],
)
def test_the_command_that_was_meant_is_told(typed: str, meant: str) -> None:
    told = CliRunner().invoke(app, typed.split())
    assert told.exit_code == 2
    assert f"Did you mean '{meant}'?" in " ".join(told.output.split())


@pytest.mark.parametrize("typed", ["xyzzy", "persona tts", "keys version"])
def test_what_is_like_nothing_there_is_not_guessed_at(typed: str) -> None:
    told = CliRunner().invoke(app, typed.split())
    assert told.exit_code == 2
    assert "Did you mean" not in told.output


def test_every_word_means_a_command_that_there_is() -> None:
    root = get_command(app)
    assert isinstance(root, Guessing)
    groups = [root, *(it for it in root.commands.values() if isinstance(it, Guessing))]
    assert len(groups) == 6
    for word, command in MEANT.items():
        assert any(group.guess(word) == command for group in groups), word
