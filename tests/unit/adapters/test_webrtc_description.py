"""Offers are read strictly, and written anew from what was understood."""

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.webrtc.description import LARGEST, description
from cozy_domain.errors import InputError
from tests.fixtures.offers import (
    CHROME,
    CHROME_DATA,
    CHROME_HEAD,
    CHROME_SOUND,
    FINGERPRINT,
    FIREFOX,
    written,
)

HOST = "a=candidate:1 1 udp 2122260223 192.168.1.20 52011 typ host generation 0\n"


def refused(sdp: str) -> str:
    with pytest.raises(InputError) as caught:
        description(sdp)
    assert (caught.value.code, caught.value.param) == ("invalid_sdp", "sdp")
    return caught.value.message


@pytest.mark.parametrize(("offer", "opus"), [(CHROME, 111), (FIREFOX, 109)], ids=["Chrome", "Firefox"])
def test_what_a_browser_offers_is_understood(offer: str, opus: int) -> None:
    read = description(offer)
    sound, data = read.sections
    assert (sound.kind, sound.mid, sound.opus, sound.direction) == ("audio", "0", opus, "sendrecv")
    assert (data.kind, data.mid) == ("application", "1")
    assert sound.fingerprints == (FINGERPRINT,)
    assert read.bundled == ("0", "1")


def test_what_is_written_says_the_same_and_no_more() -> None:
    read = description(CHROME)
    assert description(str(read)) == read
    assert not any(
        word in str(read) for word in ("extmap", "red/", "telephone", "ssrc", "transport-cc", "127.0.0.1")
    )
    parsed = SessionDescription.parse(str(read))
    assert [codec.mimeType for codec in parsed.media[0].rtp.codecs] == ["audio/opus"]


def test_a_caller_without_a_microphone_or_without_a_channel_is_understood() -> None:
    listening = CHROME_SOUND.replace("a=sendrecv", "a=recvonly")
    (sound,) = description(written(CHROME_HEAD, listening)).sections
    assert sound.direction == "recvonly"
    assert description(written(CHROME_HEAD, listening)).bundled == ("0",)


def test_usable_candidates_are_kept_and_the_end_of_them_is_not_told() -> None:
    local = HOST.replace("192.168.1.20", "aaaa.local")
    offer = written(CHROME_HEAD, CHROME_SOUND, HOST, local, "a=end-of-candidates\n", CHROME_DATA)
    assert [it.address for it in description(offer).sections[0].candidates] == ["192.168.1.20"]
    assert "end-of-candidates" not in str(description(offer))


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        ("", "v=0"),
        ("hello", "v=0"),
        (written(CHROME_HEAD), "no section of sound"),
        (written(CHROME_HEAD, CHROME_DATA), "no section of sound"),
        (CHROME + "a=x:" + "y" * LARGEST, "bytes"),
        (CHROME + "你" * (LARGEST // 3), "bytes"),
        (written(CHROME_HEAD, CHROME_SOUND * 20), "sections"),
        (
            written(CHROME_HEAD, CHROME_SOUND, CHROME_SOUND.replace("mid:0", "mid:1")),
            "more than one section m=audio",
        ),
        (written(CHROME_HEAD, CHROME_SOUND, CHROME_DATA, CHROME_DATA), "more than one section m=application"),
        (written(CHROME_HEAD, CHROME_SOUND, CHROME_SOUND.replace("m=audio", "m=video")), "m=video"),
        (written(CHROME_HEAD, CHROME_SOUND, CHROME_DATA.replace("mid:1", "mid:0")), "same name"),
        (written(CHROME_HEAD, CHROME_SOUND, HOST * 31), "candidates"),
        (written(CHROME_HEAD, CHROME_SOUND, "a=candidate:rubbish\n"), "a=candidate"),
        (CHROME.replace("opus", "speex"), "Opus"),
        (CHROME.replace("rtpmap:111", "rtpmap:5"), "Opus"),
        (CHROME.replace(FINGERPRINT, "sha-256 00:11"), "fingerprint"),
        (CHROME.replace(FINGERPRINT, FINGERPRINT.replace("sha-256", "md5")), "fingerprint"),
        (CHROME.replace("a=fingerprint", "a=footprint"), "fingerprint"),
        (CHROME.replace("a=setup:actpass", "a=setup:holdconn"), "a=setup"),
        (CHROME.replace("a=ice-ufrag:kD4x", "a=ice-ufrag:k"), "a=ice-ufrag"),
        (CHROME.replace("uMwR3vqYb1Lz8eT6sPc0nHaX", "short"), "a=ice-pwd"),
        (CHROME.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (CHROME.replace("m=audio 9", "m=audio nine"), "first line"),
        (CHROME.replace("webrtc-datachannel", "5000"), "data channel"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(offer: str, why: str) -> None:
    assert why in refused(offer)


LINES = sorted({*CHROME.splitlines(), *FIREFOX.splitlines(), HOST.strip()})


@given(
    st.lists(
        st.one_of(
            st.sampled_from(LINES),
            st.tuples(st.sampled_from(LINES), st.integers(0, 60), st.text(max_size=5)).map(
                lambda it: it[0][: it[1]] + it[2] + it[0][it[1] :]
            ),
        ),
        max_size=60,
    ),
    st.integers(0, len(CHROME)),
)
def test_whatever_is_accepted_the_library_can_read(lines: list[str], at: int) -> None:
    offer = CHROME[:at] + "\r\n".join(lines) + CHROME[at:]
    try:
        read = description(offer)
    except InputError:
        return
    parsed = SessionDescription.parse(str(read))
    assert [it.kind for it in parsed.media] == [it.kind for it in read.sections]
    assert all(it.dtls and it.dtls.fingerprints and it.ice and it.ice.password for it in parsed.media)
