"""What is told of a turn, wherever it runs; as JSON one object a line, told apart by ``type``."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, Self
from uuid import UUID

import msgspec

from cozy_server.codes import Language


class Began(msgspec.Struct, frozen=True, tag_field="type", tag="turn_started"):
    """The first words are about to come."""

    session_id: str
    turn_id: str


class Words(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class Refused(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    text: str


class Thought(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning"):
    text: str


class ToolUsed(msgspec.Struct, frozen=True, tag_field="type", tag="tool"):
    """``arguments`` is the model's JSON text. A server tells of its tools at the end of the turn."""

    name: str
    arguments: str
    outcome: str | None = None
    duration_ms: int | None = None


class Skipped(msgspec.Struct, frozen=True):
    """An engine that the answer had to do without."""

    engine: str
    reason: str
    after_ms: int


class Ended(msgspec.Struct, frozen=True, tag_field="type", tag="turn_ended"):
    """The turn is stored. ``state``: completed, waiting or interrupted; ``finish`` is None when it was interrupted."""

    state: str
    finish: str | None = None
    model: str | None = None
    degraded: tuple[Skipped, ...] = ()
    first_token_ms: float | None = None
    total_ms: float | None = None


class Failed(msgspec.Struct, frozen=True, tag_field="type", tag="turn_failed"):
    code: str
    message: str
    hint: str | None = None


Said = Began | Words | Refused | Thought | ToolUsed | Ended


class Asked(msgspec.Struct, frozen=True):
    """What the user says, and to whom. Without ``persona`` and ``model`` the persona ``default`` answers."""

    text: str
    session: UUID
    persona: str | None = None
    model: str | None = None


class Partner(msgspec.Struct, frozen=True):
    """On whose behalf somebody talks, and in which language errors are told."""

    user: str | None = None
    language: Language = "en"


class SessionLine(msgspec.Struct, frozen=True):
    id: UUID
    title: str | None
    persona: str
    messages: int
    last_turn_at: datetime


class HistoryLine(msgspec.Struct, frozen=True):
    """``role``: user, assistant or tool; ``interrupted``: it was cut short."""

    role: str
    text: str
    interrupted: bool = False


class Turn(Protocol):
    """One answer on its way. ``Ended`` is the last of it."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Said:
        """
        Raises:
            CozyError: the turn failed.
        """
        ...

    def stop(self) -> None:
        """Ends the answer where it is; ``Ended`` with ``interrupted`` follows."""
        ...


class Talk(Protocol):
    """Somebody to talk to. Every method raises ``CozyError`` when that cannot be."""

    def turn(self, asked: Asked) -> AbstractAsyncContextManager[Turn]: ...

    async def names(self) -> tuple[tuple[str, ...], str]:
        """The personas' ids, and who answers, in words."""
        ...

    async def sessions(self, limit: int) -> tuple[SessionLine, ...]:
        """Newest first."""
        ...

    async def session(self, session: UUID) -> SessionLine | None:
        """None when there is none."""
        ...

    async def history(self, session: UUID) -> tuple[HistoryLine, ...]:
        """Oldest first."""
        ...
