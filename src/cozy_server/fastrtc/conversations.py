"""Calls of FastRTC's clients: what the session tells goes over their lines in their words, and their orders go to it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from uuid import UUID

import msgspec
from litestar.types import Scope

from cozy_domain.access.caller import Caller
from cozy_domain.access.limits import Bucket, Limit
from cozy_domain.chat.plan import zone_of
from cozy_domain.errors import CozyError, InputError, LimitError, MissingError
from cozy_domain.ids import Owner, PersonaId, SessionId
from cozy_domain.voice.calling import Calling, CallOrder, OpenedCall
from cozy_domain.voice.ports import AudioPeer
from cozy_domain.voice.public import PublicEvent, SessionClosed
from cozy_server.fastrtc.lines import Line, Lines
from cozy_server.fastrtc.outputs import Outputs
from cozy_server.fastrtc.refusals import too_many
from cozy_server.fastrtc.translate import Order, Translation, error, ours, output, read, received
from cozy_server.fastrtc.wire import CallStarted, CallWish
from cozy_server.problems import language_of, request_id

_log = logging.getLogger(__name__)

MOST_EARLY = 64
"""Messages that wait for the line; a call has told a few of them when it is attached."""

SILENT_TURNS = Limit(60)
"""Turns that a client's program may begin in a minute of a call without anybody's voice: as many as an owner may ask for
over HTTP (settled question 2)."""
_BEGIN_TURNS: frozenset[Order] = frozenset(("text", "commit", "respond"))


class Conversation:
    """One call, on whichever line it is now. ``carries`` is that line, None before the first; ``coming`` are claimed for it,
    and not connected yet."""

    def __init__(self, line: Line, release: Callable[[Line], None]) -> None:
        self._release = release
        self.carries: Line | None = None
        self.coming = [line]
        self.outputs = line.outputs
        self.opened: OpenedCall | None = None
        self._translation = Translation(announces=True)
        self._peer: AudioPeer | None = None
        self._early: deque[str] = deque(maxlen=MOST_EARLY)
        self._over = False
        self._silent_turns = Bucket(SILENT_TURNS)

    @property
    def started(self) -> CallStarted:
        opened = self.its
        session = str(opened.session) if opened.session else None
        return CallStarted(str(opened.call.id), session, str(opened.persona.id))

    def attach(self, line: Line, peer: AudioPeer, *, announces: bool) -> None:
        """The call is on this line from now on; the one before it is released, so that its id is free. ``announces``:
        outputs are announced on this line, and messages acknowledged, as FastRTC does but on sockets."""
        self.coming.remove(line)
        if earlier := self.carries:
            self.leave(earlier)
        self.carries = line
        self._translation.announces = announces
        self._peer = peer
        peer.tell(ours({"type": "call.started", **msgspec.to_builtins(self.started)}))
        while self._early:
            peer.tell(self._early.popleft())
        self.its.call.attach(peer)

    def tell(self, event: PublicEvent) -> None:
        """What the session tells."""
        self._over = self._over or isinstance(event, SessionClosed)
        if said := output(event):
            self.outputs.add(said)
        for message in self._translation.messages(event):
            if self._peer is None:
                self._early.append(message)
            else:
                self._peer.tell(message)

    def told(self, message: str) -> None:
        """What the client's program tells."""
        if self._peer is not None and self._translation.announces:
            self._peer.tell(received(message))
        try:
            it, call = read(message), self.its.call
        except InputError as wrong:
            if self._peer is not None:
                self._peer.tell(error(wrong.message))
            return
        if it and it.order in _BEGIN_TURNS and not self._may_begin():
            if self._peer is not None:
                self._peer.tell(error("Too many orders in this call; wait a moment."))
            return
        match it and it.order:
            case "text" if it:
                call.typed(it.text)
            case "dtmf" if it:
                call.pressed(it.text)
            case "hangup":
                call.close("hangup")
            case "commit":
                call.commit()
            case "clear":
                call.forget()
            case "cancel":
                call.cancel()
            case "respond":
                call.respond()
            case _:
                pass

    def _may_begin(self) -> bool:
        return self._silent_turns.admits(int(asyncio.get_running_loop().time() * 1_000_000))

    def leave(self, line: Line) -> None:
        """The call is not on this line, nor will be; what it says is read along elsewhere."""
        if not self.its.call.reason:
            line.outputs = Outputs()
        self._release(line)

    async def ended(self) -> None:
        """Waits for the end; a call that failed is told as one that ended."""
        reason = await self.its.call.ended()
        if not self._over:
            self.tell(SessionClosed(reason=reason))

    @property
    def its(self) -> OpenedCall:
        """What was opened for it."""
        if self.opened is None:
            raise RuntimeError("no call was opened")
        return self.opened


