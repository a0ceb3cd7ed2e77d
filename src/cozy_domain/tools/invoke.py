"""Calls of tools: checked, bounded in time and size, and always with a result.

Whatever goes wrong in a call is told to the model, which may try again or explain; nothing a tool does fails the turn.
Only cancelling the caller ends a call early, and then at once; the audit log hears of every call.

Each tool runs in a task of its own that is waited for, not awaited: one that ignores its cancellation delays nobody.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from cozy_domain.audit.chain import mac_of
from cozy_domain.audit.events import ToolCalled, ToolOutcome
from cozy_domain.clock import Clock
from cozy_domain.errors import MissingError, ToolError
from cozy_domain.messages import ToolCall
from cozy_domain.tools.policy import NO_APPROVAL, why_unapproved
from cozy_domain.tools.ports import ArgumentCheck, ToolBox
from cozy_domain.tools.tool import ToolContext, ToolResult, ToolSpec

MAX_ARGUMENTS = 65_536
"""Bytes of a call's arguments; checking them takes time on the event loop."""

_NS_PER_MS = 1_000_000
_SHOWN = 64
_log = logging.getLogger(__name__)
_abandoned: set[asyncio.Task[str]] = set()
"""Tools that were cancelled and have not ended yet: a loop keeps only weak references to its tasks."""


class CallTerms(msgspec.Struct, frozen=True):
    """What all calls of a round have in common. ``allowed`` are the tools that may run, by name, and ``unapproved`` those
    that somebody would have to approve first; ``held_back`` tells for the ids of calls that may not run why.
    ``deadline_s`` (seconds) and ``max_result`` (characters) hold for each call.
    """

    box: ToolBox
    allowed: Mapping[str, ToolSpec]
    check: ArgumentCheck
    context: ToolContext
    clock: Clock
    deadline_s: float
    max_result: int
    unapproved: frozenset[str] = frozenset()
    held_back: Mapping[str, str] = {}


class _Ended(msgspec.Struct, frozen=True):
    outcome: ToolOutcome
    text: str


_CANCELLED = _Ended("cancelled", "")
_STOPPED = _Ended("cancelled", "The call was stopped before it had a result.")


class Stops:
    """Stops single calls of the round that is under way."""

    def __init__(self) -> None:
        self._stopped: dict[str, asyncio.Future[None]] = {}

    def stop(self, call: str) -> None:
        """Its result is that it was stopped. One that has ended, or is none of them, is left alone."""
        stopped = self._stopped.get(call)
        if stopped and not stopped.done():
            stopped.set_result(None)

    def begin(self, calls: Sequence[ToolCall]) -> None:
        """A round of these."""
        loop = asyncio.get_running_loop()
        self._stopped = {call.id: loop.create_future() for call in calls}

    def of(self, call: ToolCall) -> asyncio.Future[None]:
        """Done when it is stopped."""
        return self._stopped[call.id]


async def invoke_all(
    calls: Sequence[ToolCall],
    terms: CallTerms,
    report: Callable[[ToolResult], None],
    stops: Stops | None = None,
) -> tuple[ToolResult, ...]:
    """One result for each call, in their order; they run at the same time, each with its own deadline, until they are
    stopped.

    ``report`` hears of each result as soon as it is there. When the caller is cancelled it hears of the rest before
    ``CancelledError`` is raised: their outcome is ``cancelled``.
    """
    started = terms.clock.monotonic_ns()
    stops = stops or Stops()
    stops.begin(calls)
    running = list(calls)

    async def reported(call: ToolCall) -> ToolResult:
        result = await invoke(call, terms, stops.of(call))
        running.remove(call)
        report(result)
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reported(call)) for call in calls]
    finally:
        for call in running:
            report(_result(call, _CANCELLED, terms, started))
    return tuple(task.result() for task in tasks)


async def invoke(call: ToolCall, terms: CallTerms, stopped: asyncio.Future[None] | None = None) -> ToolResult:
    """How the call ended, at the latest when it is ``stopped``; never raises but ``CancelledError`` when the caller is
    cancelled."""
    started = terms.clock.monotonic_ns()
    try:
        ended = await _run(call, terms, stopped)
        ended = replace(ended, text=bounded(ended.text, terms.max_result))
    except Exception as error:  # noqa: BLE001 - a tool is foreign code: whatever it raises, the turn goes on
        _log_fault(call, error)
        ended = _Ended("failed", "Error: the tool failed.")
    return _result(call, ended, terms, started)


def handed_over(call: ToolCall) -> ToolResult:
    """The record of a call that the client runs."""
    return ToolResult(call, "", "handed_over")


