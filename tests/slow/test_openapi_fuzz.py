"""The server against its own OpenAPI document: requests by chance, and chains of requests that follow from each other."""

from pathlib import Path

import pytest

from tests.fixtures.api_tester import served, tried


@pytest.mark.parametrize("phase", ["fuzzing", "stateful"])
async def test_chance_finds_no_answer_that_the_document_does_not_know(tmp_path: Path, phase: str) -> None:
    async with served(tmp_path) as (server, token):
        found = await tried(server, token, tmp_path, f"--phases={phase}", "--max-examples=250")
    assert found.passed, found.told
