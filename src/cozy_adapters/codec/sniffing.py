"""What a file is by its first bytes, so that the message which refuses it can say so. It decides nothing else: whether a
file is sound is FFmpeg's answer."""

import re

KNOWN = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"#!", "a script"),
)
_MARKUP = re.compile(rb"\s*<(?:\?xml|!doctype|html|svg|asx|playlist|smil)", re.IGNORECASE)


def described(data: bytes) -> str | None:
    """What ``data`` obviously is instead of sound, with its article; None when nothing is obvious."""
    head = data[:512].removeprefix(b"\xef\xbb\xbf")
    for signature, name in KNOWN:
        if head.lstrip(b" \t\r\n").startswith(signature):
            return name
    if _MARKUP.match(head):
        return "a text with markup"
    if data[257:262] == b"ustar":
        return "a tar archive"
    return None
