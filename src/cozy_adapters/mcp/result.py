"""What a call of an MCP tool gave, as text for a model (pure)."""

from collections.abc import Iterator

import mcp_types as types
import msgspec

MAX_TEXT = 400_000
"""Characters; far more than any model is shown, and little enough to handle."""
_NO_WORDS = "(the tool said nothing)"


def text_of(result: types.CallToolResult) -> str:
    """Its texts; its structured content where it has none, because servers say the same in both. Images, audio and other
    bytes are named and left out: a tool's result is text."""
    texts = [text for block in result.content if (text := _text(block))]
    if not texts and result.structured_content is not None:
        texts = [msgspec.json.encode(result.structured_content).decode()]
    return "\n".join(_bounded(texts)) or _NO_WORDS


def _text(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type} left out: {block.mime_type[:100]}, {len(block.data) * 3 // 4:,} bytes]"
        case types.ResourceLink():
            return f"[{block.name[:200]}: {str(block.uri)[:2_000]}]"
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case _:
            return f"[{block.type} left out]"


def _bounded(texts: list[str]) -> Iterator[str]:
    left = MAX_TEXT
    for text in texts:
        if left <= 0:
            return
        yield text[:left]
        left -= len(text) + 1
