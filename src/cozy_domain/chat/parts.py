"""What the chat path is made of: the ports and use cases it calls, and its limits."""

from collections.abc import Callable

import msgspec

from cozy_domain.audit.ports import AuditLog
from cozy_domain.chat.generate import Generation
from cozy_domain.clock import Clock
from cozy_domain.context.assembly import ContextAssembly
from cozy_domain.ids import Ids
from cozy_domain.models.ports import TokenCounter
from cozy_domain.persona.ports import PersonaRevisions
from cozy_domain.routing.choice import Snapshot
from cozy_domain.sessions.ports import BlobStore, TurnHistory, TurnStore
from cozy_domain.tools.ports import ArgumentCheck, ToolBox


class ChatLimits(msgspec.Struct, frozen=True):
    """Seconds and sizes (settled questions 6 and 17). ``close_s``: how long a store that fails at the end is tried again;
    ``storage_s``: how long one storage call may take; ``answer_characters``: what ends an endless answer;
    ``tool_result_characters``: some 4,000 tokens of English, an eighth of the window assumed of an unknown model;
    ``turns_at_once``: 500 clients that read slowly, and what comes beside them (reliability L3); ``turns_at_once_each``: of
    one owner, so that nobody takes all of them; ``turns_entering``: how many are on their way to their model at once, and
    ``entering_s``: how long one waits at most for its turn to be (64 that come at once need about as long)."""

    turn_s: float = 300.0
    tool_s: float = 30.0
    close_s: float = 30.0
    storage_s: float = 5.0
    lease_s: float = 10.0
    checkpoint_s: float = 2.0
    reap_s: float = 5.0
    waiting_round_s: float = 3_600.0
    spoken_grace_s: float = 5.0
    answer_characters: int = 500_000
    tool_result_characters: int = 16_000
    window_tokens: int = 32_768
    unread_events: int = 256
    turns_at_once: int = 600
    turns_at_once_each: int = 100
    turns_entering: int = 16
    entering_s: float = 0.06


class ChatParts(msgspec.Struct, frozen=True):
    """``snapshot`` gives the configuration in force now; a turn asks once. ``audit_key`` signs audit records."""

    turns: TurnStore
    history: TurnHistory
    blobs: BlobStore
    audit: AuditLog
    revisions: PersonaRevisions
    assembly: ContextAssembly
    generation: Generation
    toolbox: ToolBox
    arguments: ArgumentCheck
    tokens: TokenCounter
    snapshot: Callable[[], Snapshot]
    clock: Clock
    ids: Ids
    audit_key: bytes
    timezone: str = "UTC"
    limits: ChatLimits = ChatLimits()
