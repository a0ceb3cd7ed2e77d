"""The bytes of messages, taken out and put back."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    BlobRef,
    Content,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    UserMessage,
)
from cozy_domain.models.request import Feature
from cozy_domain.sessions.blobs import Blob, attached, canonical, detached, references, shown
from tests.fixtures.media import JPEG, base64, data_url, png, wav

TEXT = UserMessage("hello")
PICTURE = ImagePart(data_url(png()), "low")
ALL = frozenset(Feature)


def user(*parts: Part) -> UserMessage:
    return UserMessage(parts)


def ref(data: bytes, media_type: str | None = "image/png") -> BlobRef:
    return BlobRef(sha256(data).hexdigest(), len(data), media_type)


def only(content: Content) -> Part:
    assert isinstance(content, tuple)
    return content[0]


def test_messages_of_text_alone_are_left_as_they_are() -> None:
    messages: tuple[Message, ...] = (SystemMessage("s"), TEXT, AssistantMessage(None))
    assert detached(messages) == (messages, ())
    assert detached(messages)[0] is messages


def test_an_image_leaves_a_reference() -> None:
    (message,), blobs = detached((user(TextPart("look"), PICTURE),))
    assert message == user(TextPart("look"), ImagePart("", "low", ref(png())))
    assert blobs == (Blob(sha256(png()).hexdigest(), png()),)


def test_recordings_and_files_do_too() -> None:
    parts = (
        AudioPart(base64(wav()), "wav"),
        FilePart(data_url(b"%PDF-", "application/pdf"), filename="a.pdf"),
        FilePart(base64(b"plain")),
    )
    (message,), blobs = detached((user(*parts),))
    assert message == user(
        AudioPart("", "wav", ref(wav(), None)),
        FilePart(filename="a.pdf", blob=ref(b"%PDF-", "application/pdf")),
        FilePart(blob=ref(b"plain", None)),
    )
    assert [blob.data for blob in blobs] == [wav(), b"%PDF-", b"plain"]


def test_the_same_bytes_are_kept_once() -> None:
    _, blobs = detached((user(PICTURE, PICTURE), user(ImagePart(data_url(JPEG)), PICTURE)))
    assert [blob.data for blob in blobs] == [png(), JPEG]


@pytest.mark.parametrize(
    "part",
    [
        TextPart("data:image/png;base64,AAAA"),
        RefusalPart("no"),
        ImagePart("https://example.org/a.png"),
        ImagePart("AAAA"),
        ImagePart("data:image/png,AAAA"),
        ImagePart("data:image/png;base64"),
        ImagePart("data:image/png;base64,"),
        ImagePart("data:image/png;base64,AAA"),
        ImagePart("data:image/png;base64,AA\nAA"),
        ImagePart("data:image/png;base64,AB=="),
        ImagePart("data:image/png;base64,____"),
        ImagePart("data:image/png;base64,é"),
        AudioPart("not base64", "wav"),
        FilePart(file_id="file-1"),
        FilePart("half="),
    ],
)
def test_what_would_not_come_back_the_same_stays(part: Part) -> None:
    assert detached((user(part),)) == ((user(part),), ())


@given(st.binary(min_size=1), st.sampled_from(["image/png", "", "a/b;charset=x", "x;base64"]))
def test_what_was_taken_out_comes_back_character_by_character(data: bytes, media_type: str) -> None:
    encoded = b64encode(data).decode()
    said = user(
        ImagePart(f"data:{media_type};base64,{encoded}", "high"),
        TextPart("and"),
        AudioPart(encoded, "mp3"),
        FilePart(f"data:{media_type};base64,{encoded}", filename="n"),
        FilePart(encoded),
    )
    messages, blobs = detached((TEXT, said))
    assert encoded not in repr(messages) or len(data) < 3
    assert attached(messages, {blob.sha256: blob.data for blob in blobs}) == (TEXT, said)


def test_bytes_that_are_not_found_leave_a_note() -> None:
    messages, _ = detached(
        (user(PICTURE), user(AudioPart(base64(wav()), "wav")), user(FilePart(base64(b"x"))))
    )
    notes = [only(message.content) for message in attached(messages, {}) if message.content]
    assert all(isinstance(note, TextPart) for note in notes)
    assert len(set(map(repr, notes))) == 3


def test_parts_without_a_reference_are_not_touched() -> None:
    said = (user(TextPart("t"), RefusalPart("r"), ImagePart("https://x")), TEXT)
    assert attached(said, {}) == said
    assert references(said) == ()


def test_references_say_what_a_model_must_be_able_to_do() -> None:
    messages, _ = detached(
        (user(PICTURE, AudioPart(base64(wav()), "wav")), TEXT, user(FilePart(base64(b"x"))))
    )
    assert references(messages) == (
        (ref(png()), Feature.IMAGES),
        (ref(wav(), None), Feature.AUDIO_INPUT),
        (ref(b"x", None), Feature.FILES),
    )


def sized(*sizes: int) -> list[tuple[BlobRef, Feature]]:
    return [(BlobRef(str(number), size), Feature.IMAGES) for number, size in enumerate(sizes)]


def test_the_newest_are_shown_as_far_as_there_is_room() -> None:
    assert shown(sized(10, 10, 10), ALL, 30) == ("2", "1", "0")
    assert shown(sized(10, 10, 10), ALL, 29) == ("2", "1")
    assert shown(sized(10, 10, 10), ALL, 9) == ()


def test_older_ones_do_not_slip_past_one_that_is_too_large() -> None:
    assert shown(sized(1, 100, 1), ALL, 50) == ("2",)


def test_what_is_shown_twice_needs_room_once() -> None:
    twice = [*sized(10, 10), *sized(10, 10)]
    assert shown(twice, ALL, 20) == ("1", "0")


def test_what_the_model_does_not_take_is_not_shown_and_takes_no_room() -> None:
    found = [(BlobRef("a", 10), Feature.IMAGES), (BlobRef("b", 10), Feature.AUDIO_INPUT)]
    assert shown(found, {Feature.IMAGES}, 10) == ("a",)


@given(st.binary())
def test_what_an_encoder_writes_is_canonical(data: bytes) -> None:
    assert canonical(b64encode(data).decode())


@given(st.text("AB/+=_\n é", max_size=12))
def test_canonical_is_what_decodes_and_encodes_to_itself(text: str) -> None:
    try:
        again = b64encode(b64decode(text, validate=True)).decode()
    except ValueError:
        again = None
    assert canonical(text) == (again == text)
