"""Messages of sockets: what FastRTC's pages and Twilio send is understood, anything else is refused or handed on."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.errors import InputError
from cozy_server.fastrtc.frames import (
    LARGEST,
    Key,
    Media,
    Ping,
    SocketWish,
    Start,
    Stop,
    Words,
    clear,
    media,
    pong,
    read,
)


def test_a_page_starts_with_its_id() -> None:
    assert read('{"event":"start","websocket_id":"abc"}') == Start(websocket_id="abc")


def test_a_telephone_starts_with_its_stream() -> None:
    start = read(
        json.dumps(
            {
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": "MZ1",
                "start": {"callSid": "CA1", "streamSid": "MZ1", "customParameters": {"ticket": "t"}},
            }
        )
    )
    assert start == Start(stream_sid="MZ1", call_sid="CA1", parameters={"ticket": "t"})


def test_sound_is_base64() -> None:
    assert read('{"event":"media","media":{"payload":"/38="}}') == Media(b"\xff\x7f")
    assert read(media(b"\xff\x7f", None)) == Media(b"\xff\x7f")


def test_a_telephones_messages_name_its_stream() -> None:
    assert json.loads(media(b"\xff", "MZ1")) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": "/w=="},
    }
    assert json.loads(clear("MZ1")) == {"event": "clear", "streamSid": "MZ1"}
    assert json.loads(clear(None)) == {"event": "clear"}
    assert json.loads(pong()) == {"event": "pong"}


def test_the_small_messages_are_understood() -> None:
    assert read('{"event":"ping"}') == Ping()
    assert read('{"event":"stop","streamSid":"MZ1","stop":{"callSid":"CA1"}}') == Stop()
    assert read('{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"5","track":"inbound_track"}}') == Key("5")


@pytest.mark.parametrize(
    "message",
    ['{"event":"connected","protocol":"Call"}', '{"event":"mark"}', '{"event":"media"}', '{"type":"cozy"}'],
)
def test_what_is_not_known_is_handed_on(message: str) -> None:
    assert read(message) == Words(message)


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"mark","mark":null}',
        '{"event":"mark","mark":7}',
        '{"event":"mark","mark":{}}',
        '{"event":"mark","mark":{"name":7}}',
        '{"event":"mark","mark":{"name":"' + "x" * 129 + '"}}',
        '{"event":"mark","mark":{"name":"x"},"streamSid":7}',
        '{"event":"dtmf"}',
        '{"event":"dtmf","dtmf":"5"}',
        '{"event":"dtmf","dtmf":{"digit":""}}',
        '{"event":"dtmf","dtmf":{"digit":5}}',
        '{"event":"dtmf","dtmf":{"digit":"12"}}',
        '{"event":"dtmf","dtmf":{"digit":"\\u0000"}}',
        '{"event":"dtmf","dtmf":{"digit":"\\n"}}',
        '{"event":"connected","start":7}',
        '{"media":7}',
    ],
)
def test_what_is_odd_in_an_event_that_carries_nothing_needed_is_handed_on(message: str) -> None:
    assert read(message) == Words(message)


def test_what_a_stop_or_a_ping_says_besides_does_not_matter() -> None:
    assert read('{"event":"stop","mark":7}') == Stop()
    assert read('{"event":"ping","media":7}') == Ping()


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_every_key_of_a_telephone_is_understood(digit: str) -> None:
    assert read(f'{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}') == Key(digit)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "[]",
        "{",
        '{"event":7}',
        '{"event":"mark","mark":7,"x":[}',
        '{"event":"mark","mark":7,"x":' + "[" * 60_000,
        '{"event":"media","media":7}',
        '{"event":"media","media":{"payload":"*"}}',
        '{"event":"media","media":{"payload":"\u00e9"}}',
        '{"event":"start","websocket_id":""}',
        '{"x":' + "[" * 60_000,
        " " * (LARGEST + 1),
    ],
)
def test_what_is_no_message_is_refused(message: str) -> None:
    with pytest.raises(InputError):
        read(message)


@given(st.text(max_size=200))
def test_nothing_but_an_input_error_is_raised(message: str) -> None:
    try:
        read(message)
    except InputError:
        pass


def test_a_page_may_say_how_its_sound_is() -> None:
    wish = msgspec.convert({"format": "pcm16", "input_rate": "16000"}, SocketWish, strict=False)
    assert (wish.format, wish.input_rate, wish.output_rate) == ("pcm16", 16_000, None)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"input_rate": "4000"}, SocketWish, strict=False)
