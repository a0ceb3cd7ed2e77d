"""What goes wrong at first: each slip is told where it was made, at the start."""

from pathlib import Path

from tests.fixtures.server import command, server_process


async def test_a_variable_that_only_looks_like_ours_is_told_and_keeps_nothing_from_starting(
    tmp_path: Path,
) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_MODLE="x/y"):
        said = (tmp_path / "stderr").read_text()
    assert "variable COZY_MODLE  is not a setting  did you mean COZY_MODEL?" in said


def persona_with_slips(folder: Path) -> None:
    """A tool and a variable that are none: warnings."""
    folder.mkdir()
    (folder / "anna.yaml").write_text(
        "schema: persona/1\nid: anna\nname: Anna\nprompt:\n  system: Ask {{who}}.\ntools:\n  allow: [calculater]\n"
    )


async def test_what_is_doubtful_in_a_persona_is_told_at_the_start(tmp_path: Path) -> None:
    persona_with_slips(tmp_path / "own")
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_PERSONAS__FOLDER="own") as server:
        said = (tmp_path / "stderr").read_text()
    assert "anna" in server.banner
    assert "own/anna.yaml:7:11  tools.allow[0]: there is no tool 'calculater'" in said
    assert "own/anna.yaml:5:11  prompt.system: '{{who}}' stays as it is" in said


async def test_a_start_tells_all_mistakes_of_all_personas(tmp_path: Path) -> None:
    persona_with_slips(tmp_path / "own")
    (tmp_path / "own" / "bert.yaml").write_text("schema: [")
    (tmp_path / "own" / "carl.yaml").write_text(
        "schema: persona/1\nid: carl\nname: Carl\nmodel:\n  route: opneai/gpt-9\n  fallbacks: [nonsense]\n"
    )
    for arguments in (("dev", "--port", "0"), ("persona", "validate")):
        code, out, errors = await command(
            *arguments, folder=tmp_path, COZY_PERSONAS__FOLDER="own", OPENAI_API_KEY="k"
        )
        assert code == (2 if arguments[0] == "dev" else 1)
        assert "own/bert.yaml:1:10  is not YAML" in out + errors
        assert "there is no provider 'opneai'; there are: offline, openai" in out + errors
        assert "did you mean openai/gpt-9?" in out + errors
        assert "'nonsense' is neither an alias nor written provider/id" in out + errors


async def test_a_persona_in_the_place_of_a_model_gets_a_hint_of_its_own(tmp_path: Path) -> None:
    code, _, errors = await command("dev", "--port", "0", folder=tmp_path, COZY_MODEL="wren")
    assert code == 2
    assert "'wren' is a persona" in errors
