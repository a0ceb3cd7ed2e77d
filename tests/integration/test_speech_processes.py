"""The processes of the offline recogniser live no longer than the server, and load nothing that it does not need."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText
from cozy_domain.speech.ports import Hearing
from cozy_server.app import opened, warm_speech
from tests.fixtures.server import container_for, settings_for

SERVER = """
import asyncio
from cozy_adapters.pocketsphinx.recogniser import PocketsphinxSpeechToText
from cozy_domain.audio import Pcm
from cozy_domain.speech.ports import Hearing

async def main():
    recogniser = PocketsphinxSpeechToText()
    await recogniser.transcribe(Pcm(bytes(3_200)), Hearing(phrases=("yes",)))
    print(*recogniser.pids, flush=True)
    busy = asyncio.create_task(recogniser.transcribe(Pcm(bytes(32_000 * 600)), Hearing()))
    await asyncio.sleep(3_600)

asyncio.run(main())
"""
PATIENCE_S = 60.0


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux about processes")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_a_process_ends_with_the_server_also_when_that_is_killed(ending: signal.Signals) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout
    async with asyncio.timeout(PATIENCE_S):
        child = os.pidfd_open(int(await server.stdout.readline()))
        try:
            server.send_signal(ending)
            await server.wait()
            await ended(child)
        finally:
            os.close(child)


def test_the_recogniser_is_imported_without_what_decodes_files() -> None:
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, cozy_adapters.pocketsphinx.recogniser; print({'av', 'pocketsphinx'} & set(sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "set()"


async def ended(process: int) -> None:
    """Until the process of this descriptor is over; whether anybody asks for its status does not matter."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process)


async def test_what_a_call_needs_is_started_before_the_first_one(tmp_path: Path) -> None:
    container = container_for(settings_for(tmp_path))
    async with opened(container):
        await warm_speech(container)
        (recogniser,) = (it.engine for it in container.recognisers().engines)
        assert isinstance(recogniser, PocketsphinxSpeechToText)
        (waiting,) = map(os.pidfd_open, recogniser.pids)
        async with recogniser.listen(Hearing(language="en")):
            assert recogniser.pids == ()
        assert "cozy_adapters.webrtc.connections" in sys.modules
    try:
        await ended(waiting)
    finally:
        os.close(waiting)
