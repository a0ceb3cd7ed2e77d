"""Images, recordings and files in a request → the domain's parts (pure).

What a client embeds is looked at here, so that a broken one is refused by its place and not by a provider in other words,
and put into the one form of base64 that is stored and found again (RFC 4648, section 4, with padding).
"""

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Iterable

from cozy_domain.errors import InputError
from cozy_domain.messages import AudioPart, FilePart, ImagePart, Message
from cozy_domain.sessions.blobs import canonical
from cozy_domain.sessions.media import AUDIO, IMAGES, PDF, sniffed
from cozy_server.openai.wire.request import FileIn, ImageUrl, InputAudio

MOST_EMBEDDED = 500
"""In one request; OpenAI takes as many images (its guide on images, 2026-11)."""

_URL_SCHEMES = ("http://", "https://")
_SAME = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_SHOWN = 64
_LOOKED_AT = 64
"""Characters of base64: 48 bytes, more than any kind is known by."""


def image_of(image: ImageUrl, place: str) -> ImagePart:
    """
    Raises:
        InputError: the URL is none that is handed on, or embeds no image that models take.
    """
    url, param = image.url, f"{place}.image_url.url"
    if url[:5].lower() != "data:":
        if not url.lower().startswith(_URL_SCHEMES):
            raise InputError(f"'{param}' must begin with http://, https:// or data:.", param=param)
        return ImagePart(url, image.detail)
    media_type, encoded = _split(url, param)
    media_type = _SAME.get(media_type, media_type)
    if media_type not in IMAGES:
        raise InputError(
            f"'{param}' must embed {', '.join(sorted(IMAGES))}.", code="unsupported_value", param=param
        )
    encoded = _canonical(encoded, param)
    _check(encoded, media_type, param)
    return ImagePart(f"data:{media_type};base64,{encoded}", image.detail)


def audio_of(audio: InputAudio, place: str) -> AudioPart:
    """
    Raises:
        InputError: the data is no recording in the format that is named.
    """
    param = f"{place}.input_audio.data"
    encoded = _canonical(audio.data, param)
    _check(encoded, AUDIO[audio.format], param)
    return AudioPart(encoded, audio.format)


def file_of(file: FileIn, place: str) -> FilePart:
    """
    Raises:
        InputError: both or none of ``file_data`` and ``file_id`` is given, or the data cannot be decoded.
    """
    param = f"{place}.file"
    if (file.file_data is None) == (file.file_id is None):
        raise InputError(f"'{param}' needs one of 'file_data' and 'file_id'.", param=param)
    if file.file_data is None:
        return FilePart(file_id=file.file_id, filename=file.filename)
    param = f"{param}.file_data"
    if file.file_data[:5].lower() != "data:":
        return FilePart(_canonical(file.file_data, param), filename=file.filename)
    media_type, encoded = _split(file.file_data, param)
    encoded = _canonical(encoded, param)
    if media_type == PDF:
        _check(encoded, PDF, param)
    return FilePart(f"data:{media_type};base64,{encoded}", filename=file.filename)


def check_count(messages: Iterable[Message]) -> None:
    """
    Raises:
        InputError: more than `MOST_EMBEDDED` images, recordings and files together.
    """
    parts = (part for it in messages if isinstance(it.content, tuple) for part in it.content)
    if sum(isinstance(part, ImagePart | AudioPart | FilePart) for part in parts) > MOST_EMBEDDED:
        raise InputError(
            f"'messages' holds more than {MOST_EMBEDDED} images, recordings and files.",
            code="array_above_max_length",
            param="messages",
        )


def _split(url: str, param: str) -> tuple[str, str]:
    """Media type in lower case, and the base64 (RFC 2397)."""
    head, comma, encoded = url.partition(",")
    kind, *parameters = head[len("data:") :].lower().split(";")
    if not comma or "base64" not in parameters:
        raise InputError(f"'{param}' must be of the form data:<media type>;base64,<data>.", param=param)
    if not kind.isascii() or not kind.isprintable() or len(kind) > _SHOWN:
        raise InputError(f"'{param}' names no media type.", param=param)
    return kind.strip(), encoded


def _canonical(encoded: str, param: str) -> str:
    """Line breaks are let through, many an encoder puts some in; and stray bits, which say nothing."""
    if not canonical(encoded):
        try:
            encoded = b64encode(a2b_base64("".join(encoded.split()), strict_mode=True)).decode()
        except ValueError:
            raise InputError(
                f"'{param}' is not base64.",
                param=param,
                hint="Standard base64 with padding (RFC 4648, section 4), not the URL-safe one.",
            ) from None
    if not encoded:
        raise InputError(f"'{param}' is empty.", param=param)
    return encoded


def _check(encoded: str, media_type: str, param: str) -> None:
    found = sniffed(a2b_base64(encoded[:_LOOKED_AT]))
    if found != media_type:
        raise InputError(
            f"'{param}' says {media_type}, but its bytes are {found or 'something else'}.", param=param
        )
