"""What a client embeds in a message."""

from base64 import encodebytes, urlsafe_b64encode

import pytest

from cozy_domain.errors import InputError
from cozy_domain.messages import AudioPart, FilePart, ImagePart, UserMessage
from cozy_server.openai.attachments import MOST_EMBEDDED, audio_of, check_count, file_of, image_of
from cozy_server.openai.wire.request import FileIn, ImageUrl, InputAudio
from tests.fixtures.media import GIF, JPEG, MP3, PDF, WEBP, base64, data_url, png, wav

PLACE = "messages[0].content[1]"


def image(url: str) -> ImagePart:
    return image_of(ImageUrl(url), PLACE)


def test_an_address_is_handed_on_as_it_is() -> None:
    url = "HTTPS://example.org/a?b=c"
    assert image_of(ImageUrl(url, "high"), PLACE) == ImagePart(url, "high")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(png(), "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
def test_each_kind_of_image_is_taken(data: bytes, media_type: str) -> None:
    url = data_url(data, media_type)
    assert image(url) == ImagePart(url)


@pytest.mark.parametrize(
    "url",
    [
        f"DATA:IMAGE/PNG;BASE64,{base64(png())}",
        f"data:image/x-png;base64,{base64(png())}",
        f"data:image/png;name=a.png;base64,{base64(png())}",
        f"data:image/png;base64,{encodebytes(png()).decode()}",
    ],
)
def test_an_image_takes_one_form_however_it_was_written(url: str) -> None:
    assert image(url) == ImagePart(data_url(png()))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("file:///etc/passwd", "invalid_value"),
        ("javascript:alert(1)", "invalid_value"),
        ("data:image/png,abc", "invalid_value"),
        ("data:image/png;base64", "invalid_value"),
        ("data:image/png;base64,", "invalid_value"),
        ("data:image/png;base64,@@@@", "invalid_value"),
        ("data:image/png;base64,AAA", "invalid_value"),
        ("data:image/png;base64,😀", "invalid_value"),
        (f"data:image/png;base64,{urlsafe_b64encode(b'>>>???').decode()}", "invalid_value"),
        (data_url(JPEG), "invalid_value"),
        (data_url(b"<svg/>"), "invalid_value"),
        (data_url(b"<svg/>", "image/svg+xml"), "unsupported_value"),
        (data_url(b"<html>", "text/html"), "unsupported_value"),
        (data_url(png(), ""), "unsupported_value"),
        (data_url(png(), "image/png\n"), "invalid_value"),
        (data_url(png(), "x" * 65), "invalid_value"),
    ],
)
def test_what_is_no_image_is_refused_by_its_place(url: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        image(url)
    assert (caught.value.code, caught.value.param) == (code, f"{PLACE}.image_url.url")


def test_a_wrong_name_is_told_what_the_bytes_are() -> None:
    with pytest.raises(InputError, match=r"says image/png, but its bytes are image/jpeg"):
        image(data_url(JPEG))


def test_a_recording_is_what_its_format_says() -> None:
    assert audio_of(InputAudio(base64(wav()), "wav"), PLACE) == AudioPart(base64(wav()), "wav")
    assert audio_of(InputAudio(encodebytes(MP3).decode(), "mp3"), PLACE) == AudioPart(base64(MP3), "mp3")
    for data in (base64(MP3), "", "????", base64(png())):
        with pytest.raises(InputError) as caught:
            audio_of(InputAudio(data, "wav"), PLACE)
        assert caught.value.param == f"{PLACE}.input_audio.data"


def test_a_file_may_be_anything_and_a_pdf_must_be_one() -> None:
    pdf = data_url(PDF, "application/pdf")
    assert file_of(FileIn(file_data=pdf, filename="a.pdf"), PLACE) == FilePart(pdf, filename="a.pdf")
    assert file_of(FileIn(file_data=base64(b"x,y")), PLACE) == FilePart(base64(b"x,y"))
    csv = data_url(b"x,y", "text/csv")
    assert file_of(FileIn(file_data=csv), PLACE) == FilePart(csv)
    assert file_of(FileIn(file_id="f", filename="n"), PLACE) == FilePart(file_id="f", filename="n")


@pytest.mark.parametrize("data", ["", "!", "data:text/csv,x", data_url(b"no pdf", "application/pdf")])
def test_a_broken_file_is_refused_by_its_place(data: str) -> None:
    with pytest.raises(InputError) as caught:
        file_of(FileIn(file_data=data), PLACE)
    assert caught.value.param == f"{PLACE}.file.file_data"


@pytest.mark.parametrize("file", [FileIn(), FileIn(file_data="AAAA", file_id="f")])
def test_a_file_comes_in_one_way(file: FileIn) -> None:
    with pytest.raises(InputError) as caught:
        file_of(file, PLACE)
    assert caught.value.param == f"{PLACE}.file"


def test_so_many_and_no_more() -> None:
    some = UserMessage((ImagePart("https://x"),) * (MOST_EMBEDDED // 2))
    check_count((some, some))
    with pytest.raises(InputError) as caught:
        check_count((some, some, UserMessage((FilePart(file_id="f"),)), UserMessage("text")))
    assert (caught.value.code, caught.value.param) == ("array_above_max_length", "messages")
