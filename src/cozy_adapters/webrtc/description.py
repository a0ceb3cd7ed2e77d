"""Offers and answers of a caller's program, read strictly and written anew (pure).

Only what is understood here reaches aiortc: one section of sound with Opus, and perhaps one of data. Header extensions,
feedback, other codecs and all that is unknown are left out, which is the same as not wanting them (RFC 3264, section 6).
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from cozy_adapters.webrtc.ice import MOST_CANDIDATES, Candidate, candidate
from cozy_domain.errors import InputError

LARGEST = 65_536
"""Bytes; a browser's offer of sound and data has about 5,000."""
MOST_SECTIONS = 3

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
SETUPS = ("actpass", "active", "passive")
HASH_BYTES: Mapping[str, int] = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Fingerprints that count (RFC 8122, section 5, without the broken ones)."""

DYNAMIC = range(96, 128)
"""Numbers for codecs that have none of their own (RFC 3551, section 6)."""

_SECTION = re.compile(
    r"m=(?P<kind>[a-z]{1,20}) [0-9]{1,5} (?P<profile>[A-Z/]{1,30}) (?P<formats>[!-~ ]{1,500})"
)
_MID = re.compile(r"[!-~]{1,64}")
_UFRAG = re.compile(r"[!-~]{4,256}")
_PASSWORD = re.compile(r"[!-~]{22,256}")
_OPUS = re.compile(r"(?P<type>[0-9]{1,3}) opus/48000(?:/2)?", re.IGNORECASE)
_HEX = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+")


class Section(msgspec.Struct, frozen=True):
    """``formats`` is the payload type of Opus, or nothing for data."""

    kind: str
    mid: str
    username: str
    password: str
    fingerprints: tuple[str, ...]
    setup: str
    opus: int = 0
    direction: str = "sendrecv"
    candidates: tuple[Candidate, ...] = ()

    def lines(self) -> list[str]:
        common = [
            "c=IN IP4 0.0.0.0",
            f"a=mid:{self.mid}",
            f"a=ice-ufrag:{self.username}",
            f"a=ice-pwd:{self.password}",
            *(f"a=fingerprint:{it}" for it in self.fingerprints),
            f"a=setup:{self.setup}",
            *(f"a={it}" for it in self.candidates),
        ]
        if self.kind == "application":
            data = ["a=sctp-port:5000", "a=max-message-size:65536"]
            return ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", *common, *data]
        sound = [f"a={self.direction}", "a=rtcp-mux", f"a=rtpmap:{self.opus} opus/48000/2"]
        return [f"m=audio 9 UDP/TLS/RTP/SAVPF {self.opus}", *common, *sound]


class Description(msgspec.Struct, frozen=True):
    """``bundled`` are the names of the sections that share one way, if the program wants that."""

    sections: tuple[Section, ...]
    bundled: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
        if self.bundled:
            lines.append(f"a=group:BUNDLE {' '.join(self.bundled)}")
        for section in self.sections:
            lines += section.lines()
        return "".join(f"{line}\r\n" for line in lines)


def description(sdp: str, *, loopback: bool = False) -> Description:
    """What the text says; ``loopback``: its candidates may be this machine's own.

    Raises:
        InputError: ``invalid_sdp``, with what is wrong and where.
    """
    if len(sdp) > LARGEST or len(sdp.encode(errors="replace")) > LARGEST:
        raise _invalid(f"It has more than {LARGEST} bytes.")
    lines = [line.rstrip("\r") for line in sdp.split("\n") if line.strip("\r")]
    if not lines or lines[0] != "v=0":
        raise _invalid("It does not begin with v=0.")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        raise _invalid("It has no section of sound (m=audio).")
    if len(starts) > MOST_SECTIONS:
        raise _invalid(f"It has {len(starts)} sections (m=); {MOST_SECTIONS} at most.")
    if sum("candidate:" in line for line in lines) > MOST_CANDIDATES:
        raise _invalid(f"It has more than {MOST_CANDIDATES} candidates.")
    session = lines[: starts[0]]
    parts = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    sections = tuple(_section(number, part, session, loopback=loopback) for number, part in enumerate(parts))
    kinds = [it.kind for it in sections]
    for kind in ("audio", "application"):
        if kinds.count(kind) > 1:
            raise _invalid(f"It has more than one section m={kind}.")
    if "audio" not in kinds:
        raise _invalid("It has no section of sound (m=audio).")
    if len({it.mid for it in sections}) < len(sections):
        raise _invalid("Two sections have the same name (a=mid).")
    return Description(sections, _bundled(session, sections))


def _section(number: int, lines: Sequence[str], session: Sequence[str], *, loopback: bool) -> Section:
    where = f"section {number + 1}"
    head = _SECTION.fullmatch(lines[0])
    if head is None:
        raise _invalid(f"The first line of {where} cannot be read.")
    kind = head["kind"]
    if kind not in {"audio", "application"}:
        raise _invalid(f"{where} is m={kind}; only sound and data are answered.")
    own = _attributes(lines[1:])
    shared = _attributes(session)

    def one(name: str, pattern: re.Pattern[str], default: str = "") -> str:
        value = next(iter(own.get(name) or shared.get(name) or [default]))
        if not pattern.fullmatch(value):
            raise _invalid(f"{where} has no usable a={name}.")
        return value

    setup = next(iter(own.get("setup") or shared.get("setup") or [""]))
    if setup not in SETUPS:
        raise _invalid(f"{where} has no usable a=setup.")
    found = Section(
        kind,
        one("mid", _MID, str(number)),
        one("ice-ufrag", _UFRAG),
        one("ice-pwd", _PASSWORD),
        _fingerprints(where, own.get("fingerprint") or shared.get("fingerprint") or []),
        setup,
        candidates=tuple(
            it for line in own.get("candidate", []) if (it := _candidate(where, line, loopback=loopback))
        ),
    )
    if kind == "application":
        if "webrtc-datachannel" not in head["formats"]:
            raise _invalid(f"{where} is no data channel of today's kind (webrtc-datachannel).")
        return found
    if "rtcp-mux" not in own:
        raise _invalid(f"{where} has no a=rtcp-mux.")
    return msgspec.structs.replace(
        found,
        opus=_opus(where, head["formats"].split(), own.get("rtpmap", [])),
        direction=next((it for it in DIRECTIONS if it in own or it in shared), "sendrecv"),
    )


def _attributes(lines: Sequence[str]) -> dict[str, list[str]]:
    """Values of ``a=name:value`` by name."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found.setdefault(name.strip(), []).append(value.strip())
    return found


