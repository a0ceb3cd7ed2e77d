"""The region of tool calls (pure).

The user's voice stops the speech, not the tools: a call goes on in the background, and its result starts a reply of its own
when nobody speaks. One that says so is cancelled with its reply. Every call ends with one result in the history; a call of a
speculation that came to nothing was never made.
"""

from typing import Literal

from msgspec.structs import replace

from cozy_domain.voice.events import CancelTool, RecordToolResult, StartTool, Timer
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.public import ToolEnded, ToolStarted
from cozy_domain.voice.state import OpenToolCall, Response

Outcome = Literal["ok", "failed", "cancelled"]

LATE_CALLS = 64
"""Results that wait for a reply of their own; the history has those of older calls, too."""


def request(m: Moment, response: Response, call: OpenToolCall) -> None:
    """The model calls a tool; too many at once are stopped before anything is told of them."""
    policy = m.state.profile
    response = m.put_response(response, called=True)
    if len(m.state.calls) >= policy.tools.at_once:
        m.put(tools=call.number)
        m.do(
            CancelTool(response.response_id, call.call_id),
            RecordToolResult(response.response_id, call.call_id, "failed"),
        )
        return
    m.put(calls=(*m.state.calls, call), tools=call.number)
    m.do(StartTool(response.response_id, call.call_id))
    m.arm(Timer.TOOL, m.at + policy.watchdogs.tool_ns, call.number)
    if not response.speculative:
        m.tell(ToolStarted(response.response_id, call.call_id, call.name))
    if not response.filled:
        m.watch(Timer.FILLER, m.at + policy.tools.filler_ns)


def find(m: Moment, call_id: str) -> OpenToolCall | None:
    return next((it for it in m.state.calls if it.call_id == call_id and not it.done), None)


def end(m: Moment, call: OpenToolCall, outcome: Literal["ok", "failed"]) -> None:
    """It has its result."""
    m.cancel(Timer.TOOL, call.number)
    response = m.state.response
    if response and response.response_id == call.response_id:
        response = m.put_response(response, news=m.at)
        if response.speculative:
            _swap(m, replace(call, done=outcome))
            return
    _record(m, call, outcome)
    if call.background and m.state.profile.tools.late_reply:
        m.put(late_calls=(*m.state.late_calls, call.call_id)[-LATE_CALLS:])


def stop(m: Moment, call: OpenToolCall, outcome: Outcome) -> None:
    """It is not waited for any more."""
    m.cancel(Timer.TOOL, call.number)
    m.do(CancelTool(call.response_id, call.call_id))
    _record(m, call, outcome)


def background(m: Moment) -> tuple[str, ...]:
    """The calls that go on when the reply under way is cancelled."""
    return tuple(it.call_id for it in _own(m) if not it.stoppable)


def abandon(m: Moment) -> None:
    """The reply under way is cancelled: its calls go on in the background, or are cancelled too."""
    for call in _own(m):
        if call.stoppable:
            stop(m, call, "cancelled")
    leave_behind(m)


def leave_behind(m: Moment) -> None:
    """The reply under way does not wait for its calls."""
    m.cancel(Timer.FILLER)
    own = _own(m)
    m.put(calls=tuple(replace(it, background=True) if it in own else it for it in m.state.calls))


def forget(m: Moment) -> None:
    """The speculation under way came to nothing."""
    for call in _own(m):
        m.cancel(Timer.TOOL, call.number)
        if not call.done:
            m.do(CancelTool(call.response_id, call.call_id))
    own = _own(m)
    m.put(calls=tuple(it for it in m.state.calls if it not in own))


def release(m: Moment) -> None:
    """The speculation under way came true: its calls have been made."""
    for call in _own(m):
        m.tell(ToolStarted(call.response_id, call.call_id, call.name))
        if call.done:
            _record(m, call, call.done)


def stop_all(m: Moment) -> None:
    """The call is over."""
    for call in m.state.calls:
        stop(m, call, "cancelled")
    m.put(late_calls=())


def _own(m: Moment) -> tuple[OpenToolCall, ...]:
    response = m.state.response
    number = response.response_id if response else 0
    return tuple(it for it in m.state.calls if it.response_id == number and not it.background)


def _record(m: Moment, call: OpenToolCall, outcome: Outcome) -> None:
    m.put(calls=tuple(it for it in m.state.calls if it.number != call.number))
    m.do(RecordToolResult(call.response_id, call.call_id, outcome))
    m.tell(ToolEnded(call.response_id, call.call_id, outcome))


def _swap(m: Moment, call: OpenToolCall) -> None:
    m.put(calls=tuple(call if it.number == call.number else it for it in m.state.calls))
