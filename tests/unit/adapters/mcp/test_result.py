"""What a call gave, as text."""

import mcp_types as types
import pytest

from cozy_adapters.mcp.result import MAX_TEXT, text_of


def said(*blocks: types.ContentBlock, structured: object = None) -> str:
    return text_of(types.CallToolResult(content=list(blocks), structured_content=structured))


def text(of: str) -> types.TextContent:
    return types.TextContent(type="text", text=of)


def test_texts_come_one_under_the_other() -> None:
    assert said(text("a"), text("b")) == "a\nb"


def test_structured_content_is_said_where_there_is_no_text() -> None:
    assert said(structured={"a": [1, "ü"]}) == '{"a":[1,"ü"]}'
    assert said(text("a is 1"), structured={"a": 1}) == "a is 1"


def test_an_empty_result_says_so() -> None:
    assert said() == said(text("")) == "(the tool said nothing)"


def test_a_picture_is_named_and_left_out() -> None:
    picture = types.ImageContent(type="image", data="QUJD" * 1_000, mime_type="image/png")
    assert said(text("Here:"), picture) == "Here:\n[image left out: image/png, 3,000 bytes]"


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (
            types.AudioContent(type="audio", data="QUJD", mime_type="audio/wav"),
            "[audio left out: audio/wav, 3 bytes]",
        ),
        (types.ResourceLink(type="resource_link", name="notes", uri="file:///n"), "[notes: file:///n]"),
        (
            types.EmbeddedResource(
                type="resource", resource=types.TextResourceContents(uri="file:///n", text="inside")
            ),
            "inside",
        ),
        (
            types.EmbeddedResource(
                type="resource", resource=types.BlobResourceContents(uri="file:///n", blob="QUJD")
            ),
            "[resource left out]",
        ),
    ],
)
def test_other_content_is_named_or_read(block: types.ContentBlock, told: str) -> None:
    assert said(block) == told


def test_a_result_is_bounded() -> None:
    assert len(said(*(text("x" * MAX_TEXT) for _ in range(10)))) <= MAX_TEXT + 10
