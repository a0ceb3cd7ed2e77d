"""Rules broken one at a time: the tests of the situations and rules must notice every one."""

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from msgspec.structs import replace

from cozy_domain.voice import (
    interruption,
    latency,
    lifetime,
    playout,
    response,
    session,
    speculation,
    tool_calls,
    turns,
)
from cozy_domain.voice.events import MediaLost, TranscriptFailed, TranscriptFinished, TranscriptUpdated
from cozy_domain.voice.moment import Moment
from cozy_domain.voice.state import Overlapping, Phase, Stretch
from tests.fixtures.voice import Call
from tests.unit.domain.voice import test_rules, test_transitions

Rule = Callable[..., object]


def nothing(*_: object, **__: object) -> None:
    """A rule that does not do what it should."""


def always(value: object) -> Rule:
    return lambda *_, **__: value


def instead(module: ModuleType, name: str, other: Callable[[Rule], Rule]) -> tuple[ModuleType, str, Rule]:
    return module, name, other(getattr(module, name))


def _without(rule: Rule) -> Rule:
    return nothing


def _fixed(value: object) -> Callable[[Rule], Rule]:
    return lambda _: always(value)


def _longer(ns: int) -> Callable[[Rule], Rule]:
    return lambda rule: lambda *given, **named: rule(*given, **named) + ns  # type: ignore[operator]


def _no_settling(left_out: Rule) -> tuple[Rule, ...]:
    return tuple(it for it in session._SETTLING if it is not left_out)


def _welcome(kind: type, *phases: Phase) -> dict[type, frozenset[Phase]]:
    return {**session.WELCOME, kind: frozenset(phases)}


def _confirm_without_cancel(m: Moment) -> None:
    overlap = m.state.overlap
    if overlap:
        interruption._open(m, overlap.turn, cut=True)


def _clear_but_keep(m: Moment) -> None:
    m.put_playout(played=m.state.playout.pushed)


def _all_heard(m: Moment) -> int:
    return m.state.playout.pushed


def _resume_as_new(m: Moment) -> None:
    playout.clear(m)


def _decide_at_once(m: Moment) -> None:
    overlap = m.state.overlap
    if overlap and overlap.kind is Overlapping.CANDIDATE:
        interruption.confirm(m)


def _dropped_at_the_end(m: Moment) -> None:
    if m.state.turn:
        turns.discard(m, m.state.turn, "closed")


def _heard_without_failure(
    stretch: Stretch, event: TranscriptUpdated | TranscriptFinished | TranscriptFailed
) -> Stretch:
    text = stretch.text if isinstance(event, TranscriptFailed) else event.text
    return replace(stretch, text=text, final=not isinstance(event, TranscriptUpdated))


