"""Server-sent events out of bytes that come in any pieces (pure).

Source: WHATWG HTML, section 9.2.6, as far as model servers use it: ``event`` and ``data`` fields, comments, LF or CR LF.
Bytes are split at line ends only, so a character cut in two by the network is whole again before anyone decodes it.
"""

from cozy_domain.errors import ProviderMalformedError

LONGEST_EVENT = 8 * 1024 * 1024
"""Bytes. More than any answer in one piece; a server that never ends a line must not fill the memory."""


class BodyReader:
    """Instead of an `EventReader`, for a server that does not stream: the whole body is the only event."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._body = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """
        Raises:
            ProviderMalformedError: the body is longer than `LONGEST_EVENT`.
        """
        self._body += piece
        if len(self._body) > LONGEST_EVENT:
            raise _too_long(self._provider)
        return []

    def close(self) -> list[bytes]:
        return [bytes(self._body)] if self._body else []


class EventReader:
    """Bytes in, the ``data`` of complete events out. ``provider`` is for the message when an event never ends."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that ``piece`` completes.

        Raises:
            ProviderMalformedError: an event is longer than `LONGEST_EVENT`.
        """
        if b"\n" not in piece:
            self._line += piece
            self._check_size()
            return []
        *lines, rest = piece.split(b"\n")
        if self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        self._line += rest
        events: list[bytes] = []
        for line in lines:
            self._read(line.removesuffix(b"\r"), events)
        self._check_size()
        return events

    def close(self) -> list[bytes]:
        """The event that was not ended by an empty line: lenient, since careless servers forget it behind the last."""
        return self.feed(b"\n\n")

    def _read(self, line: bytes, events: list[bytes]) -> None:
        """An empty line ends an event, if there is one."""
        if not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data, self._size = [], 0
            return
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)

    def _check_size(self) -> None:
        if self._size + len(self._line) > LONGEST_EVENT:
            raise _too_long(self._provider)


def _too_long(provider: str) -> ProviderMalformedError:
    return ProviderMalformedError(
        f"{provider} sent an event of more than {LONGEST_EVENT} bytes.", provider=provider, billed=True
    )