def audited(result: ToolResult, key: bytes) -> ToolCalled:
    """What the audit log keeps of a call. A name that is no tool is not kept: a model can be made to write anything
    there."""
    arguments = result.call.arguments.encode(errors="replace")
    no_tool = result.outcome == "unknown" or (result.outcome == "cancelled" and result.effect is None)
    return ToolCalled(
        tool="unknown" if no_tool else result.call.name,
        call=result.call.id,
        effect=result.effect or "unknown",
        outcome=result.outcome,
        duration_ms=result.duration_ms,
        arguments_bytes=len(arguments),
        arguments_mac=mac_of(key, arguments),
        result_bytes=len(result.text.encode()),
    )


def bounded(text: str, limit: int) -> str:
    """At most ``limit`` characters, with a note at the end when some were cut. What no JSON text and no database can
    hold (lone surrogates, NUL) is replaced."""
    clean = text.encode(errors="replace").decode().replace("\x00", "\ufffd")
    if len(clean) <= limit:
        return clean
    note = f"\n[cut: the result has {len(clean)} characters]"
    return clean[: max(0, limit - len(note))] + note


def _result(call: ToolCall, ended: _Ended, terms: CallTerms, started: int) -> ToolResult:
    spec = terms.allowed.get(call.name)
    duration_ms = (terms.clock.monotonic_ns() - started) // _NS_PER_MS
    return ToolResult(call, ended.text, ended.outcome, spec.effect if spec else None, duration_ms)


async def _run(call: ToolCall, terms: CallTerms, stopped: asyncio.Future[None] | None) -> _Ended:
    spec = terms.allowed.get(call.name)
    if spec is None:
        return _not_offered(call, terms)
    if call.id in terms.held_back:
        return _Ended("refused", f"Error: {terms.held_back[call.id]}. Nothing was run.")
    if _has_changed(spec, terms.box):
        return _Ended(
            "refused", f"Error: the tool {call.name!r} was changed during this turn. Nothing was run."
        )
    arguments = _object(call.arguments)
    if arguments is None:
        return _Ended("invalid_arguments", "Error: the arguments are not a JSON object. Nothing was run.")
    problems = terms.check.problems(spec.definition.parameters, arguments)
    if problems:
        reasons = "; ".join(problems)
        return _Ended("invalid_arguments", f"Error: wrong arguments: {reasons}. Nothing was run.")
    return await _within_deadline(call, arguments, terms, stopped)


async def _within_deadline(
    call: ToolCall, arguments: msgspec.Raw, terms: CallTerms, stopped: asyncio.Future[None] | None
) -> _Ended:
    work = terms.box.run(call.name, arguments, terms.context)
    task = asyncio.create_task(work, name=f"tool {call.name}")
    try:
        either = (task, stopped) if stopped else (task,)
        await asyncio.wait(either, timeout=terms.deadline_s, return_when=asyncio.FIRST_COMPLETED)
        return _STOPPED if stopped and stopped.done() and not task.done() else _end_of(task, call, terms)
    finally:
        if not task.done():
            _abandon(task)


def _end_of(task: asyncio.Task[str], call: ToolCall, terms: CallTerms) -> _Ended:
    """
    Raises:
        Exception: what the tool raised and no tool should.
    """
    if not task.done():
        return _Ended("timeout", f"Error: the tool did not answer within {terms.deadline_s:g} s.")
    if task.cancelled():
        return _Ended("failed", "Error: the tool was stopped.")
    try:
        return _Ended("ok", task.result())
    except ToolError as error:
        return _Ended("failed", f"Error: {error.message}")
    except MissingError:
        return _Ended("unknown", _no_such_tool(call))


def _abandon(task: asyncio.Task[str]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[str]) -> None:
    """Looks at the error, which asyncio would report as never retrieved."""
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()


def _not_offered(call: ToolCall, terms: CallTerms) -> _Ended:
    """A tool that is not for this turn reads like one that does not exist; the audit log tells them apart."""
    if call.name in terms.unapproved:
        return _Ended("refused", f"Error: {why_unapproved(call.name)}, and {NO_APPROVAL}. Nothing was run.")
    exists = any(spec.name == call.name for spec in terms.box.specs())
    return _Ended("refused" if exists else "unknown", _no_such_tool(call))


def _has_changed(spec: ToolSpec, box: ToolBox) -> bool:
    """A tool that says something else than it did when it was offered is not the one that was allowed. One that is gone
    says so itself."""
    now = next((it for it in box.specs() if it.name == spec.name), spec)
    return now is not spec and now != spec


def _no_such_tool(call: ToolCall) -> str:
    return f"Error: there is no tool {call.name[:_SHOWN]!r} here. Use only the tools you were given."


def _object(arguments: str) -> msgspec.Raw | None:
    """The arguments when they are a JSON object; nothing at all means no arguments."""
    try:
        data = arguments.encode() or b"{}"
        whole = len(data) <= MAX_ARGUMENTS and isinstance(msgspec.json.decode(data), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return msgspec.Raw(data) if whole else None


def _log_fault(call: ToolCall, error: Exception) -> None:
    """Where it broke, without the error's text, which may hold what the user said."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("tool %s: %s at %s:%s", call.name, type(error).__name__, frame.filename, frame.lineno)
