"""Bytes of images, recordings and files apart from the messages: they move out of what is stored, and back.

Only what comes back character by character moves; other data stays in its message, where it is read as before.
"""

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from cozy_adapters.sql.types import Id, Instant

revision = "0002"
down_revision = "0001"

_messages = sa.table(
    "messages",
    sa.column("turn", Id()),
    sa.column("position", sa.Integer()),
    sa.column("body", sa.Text()),
    sa.column("at", Instant()),
)
_turns = sa.table("turns", sa.column("id", Id()), sa.column("owner", Id()))
_blobs = sa.table(
    "blobs",
    sa.column("owner", Id()),
    sa.column("sha256", sa.String()),
    sa.column("data", sa.LargeBinary()),
    sa.column("at", Instant()),
)
_uses = sa.table(
    "blob_uses", sa.column("turn", Id()), sa.column("sha256", sa.String()), sa.column("owner", Id())
)
_DATA_OF = {"image": "url", "audio": "data", "file": "data"}
"""Where a part of each kind has its bytes, as a data URL or as plain base64."""
_Part = dict[str, Any]


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("owner", Id(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "sha256", name="pk_blobs"),
    )
    op.create_table(
        "blob_uses",
        sa.Column("turn", Id(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("owner", Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "sha256"], ["blobs.owner", "blobs.sha256"], name="fk_blob_uses_owner"
        ),
        sa.ForeignKeyConstraint(["turn"], ["turns.id"], name="fk_blob_uses_turn"),
        sa.PrimaryKeyConstraint("turn", "sha256", name="pk_blob_uses"),
    )
    op.create_index("ix_blob_uses_owner_sha256", "blob_uses", ["owner", "sha256"], unique=False)
    kinds = (_messages.c.body.like(f'%"kind":"{kind}"%') for kind in _DATA_OF)
    for row in _rows(sa.or_(*kinds)):
        _rewrite(row, _detached)


def downgrade() -> None:
    for row in _rows(_messages.c.body.like('%"blob":{%')):
        _rewrite(row, _attached)
    op.drop_index("ix_blob_uses_owner_sha256", table_name="blob_uses")
    op.drop_table("blob_uses")
    op.drop_table("blobs")


def _rows(condition: sa.ColumnElement[bool]) -> Iterator[Any]:
    """One at a time: a body may have megabytes."""
    connection = op.get_bind()
    message = _messages.c
    for turn, position in connection.execute(
        sa.select(message.turn, message.position).where(condition)
    ).all():
        yield connection.execute(
            sa.select(message.turn, message.position, message.body, message.at, _turns.c.owner)
            .join(_turns, _turns.c.id == message.turn)
            .where(message.turn == turn, message.position == position)
        ).one()


def _rewrite(row: Any, change: Callable[[_Part, Any], bool]) -> None:
    message = msgspec.json.decode(row.body)
    parts = message["content"] if isinstance(message["content"], list) else []
    changed = [change(part, row) for part in parts]
    if any(changed):
        op.get_bind().execute(
            sa.update(_messages)
            .where(_messages.c.turn == row.turn, _messages.c.position == row.position)
            .values(body=msgspec.json.encode(message).decode())
        )


def _detached(part: _Part, row: Any) -> bool:
    name = _DATA_OF.get(part["kind"])
    found = _bytes_of(part.get(name) or "", plain=name == "data") if name else None
    if name is None or found is None:
        return False
    media_type, data = found
    digest = sha256(data).hexdigest()
    _once(_blobs, {"owner": row.owner, "sha256": digest}, data=data, at=row.at)
    _once(_uses, {"turn": row.turn, "sha256": digest}, owner=row.owner)
    part[name] = None if part["kind"] == "file" else ""
    part["blob"] = {"sha256": digest, "size": len(data), "media_type": media_type}
    return True


def _bytes_of(text: str, *, plain: bool) -> tuple[str | None, bytes] | None:
    media_type, encoded = None, text
    if text.startswith("data:"):
        head, _, encoded = text.partition(";base64,")
        media_type = head.removeprefix("data:")
    elif not plain:
        return None
    try:
        data = a2b_base64(encoded, strict_mode=True)
    except ValueError:
        return None
    again = b64encode(data).decode()
    again = again if media_type is None else f"data:{media_type};base64,{again}"
    return (media_type, data) if data and again == text else None


def _once(table: sa.TableClause, key: dict[str, Any], **values: Any) -> None:
    connection = op.get_bind()
    if not connection.execute(sa.select(sa.literal(1)).select_from(table).filter_by(**key)).first():
        connection.execute(sa.insert(table).values(**key, **values))


def _attached(part: _Part, row: Any) -> bool:
    ref = part.pop("blob", None)
    if ref is None:
        return False
    found = sa.select(_blobs.c.data).where(_blobs.c.owner == row.owner, _blobs.c.sha256 == ref["sha256"])
    encoded = b64encode(op.get_bind().execute(found).scalar_one()).decode()
    head = "" if ref["media_type"] is None else f"data:{ref['media_type']};base64,"
    part[_DATA_OF[part["kind"]]] = head + encoded
    return True
