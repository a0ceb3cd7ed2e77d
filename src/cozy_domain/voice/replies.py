"""What a call's model says, to the events of the session: each reply is a turn of the chat pipeline.

The pipeline stores its turns and runs its tools by itself; the session decides which of them are wanted, and how much of
each was heard. What is said without a model, and what the user says when nobody answers any more, are turns of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Protocol

import msgspec

from cozy_domain.chat.aside import KeptTurn
from cozy_domain.chat.events import AnswerWritten, ToolBegan, ToolRan
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.chat.request import ChatRequest
from cozy_domain.chat.turn import ChatTurn, Spawn
from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError
from cozy_domain.models.deltas import RefusalDelta, TextDelta
from cozy_domain.voice.events import (
    WRITTEN,
    CancelRequested,
    CancelResponse,
    CommitAssistant,
    CorrectUser,
    Event,
    ResponseFailed,
    ResponseTextAdded,
    ResponseTextFinished,
    StartResponse,
    ToolCompleted,
    ToolFailed,
    ToolRequested,
    TruncateAssistant,
)

_log = logging.getLogger("cozy.voice")

SLOWEST_MS = 300
"""Milliseconds that a character takes at most: a Chinese one, slowly spoken."""
PATIENCE_MS = 60_000
"""And what may come between: pauses, a line that is lost and comes back."""


class Request(Protocol):
    """What to ask the pipeline. ``text`` is the user's, possibly none; ``after_tools``: then about results that came."""

    def __call__(self, text: str, *, after_tools: bool = False) -> ChatRequest: ...

    def heard(self, question: str, answer: str) -> None:
        """What became of a turn; the question may be empty."""
        ...

    def corrected(self, question: str, said: str) -> None:
        """What the last ``question`` really was."""
        ...

    def shortened(self, answer: str, heard: str) -> None:
        """Of the last ``answer`` only this was heard."""
        ...


class Heard(msgspec.Struct, frozen=True):
    """What was heard of a reply in the end."""

    text: str
    interrupted: bool


class Spoken:
    """What was said last: when it is stored, and where, for it may become known that less of it was heard."""

    def __init__(self, response: int, text: str) -> None:
        self.response = response
        self.text = text
        self.kept: KeptTurn | None = None
        self.stored = asyncio.Event()


class Reply:
    """One turn of the pipeline. ``undecided``: it was begun ahead, and its turn is not committed. ``so_far`` was heard up to
    now; ``heard`` is None until that is final. ``corrected``: more was understood of its turn before it had begun, which is
    stored after it; ``behind`` is what is stored before it then."""

    def __init__(self, order: StartResponse) -> None:
        self.order = order
        self.turn: ChatTurn | None = None
        self.undecided = order.speculative
        self.written = 0
        self.cancelled = False
        self.so_far = ""
        self.heard: Heard | None = None
        self.kept: KeptTurn | None = None
        self.spoken: Spoken | None = None
        self.settled = False
        self.corrected = False
        self.behind: asyncio.Task[None] | None = None
        self.done = False
        """The session expects nothing of it any more."""
        self.tools: dict[str, str] = {}
        """Calls under way, and their names."""
        self.known = asyncio.Event()
        """All that will be known of it is."""
        self.over = asyncio.Event()


