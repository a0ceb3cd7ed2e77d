"""A tool, and what a call of it gives."""

from enum import StrEnum
from typing import Literal

import msgspec

from cozy_domain.audit.events import ToolOutcome
from cozy_domain.ids import Owner, TurnId
from cozy_domain.messages import ToolCall
from cozy_domain.models.request import ToolDefinition


class Effect(StrEnum):
    """What a tool may change: nothing (read), something (write), the world outside (network), or it needs approval."""

    READ = "read"
    WRITE = "write"
    NETWORK = "network"
    DANGEROUS = "dangerous"


class ToolSpec(msgspec.Struct, frozen=True):
    """``server`` is the MCP server that it comes from, by its name in the settings; None for a tool of our own. ``vouched``:
    the operator trusts what that server writes into descriptions and parameters."""

    definition: ToolDefinition
    effect: Effect
    server: str | None = None
    vouched: bool = False

    @property
    def name(self) -> str:
        return self.definition.name


class ToolServerState(msgspec.Struct, frozen=True):
    """How an MCP server is. ``address`` is what runs or where it is, without arguments, paths and secrets; ``cause`` is why
    it is not connected; ``tools`` are the names under which its tools are offered, and ``withheld`` those that are not,
    each with the reason."""

    name: str
    address: str
    state: Literal["connecting", "connected", "failed"]
    cause: str | None = None
    tools: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Connected, with every tool that was asked for."""
        return self.state == "connected" and not self.withheld


class ToolTime(msgspec.Struct, frozen=True):
    """``unix_us`` is microseconds since 1970 UTC, ``timezone`` the owner's IANA name."""

    unix_us: int
    timezone: str = "UTC"


class ToolContext(msgspec.Struct, frozen=True):
    """For whom and when a tool runs; ``now`` is what the clock said at the call."""

    owner: Owner
    turn: TurnId
    now: ToolTime
    locale: str = "en"


class ToolResult(msgspec.Struct, frozen=True):
    """How a call ended. ``text`` goes to the model, also when the call failed; it is bounded."""

    call: ToolCall
    text: str
    outcome: ToolOutcome
    effect: Effect | None = None
    duration_ms: int = 0
