"""The bytes of images, recordings and files in memory."""

from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_domain.ids import Owner, OwnerId
from cozy_domain.sessions.blobs import Blob


class InMemoryBlobStore:
    def __init__(self, conversations: InMemoryConversations) -> None:
        self._all = conversations

    async def read(self, owner: Owner, digests: tuple[str, ...]) -> tuple[Blob, ...]:
        self._all.check()
        places = ((owner.id, digest) for digest in dict.fromkeys(digests))
        return tuple(self._all.blobs[place] for place in places if self._is_shown(place))

    def _is_shown(self, place: tuple[OwnerId, str]) -> bool:
        turns = (self._all.turns[turn] for turn in self._all.uses.get(place, ()))
        return any(not self._all.is_hidden(turn) for turn in turns)
