"""All lines over WebRTC of one process."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

from aiortc import RTCConfiguration, RTCIceServer

from cozy_adapters.webrtc.description import description
from cozy_adapters.webrtc.ice import MOST_CANDIDATES, Candidate, ConfiguredIceServer
from cozy_adapters.webrtc.ice import candidate as parsed
from cozy_adapters.webrtc.peer import Patience, WebRtcAudioPeer
from cozy_domain.clock import Clock
from cozy_domain.errors import InputError, MissingError
from cozy_domain.voice.ports import AnsweredOffer, IceCandidate, IceServer

EARLY_S = 10.0
"""How long candidates wait for their offer."""
EARLY_NAMES = 1_000
ENDED_NAMES = 1_000
"""So many connections are remembered to have ended."""
PATIENCE = Patience()


class WebRtcConnections:
    """`PeerConnections` on aiortc.

    Args:
        clock: For passwords of limited time.
        ice_servers: What callers are told; none means none, in particular no public server of somebody else.
        own_ice_servers: What we use ourselves, for a server whose own addresses callers cannot reach. Each adds up to 5 s to
            every offer when it does not answer.
        patience: How long callers may be away.
    """

    def __init__(
        self,
        clock: Clock,
        ice_servers: Sequence[ConfiguredIceServer] = (),
        own_ice_servers: Sequence[ConfiguredIceServer] = (),
        patience: Patience = PATIENCE,
    ) -> None:
        self._clock = clock
        self._ice_servers = tuple(ice_servers)
        self._own_ice_servers = tuple(own_ice_servers)
        self._patience = patience
        self._peers: dict[str, WebRtcAudioPeer] = {}
        self._candidates: dict[str, int] = {}
        self._early: OrderedDict[str, tuple[float, list[Candidate]]] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._freeing: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        return len(self._peers)

    async def answer(self, name: str, offer: str) -> AnsweredOffer:
        read = description(offer)
        if name in self._peers:
            raise InputError(
                "A connection of this id is open.",
                code="connection_already_exists",
                hint="Make a new id for each connection.",
            )
        peer = self._peers[name] = WebRtcAudioPeer(
            self._configuration(), self._patience, lambda: self._ended(name)
        )
        self._candidates[name] = sum(len(it.candidates) for it in read.sections)
        self._gone.pop(name, None)
        answered = False
        try:
            sdp = await peer.answer(read)
            for early in self._waiting(name):
                await peer.add_candidate(early)
            answered = True
        finally:
            if not answered:
                await peer.close()
                self._gone.pop(name, None)
        return AnsweredOffer(peer, sdp)

    async def place(self, name: str) -> AnsweredOffer:
        """A line that this side calls on, and its offer; ``accept`` takes what was answered."""
        peer = self._peers[name] = WebRtcAudioPeer(
            self._configuration(), self._patience, lambda: self._ended(name)
        )
        offered = False
        try:
            sdp = await peer.offer()
            offered = True
        finally:
            if not offered:
                await peer.close()
        return AnsweredOffer(peer, sdp)

    async def accept(self, name: str, answer: str) -> None:
        """
        Raises:
            InputError: ``invalid_sdp``.
            MissingError: ``connection_closed``.
        """
        peer = self._peers.get(name)
        if peer is None:
            raise _closed()
        await peer.accept(description(answer, loopback=peer.on_loopback))

    async def add_candidate(self, name: str, candidate: IceCandidate) -> None:
        found = parsed(candidate.line)
        peer = self._peers.get(name)
        if peer is None and name in self._gone:
            raise _closed()
        if found is None:
            return
        if peer is not None:
            self._candidates[name] += 1
            _check(self._candidates[name])
            await peer.add_candidate(found)
            return
        self._forget_late()
        _, waiting = self._early.setdefault(name, (time.monotonic() + EARLY_S, []))
        _check(len(waiting) + 1)
        waiting.append(found)

    def ice_servers(self, user: str) -> tuple[IceServer, ...]:
        return tuple(it.issued(user, self._clock.now()) for it in self._ice_servers)

    async def aclose(self) -> None:
        for peer in list(self._peers.values()):
            await peer.close()
        if self._freeing:
            await asyncio.wait(self._freeing)

    def _ended(self, name: str) -> None:
        peer = self._peers.pop(name)
        self._candidates.pop(name, None)
        self._gone[name] = None
        while len(self._gone) > ENDED_NAMES:
            self._gone.popitem(last=False)
        if peer.freed is not None:
            self._freeing.add(peer.freed)
            peer.freed.add_done_callback(self._freeing.discard)

    def _waiting(self, name: str) -> list[Candidate]:
        self._forget_late()
        _, waiting = self._early.pop(name, (0.0, []))
        return waiting

    def _forget_late(self) -> None:
        now = time.monotonic()
        while self._early:
            name, (until, _) = next(iter(self._early.items()))
            if until > now and len(self._early) <= EARLY_NAMES:
                return
            del self._early[name]

    def _configuration(self) -> RTCConfiguration:
        """Never aiortc's default, which asks Google's server in every call."""
        issued = [it.issued("server", self._clock.now()) for it in self._own_ice_servers]
        return RTCConfiguration(
            iceServers=[
                RTCIceServer(list(it.urls), it.username or None, it.credential or None) for it in issued
            ]
        )


def _check(candidates: int) -> None:
    if candidates > MOST_CANDIDATES:
        raise InputError(
            f"A connection has at most {MOST_CANDIDATES} candidates.",
            code="invalid_candidate",
            param="candidate",
        )


def _closed() -> MissingError:
    return MissingError("The connection of this id has ended.", code="connection_closed")
