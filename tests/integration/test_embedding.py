"""The pages on embedding, tried by somebody who has only the bare wheel."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "how-to"
PATIENCE_S = 300
"""For pip, which may have to fetch the build backend."""


def block(page: str, language: str) -> str:
    """The only code block of the page in that language."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return str(found)


def run(*command: str | Path, cwd: Path) -> str:
    """What it printed; it has no time zone database but what is installed."""
    env = {**os.environ, "PYTHONTZPATH": "", "PYTHONPATH": ""}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and what it asks for."""
    place = tmp_path_factory.mktemp("embedding")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", place, ROOT, cwd=place)
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv", with_pip=False)
    python = place / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(*pip, "--python", python, "install", "-c", ROOT / "constraints.txt", wheel, cwd=place)
    return python


def test_the_bare_wheel_brings_nothing_but_msgspec(bare: Path) -> None:
    listing = "from importlib.metadata import distributions as d; print(sorted(x.name for x in d()))"
    assert run(bare, "-c", listing, cwd=bare.parent).strip() == "['cozy-engine', 'msgspec']"


def test_the_environment_knows_no_time_zone_but_utc(bare: Path) -> None:
    assert run(bare, "-c", "import zoneinfo; print(zoneinfo.available_timezones())", cwd=bare.parent) == (
        "set()\n"
    )


@pytest.mark.parametrize("page", ["embed.md", "embed-voice.md"])
def test_the_example_prints_what_the_page_says(bare: Path, page: str) -> None:
    example = bare.parent / "example.py"
    example.write_text(block(page, "python"), encoding="utf-8")
    assert run(bare, "-W", "error", example, cwd=bare.parent) == block(page, "text")
