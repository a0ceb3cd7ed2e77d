"""For every test: its category from its folder, its loop, and the check that it leaves no task behind."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from tests.virtual_time import VirtualClockLoop

# What passed once passes again: a change is judged by itself. Everywhere else examples are drawn anew in each run.
# No deadline for an example: on a busy machine any takes half a second now and then, and what costs is for tests/bench.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

CATEGORIES = ("unit", "contract", "integration", "e2e", "browser", "slow")
TESTS = Path(__file__).parent
SETTLING_ROUNDS = 5  # a cancelled task needs one round to end, its task group and its owner one more each


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with the name of its folder, so that `-m contract` and the folder mean the same."""
    for item in items:
        if not item.path.is_relative_to(TESTS):
            continue
        category = item.path.relative_to(TESTS).parts[0]
        if category not in CATEGORIES:
            raise pytest.UsageError(f"{item.nodeid}: a test lives in one of tests/{{{','.join(CATEGORIES)}}}")
        item.add_marker(category)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The virtual-time loop where the test asks for it, else the platform's own."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualClockLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def no_leaked_task(request: pytest.FixtureRequest) -> None:
    """Fails an async test that leaves a task running, after its own fixtures are torn down."""
    test = getattr(request.node, "obj", None)
    property_of = getattr(test, "hypothesis", None)  # Hypothesis wraps an async test in a plain function
    if property_of is not None:
        test = property_of.inner_test
    if inspect.iscoroutinefunction(test):
        request.getfixturevalue("_watched_tasks")


@pytest.fixture
async def _watched_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(SETTLING_ROUNDS):
        await asyncio.sleep(0)
    leaked = asyncio.all_tasks() - before - {asyncio.current_task()}
    if leaked:
        names = "; ".join(sorted(f"{task.get_name()}: {task.get_coro()!r}" for task in leaked))
        pytest.fail(f"left running: {names}", pytrace=False)
