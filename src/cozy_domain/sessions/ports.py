"""Ports to stored sessions and turns. Every method raises ``StorageUnavailableError`` when the store does not answer.

One method of ``TurnStore`` is one transaction. Cancelling a call leaves the transaction either whole or undone.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from cozy_domain.audit.events import AuditRecord
from cozy_domain.ids import Owner, SessionId, TurnId
from cozy_domain.sessions.blobs import Blob
from cozy_domain.sessions.session import PastTurn, Session, StoredMessage
from cozy_domain.sessions.turn import Opening, ReapedTurn, TurnAmended, TurnClosed, TurnOpened, WaitingRound


class TurnStore(Protocol):
    """Writes turns. Half a surrogate pair, in whatever text, is stored as U+FFFD (see `storable`)."""

    async def open(self, turn: TurnOpened) -> Opening:
        """Stores the turn as ``started`` with its messages, and creates the session when it is new. Of its ``blobs`` those
        are kept that the owner has not stored yet.

        The session's pin becomes the turn's persona and revision.

        With an idempotency key that a living turn of this owner and route holds (24 h), nothing is stored: the answer is
        ``AlreadyRunning`` or ``AlreadyFinished``. An interrupted or failed turn has freed its key.

        Raises:
            MissingError: the session exists and is another owner's, or was deleted.
            InputError: ``idempotency_key_reused``, the key came with another body.
            StorageConflictError: a turn with this id was opened before.
        """
        ...

    async def checkpoint(self, turns: tuple[tuple[TurnId, str], ...], lease_until: datetime) -> None:
        """Renews leases and keeps the text so far of running turns; ended and unknown ones are left as they are."""
        ...

    async def close(self, turn: TurnClosed) -> None:
        """Ends the turn: messages, usage, audit records and job demands together.

        Idempotent: closing what is closed does nothing. A turn that was reaped meanwhile is closed as if it were not. A
        session that has a title keeps it.

        Raises:
            MissingError: this owner has no such turn.
        """
        ...

    async def amend(self, turn: TurnAmended) -> None:
        """Cuts the answer of a turn that has ended short, as `shortened` says: one that was ``completed`` is ``interrupted``
        then. And corrects the user's words, as `corrected` says. Nothing happens where that changes nothing, or while the
        turn runs.

        Raises:
            MissingError: this owner has no such turn.
        """
        ...

    async def reap(
        self, now: datetime, recorded: Callable[[ReapedTurn], AuditRecord] | None = None
    ) -> tuple[ReapedTurn, ...]:
        """Ends as ``interrupted`` every ``started`` turn whose lease ran out, keeping its checkpoint as an assistant
        message when it has text; each is reported to one caller only. What ``recorded`` makes of a turn is written with
        its end; it is called inside the transaction, on any thread."""
        ...


class TurnHistory(Protocol):
    """What the pipeline reads of the past."""

    async def session(self, owner: Owner, session: SessionId) -> Session | None:
        """None when it does not exist.

        Raises:
            MissingError: it is another owner's, or was deleted.
        """
        ...

    async def turns(self, owner: Owner, session: SessionId, since: int, before: int) -> tuple[PastTurn, ...]:
        """Turns with ``since <= seq < before`` that are ``completed``, ``waiting`` or ``interrupted``, oldest first, at most
        the newest 1,000. Empty for another owner's session."""
        ...

    async def waiting_round(
        self, owner: Owner, calls: tuple[str, ...], since: datetime
    ) -> WaitingRound | None:
        """The newest round that waits for exactly these calls (in any order), closed at ``since`` or later."""
        ...


class BlobStore(Protocol):
    """The bytes of images, recordings and files in stored messages. They are written with the turn that brings them, once
    for each owner, and live as long as one of the owner's turns has them: whatever erases turns erases the bytes that no
    turn has any more."""

    async def read(self, owner: Owner, digests: tuple[str, ...]) -> tuple[Blob, ...]:
        """Those of ``digests`` (SHA-256 in hex) that stand in a message of this owner, in their order. What stands in
        deleted sessions only is not there."""
        ...


class SessionStore(Protocol):
    """What an owner does with their sessions. Another owner's session, or a deleted one, is missing."""

    async def list(self, owner: Owner, limit: int, after: SessionId | None = None) -> tuple[Session, ...]:
        """Newest last turn first; ``after`` continues behind that session.

        Raises:
            MissingError: ``after`` is not a session of this owner.
        """
        ...

    async def messages(
        self, owner: Owner, session: SessionId, limit: int, after: tuple[int, int] | None = None
    ) -> tuple[StoredMessage, ...]:
        """Messages by ``(seq, position)``, oldest first; ``after`` continues behind that place. Those of a turn that is
        still running are included.

        Raises:
            MissingError: no such session.
        """
        ...

    async def rename(self, owner: Owner, session: SessionId, title: str) -> Session:
        """
        Raises:
            MissingError: no such session.
        """
        ...

    async def delete(self, owner: Owner, session: SessionId, at: datetime) -> None:
        """Hides the session and its turns from everything but an audited erasure.

        Raises:
            MissingError: no such session.
        """
        ...
