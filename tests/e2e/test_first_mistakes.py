"""What goes wrong at first: each slip is told where it was made, at the start."""

from pathlib import Path

from tests.fixtures.server import server_process


async def test_a_variable_that_only_looks_like_ours_is_told_and_keeps_nothing_from_starting(
    tmp_path: Path,
) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_MODLE="x/y"):
        said = (tmp_path / "stderr").read_text()
    assert "variable COZY_MODLE  is not a setting  did you mean COZY_MODEL?" in said