class Conversations:
    """All of one process; without ``calling`` there are none."""

    def __init__(self, calling: Calling | None, lines: Lines) -> None:
        self._calling = calling
        self.lines = lines
        self._under_way: dict[UUID, Conversation] = {}
        self._watching: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    async def begin(self, line: Line, order: CallOrder) -> Conversation:
        """A new call on a claimed line, which is released at its end, or here when there is none.

        Raises:
            RefusedError: ``concurrency_limit_reached``.
            CozyError: as `Calling.open`; or ``not_configured``.
        """
        conversation = Conversation(line, self.lines.release)
        try:
            calling = self._installed()
            opened = await calling.open(order, tell=conversation.tell, told=conversation.told)
        except CozyError as error:
            self.lines.release(line)
            _log.info("call_refused", extra={"reason": error.code, "request": order.request})
            if not isinstance(error, LimitError):
                raise
            limits = calling.limits
            if error.code == "too_many_calls":
                raise too_many(limits.each) from None
            raise too_many(limits.at_once, error.code) from None
        except BaseException:
            self.lines.release(line)
            raise
        conversation.opened, line.call = opened, opened.call
        self._under_way[opened.call.id] = conversation
        watching = asyncio.create_task(self._watch(conversation), name="fastrtc call")
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return conversation

    def go_on(self, line: Line, owner: Owner, call: str) -> Conversation:
        """The owner's call of that id, on another line; the line is released here when there is none.

        Raises:
            MissingError: there is none.
        """
        id = _uuid(call)
        found = self._calling.find(owner, id) if id and self._calling else None
        conversation = self._under_way.get(found.call.id) if found else None
        if conversation is None:
            self.lines.release(line)
            raise MissingError("There is no such call.", code="not_found", param="call")
        line.call, line.outputs = conversation.its.call, conversation.outputs
        conversation.coming.append(line)
        return conversation

    async def give_up(self, conversation: Conversation, line: Line) -> None:
        """Nothing came of this line. The call goes on where it is; one that was never anywhere is over when this returns."""
        conversation.coming.remove(line)
        if conversation.carries is None and not conversation.coming:
            conversation.its.call.close("failed")
            await conversation.its.call.ended()
        conversation.leave(line)

    async def aclose(self) -> None:
        """Waits for those whose calls have ended to be told."""
        await asyncio.gather(*self._watching)

    def _installed(self) -> Calling:
        if self._calling is None:
            raise MissingError(
                "Nothing is installed that reads sound.",
                code="not_configured",
                hint="pip install 'cozy-engine[voice]'.",
            )
        return self._calling

    async def _watch(self, conversation: Conversation) -> None:
        try:
            await conversation.ended()
        finally:
            self._under_way = {id: it for id, it in self._under_way.items() if it is not conversation}
            for line in (conversation.carries, *conversation.coming):
                if line:
                    self.lines.release(line)


def order_of(wish: CallWish, caller: Caller, scope: Scope) -> CallOrder:
    """
    Raises:
        InputError: the session is no UUID, or the time zone no IANA name.
    """
    if wish.timezone is not None:
        zone_of(wish.timezone)
    session = None if wish.session is None else _uuid(wish.session)
    if wish.session is not None and session is None:
        raise InputError("A session's id is a UUID.", param="session")
    return CallOrder(
        caller=caller,
        owner=caller.owner(wish.user_id),
        request=request_id(scope) or "",
        persona=None if wish.persona is None else PersonaId(wish.persona),
        session=None if session is None else SessionId(session),
        personal=caller.is_personal(wish.user_id),
        timezone=wish.timezone,
        locale=language_of(scope),
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
