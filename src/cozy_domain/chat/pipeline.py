"""The only chat path: every surface, and every embedder, asks here.

The pipeline owns the tasks of its turns. They run from ``running()`` to its end, keep their leases alive, and are drained
at shutdown; a caller who goes away ends its turn, never the work of storing it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Literal, TypeVar

from cozy_domain.access.seats import Seats, Sitter
from cozy_domain.audit.chain import sign
from cozy_domain.audit.events import AuditRecord, TurnAudited
from cozy_domain.chat.aside import KeptTurn, amend, keep
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.request import ChatRequest
from cozy_domain.chat.turn import ChatTurn
from cozy_domain.chat.turnstile import Turnstile
from cozy_domain.errors import LimitError, LocalProtocolError, StorageError
from cozy_domain.ids import OwnerId
from cozy_domain.sessions.turn import ReapedTurn

T = TypeVar("T")

_log = logging.getLogger("cozy.chat")


class ChatPipeline:
    """Runs turns. One for the whole process."""

    def __init__(self, parts: ChatParts, seats: Seats | None = None) -> None:
        """``seats`` are shared with other work; by default turns have those of ``parts.limits`` to themselves."""
        self._parts = parts
        self._tasks: asyncio.TaskGroup | None = None
        self._turns: dict[ChatTurn, asyncio.Task[None]] = {}
        self._draining = False
        self._turnstile = Turnstile(parts.limits.turns_entering, parts.limits.entering_s)
        self._seats = seats or Seats(parts.limits.turns_at_once, parts.limits.turns_at_once_each)

    @property
    def turns_running(self) -> int:
        return len(self._turns)

    @asynccontextmanager
    async def running(self, drain_s: float = 30.0) -> AsyncIterator[None]:
        """Turns are possible inside. At the end those under way may finish for ``drain_s`` seconds, then they are
        interrupted; either way all are stored before this returns, or the store has failed for its 30 s."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks, self._draining = tasks, False
            upkeep = [tasks.create_task(self._keep_leases()), tasks.create_task(self._reap())]
            try:
                yield
            finally:
                self._draining = True
                await self._drain(drain_s)
                for task in upkeep:
                    task.cancel()
                self._tasks = None

    def turn(
        self,
        request: ChatRequest,
        *,
        speculative: bool = False,
        delivery: Literal["written", "spoken"] = "written",
    ) -> AbstractAsyncContextManager[ChatTurn]:
        """One turn; iterate it for its ``ChatEvent``s, leave the context to end it early.

        ``speculative``: nothing is stored and no event comes until ``confirm()``; only tools of effect ``read`` run before
        that; ``drop()``, or leaving, stores nothing but the usage. ``delivery="spoken"``: the turn ends when
        ``delivered()`` tells what was heard.

        Raises (from the first event, so that a surface can still choose a status):
            InputError, AccessError, MissingError, LimitError: the request.
            ProviderError: no model answered.
            StorageError: the turn could not be stored, and no model was asked.
        """
        return self._turn(request, speculative, delivery)

    async def keep(self, request: ChatRequest, heard: str = "", *, interrupted: bool = False) -> KeptTurn:
        """Stores as a turn of its own what is said without asking a model: the user's words in ``request`` (or none, when it
        is ``unasked``) and what was ``heard`` of the persona's. It is stored also when nobody waits for it.

        Raises:
            InputError, MissingError: the request.
            StorageUnavailableError: it is not stored.
        """
        return await self._done(lambda: keep(self._parts, request, heard, interrupted=interrupted))

    async def shorten(self, request: ChatRequest, kept: KeptTurn, heard: str) -> None:
        """Only ``heard`` was heard of the answer of a turn that has ended; ``request`` is of its owner. It is stored also
        when nobody waits for it.

        Raises:
            MissingError: it is not stored.
            StorageUnavailableError: it stays as it was.
        """
        await self._done(lambda: amend(self._parts, request, kept, heard=heard, said=None))

    async def correct(self, request: ChatRequest, kept: KeptTurn, said: str) -> None:
        """The user said this in a turn that has ended, and not only what was understood; else as ``shorten``."""
        await self._done(lambda: amend(self._parts, request, kept, heard=None, said=said))

    @asynccontextmanager
    async def _turn(
        self, request: ChatRequest, speculative: bool, delivery: Literal["written", "spoken"]
    ) -> AsyncIterator[ChatTurn]:
        if self._draining:
            raise _shutting_down()
        turn = ChatTurn(
            self._parts,
            request,
            spawn=self._spawn,
            turnstile=self._turnstile,
            speculative=speculative,
            delivery=delivery,
        )
        sitter = self._seats.take(request.caller, request.owner)
        try:
            task = self._turns[turn] = self._spawn(turn.run())
        except LocalProtocolError:
            self._seats.free(sitter)
            raise
        task.add_done_callback(lambda _: self._ended(turn, sitter))
        try:
            yield turn
        finally:
            turn.leave()

    def _ended(self, turn: ChatTurn, sitter: Sitter) -> None:
        self._turns.pop(turn)
        self._seats.free(sitter)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        if self._tasks is None:
            work.close()
            raise LocalProtocolError("the chat pipeline is not running")
        return self._tasks.create_task(work)

    async def _done(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does it in a task of the pipeline, which whoever waits for it cannot cancel."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda it: it.cancelled() or it.exception())

        async def run() -> None:
            try:
                found = await work()
            except Exception as error:  # noqa: BLE001  whoever asked is told, if anybody still waits
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(found)

        self._spawn(run())
        return await answer

    async def _drain(self, drain_s: float) -> None:
        if self._turns:
            await asyncio.wait(self._turns.values(), timeout=drain_s)
        for turn in self._turns:
            turn.interrupt(_shutting_down())
        if self._turns:
            await asyncio.wait(self._turns.values())

    async def _keep_leases(self) -> None:
        limits = self._parts.limits
        while True:
            await asyncio.sleep(limits.checkpoint_s)  # noqa: TID251  the pace of upkeep
            self._tell_refused()
            running = tuple(place for turn in self._turns if (place := turn.checkpoint) is not None)
            if not running:
                continue
            until = self._parts.clock.now() + timedelta(seconds=limits.lease_s)
            try:
                async with asyncio.timeout(limits.storage_s):
                    await self._parts.turns.checkpoint(running, until)
            except (StorageError, TimeoutError):
                _log.warning("the leases of %d running turns could not be renewed", len(running))
            except Exception:  # noqa: BLE001  the top loop of upkeep: a bug of the store ends no turn
                _log.exception("leases could not be renewed")

    def _tell_refused(self) -> None:
        """Now and then, for a flood of requests must not become one of log lines."""
        if refused := self._seats.refused:
            self._seats.refused = 0
            _log.warning(
                "%d answers were refused: %d at once are the most", refused, self._parts.limits.turns_at_once
            )

    async def _reap(self) -> None:
        limits = self._parts.limits
        while True:
            try:
                async with asyncio.timeout(limits.storage_s):
                    await self._parts.turns.reap(self._parts.clock.now(), self._reaped_record)
            except (StorageError, TimeoutError):
                _log.warning("turns of processes that died could not be looked for")
            except Exception:  # noqa: BLE001  as above
                _log.exception("turns of processes that died could not be looked for")
            await asyncio.sleep(limits.reap_s)  # noqa: TID251  the pace of upkeep

    def _reaped_record(self, turn: ReapedTurn) -> AuditRecord:
        event = TurnAudited(
            state="interrupted",
            persona=turn.persona,
            revision=turn.revision,
            model=None,
            engines=(),
            prompt_tokens=0,
            completion_tokens=0,
            said_characters=turn.said_characters,
            error="process_died",
        )
        record = AuditRecord(
            id=self._parts.ids.new(),
            at=self._parts.clock.now(),
            event=event,
            level="warning",
            account=turn.account,
            owner=OwnerId(turn.owner_id),
            session=turn.session,
            turn=turn.turn,
        )
        return sign(self._parts.audit_key, record)


def _shutting_down() -> LimitError:
    return LimitError("The server is shutting down.", code="server_shutdown", retry_after_s=1.0)
