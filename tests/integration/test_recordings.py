"""A call that was driven is written down, and goes the same way when it is replayed."""

import logging
from pathlib import Path
from uuid import UUID

import pytest

from cozy_adapters.files.recordings import Recordings
from cozy_adapters.inmemory.language_model import saying
from cozy_domain.voice.public import OutputStarted, ResponseDone
from cozy_domain.voice.replay import read, replay
from cozy_domain.voice.state import Phase
from tests.fixtures.driven_calls import VoiceUnderTest

CALL = UUID(int=7)


@pytest.mark.virtual_time
async def test_a_driven_call_replays_to_the_same_actions(tmp_path: Path) -> None:
    voice = VoiceUnderTest(
        heard=["What time is it?", "No, wait."], record=Recordings(tmp_path / "calls").write
    )
    async with voice.call(saying("It is noon. The sun stands high."), saying("I wait.")) as call:
        await call.quiet(3.0)
        await call.say(1.0)
        await call.until(OutputStarted)
        await call.quiet(0.5)
        await call.say(1.0)
        await call.until(ResponseDone, 2)
    (file,) = (tmp_path / "calls").iterdir()
    begun, steps = read(file.read_bytes().splitlines())
    found = replay(begun, steps)
    assert found.differences == ()
    assert found.steps == len(steps) > 50
    assert found.state.phase is Phase.CLOSED


def test_only_its_owner_may_read_a_recording(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "calls")
    recordings.write(CALL, b"one\n")
    recordings.write(CALL, b"two\n")
    (file,) = (tmp_path / "calls").iterdir()
    assert file.name == f"{CALL}.jsonl"
    assert file.read_bytes() == b"one\ntwo\n"
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_is_said_once_and_ends_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "calls").write_text("in the way", encoding="utf-8")
    recordings = Recordings(tmp_path / "calls")
    with caplog.at_level(logging.WARNING):
        recordings.write(CALL, b"one\n")
        recordings.write(CALL, b"two\n")
    assert len(caplog.records) == 1