class Replies:
    """Those of one call."""

    def __init__(
        self,
        pipeline: ChatPipeline,
        request: Request,
        clock: Clock,
        tell: Callable[[Event], None],
        spawn: Spawn,
    ) -> None:
        self._pipeline = pipeline
        self._request = request
        self._clock = clock
        self._tell = tell
        self._spawn = spawn
        self._replies: dict[int, Reply] = {}
        self._aside: asyncio.Task[None] | None = None
        """The last of what is stored beside them, which begins when the one before it is done."""
        self._spoken: Spoken | None = None

    @property
    def under_way(self) -> int:
        return len(self._replies)

    def start(self, order: StartResponse) -> None:
        reply = self._replies[order.response_id] = Reply(order)
        self._spawn(self._run(reply))

    def confirm(self, response: int) -> None:
        """Its turn is committed: from now on the user's words are kept, whatever becomes of the answer."""
        reply = self._replies.get(response)
        if reply and reply.undecided:
            reply.undecided = False
            if reply.turn:
                self._spawn(self._confirm(reply, reply.turn))

    def cancel(self, order: CancelResponse) -> None:
        """Nothing of it is wanted any more, but for calls in the background; how much of it was heard follows, if anything
        was, before `settle`."""
        if reply := self._replies.get(order.response_id):
            reply.cancelled = True
            reply.tools = {call: name for call, name in reply.tools.items() if call in order.background}
            if reply.undecided:
                if reply.turn:
                    reply.turn.leave()
                reply.known.set()
            elif reply.tools and reply.turn:
                reply.turn.wind_up()

    def commit(self, order: CommitAssistant) -> None:
        """So much of it was heard."""
        heard = Heard(order.text, order.interrupted)
        reply = self._replies.get(order.response_id)
        spoken = self._spoken = Spoken(order.response_id, order.text)
        if order.cause not in WRITTEN:
            self._after_others(lambda: self._keep("", heard, spoken))
        elif reply:
            reply.heard, reply.spoken = heard, spoken
            if reply.turn:
                reply.turn.heard(order.text)

    def keep(self, words: str) -> None:
        """The user said this, and nobody will answer."""
        self._after_others(lambda: self._keep(words, Heard("", interrupted=True)))

    def truncate(self, order: TruncateAssistant) -> None:
        """Less was heard than was committed."""
        spoken = self._spoken
        if spoken and spoken.response == order.response_id:
            self._after_others(lambda: self._shorten(spoken, order.text))

    def correct(self, order: CorrectUser) -> None:
        """More was said than was understood when it was answered."""
        for reply in self._replies.values():
            if reply.order.turn_id == order.turn_id:
                if reply.turn is None and not reply.corrected:
                    reply.corrected, reply.behind = True, self._aside
                self._after_others(partial(self._correct, reply, order.text))

    def done(self, response: int) -> None:
        """Nothing more is wanted of it, nor will be said about it."""
        if reply := self._replies.get(response):
            reply.done = True

    def heard(self, response: int, text: str) -> None:
        """So much of it was heard so far."""
        reply = self._replies.get(response)
        if reply and reply.turn and not reply.undecided:
            reply.so_far = text
            reply.turn.heard(text)

    def settle(self) -> None:
        """Ends the turns of which all is known; called when the session has nothing more to say at the moment."""
        for reply in self._replies.values():
            if reply.turn is None or reply.settled or reply.undecided or (reply.tools and reply.cancelled):
                continue
            if reply.heard is None and not (reply.cancelled or reply.done):
                continue
            heard = reply.heard or Heard("", interrupted=reply.cancelled)
            reply.turn.delivered(heard.text, interrupted=heard.interrupted)
            reply.settled = True
            reply.known.set()

    def leave(self) -> None:
        """Nothing more will be said about any: those of which not all is known end with what was heard so far."""
        for reply in self._replies.values():
            reply.cancelled, reply.tools = True, {}
            reply.heard = reply.heard or Heard(reply.so_far, interrupted=True)
            if reply.undecided and reply.turn:
                reply.turn.leave()
            reply.known.set()
        self.settle()

    def stop_tool(self, response: int, call: str) -> None:
        """Nobody waits for it; with the last one of a reply that is not wanted the turn ends."""
        if reply := self._replies.get(response):
            reply.tools.pop(call, None)
            if reply.turn and (reply.tools or not reply.cancelled):
                reply.turn.stop_tool(call)

    async def over(self) -> None:
        """Waits until all of them are stored."""
        for reply in tuple(self._replies.values()):
            await reply.over.wait()
        if self._aside:
            await asyncio.wait((self._aside,))

    def _after_others(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """What is stored beside the replies is stored in its order."""
        before = self._aside

        async def run() -> None:
            if before:
                await asyncio.wait((before,))
            await work()

        self._aside = self._spawn(run())

    async def _keep(self, words: str, heard: Heard, spoken: Spoken | None = None) -> None:
        request = self._request(words)
        self._request.heard(words, heard.text)
        kept = None
        if request.session is not None:  # else nobody could find it again
            try:
                kept = await self._pipeline.keep(request, heard.text, interrupted=heard.interrupted)
            except CozyError as error:
                _log.warning("what was said in a call without a model is not stored: %s", error.code)
        if spoken:
            spoken.kept = kept
            spoken.stored.set()

    async def _shorten(self, spoken: Spoken, text: str) -> None:
        await spoken.stored.wait()
        self._request.shortened(spoken.text, text)
        spoken.text = text
        request = self._request("")
        if spoken.kept and request.session is not None:
            try:
                await self._pipeline.shorten(request, spoken.kept, text)
            except CozyError as error:
                _log.warning("more stays stored of an answer than was heard: %s", error.code)

    async def _correct(self, reply: Reply, text: str) -> None:
        await reply.over.wait()
        self._request.corrected(reply.order.text, text)
        request = self._request("")
        if reply.kept and request.session is not None:
            try:
                await self._pipeline.correct(request, reply.kept, text)
            except CozyError as error:
                _log.warning("less stays stored of a question than was understood: %s", error.code)

    async def _run(self, reply: Reply) -> None:
        try:
            await self._stored_before(reply)
            if not (reply.undecided and reply.cancelled):
                await self._answer(reply)
        except CozyError as error:
            self._failed(reply, error)
        finally:
            self._over(reply)

    async def _answer(self, reply: Reply) -> None:
        order = reply.order
        words = "" if order.corrected else order.text
        request = self._request(words, after_tools=bool(order.calls))
        turning = self._pipeline.turn(request, speculative=reply.undecided, delivery="spoken")
        async with turning as turn:
            reply.turn = turn
            if reply.undecided:
                turn.overhear()
            self.settle()
            try:
                async for event in turn:
                    self._note(reply, event)
            except CozyError as error:
                self._failed(reply, error)
                await self._heard_out(reply, turn)

    def _over(self, reply: Reply) -> None:
        self._end_tools(reply)
        self._replies.pop(reply.order.response_id, None)
        if reply.settled:
            words = "" if reply.order.corrected else reply.order.text
            self._request.heard(words, reply.heard.text if reply.heard else "")
        reply.kept = reply.turn.kept if reply.turn else None
        if reply.spoken:
            reply.spoken.kept = reply.kept
            reply.spoken.stored.set()
        reply.over.set()

    def _failed(self, reply: Reply, error: CozyError) -> None:
        if not reply.cancelled:
            self._tell(ResponseFailed(self._clock.monotonic_ns(), reply.order.response_id, error.code))

    async def _heard_out(self, reply: Reply, turn: ChatTurn) -> None:
        """What was written before it failed is still spoken, and stored as far as it is heard."""
        self._end_tools(reply)
        if reply.written:
            turn.expect_audio(reply.written * SLOWEST_MS + PATIENCE_MS)
            self.settle()
            await reply.known.wait()

    def _end_tools(self, reply: Reply) -> None:
        ended, reply.tools = reply.tools, {}
        for call in ended:
            self._tell(ToolFailed(self._clock.monotonic_ns(), call, "cancelled"))

    async def _stored_before(self, reply: Reply) -> None:
        """What was said before is in the history, with the results of tools; also an answer that ended just now."""
        while (aside := reply.behind if reply.corrected else self._aside) and not aside.done():
            await asyncio.wait((aside,))
        for earlier in tuple(self._replies.values()):
            if earlier is not reply and earlier.settled:
                await earlier.over.wait()

    def _note(self, reply: Reply, event: object) -> None:
        now, response = self._clock.monotonic_ns(), reply.order.response_id
        match event:
            case TextDelta(text=text) | RefusalDelta(text=text) if text and not reply.cancelled:
                reply.written += len(text)
                self._tell(ResponseTextAdded(now, response, text))
            case AnswerWritten():
                if reply.turn:
                    reply.turn.expect_audio(reply.written * SLOWEST_MS + PATIENCE_MS)
                if not reply.cancelled:
                    self._tell(ResponseTextFinished(now, response))
            case ToolBegan(call=call, name=name) if not reply.cancelled:
                reply.tools[call] = name
                self._tell(ToolRequested(now, response, call, name, event.cancel_on_barge_in))
            case ToolRan(call=call, outcome=outcome) if call in reply.tools:
                del reply.tools[call]
                self._tell(ToolCompleted(now, call) if outcome == "ok" else ToolFailed(now, call, outcome))
                self.settle()

    async def _confirm(self, reply: Reply, turn: ChatTurn) -> None:
        """The user's words are stored while the first sound is made; a store that fails ends the reply."""
        try:
            await turn.confirm()
            self.settle()
        except CozyError as error:
            response = reply.order.response_id
            self._tell(ResponseFailed(self._clock.monotonic_ns(), response, error.code))
            # Also when all of it is written: what is not stored is not said.
            self._tell(CancelRequested(self._clock.monotonic_ns(), response))
