"""What assembly gathers, and what prompt building makes of it."""

from datetime import datetime
from typing import Literal

import msgspec

from cozy_domain.audit.events import Degradation
from cozy_domain.messages import Message
from cozy_domain.profile import Profile
from cozy_domain.sessions.session import PastTurn

Engine = Literal["memory", "knowledge", "profile"]
Source = Literal["memory", "knowledge", "lore", "profile", "summary"]
SectionName = Literal[
    "platform", "persona", "profile", "summary", "history", "recall", "user", "post_history"
]


class Candidate(msgspec.Struct, frozen=True):
    """Something that may stand in the recall section. ``score`` in 0..1, ``tokens`` as counted with its frame.

    ``origin`` tells where it comes from (a fact's id, a document and its span) and is shown to the model.
    """

    source: Source
    id: str
    text: str
    score: float
    tokens: int
    origin: str
    pinned: bool = False
    priority: int = 0
    at_us: int = 0


class Gathered(msgspec.Struct, frozen=True):
    """What the engines gave. An engine that was not asked, or failed, has nothing here."""

    history: tuple[PastTurn, ...] = ()
    profile: Profile = Profile()
    candidates: tuple[Candidate, ...] = ()
    degraded: tuple[Degradation, ...] = ()
    asked: tuple[Engine, ...] = ()


class Section(msgspec.Struct, frozen=True):
    """What one section of the prompt became. ``hash`` is SHA-256 (hex) of its text; ``dropped`` counts items left out."""

    name: SectionName
    tokens: int
    items: int
    hash: str
    dropped: int = 0


class Moment(msgspec.Struct, frozen=True):
    """Now, as the owner sees it: local wall time, to the minute, and the IANA zone."""

    local: datetime
    timezone: str


class ContextBundle(msgspec.Struct, frozen=True):
    """A prompt that fits. ``head_hash`` is stable within an epoch and is the provider's cache key.

    Turns with a ``seq`` below ``history_from`` are cut off.
    """

    messages: tuple[Message, ...]
    sections: tuple[Section, ...]
    prompt_tokens: int
    head_hash: str
    history_from: int
    degraded: tuple[Degradation, ...] = ()
    used: tuple[str, ...] = ()
    """Origins of the recalled items that stand in the prompt."""