def _opus(where: str, formats: Sequence[str], maps: Sequence[str]) -> int:
    for line in maps:
        found = _OPUS.fullmatch(line)
        if found and found["type"] in formats and int(found["type"]) in DYNAMIC:
            return int(found["type"])
    raise _invalid(f"{where} does not offer Opus.")


def _fingerprints(where: str, lines: Sequence[str]) -> tuple[str, ...]:
    usable = []
    for line in lines:
        algorithm, _, value = line.partition(" ")
        length = HASH_BYTES.get(algorithm.lower())
        if length and _HEX.fullmatch(value) and len(value) == 3 * length - 1:
            usable.append(f"{algorithm.lower()} {value.upper()}")
    if not usable:
        raise _invalid(f"{where} has no usable a=fingerprint (sha-256).")
    return tuple(usable)


def _candidate(where: str, line: str, *, loopback: bool) -> Candidate | None:
    try:
        return candidate(line, loopback=loopback)
    except InputError as error:
        raise _invalid(f"{where} has an a=candidate that is none.") from error


def _bundled(session: Sequence[str], sections: Sequence[Section]) -> tuple[str, ...]:
    groups = [it.split() for it in _attributes(session).get("group", [])]
    mids = {it.mid for it in sections}
    return next(
        (tuple(it for it in group[1:] if it in mids) for group in groups if group[:1] == ["BUNDLE"]), ()
    )


def _invalid(why: str) -> InputError:
    return InputError(
        f"This offer cannot be answered: {why}",
        code="invalid_sdp",
        param="sdp",
        hint="Send what RTCPeerConnection.createOffer() gave, with one microphone and no video.",
    )
