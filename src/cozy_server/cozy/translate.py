"""Stored sessions and messages → the wire (pure)."""

from datetime import datetime

from msgspec import UNSET
from msgspec.structs import replace

from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    BlobRef,
    Content,
    FilePart,
    ImagePart,
    Part,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cozy_domain.sessions.session import Session, StoredMessage
from cozy_server.cozy import wire

BLOBS = "/v1/cozy/blobs"


def session_out(session: Session) -> wire.SessionOut:
    return wire.SessionOut(
        id=str(session.id),
        title=session.title,
        personality_id=session.pin.persona,
        revision=session.pin.revision,
        message_count=session.message_count,
        created_at=_seconds(session.created_at),
        last_turn_at=_seconds(session.last_turn_at),
    )


def message_out(stored: StoredMessage) -> wire.StoredMessageOut:
    message = stored.message
    out = wire.StoredMessageOut(
        id=str(stored.id),
        turn_id=str(stored.turn),
        turn_state=stored.state,
        role="user",
        content=None if message.content is None else _content(message.content),
        created_at=_seconds(stored.at),
    )
    match message:
        case SystemMessage():
            return replace(out, role="system", name=message.name or UNSET)
        case UserMessage():
            return replace(out, name=message.name or UNSET)
        case ToolMessage():
            return replace(out, role="tool", tool_call_id=message.tool_call_id)
        case AssistantMessage():
            return replace(
                out,
                role="assistant",
                tool_calls=tuple(map(_call, message.tool_calls)) or UNSET,
                refusal=message.refusal or UNSET,
                name=message.name or UNSET,
            )


def cursor_of(stored: StoredMessage) -> str:
    """The place behind which a list of messages continues."""
    return f"{stored.seq}.{stored.position}"


def place_of(cursor: str | None) -> tuple[int, int] | None:
    """The inverse of `cursor_of`, for text of its form."""
    if cursor is None:
        return None
    seq, _, position = cursor.partition(".")
    return int(seq), int(position)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _call(call: ToolCall) -> wire.StoredCallOut:
    return wire.StoredCallOut(call.id, wire.FunctionOut(call.name, call.arguments))


def _content(content: Content) -> wire.ContentOut:
    return content if isinstance(content, str) else tuple(map(_part, content))


def _part(part: Part) -> wire.PartOut:
    match part:
        case TextPart():
            return wire.TextPartOut(part.text)
        case RefusalPart():
            return wire.RefusalPartOut(part.refusal)
        case ImagePart():
            blob = _blob(part.blob)
            return wire.ImagePartOut(
                wire.ImageOut(blob.url if blob else part.url, part.detail or UNSET, blob or UNSET)
            )
        case AudioPart():
            return wire.AudioPartOut(
                wire.AudioOut(part.format, part.data or UNSET, _blob(part.blob) or UNSET)
            )
        case FilePart():
            return wire.FilePartOut(
                wire.FileOut(
                    part.data or UNSET,
                    part.file_id or UNSET,
                    part.filename or UNSET,
                    _blob(part.blob) or UNSET,
                )
            )


def _blob(ref: BlobRef | None) -> wire.BlobOut | None:
    return None if ref is None else wire.BlobOut(ref.sha256, ref.size, f"{BLOBS}/{ref.sha256}")
