"""The session's events in FastRTC's words: the order of its log, our envelope beside it, and the orders of clients."""

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.errors import InputError
from cozy_domain.voice import public
from cozy_domain.voice.public import (
    AgentStateChanged,
    InputSpeechStarted,
    InputTranscriptionFailed,
    LatencyStage,
    OutputCleared,
    OutputStarted,
    PublicEvent,
    ResponseCreated,
    ResponseDone,
    SessionClosed,
    SessionDraining,
    SpeechUnavailable,
    TurnCommitted,
    TurnLatency,
)
from cozy_server.fastrtc.translate import (
    LONGEST_MESSAGE,
    Told,
    Translation,
    output,
    read,
    received,
)
from cozy_server.fastrtc.wire import LONGEST_TEXT, InputHookIn

STARTED = {"type": "log", "data": "started_talking"}
PAUSED = {"type": "log", "data": "pause_detected"}
STARTING = {"type": "log", "data": "response_starting"}
FETCH: dict[str, Any] = {"type": "fetch_output", "data": []}


def told(*events: PublicEvent, announces: bool = True) -> list[Any]:
    """What a client of FastRTC reads."""
    translation = Translation(announces=announces)
    read = [json.loads(it) for event in events for it in translation.messages(event)]
    return [it for it in read if it["type"] != "cozy"]


def ours(event: PublicEvent) -> Any:
    last = json.loads(Translation(announces=False).messages(event)[-1])
    assert last["type"] == "cozy"
    return last["data"]


TURN = (
    InputSpeechStarted(turn_id=1, rev=1, sample=0),
    InputSpeechStarted(turn_id=1, rev=2, sample=16_000),
    TurnCommitted(turn_id=1, text="Hello"),
    ResponseCreated(response_id=1, turn_id=1, cause="turn"),
    OutputStarted(response_id=1),
    ResponseDone(response_id=1, turn_id=1, status="completed", reason="", text="Good evening."),
)


def test_a_turn_is_logged_as_fastrtc_does() -> None:
    assert told(*TURN) == [STARTED, PAUSED, FETCH, STARTING, FETCH]


def test_sockets_announce_no_outputs() -> None:
    assert told(*TURN, announces=False) == [STARTED, PAUSED, STARTING]


def test_an_answer_without_sound_starts_at_its_end() -> None:
    silent = ResponseDone(response_id=1, turn_id=1, status="completed", reason="", text="")
    assert told(silent) == [STARTING]
    assert told(OutputStarted(response_id=1), silent) == [STARTING]
    assert told(OutputStarted(response_id=7), silent) == [STARTING, STARTING]


def test_an_interrupted_answer_does_not_start_at_its_end() -> None:
    cut = ResponseDone(response_id=1, turn_id=1, status="cancelled", reason="turn_detected", text="")
    assert told(cut) == []


def test_typed_words_are_no_pause() -> None:
    assert told(TurnCommitted(turn_id=1, text="Hello", typed=True), announces=False) == []


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (ResponseDone(response_id=1, turn_id=1, status="failed", reason="provider", text=""), "error"),
        (InputTranscriptionFailed(turn_id=1, code="provider_timeout"), "warning"),
        (SpeechUnavailable(response_id=1, text="Hello"), "warning"),
        (SessionDraining(reason="server_shutdown", ns=1), "warning"),
        (SessionClosed(reason="server_error"), "error"),
        (SessionClosed(reason="engine_unavailable"), "error"),
    ],
)
def test_what_goes_wrong_is_told_under_both_keys(event: PublicEvent, kind: str) -> None:
    (first, *_) = told(event)
    assert first["type"] == kind
    assert first["message"] == first["data"] != ""


def test_the_end_is_told_with_its_reason() -> None:
    assert told(SessionClosed(reason="hangup")) == [{"type": "end_stream", "data": "Stream closed"}]
    (limit,) = told(SessionClosed(reason="time_limit"))
    assert "time limit" in limit["data"]
    *_, failed = told(SessionClosed(reason="engine_unavailable"))
    assert failed["type"] == "end_stream"
    assert "failed" in failed["data"]
    assert ours(SessionClosed(reason="time_limit")) == {"type": "session.closed", "reason": "time_limit"}


def test_the_waterfall_adds_up_in_milliseconds() -> None:
    stages = (
        LatencyStage("endpointing", 200_000_400),
        LatencyStage("model", 150_123_456),
        LatencyStage("synthesis", 90_000_400),
        LatencyStage("playout", 1_000_400),
    )
    event = TurnLatency(turn_id=1, response_id=2, total_ns=sum(it.ns for it in stages), stages=stages)
    data = ours(event)
    assert data["type"] == "turn.latency"
    assert [it["name"] for it in data["stages"]] == ["endpointing", "model", "synthesis", "playout"]
    assert data["total_ms"] == round(sum(it["ms"] for it in data["stages"]), 3) == 441.123


