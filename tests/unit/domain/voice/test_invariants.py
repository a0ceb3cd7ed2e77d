"""Whatever happens in whatever order, with answers that come late or never: the invariants hold.

They stand in `tests/fixtures/voice_watch.py`, by the numbers of the design.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from hypothesis import HealthCheck, settings
from hypothesis import Phase as Shrinkless
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from cozy_domain.speech.ports import Mark
from cozy_domain.voice import session
from cozy_domain.voice.events import (
    CancelRequested,
    ClearPlayout,
    CloseRequested,
    DrainRequested,
    DtmfPressed,
    EndOfTurnPredicted,
    Event,
    InputCleared,
    InputCommitted,
    LoadReported,
    MediaConnected,
    MediaLost,
    MediaResumed,
    OverlapClassified,
    PersonaSwitched,
    PlayoutCleared,
    PlayoutFinished,
    PlayoutProgressed,
    PlayoutStarted,
    ResponseFailed,
    ResponseRequested,
    ResponseTextAdded,
    ResponseTextFinished,
    SessionUpdated,
    SoundHeard,
    SpeechStarted,
    SpeechStopped,
    SpeechSynthesized,
    SynthesisFailed,
    SynthesisFinished,
    TextTyped,
    Timer,
    TimerFired,
    ToolCompleted,
    ToolFailed,
    ToolProgressed,
    ToolRequested,
    TranscriptFailed,
    TranscriptFinished,
    TranscriptUpdated,
    TruncationRequested,
)
from cozy_domain.voice.policy import DEFAULT, MS, Phrases, S, VoiceProfile
from cozy_domain.voice.public import AgentState, UserState
from cozy_domain.voice.state import (
    Overlapping,
    Phase,
    Playing,
    Responding,
    Segment,
    Turn,
    Turning,
    UserVoice,
    VoiceSession,
    is_audible,
)
from cozy_domain.voice.table import REGIONS
from tests.fixtures.voice import WINDOWS, exactly, samples
from tests.fixtures.voice_watch import Watcher, unchanged

PHRASES = Phrases(
    greeting="Hello. What can I do for you?",
    fillers=("One moment.",),
    idle=("Are you there?",),
    not_understood="Sorry?",
    goodbye="Goodbye.",
    time_limit="Our time is up.",
)
PROFILES = (
    DEFAULT,
    replace(DEFAULT, phrases=PHRASES, interruption=replace(DEFAULT.interruption, call_guard_ns=0)),
    replace(
        DEFAULT,
        phrases=PHRASES,
        speculation=replace(DEFAULT.speculation, enabled=False),
        endpointing=replace(DEFAULT.endpointing, late_transcript="correct"),
        interruption=replace(DEFAULT.interruption, call_guard_ns=0, style="duck", protected=("greeting",)),
    ),
    replace(DEFAULT, endpointing=replace(DEFAULT.endpointing, automatic=False)),
)
TALKING = replace(DEFAULT, interruption=replace(DEFAULT.interruption, call_guard_ns=0))
LISTENING = replace(DEFAULT, interruption=replace(DEFAULT.interruption, allowed=False))
WAITS = tuple(ms * MS for ms in (0, 20, 20, 60, 96, 100, 200, 300, 500, 1_000, 2_500, 6_000, 16_000))
TEXTS = (
    "Well. ",
    "Yes, of course, I can do that. ",
    "And then",
    " the end.",
    "好的，我明白了。",
    "\n",
    "```x=1```",
)
HEARD = ("", "mhm", "wait", "no not that one", "how are you?", "你好吗")

SCENES_OF: dict[str, VoiceProfile] = {
    "think_ahead": TALKING,
    "think_ahead_with_a_tool": TALKING,
    "go_on_by_another_line": TALKING,
    "go_on_by_another_line_with_a_tool": TALKING,
    "hang_up_when_the_line_is_lost": TALKING,
    "make_a_noise": TALKING,
    "make_a_noise_when_nothing_is_left": TALKING,
    "make_a_noise_at_the_end": TALKING,
    "speak_from_the_first_word_on": TALKING,
    "murmur_cancel_and_speak": TALKING,
    "type_over_the_answer": TALKING,
    "take_back_what_was_said": TALKING,
    "ask_over_the_end": LISTENING,
}
SCENES = (
    "connecting",
    "connecting",
    "listening",
    "asked",
    "asked",
    "answered",
    "answered",
    *SCENES_OF,
    "ask_over_the_end",
)

STATES: dict[str, tuple[str, ...]] = {
    "session": tuple(Phase),
    "voice": tuple(UserVoice),
    "turn": tuple(Turning),
    "response": tuple(Responding),
    "playout": tuple(Playing),
    "overlap": tuple(Overlapping),
    "agent": get_args(AgentState),
    "user": get_args(UserState),
}
AT_LEAST = 60
"""Steps after which each state is seen."""
EACH = 20
"""Events of each kind."""
SEEN: Counter[tuple[str, str]] = Counter()
MOVED: Counter[tuple[str, str, str]] = Counter()
STEPS = Counter[str]()


class CallMachine(RuleBasedStateMachine):
    """A call among fakes that answer when they are drawn, and often never."""

    state: VoiceSession
    holds = False
    """Whether all invariants held up to now."""

    @initialize(profile=st.sampled_from(PROFILES), exact=st.booleans(), scene=st.sampled_from(SCENES))
    def begin(self, profile: VoiceProfile, exact: bool, scene: str) -> None:
        if scene in SCENES_OF:
            profile = SCENES_OF[scene]
        self.at = 0
        self.line = 0
        self.profile = exactly(profile) if exact else profile
        self.log: list[Event] = []
        self.state, actions = session.begin(0, self.profile)
        self.clears: list[int] = []
        self.cleared: list[int] = []
        self.watcher = Watcher(self.state, actions)
        self.holds = True
        if scene == "connecting":
            self.tell(SessionUpdated(0, self.profile))
            self.tell(LoadReported(0, 30))
            return
        self.tell(MediaConnected(0))
        if scene in SCENES_OF:
            getattr(self, scene)()
        elif scene != "listening":
            if self.state.response is None:
                self.ask("how are you?")
            if self.state.response:
                self.answer(finished=scene == "answered", whole=scene == "answered")

    # Scenes that walks seldom come to by themselves; each goes on as it may.

    def begin_to_answer(self) -> None:
        self.ask("how are you?")
        self.answer(finished=False, whole=False)

    def think_ahead(self) -> None:
        self.speak(900 * MS)
        self.understand("how are you?", "final", 0)
        self.write("Yes, of course, I can do that. ")
        self.finish_sound(24_000)
        self.elapse(900 * MS)

    def think_ahead_with_a_tool(self) -> None:
        self.speak(900 * MS)
        self.understand("how are you?", "final", 0)
        self.call_a_tool(False)
        self.elapse(900 * MS)
        self.write("One moment, please. It takes some time. ")
        self.finish_sound(24_000)

    def go_on_by_another_line(self) -> None:
        self.begin_to_answer()
        self.tell(MediaLost(self.at))
        self.tell(MediaResumed(self.at, kept=False))

    def go_on_by_another_line_with_a_tool(self) -> None:
        self.begin_to_answer()
        self.call_a_tool(False)
        self.tell(MediaLost(self.at))
        self.tell(MediaResumed(self.at, kept=False))

    def hang_up_when_the_line_is_lost(self) -> None:
        self.begin_to_answer()
        self.tell(MediaLost(self.at))
        self.tell(CloseRequested(self.at, "hangup"))

    def make_a_noise(self) -> None:
        self.begin_to_answer()
        self.start_to_speak()
        self.classify("noise")

    def make_a_noise_when_nothing_is_left(self) -> None:
        self.begin_to_answer()
        self.play_all(PlayoutStarted)
        self.start_to_speak()
        self.classify("noise")

    def make_a_noise_at_the_end(self) -> None:
        self.begin_to_answer()
        self.finish_writing()
        while self.segment:
            self.finish_sound(4_800)
        self.start_to_speak()
        self.play_all(PlayoutFinished)

    def speak_from_the_first_word_on(self) -> None:
        self.ask("how are you?")
        self.write("Yes, of course, I can do that. Then let us begin. ")
        self.finish_sound(48_000)
        self.play(20 * MS, False)
        self.start_to_speak()
        self.elapse(300 * MS)

    def ask_over_the_end(self) -> None:
        self.begin_to_answer()
        self.speak(300 * MS)
        self.understand("no not that one", "final", 0)
        self.finish_writing()
        while self.segment:
            self.finish_sound(4_800)
        self.play_all(PlayoutFinished)

    def take_back_what_was_said(self) -> None:
        self.start_to_speak()
        self.elapse(300 * MS)
        self.tell(InputCleared(self.at, samples(self.at)))

    def type_over_the_answer(self) -> None:
        self.begin_to_answer()
        self.tell(TextTyped(self.at, "And in writing?"))
        self.clear()

    def murmur_cancel_and_speak(self) -> None:
        self.begin_to_answer()
        self.speak(100 * MS)
        self.understand("", "final", 0)
        self.tell(CancelRequested(self.at))
        if self.clears:
            self.clear()
        self.start_to_speak()

    def tell(self, event: Any) -> None:  # one of the union; which one is drawn
        self.holds, before = False, self.state
        self.state, actions = session.step(before, event)
        assert session.step(before, event) == (self.state, actions), "2: deterministic"
        self.log.append(event)
        cleared = [it.epoch for it in actions if isinstance(it, ClearPlayout)]
        self.clears += cleared
        self.cleared += cleared
        self.watcher.see(before, event, self.state, actions)
        self.holds = True
        STEPS[type(event).__name__] += 1

    def tell_stale(self, event: Event) -> None:
        before = self.state
        self.tell(event)
        assert unchanged(before, self.state), "9: a stale id changes nothing"

    def elapse(self, ns: int) -> None:
        until = self.at + ns
        while self.state.timers:
            first = min(self.state.timers, key=lambda it: (it.due, it.epoch))
            if first.due > until:
                break
            self.at = max(self.at, first.due)
            self.tell(TimerFired(self.at, first.timer, first.key, first.epoch))
        self.at = until

    @property
    def live(self) -> bool:
        return self.state.phase in {Phase.ACTIVE, Phase.DRAINING, Phase.SUSPENDED}

    # Time.

    @rule(ns=st.sampled_from(WAITS))
    def wait(self, ns: int) -> None:
        self.elapse(ns)

    # The user.

    @rule()
    @precondition(lambda self: self.live and self.state.voice.kind in {"quiet", "stopping"})
    def start_to_speak(self) -> None:
        onset = self.at
        self.elapse(WINDOWS)
        self.tell(SpeechStarted(self.at, samples(onset), onset))

    @rule(ns=st.sampled_from((100 * MS, 300 * MS, 900 * MS)))
    @precondition(lambda self: self.live)
    def speak(self, ns: int) -> None:
        self.start_to_speak()
        self.elapse(ns)
        self.stop_speaking()

    @rule()
    @precondition(lambda self: self.live and self.state.voice.kind in {"speaking", "starting"})
    def stop_speaking(self) -> None:
        ended = self.at
        self.elapse(WINDOWS)
        self.tell(SpeechStopped(self.at, samples(ended), WINDOWS, 0.1))

    @rule()
    @precondition(lambda self: self.live)
    def send_sound(self) -> None:
        self.tell(SoundHeard(self.at, samples(self.at)))

    # A recogniser and a predictor.

    @property
    def turn(self) -> Turn | None:
        return self.state.turn or (self.state.overlap.turn if self.state.overlap else None)

    @rule(
        text=st.sampled_from(HEARD),
        how=st.sampled_from(("partial", "final", "final", "failed")),
        back=st.integers(0, 1),
    )
    @precondition(lambda self: self.turn is not None)
    def understand(self, text: str, how: str, back: int) -> None:
        turn = self.turn
        assert turn
        rev = max(turn.rev - back, 1)
        kind = {"partial": TranscriptUpdated, "final": TranscriptFinished, "failed": TranscriptFailed}[how]
        self.tell(kind(self.at, turn.turn_id, rev, text))

    @rule(text=st.sampled_from(HEARD))
    @precondition(lambda self: self.live and (self.state.late_turn or self.state.last_turn) is not None)
    def understand_late(self, text: str) -> None:
        turn = self.state.late_turn or self.state.last_turn
        assert turn
        self.tell(TranscriptFinished(self.at, turn.turn_id, turn.rev, text))

    @rule(probability=st.sampled_from((0.05, 0.3, 0.9)), backchannel=st.sampled_from((0.0, 0.9)))
    @precondition(lambda self: self.live and self.turn is not None)
    def predict(self, probability: float, backchannel: float) -> None:
        assert self.turn
        self.tell(EndOfTurnPredicted(self.at, self.turn.turn_id, self.turn.rev, probability, backchannel))

    @rule(verdict=st.sampled_from(("interruption", "backchannel", "noise")))
    @precondition(lambda self: self.live and self.state.overlap is not None)
    def classify(self, verdict: str) -> None:
        assert self.turn
        self.tell(OverlapClassified(self.at, self.turn.turn_id, verdict))  # type: ignore[arg-type]

    # A model and its tools.

    @property
    def response_id(self) -> int:
        return self.state.response.response_id if self.state.response else 0

    @rule(text=st.sampled_from(TEXTS))
    @precondition(lambda self: self.state.response is not None)
    def write(self, text: str) -> None:
        self.tell(ResponseTextAdded(self.at, self.response_id, text))

    @rule()
    @precondition(lambda self: self.state.response is not None)
    def finish_writing(self) -> None:
        self.tell(ResponseTextFinished(self.at, self.response_id))

    @rule(fails=st.integers(0, 5))
    @precondition(lambda self: self.state.response is not None)
    def fail_to_write(self, fails: int) -> None:
        if not fails:
            self.tell(ResponseFailed(self.at, self.response_id, "provider_down"))

    @rule(stoppable=st.booleans())
    @precondition(lambda self: self.state.response is not None)
    def call_a_tool(self, stoppable: bool) -> None:
        name = f"call_{len(self.log)}"
        self.tell(ToolRequested(self.at, self.response_id, name, "search", stoppable))

    @rule(how=st.sampled_from((ToolCompleted, ToolProgressed, ToolFailed)), last=st.booleans())
    @precondition(lambda self: bool(self.state.calls))
    def answer_of_a_tool(self, how: type, last: bool) -> None:
        call = self.state.calls[-1 if last else 0].call_id
        more = ("broken",) if how is ToolFailed else ()
        self.tell(how(self.at, call, *more))

    @rule(how=st.sampled_from((ToolCompleted, ToolFailed)), ns=st.sampled_from((100 * MS, 2_500 * MS)))
    @precondition(lambda self: self.state.response is not None and not self.state.response.written)
    def work_with_a_tool(self, how: type, ns: int) -> None:
        self.call_a_tool(False)
        self.elapse(ns)
        if self.state.calls:
            self.answer_of_a_tool(ToolProgressed, True)
            self.answer_of_a_tool(how, True)

    # A voice.

    @property
    def segment(self) -> Segment | None:
        made = self.state.response.segments if self.state.response else ()
        return next((it for it in made if it.asked and not it.done), None)

    @rule(count=st.sampled_from((0, 480, 4_800, 48_000)), marked=st.booleans())
    @precondition(lambda self: self.segment is not None)
    def make_sound(self, count: int, marked: bool) -> None:
        segment = self.segment
        assert segment
        marks = (Mark(len(segment.text) // 2, segment.samples + count // 2),) if marked else ()
        self.tell(SpeechSynthesized(self.at, self.response_id, segment.segment_id, count, marks))

    @rule(count=st.sampled_from((0, 4_800, 24_000)))
    @precondition(lambda self: self.segment is not None)
    def finish_sound(self, count: int) -> None:
        segment = self.segment
        assert segment
        self.tell(SpeechSynthesized(self.at, self.response_id, segment.segment_id, count))
        if self.segment:
            self.tell(SynthesisFinished(self.at, self.response_id, segment.segment_id))

    @rule(fails=st.integers(0, 1))
    @precondition(lambda self: self.segment is not None)
    def fail_to_speak(self, fails: int) -> None:
        if not fails and self.segment:
            self.tell(SynthesisFailed(self.at, self.response_id, self.segment.segment_id, "voice_down"))

    # All of them, as they usually do: without these the walk rarely gets far enough for anything to be interrupted.

    @rule(text=st.sampled_from(HEARD[3:]))
    @precondition(lambda self: self.live and self.state.response is None and self.turn is None)
    def ask(self, text: str) -> None:
        self.speak(900 * MS)
        if self.turn:
            self.tell(TranscriptFinished(self.at, self.turn.turn_id, self.turn.rev, text))
        self.elapse(900 * MS)

    @rule(finished=st.booleans(), whole=st.booleans())
    @precondition(lambda self: self.state.response is not None and not self.state.response.written)
    def answer(self, finished: bool, whole: bool) -> None:
        self.write("Yes, of course, I can do that. Then let us begin with the first. ")
        if finished:
            self.finish_writing()
        while self.segment and (whole or self.state.playout.pushed == 0):
            self.finish_sound(24_000)
        if self.state.playout.pushed > self.state.playout.played:
            self.play(400 * MS, False)

    @rule(ns=st.sampled_from((0, 150 * MS, 150 * MS, 900 * MS)), text=st.sampled_from(HEARD))
    @precondition(lambda self: is_audible(self.state) and self.state.phase is Phase.ACTIVE)
    def talk_over(self, ns: int, text: str) -> None:
        self.start_to_speak()
        if self.turn and text:
            self.tell(TranscriptUpdated(self.at, self.turn.turn_id, self.turn.rev, text))
        if ns:
            self.elapse(ns)
            self.stop_speaking()

    # A line.

    @rule(ns=st.sampled_from((20 * MS, 200 * MS, S)), ahead=st.booleans())
    @precondition(lambda self: self.state.playout.pushed > self.state.playout.played)
    def play(self, ns: int, ahead: bool) -> None:
        playout = self.state.playout
        limit = playout.base + playout.pushed
        if ahead and not playout.played:
            self.tell(PlayoutStarted(self.at, self.line + 1))
        for _ in range(max(ns // (200 * MS), 1)):
            self.elapse(min(ns, 200 * MS))
            self.line = max(self.line, min(self.line + min(ns, 200 * MS) * 24 // MS, limit))
            self.tell(PlayoutProgressed(self.at, self.line, self.line + 4_800 if ahead else 0))

    @rule(how=st.sampled_from((PlayoutStarted, PlayoutFinished)))
    @precondition(lambda self: self.state.playout.pushed > 0)
    def play_all(self, how: type) -> None:
        self.line = max(self.line, self.state.playout.base + self.state.playout.pushed)
        self.tell(how(self.at, self.line))

    @rule()
    @precondition(lambda self: bool(self.clears))
    def clear(self) -> None:
        self.tell(PlayoutCleared(self.at, self.line, self.clears.pop()))

    @rule(lost=st.integers(0, 5), silent_ns=st.sampled_from((0, 500 * MS, 3 * S)))
    @precondition(lambda self: self.state.phase is Phase.ACTIVE)
    def lose_the_line(self, lost: int, silent_ns: int) -> None:
        if not lost:
            self.tell(MediaLost(self.at, silent_ns))

    @rule()
    @precondition(lambda self: self.state.phase is Phase.CONNECTING)
    def connect(self) -> None:
        self.tell(MediaConnected(self.at))

    @rule(really=st.integers(0, 7))
    @precondition(lambda self: is_audible(self.state))
    def hang_up(self, really: int) -> None:
        if not really:
            self.tell(CloseRequested(self.at, "hangup"))

    @rule(kept=st.booleans())
    @precondition(lambda self: self.state.phase is Phase.SUSPENDED)
    def get_the_line_back(self, kept: bool) -> None:
        self.tell(MediaResumed(self.at, kept))

    # The caller's program, and who is in charge.

    @rule(kind=st.sampled_from(("text", "commit", "clear", "respond", "cancel", "truncate", "dtmf")))
    @precondition(lambda self: self.live)
    def command(self, kind: str) -> None:
        at, said = self.at, self.state.responses
        self.tell(
            {
                "text": TextTyped(at, "And in writing?"),
                "commit": InputCommitted(at, samples(at)),
                "clear": InputCleared(at, samples(at)),
                "respond": ResponseRequested(at),
                "cancel": CancelRequested(at),
                "truncate": TruncationRequested(at, said, 12_000),
                "dtmf": DtmfPressed(at, "5"),
            }[kind]
        )

    @rule(kind=st.sampled_from(("load", "update", "persona", "drain", "close", "", "")))
    @precondition(lambda self: self.live)
    def govern(self, kind: str) -> None:
        at = self.at
        events = {
            "load": LoadReported(at, 95),
            "update": SessionUpdated(at, self.profile),
            "persona": PersonaSwitched(at, "rosalind", self.profile),
            "drain": DrainRequested(at, 5 * S),
            "close": CloseRequested(at, "hangup"),
        }
        if kind in events:
            self.tell(events[kind])

    @rule(which=st.integers(0, 9))
    def answer_what_nobody_asked(self, which: int) -> None:
        at = self.at
        events = (
            TranscriptFinished(at, 10_000, 1, "late"),
            EndOfTurnPredicted(at, 10_000, 1, 0.9),
            OverlapClassified(at, 10_000, "interruption"),
            ResponseTextAdded(at, 10_000, "late"),
            ToolCompleted(at, "nobody"),
            SpeechSynthesized(at, 10_000, 1, 480),
            SynthesisFinished(at, self.response_id, 10_000),
            PlayoutCleared(at, self.state.playout.line, -1),
            CancelRequested(at, 10_000),
            TimerFired(at, Timer.ENDPOINT, 0, -1),
        )
        self.tell_stale(events[which])

    @rule(which=st.integers(0, 15), back=st.integers(0, 2))
    def answer_what_is_over(self, which: int, back: int) -> None:
        at, state = self.at, self.state
        current = state.response.response_id if state.response else 0
        last = state.said.response.response_id if state.said else 0
        waited = {it.turn_id for it in (state.turn, self.turn, state.late_turn) if it}
        responses = [it for it in range(1, state.responses + 1) if it not in {current, last}]
        turns = [it for it in range(1, state.turns + 1) if it not in waited]
        calls = [it for it, count in self.watcher.results.items() if count]
        clears = [it for it in self.cleared if it != state.playout.epoch]
        by_reply = (
            lambda it: ResponseTextAdded(at, it, "late"),
            lambda it: ResponseTextFinished(at, it),
            lambda it: ResponseFailed(at, it, "late"),
            lambda it: ToolRequested(at, it, "late", "search"),
            lambda it: CancelRequested(at, it),
            lambda it: TruncationRequested(at, it, 480),
            lambda it: SpeechSynthesized(at, it, max(state.segments, 1), 480),
            lambda it: SynthesisFinished(at, it, max(state.segments, 1)),
            lambda it: SynthesisFailed(at, it, max(state.segments, 1), "late"),
        )
        by_turn = (
            lambda it: TranscriptFinished(at, it, 1, "late"),
            lambda it: TranscriptFailed(at, it, 1, "late"),
            lambda it: EndOfTurnPredicted(at, it, 1, 0.9),
            lambda it: OverlapClassified(at, it, "interruption"),
        )
        by_call = (lambda it: ToolFailed(at, it, "late"), lambda it: ToolProgressed(at, it))
        by_clear = (lambda it: PlayoutCleared(at, state.playout.line, it),)
        ids: list[list[Any]] = [
            *[responses] * len(by_reply),
            *[turns] * len(by_turn),
            *[calls] * len(by_call),
            clears,
        ]
        known = ids[which]
        make: Any = (*by_reply, *by_turn, *by_call, *by_clear)[which]
        if known:
            self.tell_stale(make(known[-1 - back % len(known)]))

    def teardown(self) -> None:
        if not self.holds:
            return
        self._comes_to_rest()
        self.elapse(40 * 60 * S)
        assert self.state.phase is Phase.CLOSED, "21, 24: nobody there, the call ends"
        self.watcher.over()
        state, _ = session.begin(0, self.profile)
        for event in self.log:
            state, _ = session.step(state, event)
        assert state == self.state, "2: the log is the state"
        SEEN.update(self.watcher.regions)
        MOVED.update(self.watcher.moves)

    def _comes_to_rest(self) -> None:
        """5: with nothing new, and a line that plays nothing more, every region comes to rest."""
        self.elapse(100 * S)
        state = self.state
        if state.phase is Phase.ACTIVE:
            assert state.turn is None
            assert state.overlap is None
            assert not state.calls
            assert state.response is None or state.response.cause in {
                "idle",
                "retry",
                "goodbye",
                "tool_result",
            }


def test_the_invariants_hold_in_every_walk() -> None:
    walk = settings(
        max_examples=400,
        stateful_step_count=60,
        deadline=None,
        derandomize=True,
        phases=(Shrinkless.generate,),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    for scene in SCENES_OF:  # whichever Hypothesis draws
        call = CallMachine()
        call.begin(DEFAULT, True, scene)
        call.teardown()
    run_state_machine_as_test(CallMachine, settings=walk)
    assert_it_went_everywhere()


def assert_it_went_everywhere() -> None:
    """The walks of this process so far."""
    states = {(name, kind): SEEN[name, kind] for name, kinds in STATES.items() for kind in kinds}
    assert rarer(states, AT_LEAST) == {}, "the walk proves nothing about states that it hardly visits"
    events = {it.__name__: STEPS[it.__name__] for it in Event.__args__}
    assert rarer(events, EACH) == {}, "nor about events that it hardly tells"
    allowed = {(name, it.old, it.new) for name, region in REGIONS.items() for it in region.moves}
    walked = {it for it in MOVED if it[0] in REGIONS}
    assert walked - allowed == set(), "a transition that the table does not know"
    assert allowed - walked == set(), "the walk does not go where the table says"


def rarer(counts: Mapping[Any, int], least: int) -> dict[Any, int]:
    return {it: count for it, count in counts.items() if count < least}
