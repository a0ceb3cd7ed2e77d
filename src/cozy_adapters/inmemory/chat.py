"""Everything that a chat needs, in this process's own memory: gone when it ends."""

from cozy_adapters.inmemory.arguments import InMemoryArgumentCheck
from cozy_adapters.inmemory.audit import InMemoryAuditLog
from cozy_adapters.inmemory.blobs import InMemoryBlobStore
from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_adapters.inmemory.jobs import InMemoryJobQueue
from cozy_adapters.inmemory.knowledge import InMemoryKnowledgeBase
from cozy_adapters.inmemory.memory import InMemoryChatMemory
from cozy_adapters.inmemory.persona_revisions import InMemoryPersonaRevisions
from cozy_adapters.inmemory.profile import InMemoryProfileStore
from cozy_adapters.inmemory.sessions import InMemorySessionStore, InMemoryTurnHistory, InMemoryTurnStore
from cozy_adapters.inmemory.toolbox import builtin_tools
from cozy_domain.chat.ports import ChatPorts
from cozy_domain.clock import Clock
from cozy_domain.ids import Ids
from cozy_domain.models.ports import TokenCounter
from cozy_domain.tools.ports import ToolBox


class InMemoryChat:
    """``ports`` for the pipeline; ``sessions``, ``blobs``, ``jobs``, ``memory``, ``knowledge`` and ``profile`` for the
    application. Without a ``toolbox`` there are calculator and clock."""

    def __init__(self, clock: Clock, ids: Ids, tokens: TokenCounter, toolbox: ToolBox | None = None) -> None:
        conversations = InMemoryConversations()
        self.sessions = InMemorySessionStore(conversations)
        self.blobs = InMemoryBlobStore(conversations)
        self.jobs = InMemoryJobQueue(conversations)
        self.memory = InMemoryChatMemory()
        self.knowledge = InMemoryKnowledgeBase()
        self.profile = InMemoryProfileStore()
        self.ports = ChatPorts(
            turns=InMemoryTurnStore(conversations),
            history=InMemoryTurnHistory(conversations),
            blobs=self.blobs,
            audit=InMemoryAuditLog(conversations),
            revisions=InMemoryPersonaRevisions(),
            memory=self.memory,
            knowledge=self.knowledge,
            profile=self.profile,
            toolbox=builtin_tools() if toolbox is None else toolbox,
            arguments=InMemoryArgumentCheck(),
            tokens=tokens,
            clock=clock,
            ids=ids,
        )
