"""What `/v1/cozy` sends and receives. Times are seconds since 1970; absent fields have nothing to say."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Role = Literal["system", "user", "assistant", "tool"]
# Patterns that only the OpenAPI document shows: the rules are kept elsewhere, where their errors say more.
UserId = Annotated[
    str, Meta(min_length=1, max_length=256, extra_json_schema={"pattern": "^[^\\x00\ufffd]+$"})
]
Cursor = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Title = Annotated[
    str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": r"^[^\x00]*[^\x00\s][^\x00]*$"})
]


class OwnerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``user_id`` is whom a key asks for: the ``cozy.user_id`` of chat requests."""

    user_id: UserId | None = None


class SessionsQuery(OwnerQuery, frozen=True, forbid_unknown_fields=True):
    """``after`` is ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Cursor | None = None


class MessagesQuery(OwnerQuery, frozen=True, forbid_unknown_fields=True):
    """``after`` is ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[str, Meta(pattern=r"^[0-9]{1,15}\.[0-9]{1,15}$(?!\n)")] | None = None


class SessionChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: Title


class SessionOut(msgspec.Struct, frozen=True):
    id: str
    title: str | None
    personality_id: str
    revision: int
    message_count: int
    created_at: int
    last_turn_at: int
    object: Literal["cozy.session"] = "cozy.session"


class SessionList(msgspec.Struct, frozen=True):
    """Newest last turn first. ``next`` continues the list; null on the last page."""

    data: tuple[SessionOut, ...]
    next: str | None
    object: Literal["list"] = "list"


class TextPartOut(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class RefusalPartOut(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class BlobOut(msgspec.Struct, frozen=True):
    """Where the bytes are: ``url`` is a path of this server, for the same credential and ``user_id``."""

    sha256: str
    bytes: int
    url: str


class ImageOut(msgspec.Struct, frozen=True):
    """``url`` is the one that was sent, or the path of the ``blob``."""

    url: str
    detail: str | UnsetType = UNSET
    blob: BlobOut | UnsetType = UNSET


class ImagePartOut(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageOut


class AudioOut(msgspec.Struct, frozen=True):
    format: str
    data: str | UnsetType = UNSET
    blob: BlobOut | UnsetType = UNSET


class AudioPartOut(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    input_audio: AudioOut


class FileOut(msgspec.Struct, frozen=True):
    file_data: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET
    blob: BlobOut | UnsetType = UNSET


class FilePartOut(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    file: FileOut


PartOut = TextPartOut | RefusalPartOut | ImagePartOut | AudioPartOut | FilePartOut
ContentOut = str | tuple[PartOut, ...]


class FunctionOut(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class StoredCallOut(msgspec.Struct, frozen=True):
    id: str
    function: FunctionOut
    type: Literal["function"] = "function"


class StoredMessageOut(msgspec.Struct, frozen=True):
    """Content in the shapes of a chat request. ``turn_state``: started, waiting, completed, interrupted or failed."""

    id: str
    turn_id: str
    turn_state: str
    role: Role
    content: ContentOut | None
    created_at: int
    tool_calls: tuple[StoredCallOut, ...] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    object: Literal["cozy.message"] = "cozy.message"


class MessageList(msgspec.Struct, frozen=True):
    """Oldest first. ``next`` continues the list; null on the last page."""

    data: tuple[StoredMessageOut, ...]
    next: str | None
    object: Literal["list"] = "list"
