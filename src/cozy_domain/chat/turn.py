"""One turn under way.

``ChatTurn`` has two sides. The caller iterates events and may leave at any moment. The way of the turn (``run``) is
driven by a task of the pipeline, so that nothing durable depends on the caller: leaving and the deadline cancel the same
scope, a failure ends it, and all of them go on to ``_close``, which stands outside of it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Literal

from cozy_domain.chat.aside import KeptTurn
from cozy_domain.chat.close import TurnFacts, unspeakable
from cozy_domain.chat.deadline import LateStorageError
from cozy_domain.chat.delivery import Delivery
from cozy_domain.chat.ending import store_end, store_usage
from cozy_domain.chat.events import AnswerWritten, ChatEvent, TurnEnded, TurnStarted
from cozy_domain.chat.opening import open_turn, undo_open
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import TurnPlan, plan_turn
from cozy_domain.chat.prepare import gather, holds_words_of_strangers, prompt
from cozy_domain.chat.progress import Progress
from cozy_domain.chat.replay import replayed
from cozy_domain.chat.request import ChatRequest
from cozy_domain.chat.rounds import Listener, Rounds
from cozy_domain.chat.stream import EventStream
from cozy_domain.chat.turnstile import Passage, Turnstile
from cozy_domain.context.bundle import ContextBundle, Gathered
from cozy_domain.errors import (
    CozyError,
    LocalProtocolError,
    ProviderTimeoutError,
    StorageUnavailableError,
)
from cozy_domain.ids import TurnId
from cozy_domain.sessions.turn import (
    AlreadyFinished,
    Opened,
    Timings,
    TurnOutcome,
    TurnState,
)

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]

_log = logging.getLogger("cozy.chat")
_NOT_YET = 2**31
"""Comes after every turn of a session: a speculative turn has no place in it yet."""


class ChatTurn:
    """An async iterator of ``ChatEvent``s; made by ``ChatPipeline.turn``."""

    def __init__(
        self,
        parts: ChatParts,
        request: ChatRequest,
        *,
        spawn: Spawn,
        turnstile: Turnstile,
        speculative: bool,
        delivery: Literal["written", "spoken"],
    ) -> None:
        self._parts = parts
        self._request = request
        self._spawn = spawn
        self._turnstile = turnstile
        self._passage = Passage()
        self._events = EventStream(parts.limits.unread_events)
        self._delivery = Delivery(spoken=delivery == "spoken", grace_s=parts.limits.spoken_grace_s)
        self._progress = Progress()
        self._left = False
        self._stopped = False
        self._winding_up = False
        self._ended_by: CozyError | None = None
        self._broken_by: CozyError | None = None
        self._scope: asyncio.Timeout | None = None
        self._rounds: Rounds | None = None
        self._began_ns = parts.clock.monotonic_ns()
        self._context_ms = 0.0
        self._first_token_ms: float | None = None
        self._plan: TurnPlan | None = None
        self._planned = asyncio.Event()
        self._speculative = speculative
        self._confirmed: bool | None = None
        self._decided = asyncio.Event()
        self._seq = _NOT_YET
        self._open = False
        self._failure: CozyError | None = None
        self._refusal: CozyError | None = None
        self._gathered = Gathered()
        self._bundle: ContextBundle | None = None
        self._waiting_for: tuple[str, ...] = ()
        if not speculative:
            self._events.release()

    # The caller's side.

    def __aiter__(self) -> "ChatTurn":
        return self

    async def __anext__(self) -> ChatEvent:
        """
        Raises:
            CozyError: the turn failed; what was said before is stored, or of a spoken answer will be when ``delivered`` has
                told what was heard of it.
        """
        return await self._events.read()

    def ready(self) -> Sequence[ChatEvent]:
        """The events that follow and are there already; a caller who writes them out together spares itself work."""
        return self._events.ready()

    def leave(self) -> None:
        """The caller goes away: the work upstream stops now, and what was said so far is stored as ``interrupted``.
        Leaving a turn that has ended does nothing; leaving a speculative one drops it."""
        self._left = True
        self._events.abandon()
        self._give_up()

    def stop(self) -> None:
        """Ends the answer here, as its reader wishes: the work upstream stops now, what was said so far is stored as
        ``interrupted``, and then ``TurnEnded`` says so. Without a word so far the turn ends the same way, without
        ``TurnStarted``. Stopping a turn that has ended does nothing; stopping an undecided speculative one drops it."""
        self._stopped = True
        self._give_up()

    def overhear(self) -> None:
        """Lets the caller read the events of a speculative turn before it is decided, who keeps them from the user until
        then: to prepare what will be heard if it comes true."""
        self._events.release()

    def wind_up(self) -> None:
        """Tools that run may end, and the model is not asked again: for an answer that nobody wants to hear any more."""
        self._winding_up = True

    def stop_tool(self, call: str) -> None:
        """Nobody waits for this call any more: the model learns that it was stopped, and the others go on. Does nothing when
        it has ended."""
        if self._rounds:
            self._rounds.stops.stop(call)

    async def confirm(self) -> None:
        """Stores a speculative turn as opened and releases its events.

        Raises:
            CozyError: it cannot be stored, or was refused; then it is dropped.
            LocalProtocolError: it was confirmed or dropped before, or is not speculative.
        """
        self._must_be_undecided()
        self._confirmed = True
        await asyncio.shield(self._spawn(self._confirm()))
        if self._refusal is not None:
            raise self._refusal

    def drop(self) -> None:
        """Ends a speculative turn as if it had never been; only its usage is stored.

        Raises:
            LocalProtocolError: it was confirmed or dropped before, or is not speculative.
        """
        self._must_be_undecided()
        self.leave()

    def expect_audio(self, ms: int) -> None:
        """How long the rest of the answer takes to play from now on; ``delivered`` is waited for that long and 5 s more."""
        self._delivery.expect(ms)

    def heard(self, text: str) -> None:
        """What was played so far; kept at the next checkpoint."""
        self._delivery.heard = text

    def delivered(self, text: str, *, interrupted: bool) -> None:
        """What of a spoken answer was heard in the end; nothing else of it is kept.

        Raises:
            LocalProtocolError: the answer is written, not spoken.
        """
        self._delivery.settle(text, whole=not interrupted)
        if interrupted:
            self._stop()

    # The pipeline's side.

    @property
    def kept(self) -> KeptTurn | None:
        """Where it is stored, or will be; None before that is known."""
        return KeptTurn(self._plan.turn, self._plan.pin) if self._plan else None

    @property
    def checkpoint(self) -> tuple[TurnId, str] | None:
        """What to keep if the process dies now; None while nothing is stored, or all is."""
        if not self._open or self._plan is None:
            return None
        return self._plan.turn, self._delivery.heard if self._delivery.spoken else self._progress.text

    def interrupt(self, reason: CozyError) -> None:
        """The process ends: as ``leave``, but whoever still reads is told why, once what was said is stored."""
        self._ended_by = reason
        self._give_up()

    async def run(self) -> None:
        """The way of the turn, from admission to the stored end. Raises nothing but ``CancelledError``."""
        try:
            await self._way()
        except CozyError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001  the top loop of a turn: its caller is told, the process lives on
            _log.exception("turn failed")
            self._fail(_our_fault())
        finally:
            self._open = False
            self._events.end()
            self._passage.end()

    async def _way(self) -> None:
        self._passage = await self._turnstile.enter()
        plan = await plan_turn(self._parts, self._request)
        self._plan = plan
        self._planned.set()
        if not self._speculative:
            opening = await self._opened(plan)
            if isinstance(opening, AlreadyFinished):
                for event in replayed(opening.record):
                    self._events.write(event)
                return
        failure = await self._speak(plan)
        if self._speculative and not await self._is_confirmed():
            await store_usage(self._parts, plan, self._progress, self._gathered.asked)
            return
        await self._close(plan, failure)

    async def _opened(self, plan: TurnPlan) -> Opened | AlreadyFinished:
        try:
            opening = await open_turn(self._parts, plan, over=self._over)
        except LateStorageError:
            self._spawn(undo_open(self._parts, plan))
            raise
        if isinstance(opening, Opened):
            self._seq = opening.seq
            self._open = True
        return opening

    async def _confirm(self) -> None:
        """In a task of the pipeline: once the turn is stored it goes on, also when the caller did not wait for it."""
        await self._planned.wait()
        self._refusal = self._failure if self._plan is None else await self._refused(self._plan)
        if self._refusal:
            self._confirmed = False
            self._failure = self._refusal
            self._stop()
        else:
            self._events.release()
        self._decided.set()

    async def _refused(self, plan: TurnPlan) -> CozyError | None:
        try:
            await self._opened(plan)
        except CozyError as error:
            return error
        except Exception:  # noqa: BLE001  a bug of the store is the end of this turn, not of all
            _log.exception("turn %s could not be opened", plan.turn)
            return _our_fault()
        return None

    async def _speak(self, plan: TurnPlan) -> CozyError | None:
        """Steps 3 and 4, inside the scope that leaving cancels; why it failed, if it did."""
        try:
            async with asyncio.timeout(self._parts.limits.turn_s) as self._scope:
                if self._is_over():
                    self._stop()
                self._gathered = await gather(self._parts, plan, self._seq)
                self._bundle = await prompt(self._parts, plan, self._gathered)
                self._context_ms = self._ms()
                await self._answer(plan, self._bundle)
            return None
        except CozyError as error:
            self._progress.cut_short()
            return error
        except Exception as error:  # noqa: BLE001  what was said must be stored, whatever went wrong in between
            self._progress.cut_short()
            if isinstance(error, TimeoutError) and self._scope is not None and self._scope.expired():
                return self._why_stopped(plan)
            _log.exception("turn %s failed", plan.turn)
            return _our_fault()
        finally:
            self._scope = None

    def _why_stopped(self, plan: TurnPlan) -> CozyError | None:
        """None when the caller wanted it so."""
        if known := self._ended_by or self._broken_by:
            return known
        if self._failure or self._is_over() or (self._delivery.spoken and self._delivery.whole):
            return None
        return ProviderTimeoutError(
            f"The turn took longer than {self._parts.limits.turn_s:g} s.",
            provider=plan.chain[0].provider,
            code="turn_timeout",
            billed=True,
        )

    async def _answer(self, plan: TurnPlan, bundle: ContextBundle) -> None:
        listener = Listener(
            began=self._began,
            emit=self._events.write,
            room=self._events.room,
            has_room=self._events.has_room,
            confirmed=self._wait_until_confirmed,
            winding_up=lambda: self._winding_up,
        )
        rounds = self._rounds = Rounds(self._parts, plan, self._progress, listener)
        tainted = holds_words_of_strangers(plan, self._gathered, bundle)
        self._passage.end()
        try:
            self._waiting_for = await rounds.run(bundle, tainted=tainted)
        except CozyError as error:
            await self._hear_out(error)
            raise
        if self._delivery.spoken and (self._progress.text or not self._waiting_for):
            self._events.write(AnswerWritten())
            await self._delivery.settled()

    async def _hear_out(self, error: CozyError) -> None:
        """What is written of a spoken answer that breaks off is still heard; who speaks it learns at once that it ends."""
        if self._delivery.spoken and self._progress.text:
            self._broken_by = error
            self._events.write(error)
            await self._delivery.settled()

    def _began(self) -> None:
        if self._first_token_ms is None and self._plan is not None:
            self._first_token_ms = self._ms()
            plan = self._plan
            self._events.write(TurnStarted(plan.turn, plan.request.session, plan.pin, plan.at))

    async def _close(self, plan: TurnPlan, failure: CozyError | None) -> None:
        """Step 5. The caller hears of the end only when it is stored."""
        if self._delivery.spoken:
            self._progress.heard(self._delivery.heard)
        outcome = self._outcome(failure)
        facts = TurnFacts(
            turn=plan.turn,
            request=plan.request,
            speaker=plan.speaker,
            personalised=plan.personalised,
            opening=plan.conversation.new,
            state=self._state(failure),
            messages=tuple(self._progress.messages),
            outcome=outcome,
            results=tuple(self._progress.results),
            engines=self._gathered.asked,
            waiting_for=self._waiting_for,
            history_from=self._bundle.history_from if self._bundle and plan.request.session else None,
        )
        try:
            await store_end(self._parts, facts)
        except StorageUnavailableError as error:
            raise failure or error from None
        except Exception:  # noqa: BLE001  a turn that cannot be stored as it was must not stay open
            _log.exception("turn %s could not be stored as it was", plan.turn)
            await store_end(self._parts, unspeakable(facts))
            raise failure or _our_fault() from None
        self._open = False
        if failure:
            raise failure
        self._events.write(TurnEnded(facts.state, outcome))

    def _outcome(self, failure: CozyError | None) -> TurnOutcome:
        progress = self._progress
        return TurnOutcome(
            finish=progress.finish,
            answers=progress.answers,
            usage=progress.usage,
            model=str(progress.model) if progress.model else None,
            degraded=self._gathered.degraded,
            timings=Timings(self._context_ms, self._first_token_ms, self._ms()),
            error=failure.code if failure else None,
            service_tier=progress.service_tier,
            fingerprint=progress.fingerprint,
        )

    def _state(self, failure: CozyError | None) -> TurnState:
        ended_by_itself = bool(self._progress.finish) and not failure
        if ended_by_itself and self._waiting_for:
            return "waiting"
        if ended_by_itself and self._delivery.whole:
            return "completed"
        if failure and not self._progress.messages:
            return "failed"
        return "interrupted"

    def _ms(self) -> float:
        return round((self._parts.clock.monotonic_ns() - self._began_ns) / 1e6, 3)

    def _fail(self, error: CozyError) -> None:
        self._failure = self._failure or error
        self._planned.set()
        self._events.write(error)

    def _stop(self) -> None:
        """Cancels steps 3 and 4; what follows them still happens."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def _wait_until_confirmed(self) -> None:
        """
        Raises:
            LocalProtocolError: it was dropped; what waits here must not happen.
        """
        if self._speculative:
            await self._decided.wait()
            if not self._confirmed:
                raise LocalProtocolError("the turn was dropped")

    async def _is_confirmed(self) -> bool:
        try:
            async with asyncio.timeout(self._parts.limits.turn_s):
                await self._decided.wait()
        except TimeoutError:
            self._confirmed = False
        return bool(self._confirmed)

    def _give_up(self) -> None:
        if self._speculative and self._confirmed is None:
            self._confirmed = False
            self._decided.set()
        self._stop()

    def _over(self) -> CozyError | None:
        """Why a turn that waits for another one need not wait any longer; meanwhile others may begin."""
        self._passage.end()
        return (self._ended_by or LocalProtocolError("the caller left")) if self._is_over() else None

    def _is_over(self) -> bool:
        """Whether nobody wants to hear more."""
        return self._left or self._stopped or self._ended_by is not None or self._delivery.whole is False

    def _must_be_undecided(self) -> None:
        if not self._speculative or self._confirmed is not None:
            raise LocalProtocolError("this turn has nothing to decide")


def _our_fault() -> CozyError:
    return CozyError("The turn failed for a reason of our own.", code="server_error")
