"""RTP packets are read as RFC 3550 says, whatever is in them."""

from typing import Any

import pytest
from aiortc.rtp import RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from cozy_adapters.webrtc.internals import MOST_JITTER, PacketReceiver, is_media, is_rtcp

Arrival = tuple[int, int, int, bytes]


def listening() -> tuple[PacketReceiver, list[Arrival]]:
    arrived: list[Arrival] = []
    nowhere: Any = None
    receiver = PacketReceiver(nowhere, lambda *it: arrived.append(it))
    receiver._payload_types = frozenset({111})
    return receiver, arrived


def test_a_packet_is_read_with_all_that_may_stand_before_and_after_its_sound() -> None:
    receiver, arrived = listening()
    packet = RtpPacket(
        payload_type=111, sequence_number=65_535, timestamp=0xFFFFFFFF, ssrc=7, payload=b"sound"
    )
    receiver.datagram(packet.serialize())
    packet.csrc = [1, 2, 3]
    packet.padding_size = 5
    receiver.datagram(packet.serialize())
    plain = RtpPacket(payload_type=111, sequence_number=1, timestamp=2, ssrc=7, payload=b"").serialize()
    extension = b"\xbe\xde\x00\x02" + bytes(8)
    receiver.datagram(bytes([plain[0] | 0x10]) + plain[1:] + extension + b"sound")
    assert arrived == [
        (7, 65_535, 0xFFFFFFFF, b"sound"),
        (7, 65_535, 0xFFFFFFFF, b"sound"),
        (7, 1, 2, b"sound"),
    ]


def test_other_payloads_and_broken_packets_are_left_out() -> None:
    receiver, arrived = listening()
    receiver.datagram(RtpPacket(payload_type=0, payload=b"sound").serialize())
    whole = RtpPacket(payload_type=111, payload=b"sound").serialize()
    receiver.datagram(whole[:11])
    receiver.datagram(bytes([whole[0] | 0x20]) + whole[1:-1] + b"\xff")
    receiver._enabled = False
    receiver.datagram(whole)
    assert arrived == []


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_nothing(datagram: bytes) -> None:
    receiver, arrived = listening()
    receiver.datagram(datagram)
    assert all(len(payload) <= len(datagram) for *_, payload in arrived)


def test_media_is_told_from_everything_else() -> None:
    rtp = RtpPacket(payload_type=111, payload=b"sound").serialize()
    assert is_media(rtp)
    assert not is_rtcp(rtp)
    report = bytes([128, 200]) + bytes(20)
    assert is_media(report)
    assert is_rtcp(report)
    assert not is_media(bytes([22]) + bytes(20)), "DTLS"
    assert not is_media(bytes([0, 1]) + bytes(20)), "STUN"
    assert not is_media(b"")


def test_of_reports_the_last_one_of_a_sender_is_kept() -> None:
    """For the caller, who learns from ours how long the way takes."""
    receiver, _ = listening()
    info = RtcpSenderInfo(ntp_timestamp=0x0123456789ABCDEF, rtp_timestamp=1, packet_count=2, octet_count=3)
    report = bytes(RtcpSrPacket(ssrc=7, sender_info=info))
    receiver.report(report)
    receiver.report(bytes(RtcpRrPacket(ssrc=8)))
    receiver.report(report[:15])
    ((ssrc, (ntp, _)),) = receiver._heard_of.items()
    assert (ssrc, ntp) == (7, 0x456789AB)


def test_timestamps_that_leap_do_not_make_more_jitter_than_a_report_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A report that cannot be written would end the reports of aiortc, for whose end the connection waits."""
    receiver, _ = listening()
    now_s = 0.0
    monkeypatch.setattr("aiortc.rtcrtpreceiver.time.time", lambda: now_s)
    for number in range(800):
        leap = 0xFFFFFFFF if number % 2 else 0
        receiver.datagram(
            RtpPacket(payload_type=111, sequence_number=number, timestamp=leap, ssrc=7).serialize()
        )
        now_s += 0.2 if number % 2 else 0.0
    (report,) = receiver.reports()
    assert bytes(report)
    assert report.jitter == MOST_JITTER
