"""200 mutilated files over HTTP: each is read or refused in time, and nothing is left of them."""

import os
import time
from pathlib import Path

import httpx2

from tests.fixtures.server import container_for, running, settings_for
from tests.fixtures.sounds import mutations
from tests.fixtures.speech import hearing

LONGEST_S = 15.0
"""For a file: its limit of real time, and what a busy machine adds."""
GROWTH_BYTES = 60_000_000
"""Of the server between the first quarter of the files and the last: its largest transcript decoded is 8 MB."""


async def test_no_hostile_file_is_our_fault_or_leaves_anything_behind(tmp_path: Path) -> None:
    statuses: list[int] = []
    resident: list[int] = []
    async with (
        running(hearing(container_for(settings_for(tmp_path)))) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=LONGEST_S * 2) as client,
    ):
        for name, data in mutations(seed=20, count=200):
            began = time.monotonic()
            answer = await client.post("/v1/audio/transcriptions", files={"file": (name, data)})
            assert time.monotonic() - began < LONGEST_S, name
            assert answer.status_code in (200, 400), (name, answer.text)
            if answer.status_code == 400:
                assert answer.json()["error"]["code"] in ("invalid_audio", "audio_too_long"), name
            statuses.append(answer.status_code)
            resident.append(resident_bytes())
            assert len(children()) <= 2, name  # the one that waits, and the one that comes after it
    assert {200, 400} == set(statuses)
    assert max(resident[150:]) - max(resident[:50]) < GROWTH_BYTES
    assert not children()


def resident_bytes() -> int:
    """Of this process, which the server is in."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children() -> set[int]:
    """The processes that decode files for this one."""
    found = set()
    for it in Path("/proc/self/task").glob("*/children"):
        for pid in it.read_text().split():
            try:
                if b"sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(int(pid))
            except OSError:
                continue
    return found
