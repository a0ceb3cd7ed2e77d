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
    assert "- at 0.000 s timer.arm timer='drain'" in done.output
    assert "+ at 0.000 s timer.arm timer='session_limit'" in done.output


def test_another_profile_shows_what_would_have_changed_and_is_no_failure(
    recording: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    slow = msgspec.structs.replace(DEFAULT.endpointing, unsure_ns=890 * MS)
    profile.write_bytes(msgspec.json.encode(msgspec.structs.replace(DEFAULT, endpointing=slow)))
    done = CliRunner().invoke(app, ["replay", str(recording), "--profile", str(profile)])
    assert done.exit_code == 0, done.output
    assert "history.commit_user" in done.output


def test_what_another_profile_does_sooner_is_shown_at_both_times(tmp_path: Path) -> None:
    call = Call()
    call.speak()
    call.understand("I think")
    call.wait(S)
    call.reply("Yes.")
    call.wait(S)
    recording, profile = tmp_path / "call.jsonl", tmp_path / "hasty.json"
    recording.write_bytes(beginning_line(0, DEFAULT) + b"".join(step_line(*it) for it in call.steps))
    hasty = msgspec.structs.replace(DEFAULT.endpointing, unsure_ns=400 * MS)
    profile.write_bytes(msgspec.json.encode(msgspec.structs.replace(DEFAULT, endpointing=hasty)))
    given = ["replay", str(recording), "--profile", str(profile)]
    told = CliRunner().invoke(app, given).output
    assert "+ at 1.400 s history.commit_user" in told
    assert "- at 1.800 s history.commit_user" in told
    (shown,) = [
        done["at_ms"]
        for it in json.loads(CliRunner().invoke(app, [*given, "--json"]).output)["differences"]
        for done in it["now"]
        if done["type"] == "history.commit_user"
    ]
    assert shown == 1_400


def test_how_much_of_the_recording_is_no_longer_true_is_told(recording: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    slow = msgspec.structs.replace(DEFAULT.endpointing, unsure_ns=5 * S)
    profile.write_bytes(msgspec.json.encode(msgspec.structs.replace(DEFAULT, endpointing=slow)))
    done = CliRunner().invoke(app, ["replay", str(recording), "--profile", str(profile)])
    assert "answered what was not asked now." in done.output


@pytest.mark.parametrize("what", ["broken", "profile"])
def test_what_cannot_be_understood_is_named_with_what_to_give(recording: Path, what: str) -> None:
    given = [str(recording)]
    if what == "broken":
        recording.write_bytes(b"[]\n")
    else:
        given += ["--profile", str(recording)]
    done = CliRunner().invoke(app, ["replay", *given, "--json"])
    assert done.exit_code == 1
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "invalid_recording"
    assert "`profile`" in error["hint"]


def test_what_is_not_there_is_a_wrong_argument(recording: Path, tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    for given in ([nothing], [str(recording), "--profile", nothing]):
        done = CliRunner().invoke(app, ["replay", *given])
        assert done.exit_code == 2
        assert f"{nothing} cannot be read" in done.stderr
