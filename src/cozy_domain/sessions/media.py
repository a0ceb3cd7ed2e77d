"""What bytes are, by how they begin (pure)."""

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""What models take (OpenAI's guide on images, Anthropic's on vision, 2026-11)."""
AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""By the format that OpenAI's ``input_audio`` names."""
PDF = "application/pdf"

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", PDF),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_FRAME = 0xE0
"""The last three of the eleven bits that begin an MPEG audio frame (ISO/IEC 11172-3, section 2.4.1.3)."""


def sniffed(data: bytes) -> str | None:
    """The media type, when it is one of ours; the rest of the bytes is not looked at."""
    for beginning, media_type in _BEGINNINGS:
        if data.startswith(beginning):
            return media_type
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if len(data) > 1 and data[0] == 0xFF and data[1] & _FRAME == _FRAME:
        return "audio/mpeg"
    return None
