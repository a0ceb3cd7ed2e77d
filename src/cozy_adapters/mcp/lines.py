"""Bytes of a stream to lines of bounded length (pure)."""

import re

import msgspec

_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.){1,64}"|-?\d{1,18})\s*[,}]')
_HEAD = 512


class TooLong(msgspec.Struct, frozen=True):
    """A line beyond the limit, which is thrown away. ``id`` is that of the request that it answers, where its beginning
    tells."""

    id: int | str | None


class Lines:
    """Cuts at line feeds. At most ``limit`` bytes of a line are kept; of a longer one the rest is passed over."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._passing = False

    def feed(self, chunk: bytes) -> list[bytes | TooLong]:
        """The lines that end in ``chunk``, without their ends and without empty ones; a long one as soon as it is known."""
        found: list[bytes | TooLong] = []
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece, found)
            if not self._passing and self._kept.strip():
                found.append(bytes(self._kept))
            self._kept.clear()
            self._passing = False
        self._add(rest, found)
        return found

    def _add(self, piece: bytes, found: list[bytes | TooLong]) -> None:
        if self._passing:
            return
        self._kept += piece
        if len(self._kept) > self._limit:
            found.append(TooLong(_id_of(bytes(self._kept[:_HEAD]))))
            self._kept.clear()
            self._passing = True


def _id_of(head: bytes) -> int | str | None:
    """JSON-RPC's ``id``, which all SDKs write in front of the result."""
    match = _ID.search(head)
    return msgspec.json.decode(match[1], type=int | str) if match else None
