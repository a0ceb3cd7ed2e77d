"""What an ONNX file says of itself: the ``metadata_props`` of its ModelProto (onnx/onnx.proto, field 14), read without the
graph and without a library."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types of Protocol Buffers (protobuf.dev, encoding)."""
PROPERTIES = 14
LONGEST = 10_000_000
"""Bytes of one property: some models carry their tokens there."""


def properties(file: Path) -> Mapping[str, str]:
    """
    Raises:
        ValueError: it is no ONNX file.
        OSError: it cannot be read.
    """
    with file.open("rb") as model:
        size = model.seek(0, 2)
        model.seek(0)
        found: dict[str, str] = {}
        while model.tell() < size:
            key = _varint(model)
            number, kind = key >> 3, key & 7
            if kind == _LENGTH:
                length = _varint(model)
                if model.tell() + length > size:
                    raise ValueError("it is cut short")
                if number == PROPERTIES and length <= LONGEST:
                    name, value = _pair(model.read(length))
                    found[name] = value
                else:
                    model.seek(length, 1)
            else:
                _skip(model, kind)
    return found


def _pair(entry: bytes) -> tuple[str, str]:
    """A StringStringEntryProto: key and value."""
    told = {1: "", 2: ""}
    rest = BytesIO(entry)
    while rest.tell() < len(entry):
        key = _varint(rest)
        if key & 7 == _LENGTH:
            told[key >> 3] = rest.read(_varint(rest)).decode("utf-8", "replace")
        else:
            _skip(rest, key & 7)
    return told[1], told[2]


def _skip(data: BinaryIO, kind: int) -> None:
    if kind == _VARINT:
        _varint(data)
    elif kind in {_EIGHT_BYTES, _FOUR_BYTES}:
        data.seek(8 if kind == _EIGHT_BYTES else 4, 1)
    else:
        raise ValueError("it is no ONNX file")


def _varint(data: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = data.read(1)
        if not byte:
            raise ValueError("it is cut short")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it is no ONNX file")
