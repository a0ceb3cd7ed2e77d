"""One call: pumps the session, which decides, against a line, recognisers, a model and a voice, which act.

What lives here: the actor. Events come from the line, from timers and from the call's own tasks, all on the event loop, and
are dealt with one after the other, each with all that the session orders for it; nothing waits while that happens. What
never lives here: a decision about the conversation (`cozy_domain.voice.session`).

A call outlives its lines: when one is lost, another may be attached within the time that the profile grants.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import assert_never
from uuid import UUID

import msgspec

from cozy_domain.chat.turn import Spawn
from cozy_domain.clock import Clock
from cozy_domain.errors import CozyError
from cozy_domain.speech.listen import Hearers
from cozy_domain.speech.ports import VoiceActivityStream, Voicing
from cozy_domain.speech.speak import Speaking
from cozy_domain.voice import events as it
from cozy_domain.voice.ear import Ear
from cozy_domain.voice.loudspeaker import Loudspeaker
from cozy_domain.voice.media import Media
from cozy_domain.voice.policy import VoiceProfile
from cozy_domain.voice.ports import AudioPeer
from cozy_domain.voice.prediction import EndOfTurn, listening
from cozy_domain.voice.public import PublicEvent
from cozy_domain.voice.replay import beginning_line, step_line
from cozy_domain.voice.replies import Replies
from cozy_domain.voice.segment_voice import SegmentVoice
from cozy_domain.voice.session import begin, heard_text, step
from cozy_domain.voice.state import Phase
from cozy_domain.voice.turns import paused_after

_log = logging.getLogger("cozy.voice")

DOUBT_NS = 100_000_000
"""A turn that is about to end while something sounds ends only if that was no speech, which takes three windows to tell."""
LOOK_S = 0.016
"""Half a window."""
STORING_S = 40.0
"""How long the last turns of a call may take to be stored: the pipeline waits 5 s for a turn to be opened, and tries for
30 s to end it."""

Tell = Callable[[PublicEvent], None]


class CallParts(msgspec.Struct, frozen=True):
    """What one call is made of. ``over`` is called when the call ends, before its caller can know and before all is stored;
    ``wanted_voice`` names the engine to ask first; ``record`` gets the lines of the call's recording
    (`cozy_domain.voice.replay`)."""

    id: UUID
    clock: Clock
    profile: VoiceProfile
    microphone: VoiceActivityStream
    hearers: Hearers
    speaking: Speaking
    voicing: Voicing
    replies: Callable[[Callable[[it.Event], None], Spawn], Replies]
    tell: Tell
    told: Callable[[str], None]
    ends: EndOfTurn
    over: Callable[[], None] = lambda: None
    wanted_voice: str | None = None
    record: Callable[[bytes], None] | None = None


class VoiceCall:
    """Made by ``VoiceCalls.open``; what its surface does with it is called from the event loop, and never waits."""

    def __init__(self, parts: CallParts) -> None:
        self.id = parts.id
        self._parts = parts
        self._clock = parts.clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._timers: dict[tuple[it.Timer, int], asyncio.TimerHandle] = {}
        self._inbox: deque[it.Event] = deque()
        self._busy = False
        self._over = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.reason = ""
        """Why it ended; empty until then."""
        self._loudspeaker = Loudspeaker(parts.profile.speaking.ahead_samples)
        self._ear = Ear(parts.microphone, parts.hearers, parts.clock, self._post, self._spawn)
        self._ear.follow(parts.profile.endpointing)
        self._media = Media(self._ear, self._loudspeaker, parts.clock, self._post, parts.told)
        self._voice = SegmentVoice(parts.speaking, self._loudspeaker, parts.clock, self._post, self._spawn)
        self._voice.voicing, self._voice.wanted = parts.voicing, parts.wanted_voice
        self._replies = parts.replies(self._post, self._spawn)
        self._had_line = False
        self._unrecorded: list[bytes] = []
        begun = self._now()
        self._record(beginning_line(begun, parts.profile))
        self._state, actions = begin(begun, parts.profile)
        self._act_all(actions)

    # The surface's side.

    def attach(self, line: AudioPeer) -> None:
        """The caller is on this line from now on; one before it is closed. On a call that ends the line is closed."""
        if self.reason or self._state.phase is Phase.CLOSING:
            self._close_line(line)
            return
        self._had_line = True
        if earlier := self._media.attach(line):
            self._close_line(earlier)

    def typed(self, text: str) -> None:
        """A message in writing."""
        self._post(it.TextTyped(self._now(), text))

    def commit(self) -> None:
        """The user's turn ends here."""
        self._post(it.InputCommitted(self._now(), self._ear.position))

    def forget(self) -> None:
        """What was said since the last commit does not count."""
        self._post(it.InputCleared(self._now(), self._ear.position))

    def respond(self) -> None:
        """A reply is wanted now."""
        self._post(it.ResponseRequested(self._now()))

    def cancel(self, response: int | None = None) -> None:
        """Ends a reply; None: whichever is under way."""
        self._post(it.CancelRequested(self._now(), response))

    def truncate(self, response: int, samples: int) -> None:
        """The user heard only so much of it."""
        self._post(it.TruncationRequested(self._now(), response, samples))

    def pressed(self, digit: str) -> None:
        """A key of a telephone."""
        self._post(it.DtmfPressed(self._now(), digit))

    def update(self, profile: VoiceProfile) -> None:
        """Decides by this profile from now on."""
        self._ear.follow(profile.endpointing)
        self._loudspeaker.ahead = profile.speaking.ahead_samples
        self._post(it.SessionUpdated(self._now(), profile))

    def busy(self, percent: int) -> None:
        """How busy the machine is."""
        self._post(it.LoadReported(self._now(), percent))

    def drain(self, within_s: float) -> None:
        """Ends soon: with what is being said, and a goodbye."""
        self._post(it.DrainRequested(self._now(), round(within_s * 1e9)))

    def close(self, reason: str) -> None:
        """Ends now. Closing what is over does nothing."""
        self._post(it.CloseRequested(self._now(), reason))

    async def ended(self) -> str:
        """Waits until it is over and all of it is stored; why it ended."""
        return await asyncio.shield(self._ended)

    # The side of ``VoiceCalls``.

    async def run(self) -> None:
        """Drives the call until it is over, and leaves nothing behind."""
        listening = self._spawn(self._listen())
        try:
            await self._over.wait()
        finally:
            self.close("cancelled")
            for armed in self._state.timers:  # whoever cancels waits for nothing
                self._post(it.TimerFired(self._now(), armed.timer, armed.key, armed.epoch))
            await self._clear_away(listening)
            if not self._ended.done():
                self._ended.set_result(self.reason)

    async def _clear_away(self, listening: asyncio.Task[None]) -> None:
        listening.cancel()
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._replies.settle()
        self._replies.leave()
        if self._media.peer:
            self._close_line(self._media.peer)  # the caller does not wait for the store
        try:
            async with asyncio.timeout(STORING_S):
                await self._replies.over()
        except TimeoutError:
            _log.warning("the last turns of a call were not stored in time")
        for task in self._tasks - self._closing:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _listen(self) -> None:
        try:
            await self._ear.listen()
        except CozyError as error:
            _log.warning("a call cannot hear: %s", error.code)
            self.close(error.code)

    # The actor.

    def _post(self, event: it.Event) -> None:
        """Deals with it, after those before it."""
        if self.reason:
            return
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                event = self._inbox.popleft()
                self._state, actions = step(self._state, event)
                if self._parts.record:
                    self._record(step_line(event, actions))
                self._act_all(actions)
                if isinstance(event, it.PlayoutProgressed) and (response := self._state.response):
                    self._replies.heard(response.response_id, heard_text(self._state))
            self._replies.settle()
        except Exception:  # noqa: BLE001  the top loop of a call: it ends, the others go on
            _log.exception("call %s failed", self.id)
            self._end("server_error")
        finally:
            self._busy = False

    def _record(self, line: bytes) -> None:
        """A call that never has a line, as when its offer cannot be answered, leaves no recording."""
        if record := self._parts.record:
            self._unrecorded.append(line)
            if self._had_line:
                for waiting in self._unrecorded:
                    record(waiting)
                self._unrecorded.clear()

    def _act_all(self, actions: tuple[it.Action, ...]) -> None:
        for action in actions:
            self._act(action)

    def _act(self, action: it.Action) -> None:
        match action:
            case it.EnqueuePlayout():
                self._loudspeaker.enqueue(action.segment_id, action.samples)
            case it.ArmTimer():
                self._arm(action)
            case it.CancelTimer():
                if handle := self._timers.pop((action.timer, action.key), None):
                    handle.cancel()
            case it.Emit():
                self._tell(action.event)
            case it.OpenTranscription():
                self._ear.open(action)
                if said := paused_after(self._state, action.turn_id):
                    self._parts.ends.went_on(said)
            case it.FinalizeTranscription():
                self._ear.finalize(action)
            case it.CloseTranscription():
                self._ear.close(action)
            case it.PredictEndOfTurn():
                ended, listens = self._parts.ends.probability(action.text), listening(action.text)
                self._post(it.EndOfTurnPredicted(self._now(), action.turn_id, action.rev, ended, listens))
            case it.ClassifyOverlap():
                pass  # all that is known are the words, which the prediction weighs
            case it.StartResponse():
                self._replies.start(action)
            case it.ConfirmResponse():
                self._replies.confirm(action.response_id)
            case it.CancelResponse():
                self._replies.cancel(action)
            case it.SynthesizeSegment():
                self._voice.synthesize(action)
            case it.CancelSegment():
                self._voice.cancel(action)
            case it.PausePlayout():
                self._loudspeaker.pause()
            case it.ResumePlayout():
                self._loudspeaker.resume()
            case it.FadePlayout():
                self._loudspeaker.fade(action.percent)
            case it.ClearPlayout():
                self._post(it.PlayoutCleared(self._now(), self._media.clear(), action.epoch))
            case it.CommitAssistant():
                self._replies.commit(action)
            case it.EndResponse():
                self._replies.done(action.response_id)
            case it.CancelTool():
                self._replies.stop_tool(action.response_id, action.call_id)
            case it.CommitUser():
                if not action.answered:
                    self._replies.keep(action.text)
            case it.CorrectUser():
                self._replies.correct(action)
            case it.TruncateAssistant():
                self._replies.truncate(action)
            case it.StartTool() | it.RecordToolResult():
                pass  # the pipeline runs tools by itself, and stores each call with its result
            case it.RecordLatency():
                pass  # told to the caller's program as `TurnLatency`
            case it.CloseSession():
                self._end(action.reason)
            case _:
                assert_never(action)

    def _tell(self, event: PublicEvent) -> None:
        try:
            self._parts.tell(event)
        except Exception:  # noqa: BLE001  a surface that cannot write ends no call
            _log.exception("a call's program could not be told")

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._inbox.clear()
        self._over.set()
        self._parts.over()

    def _arm(self, order: it.ArmTimer) -> None:
        loop = asyncio.get_running_loop()
        delay_s = max(0, order.due - self._now()) / 1e9
        self._timers[order.timer, order.key] = loop.call_later(delay_s, self._fire, order)

    def _fire(self, order: it.ArmTimer) -> None:
        late_ns = self._now() - order.due
        if order.timer is it.Timer.ENDPOINT and self._ear.starting and late_ns < DOUBT_NS:
            again = asyncio.get_running_loop().call_later(LOOK_S, self._fire, order)
            self._timers[order.timer, order.key] = again
            return
        self._timers.pop((order.timer, order.key), None)
        self._post(it.TimerFired(self._now(), order.timer, order.key, order.epoch))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("call %s failed", self.id, exc_info=error)
            self.close("server_error")

    def _close_line(self, line: AudioPeer) -> None:
        closing = self._spawn(line.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _now(self) -> int:
        return self._clock.monotonic_ns()