MUTANTS: dict[str, tuple[object, str, object]] = {
    "settle: a reply never ends": (session, "_SETTLING", _no_settling(response.finish_if_over)),
    "settle: what was said over a reply is lost": (
        session,
        "_SETTLING",
        _no_settling(interruption.promote_if_free),
    ),
    "settle: a turn is never committed": (session, "_SETTLING", _no_settling(turns.commit_if_due)),
    "settle: late results are never told": (session, "_SETTLING", _no_settling(lifetime.reply_late)),
    "settle: a drain never ends": (session, "_SETTLING", _no_settling(lifetime.leave_if_done)),
    "table: transcripts mean nothing": (session, "WELCOME", _welcome(TranscriptFinished)),
    "table: a line is never lost": (session, "WELCOME", _welcome(MediaLost)),
    "turn: speech after a stop opens no stretch": instead(turns, "reopen", _without),
    "turn: the endpoint does not pass": instead(turns, "endpoint_passed", _without),
    "turn: a prediction is ignored": instead(turns, "predicted", _without),
    "turn: the delay ignores the prediction": instead(turns, "delay", _fixed(200_000_000)),
    "turn: words that are understood late are not judged": instead(
        turns, "_doubted", lambda _: lambda m, turn: turn
    ),
    "turn: the delay is longer": instead(turns, "delay", _longer(1)),
    "turn: a missing transcript is not asked for again": instead(turns, "transcript_late", _without),
    "turn: a recogniser's failure is forgotten": instead(session, "_heard", lambda _: _heard_without_failure),
    "turn: late words are lost": instead(turns, "late", _without),
    "turn: nothing forces an end": instead(turns, "force", _without),
    "turn: typed text is ignored": instead(turns, "type_text", _without),
    "turn: the watch over transcripts is not armed": instead(turns, "_await_transcripts", _without),
    "speculation: never": instead(speculation, "is_wanted", _fixed(False)),
    "speculation: always kept": instead(speculation, "holds", _fixed(True)),
    "speculation: never kept": instead(speculation, "holds", _fixed(False)),
    "speculation: unfinished sentences too": instead(speculation, "is_unfinished", _fixed(False)),
    "speculation: punctuation counts": instead(speculation, "normalised", lambda _: lambda text: text),
    "speculation: dropped ones are not freed": instead(response, "drop", _without),
    "overlap: nothing pauses": instead(playout, "pause", _without),
    "overlap: nothing goes on": instead(playout, "resume", _without),
    "overlap: going on clears": instead(playout, "resume", lambda _: _resume_as_new),
    "overlap: confirmed, and the reply goes on": instead(
        interruption, "confirm", lambda _: _confirm_without_cancel
    ),
    "overlap: every sound is meant": instead(interruption, "means_it", _fixed(True)),
    "overlap: no word is meant": instead(interruption, "means_it", _fixed(False)),
    "overlap: no guarded time": instead(interruption, "guarded_until", _fixed(0)),
    "overlap: nothing is protected": instead(interruption, "_is_protected", _fixed(False)),
    "overlap: decided at once": instead(interruption, "_decide_by_words", lambda _: _decide_at_once),
    "overlap: a second noise is lost": instead(interruption, "again", _without),
    "overlap: time does not decide": instead(interruption, "time_is_up", _without),
    "overlap: a classifier is ignored": instead(interruption, "classified", _without),
    "reply: what is queued plays on": instead(playout, "clear", _without),
    "reply: what is cleared counts as played": instead(playout, "clear", lambda _: _clear_but_keep),
    "reply: what is queued counts as heard": instead(playout, "heard_samples", lambda _: _all_heard),
    "reply: a clearing is never over": instead(playout, "cleared", _without),
    "reply: a stall is not noticed": instead(response, "stall", _without),
    "reply: no first clause": instead(response, "_first_clause", lambda _: lambda rest, policy: ((), rest)),
    "reply: a voice that fails is ignored": instead(response, "sound_failed", _without),
    "reply: a failure is ignored": instead(response, "fail", _without),
    "reply: it is not said again on a new line": instead(response, "say_again", _without),
    "reply: truncating does nothing": instead(response, "truncate", _without),
    "reply: nothing is said before a tool": instead(response, "flush", _without),
    "tools: stopped by every interruption": instead(tool_calls, "background", _fixed(())),
    "tools: forgotten when the reply ends": instead(tool_calls, "abandon", _without),
    "tools: those of a lost speculation stay": instead(tool_calls, "forget", _without),
    "tools: those of a speculation are not told": instead(tool_calls, "release", _without),
    "tools: none goes on behind a reply": instead(tool_calls, "leave_behind", _without),
    "tools: left open by the end of the call": instead(tool_calls, "stop_all", _without),
    "call: silence is not noticed": instead(lifetime, "watch_silence", _without),
    "call: nothing is a sign of life": instead(lifetime, "live", _without),
    "call: a quiet microphone is not noticed": instead(lifetime, "quiet_microphone", _without),
    "call: a lost line goes on being spoken to": instead(lifetime, "stop_listening", _without),
    "call: the last words are not waited for": instead(turns, "close", lambda _: _dropped_at_the_end),
    "call: what was said over a reply is lost at the end": (interruption, "close", interruption.drop),
    "call: what a silent line was played was heard": instead(playout, "doubt", _without),
    "call: what was in doubt stays so": instead(playout, "trust", _without),
    "call: no drain": instead(lifetime, "drain", _without),
    "latency: nothing took any time": (playout, "stages", lambda *_: latency.stages(*_)[:1]),
}


def _tests() -> Iterator[Callable[[], None]]:
    """Those of the situations, then those of the rules; without drawn arguments."""
    for module in (test_transitions, test_rules):
        for name, test in vars(module).items():
            wanted = set(inspect.signature(test).parameters) if name.startswith("test_") else {"no test"}
            if not wanted:
                yield test
            elif wanted == {"call"}:
                profile = module.QUIET_START if module is test_transitions else module.PROFILE
                yield lambda test=test, profile=profile: test(Call(replace(profile)))  # type: ignore[misc]


TESTS = tuple(_tests())


def _somebody_notices() -> bool:
    for test in TESTS:
        try:
            test()
        except (AssertionError, IndexError, StopIteration, RecursionError, AttributeError, KeyError):
            return True
    return False


def test_nobody_notices_anything_while_the_rules_hold() -> None:
    assert len(TESTS) > 80
    assert not _somebody_notices()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, broken = MUTANTS[name]
    monkeypatch.setattr(module, attribute, broken)
    assert _somebody_notices()
