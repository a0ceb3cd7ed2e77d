"""The `cozy` script works, in its way, where only the bare wheel is installed."""

import importlib
import subprocess
import sys
from types import ModuleType

import pytest
from typer.testing import CliRunner

from cozy_server.cli.__main__ import main
from cozy_server.cli.app import app


def break_import(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def import_module(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_a_missing_extra_is_one_line_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_import(monkeypatch, "typer.core")
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "cozy needs typer, which is not installed. Type: pip install 'cozy-engine[server]'\n"


def test_a_missing_module_of_ours_is_not_blamed_on_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    break_import(monkeypatch, "cozy_server.cli.app")
    with pytest.raises(ModuleNotFoundError):
        main()


def test_the_demo_without_its_client_is_one_line_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "cozy_server.cli.demo", raising=False)
    monkeypatch.delattr("cozy_server.cli.demo", raising=False)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert (
        result.stderr
        == "error: cozy needs openai, which is not installed\n  → Type: pip install 'cozy-engine[openai]'\n"
    )


STOPPED_AT_AN_IMPORT = """
import os, signal, sys

# A shell starts what runs in its background with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Stopping:
    def find_spec(self, name, *_):
        if name == "cozy_server.cli.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Stopping())
from cozy_server.cli.__main__ import main
main()
"""


def test_ctrl_c_while_the_commands_are_imported_ends_without_a_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_AN_IMPORT], capture_output=True, check=False, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (130, b"")


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout.startswith("cozy ")) == (0, True)
