"""Tools that are functions of this process."""

import inspect
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from cozy_domain.errors import ConfigError, MissingError
from cozy_domain.tools.builtin import CALCULATOR, CLOCK, calculator, clock
from cozy_domain.tools.ports import ToolBox
from cozy_domain.tools.tool import ToolContext, ToolSpec

ToolFunction = Callable[[msgspec.Raw, ToolContext], str | Awaitable[str]]
"""Takes the arguments as JSON text of an object that fits the tool's schema; gives text for the model. A plain function
runs on the event loop, so it must be quick; one that waits is ``async``. It raises ``ToolError`` to tell the model why
it failed; of any other error the model only learns that there was one."""


class InMemoryToolBox:
    """A ``ToolBox`` of functions.

    Raises:
        ConfigError: two tools have one name.
    """

    def __init__(self, tools: Iterable[tuple[ToolSpec, ToolFunction]] = ()) -> None:
        self._tools: dict[str, tuple[ToolSpec, ToolFunction]] = {}
        for spec, function in tools:
            if spec.name in self._tools:
                raise ConfigError(f"two tools are called {spec.name!r}")
            self._tools[spec.name] = (spec, function)
        self._specs = tuple(self._tools[name][0] for name in sorted(self._tools))

    def specs(self) -> tuple[ToolSpec, ...]:
        return self._specs

    async def run(self, name: str, arguments: msgspec.Raw, context: ToolContext) -> str:
        if name not in self._tools:
            raise MissingError(f"there is no tool {name!r}")
        said = self._tools[name][1](arguments, context)
        return await said if inspect.isawaitable(said) else said


class JoinedToolBox:
    """Several tool boxes as one, in their order. A name that two of them have is the first one's."""

    def __init__(self, *boxes: ToolBox) -> None:
        self._boxes = boxes

    def specs(self) -> tuple[ToolSpec, ...]:
        found: dict[str, ToolSpec] = {}
        for box in self._boxes:
            for spec in box.specs():
                found.setdefault(spec.name, spec)
        return tuple(found.values())

    async def run(self, name: str, arguments: msgspec.Raw, context: ToolContext) -> str:
        box = next((box for box in self._boxes if any(spec.name == name for spec in box.specs())), None)
        if box is None:
            raise MissingError(f"there is no tool {name!r}")
        return await box.run(name, arguments, context)


def builtin_tools(more: Iterable[tuple[ToolSpec, ToolFunction]] = ()) -> InMemoryToolBox:
    """Calculator and clock, and ``more``."""
    return InMemoryToolBox([(CALCULATOR, calculator), (CLOCK, clock), *more])