def test_places_in_the_sound_are_milliseconds() -> None:
    assert ours(InputSpeechStarted(turn_id=1, rev=1, sample=16_000))["audio_ms"] == 1_000
    assert ours(OutputCleared(response_id=1, samples=12_000))["audio_ms"] == 500


def test_every_event_is_told_in_our_envelope_and_nothing_else_changes() -> None:
    kinds = get_args(PublicEvent)
    assert len(kinds) > 25
    for kind in kinds:
        data = ours(sample(kind))
        assert data["type"] == kind.__struct_config__.tag
        assert len(data) == len(kind.__struct_fields__) + 1
        assert not any(name.endswith("ns") for name in data)


def test_states_are_told_as_they_are() -> None:
    assert ours(AgentStateChanged(old="listening", new="thinking")) == {
        "type": "agent.state_changed",
        "old": "listening",
        "new": "thinking",
    }


def test_outputs_are_messages_as_they_were_heard() -> None:
    said = [json.loads(it) for event in TURN if (it := output(event))]
    assert said == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good evening."},
    ]
    assert output(ResponseDone(response_id=1, turn_id=1, status="cancelled", reason="", text="")) == b""
    assert json.loads(output(SpeechUnavailable(response_id=1, text="Read this"))) == {
        "role": "assistant",
        "content": "Read this",
    }


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("client.hangup", "hangup"),
        ("input_audio_buffer.commit", "commit"),
        ("input_audio_buffer.clear", "clear"),
        ("response.cancel", "cancel"),
        ("response.create", "respond"),
    ],
)
def test_orders_of_a_client_are_understood(name: str, order: Any) -> None:
    assert read(json.dumps({"type": "cozy", "data": {"type": name}})) == Told(order)


def test_typed_words_are_an_order() -> None:
    assert read('{"type":"cozy","data":{"type":"client.text","text":"Hi"}}') == Told("text", "Hi")


@pytest.mark.parametrize(
    "message",
    [
        "handshake",
        "",
        '{"type":"cozy"}',
        '{"type":"cozy","data":{"type":"cozy"}}',
        '{"type":"cozy","data":{"type":"client.text","text":" "}}',
        '{"type":"cozy","data":{"type":"client.text","text":"a\\u0000b"}}',
        '{"type":"cozy","data":{"type":"response.cancel","text":"why"}}',
        '{"type":"other","data":{"type":"response.cancel"},"x":"cozy"}',
        '{"type":"other","data":{"type":"client.text","text":"' + "x" * 40_000 + '"},"x":"cozy"}',
        '{"cozy":' + "[" * 5_000,
    ],
)
def test_what_is_no_order_is_none(message: str) -> None:
    assert read(message) is None


def typed(text: str) -> str:
    return json.dumps({"type": "cozy", "data": {"type": "client.text", "text": text}}, ensure_ascii=False)


@pytest.mark.parametrize("character", ["x", "\u4f60"])
def test_typed_words_as_long_as_the_limit_are_an_order(character: str) -> None:
    assert read(typed(character * LONGEST_TEXT)) == Told("text", character * LONGEST_TEXT)


def test_typed_words_beyond_the_limit_are_refused_with_the_limit_and_what_to_do() -> None:
    with pytest.raises(InputError, match=r"^Typed text is at most 32,768 characters") as refusal:
        read(typed("x" * (LONGEST_TEXT + 1)))
    assert "send the rest in another message" in refusal.value.message


def test_a_message_beyond_the_limit_is_refused_unread_with_the_limit_and_what_to_do() -> None:
    assert read("[" * LONGEST_MESSAGE) is None
    with pytest.raises(InputError, match=r"^A message is at most 65,536 characters") as refusal:
        read("[" * (LONGEST_MESSAGE + 1))
    assert "several" in refusal.value.message


def test_typed_words_have_one_limit_over_a_line_and_over_http() -> None:
    msgspec.convert({"webrtc_id": "x", "text": "x" * LONGEST_TEXT}, InputHookIn)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"webrtc_id": "x", "text": "x" * (LONGEST_TEXT + 1)}, InputHookIn)


@given(st.text())
def test_any_message_is_answered_with_json_and_understood_or_not(message: str) -> None:
    read(message)
    assert json.loads(received(message))["data"].startswith("Server received: ")


def sample(kind: type[msgspec.Struct]) -> PublicEvent:
    """One of its kind."""
    values: dict[str, Any] = {"int": 0, "bool": False, "str": "x"}
    given = {}
    for field in msgspec.structs.fields(kind):
        name = getattr(field.type, "__name__", "")
        choices = get_args(field.type)
        given[field.name] = values[name] if name in values else choices[0] if field.name != "stages" else ()
    event: PublicEvent = kind(**given)  # type: ignore[assignment]
    return event


def test_the_module_of_events_is_the_one_translated() -> None:
    assert {it.__module__ for it in get_args(PublicEvent)} == {public.__name__}
