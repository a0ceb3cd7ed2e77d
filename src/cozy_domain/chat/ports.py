"""What the chat path needs from outside: one adapter for each port."""

import msgspec

from cozy_domain.audit.ports import AuditLog
from cozy_domain.clock import Clock
from cozy_domain.ids import Ids
from cozy_domain.knowledge import KnowledgeBase
from cozy_domain.memory import ChatMemory
from cozy_domain.models.ports import TokenCounter
from cozy_domain.persona.ports import PersonaRevisions
from cozy_domain.profile import ProfileStore
from cozy_domain.sessions.ports import BlobStore, TurnHistory, TurnStore
from cozy_domain.tools.ports import ArgumentCheck, ToolBox


class ChatPorts(msgspec.Struct, frozen=True):
    """``turns``, ``history``, ``blobs`` and ``audit`` are on one place of storage: a turn's end is one transaction."""

    turns: TurnStore
    history: TurnHistory
    blobs: BlobStore
    audit: AuditLog
    revisions: PersonaRevisions
    memory: ChatMemory
    knowledge: KnowledgeBase
    profile: ProfileStore
    toolbox: ToolBox
    arguments: ArgumentCheck
    tokens: TokenCounter
    clock: Clock
    ids: Ids
