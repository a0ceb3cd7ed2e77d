"""The promises of the ``ToolBox`` port, on every adapter."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import msgspec
import pytest

from cozy_adapters.inmemory.toolbox import InMemoryToolBox, JoinedToolBox, builtin_tools
from cozy_domain.errors import ConfigError, MissingError, ToolError
from cozy_domain.ids import Owner, TurnId
from cozy_domain.models.request import ToolDefinition
from cozy_domain.tools.ports import ToolBox
from cozy_domain.tools.tool import Effect, ToolContext, ToolSpec, ToolTime
from tests.fixtures.mcp import connected, free_port, honest_process, only, over_http, rogue

CONTEXT = ToolContext(Owner("account", "subject"), TurnId(UUID(int=1)), ToolTime(0))
PROMPT_S = 60.0  # far more than needed; bounds a test that would hang
NOTHING = msgspec.Raw(b"{}")


class ToolBoxContract(ABC):
    """An adapter passes when a subclass that supplies it passes.

    It holds three tools: ``echo`` says its arguments, ``sorry`` raises ``ToolError("not today")``, ``stuck`` never answers.
    Their names may begin with a ``prefix``.
    """

    prefix = ""

    @pytest.fixture
    @abstractmethod
    def box(self) -> ToolBox: ...

    def test_its_tools_have_unique_names_and_come_in_their_order(self, box: ToolBox) -> None:
        names = [spec.name for spec in box.specs()]
        assert names == [f"{self.prefix}{name}" for name in ("echo", "sorry", "stuck")]

    def test_asking_twice_for_its_tools_gives_the_same(self, box: ToolBox) -> None:
        assert box.specs() == box.specs()

    def test_the_parameters_of_every_tool_are_a_schema_of_an_object(self, box: ToolBox) -> None:
        for spec in box.specs():
            assert msgspec.json.decode(spec.definition.parameters)["type"] == "object"

    async def test_a_tool_gets_its_arguments(self, box: ToolBox) -> None:
        said = await box.run(f"{self.prefix}echo", msgspec.Raw('{"text": "grüß dich"}'.encode()), CONTEXT)
        assert msgspec.json.decode(said) == {"text": "grüß dich"}

    async def test_a_failure_is_a_tool_error(self, box: ToolBox) -> None:
        with pytest.raises(ToolError, match="not today"):
            await box.run(f"{self.prefix}sorry", NOTHING, CONTEXT)

    async def test_a_name_that_is_no_tool_is_missing(self, box: ToolBox) -> None:
        with pytest.raises(MissingError):
            await box.run(f"{self.prefix}Echo", NOTHING, CONTEXT)

    async def test_cancelling_stops_the_work_at_once_and_leaves_it_usable(self, box: ToolBox) -> None:
        task = asyncio.ensure_future(box.run(f"{self.prefix}stuck", NOTHING, CONTEXT))
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(PROMPT_S):
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await box.run(f"{self.prefix}echo", NOTHING, CONTEXT)

    async def test_one_stuck_tool_does_not_hold_up_another(self, box: ToolBox) -> None:
        task = asyncio.ensure_future(box.run(f"{self.prefix}stuck", NOTHING, CONTEXT))
        async with asyncio.timeout(PROMPT_S):
            assert await box.run(f"{self.prefix}echo", NOTHING, CONTEXT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def spec(name: str) -> ToolSpec:
    return ToolSpec(ToolDefinition(name=name), Effect.READ)


def echo(arguments: msgspec.Raw, context: ToolContext) -> str:
    return bytes(arguments).decode()


def sorry(arguments: msgspec.Raw, context: ToolContext) -> str:
    raise ToolError("not today")


async def stuck(arguments: msgspec.Raw, context: ToolContext) -> str:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


class TestInMemory(ToolBoxContract):
    @pytest.fixture
    def box(self) -> ToolBox:
        return InMemoryToolBox([(spec("stuck"), stuck), (spec("sorry"), sorry), (spec("echo"), echo)])

    def test_two_tools_of_one_name_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="'echo'"):
            InMemoryToolBox([(spec("echo"), echo), (spec("echo"), sorry)])

    async def test_a_tool_gets_its_context(self) -> None:
        def whose(arguments: msgspec.Raw, context: ToolContext) -> str:
            return context.owner.subject

        assert await InMemoryToolBox([(spec("whose"), whose)]).run("whose", NOTHING, CONTEXT) == "subject"

    async def test_the_built_in_tools_calculate_and_tell_the_time(self) -> None:
        box = builtin_tools([(spec("echo"), echo)])
        assert [each.name for each in box.specs()] == ["calculator", "clock", "echo"]
        assert await box.run("calculator", msgspec.Raw(b'{"expression": "6 * 7"}'), CONTEXT) == "42"
        assert "1970-01-01 00:00:00" in await box.run("clock", NOTHING, CONTEXT)


class TestJoined(ToolBoxContract):
    @pytest.fixture
    def box(self) -> ToolBox:
        first = InMemoryToolBox([(spec("sorry"), sorry), (spec("echo"), echo)])
        return JoinedToolBox(first, InMemoryToolBox([(spec("stuck"), stuck), (spec("echo"), sorry)]))


class TestMcpOverStandardInput(ToolBoxContract):
    prefix = "rogue__"

    @pytest.fixture
    async def box(self) -> AsyncIterator[ToolBox]:
        async with connected(only(rogue(), "echo", "sorry", "stuck")) as box:
            yield box


@pytest.fixture(scope="module")
def honest_port() -> Iterator[int]:
    """One process for all tests: it takes seconds to start."""
    with asyncio.Runner() as runner:
        port = free_port()
        process = honest_process(port)
        runner.run(process.__aenter__())
        yield port
        runner.run(process.__aexit__(None, None, None))


class TestMcpOverHttp(ToolBoxContract):
    prefix = "honest__"

    @pytest.fixture
    async def box(self, honest_port: int) -> AsyncIterator[ToolBox]:
        async with connected(only(over_http(honest_port), "echo", "sorry", "stuck")) as box:
            yield box
