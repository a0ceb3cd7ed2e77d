"""Step 4 of a turn: a model answers, tools run, it answers again."""

from collections.abc import Awaitable, Callable

from cozy_domain.chat.events import ChatEvent, ToolBegan, ToolRan
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import TurnPlan
from cozy_domain.chat.progress import Progress
from cozy_domain.chat.tool_loop import (
    Answer,
    GiveUp,
    HandOver,
    LoopState,
    RunTools,
    after,
    choice_now,
    next_step,
)
from cozy_domain.context.bundle import ContextBundle
from cozy_domain.errors import ProviderMalformedError
from cozy_domain.messages import Message, ToolCall
from cozy_domain.models.request import ModelRef, ModelRequest
from cozy_domain.tools.invoke import CallTerms, Stops, handed_over, invoke_all
from cozy_domain.tools.policy import held_back, runs_unconfirmed
from cozy_domain.tools.tool import ToolResult


class Listener:
    """Where the rounds of a turn report to, and what they wait for."""

    def __init__(
        self,
        *,
        began: Callable[[], None],
        emit: Callable[[ChatEvent], None],
        room: Callable[[], Awaitable[None]],
        has_room: Callable[[], bool],
        confirmed: Callable[[], Awaitable[None]],
        winding_up: Callable[[], bool],
    ) -> None:
        self.began = began
        self.emit = emit
        self.room = room
        self.has_room = has_room
        self.confirmed = confirmed
        self.winding_up = winding_up


class Rounds:
    """The rounds of one turn; what they bring about is in ``progress``, also when they are cancelled."""

    def __init__(self, parts: ChatParts, plan: TurnPlan, progress: Progress, listener: Listener) -> None:
        self._parts = parts
        self._plan = plan
        self._progress = progress
        self._listener = listener
        self._chain = plan.chain
        self._tainted = False
        self.stops = Stops()

    async def run(self, bundle: ContextBundle, *, tainted: bool = False) -> tuple[str, ...]:
        """Until there is an answer; the ids of the calls that the client has to run, if it has to. ``tainted``: the prompt
        holds words of strangers.

        Raises:
            ProviderError: a model failed in a way that cannot be mended.
        """
        self._tainted = tainted
        messages: tuple[Message, ...] = bundle.messages
        state = LoopState(
            turn=self._plan.turn, client_tools=self._plan.offer.client, choice=self._plan.request.tool_choice
        )
        while True:
            await self._round(state, messages, bundle.head_hash)
            match next_step(state, self._progress.output()):
                case Answer():
                    self._progress.answered()
                    return ()
                case RunTools(message=message, calls=calls):
                    results = await self._run_tools(calls)
                    messages += self._progress.end_round(message, results)
                    if self._listener.winding_up():
                        return ()
                    state = after(state, results)
                case HandOver(client=client, server=server, stored=stored, sent=sent):
                    results = await self._run_tools(server)
                    self._progress.handed_over(stored, sent, results)
                    self._progress.results += [handed_over(call) for call in client]
                    return tuple(call.id for call in client)
                case GiveUp(reason=reason):
                    raise ProviderMalformedError(
                        "The model kept calling tools and gave no answer.",
                        provider=self._chain[0].provider,
                        code=reason,
                        billed=True,
                    )

    async def _round(self, state: LoopState, messages: tuple[Message, ...], cache_key: str) -> None:
        self._progress.begin_round(state)

        def ask(ref: ModelRef) -> ModelRequest:
            features = self._parts.generation.features(ref)
            return self._plan.model_request(ref, messages, choice_now(state), features, cache_key)

        async with self._parts.generation.answer(self._chain, ask) as answer:
            self._progress.model = answer.model
            # A turn stays with the model that began it: another one has not seen its own calls.
            self._chain = (answer.model,)
            self._listener.began()
            async for delta in answer:
                event = self._progress.take(delta)
                if event is not None:
                    self._listener.emit(event)
                    if not self._listener.has_room():
                        await self._listener.room()
                if self._progress.characters > self._parts.limits.answer_characters:
                    self._progress.overflowed = True
                    return
        if not self._progress.output().choices:
            raise ProviderMalformedError(
                f"The model '{answer.model}' ended without an answer.",
                provider=answer.model.provider,
                billed=True,
            )

    async def _run_tools(self, calls: tuple[ToolCall, ...]) -> tuple[ToolResult, ...]:
        allowed = self._plan.offer.server
        if any(not runs_unconfirmed(allowed[call.name]) for call in calls if call.name in allowed):
            await self._listener.confirmed()
        ended: list[ToolResult] = []
        cancelled = self._plan.speaker.persona.tools.cancel_on_barge_in
        for call in calls:
            self._listener.emit(ToolBegan(call.id, call.name, call.name in cancelled))
        try:
            results = await invoke_all(calls, self._terms(calls), ended.append, self.stops)
        except BaseException:
            self._progress.results += ended
            raise
        for result in results:
            call = result.call
            self._listener.emit(
                ToolRan(call.name, result.outcome, result.duration_ms, call.arguments, call.id)
            )
        return results

    def _terms(self, calls: tuple[ToolCall, ...]) -> CallTerms:
        parts, allowed = self._parts, self._plan.offer.server
        permissions = self._plan.speaker.persona.tools
        return CallTerms(
            box=parts.toolbox,
            allowed=allowed,
            check=parts.arguments,
            context=self._plan.tool_context(parts.clock.now()),
            clock=parts.clock,
            deadline_s=parts.limits.tool_s,
            max_result=parts.limits.tool_result_characters,
            unapproved=self._plan.offer.unapproved,
            held_back=held_back(
                calls,
                allowed,
                permissions,
                self._progress.results,
                tainted=self._tainted,
                strangers=self._plan.offer.strangers,
            ),
        )
