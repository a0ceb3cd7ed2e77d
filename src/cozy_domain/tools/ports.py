"""Ports to tools."""

from typing import Protocol

import msgspec

from cozy_domain.tools.tool import ToolContext, ToolSpec


class ToolBox(Protocol):
    """A set of tools under unique names."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """All tools, by name. Cheap: called on every turn."""
        ...

    async def run(self, name: str, arguments: msgspec.Raw, context: ToolContext) -> str:
        """What the tool says, as text for the model. ``arguments`` is a JSON object that fits the tool's schema.

        The caller owns time: cancelling stops the work.

        Raises:
            ToolError: it failed; the message is told to the model.
            MissingError: no tool of that name.
        """
        ...


class ArgumentCheck(Protocol):
    """Checks a call's arguments against its tool's JSON Schema."""

    def problems(self, schema: msgspec.Raw, arguments: msgspec.Raw) -> tuple[str, ...]:
        """What is wrong, each as ``path: reason``; empty when the arguments fit. At most 5."""
        ...
