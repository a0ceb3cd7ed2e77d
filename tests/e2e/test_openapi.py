"""The server against its own OpenAPI document: schemathesis makes up requests from it, good ones and bad ones."""

import re
from pathlib import Path

from tests.fixtures.api_tester import served, tried


async def test_every_answer_is_as_the_document_says_and_every_error_the_error_object(tmp_path: Path) -> None:
    """Its phases that are the same in every run; chance is tried in tests/slow."""
    async with served(tmp_path) as (server, token):
        found = await tried(server, token, tmp_path, "--phases=examples,coverage")
    assert found.passed, found.told
    generated = re.search(r"(\d+) generated", found.told)
    assert generated, found.told
    assert int(generated[1]) > 500
