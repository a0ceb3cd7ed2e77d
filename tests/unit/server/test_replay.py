"""`cozy replay` says whether a recorded call would go the same way."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from cozy_domain.voice.policy import DEFAULT, MS, S
from cozy_domain.voice.replay import beginning_line, step_line
from cozy_server.cli.app import app
from tests.fixtures.voice import Call


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    call = Call()
    call.ask()
    call.reply()
    call.wait(S)
    file = tmp_path / "call.jsonl"
    file.write_bytes(beginning_line(0, DEFAULT) + b"".join(step_line(*it) for it in call.steps))
    return file


def test_a_recording_that_goes_the_same_way_is_told_so(recording: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(recording)])
    assert done.exit_code == 0, done.output
    assert "No difference." in done.output


def test_json_says_where_the_call_is_when_it_stops(recording: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(recording), "--until", "1.05", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["same"], told["phase"], told["user"]) == (True, "active", "speaking")


def test_a_recording_that_goes_another_way_fails_and_shows_the_actions(recording: Path) -> None:
    lines = recording.read_bytes().splitlines()
    lines[1] = lines[1].replace(b"session_limit", b"drain")
    recording.write_bytes(b"\n".join(lines))
    done = CliRunner().invoke(app, ["replay", str(recording)])
    assert done.exit_code == 1
    assert "- timer.arm timer='drain'" in done.output
    assert "+ timer.arm timer='session_limit'" in done.output


def test_another_profile_shows_what_would_have_changed_and_is_no_failure(
    recording: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    slow = msgspec.structs.replace(DEFAULT.endpointing, unsure_ns=890 * MS)
    profile.write_bytes(msgspec.json.encode(msgspec.structs.replace(DEFAULT, endpointing=slow)))
    done = CliRunner().invoke(app, ["replay", str(recording), "--profile", str(profile)])
    assert done.exit_code == 0, done.output
    assert "history.commit_user" in done.output


@pytest.mark.parametrize("what", ["missing", "broken", "profile"])
def test_what_cannot_be_read_is_named(recording: Path, tmp_path: Path, what: str) -> None:
    given = [str(recording)]
    if what == "missing":
        given = [str(tmp_path / "nothing.jsonl")]
    elif what == "broken":
        recording.write_bytes(b"[]\n")
    else:
        given += ["--profile", str(recording)]
    done = CliRunner().invoke(app, ["replay", *given, "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stderr)["error"]["code"] == "invalid_recording"
