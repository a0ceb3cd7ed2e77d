"""One step under way: the state as it becomes, and the actions gathered so far. It lives no longer than the step."""

from typing import Literal

from msgspec.structs import replace

from cozy_domain.voice.events import Action, ArmTimer, CancelTimer, Emit, Timer
from cozy_domain.voice.public import PublicEvent
from cozy_domain.voice.state import Armed, Response, Turn, VoiceSession


class Moment:
    """``at`` is the event's time; ``state`` is frozen, and swapped for a changed one."""

    __slots__ = ("actions", "at", "state")

    def __init__(self, at: int, state: VoiceSession) -> None:
        self.at = at
        self.state = state
        self.actions: list[Action] = []

    def put(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)

    def put_turn(self, turn: Turn, **changes: object) -> Turn:
        turn = replace(turn, **changes)
        self.put(turn=turn)
        return turn

    def put_response(self, response: Response, **changes: object) -> Response:
        response = replace(response, **changes)
        self.put(response=response)
        return response

    def put_playout(self, **changes: object) -> None:
        self.put(playout=replace(self.state.playout, **changes))

    def put_voice(self, **changes: object) -> None:
        self.put(voice=replace(self.state.voice, **changes))

    def do(self, *actions: Action) -> None:
        self.actions.extend(actions)

    def tell(self, event: PublicEvent) -> None:
        seq = self.state.seq + 1
        self.put(seq=seq)
        self.do(Emit(seq, event))

    def ignore(self, reason: Literal["stale", "unexpected", "closed"]) -> None:
        ignored = self.state.ignored
        self.put(ignored=replace(ignored, **{reason: getattr(ignored, reason) + 1}))

    def next_epoch(self) -> int:
        self.put(epoch=self.state.epoch + 1)
        return self.state.epoch

    def arm(self, timer: Timer, due: int, key: int = 0) -> None:
        """Anew, if it was armed. What is due already fires as soon as it can."""
        self.cancel(timer, key)
        due = max(due, self.at)
        armed = Armed(timer, key, self.next_epoch(), due)
        self.put(timers=(*self.state.timers, armed))
        self.do(ArmTimer(timer, key, armed.epoch, due))

    def watch(self, timer: Timer, due: int, key: int = 0) -> None:
        """Armed if it is not: what it watches tells when it fires whether it went on since."""
        if self.armed(timer, key) is None:
            self.arm(timer, due, key)

    def cancel(self, timer: Timer, key: int = 0) -> None:
        armed = self.armed(timer, key)
        if armed:
            self.put(timers=tuple(it for it in self.state.timers if it is not armed))
            self.do(CancelTimer(timer, key, armed.epoch))

    def armed(self, timer: Timer, key: int = 0) -> Armed | None:
        for it in self.state.timers:
            if it.timer is timer and it.key == key:
                return it
        return None
