"""The autouse check of `tests/conftest.py`, run on tests of its own."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = (Path(__file__).parent.parent / "conftest.py").read_text(encoding="utf-8")
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
markers =
    virtual_time: as in our own settings
    unit: as in our own settings
"""
LEAKING = """
import asyncio
import pytest

{mark}
async def test_leaks():
    asyncio.create_task(asyncio.Event().wait(), name="the forgotten one")

{mark}
async def test_cleans_up():
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()

@pytest.fixture
async def worker():
    task = asyncio.create_task(asyncio.Event().wait())
    yield
    task.cancel()

{mark}
async def test_whose_fixture_cleans_up(worker):
    pass
"""


@pytest.mark.parametrize("mark", ["", "@pytest.mark.virtual_time"], ids=["real", "virtual"])
def test_a_task_left_running_fails_its_test_and_only_that(pytester: pytest.Pytester, mark: str) -> None:
    pytester.makeini(SETTINGS)
    pytester.mkdir("unit")
    pytester.makeconftest(CONFTEST)
    (pytester.path / "unit" / "test_sample.py").write_text(LEAKING.format(mark=mark), encoding="utf-8")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*left running: the forgotten one*"])
