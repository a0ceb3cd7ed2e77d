"""The page about the command line says what the commands are."""

from pathlib import Path

import pytest

from cozy_server.cli.reference import JSON, commands, markdown, parameters

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
COMMANDS = dict(commands())


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "python -m cozy_server.cli.reference > docs/reference/cli.md"
    )


def test_every_command_has_a_shape_and_no_shape_is_without_its_command() -> None:
    assert list(COMMANDS) == list(JSON)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_knows_json_and_every_argument_is_explained(name: str) -> None:
    told = {parameter.name: about for parameter, _, about in parameters(COMMANDS[name])}
    assert "as_json" in told
    assert COMMANDS[name].__doc__
    unexplained = [parameter for parameter, about in told.items() if not about.help]
    assert unexplained == []


def test_a_row_names_the_option_its_value_and_its_default() -> None:
    page = markdown()
    assert "| `--persona` `-p` `ID` |  | Who answers; default: default. |" in page
    assert "| `--color/--no-color` | on | Notes are dim, or plain. |" in page
    assert "| `--lang` `en\\|zh` |  | Language of messages" in page
    assert "| `REVISION` | required | The migration" in page
