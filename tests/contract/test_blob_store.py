"""What every BlobStore promises."""

import asyncio
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from cozy_domain.errors import MissingError
from cozy_domain.ids import Owner
from cozy_domain.messages import BlobRef, ImagePart, TextPart, UserMessage
from cozy_domain.sessions.blobs import Blob, detached
from cozy_domain.sessions.turn import IdempotencyKey, Opened, TurnOpened
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import ANNA, BERT, at, closed, opened, session_id

CAT = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
DOG = b"\xff\xd8\xff" + b"dog" * 1_000
NEVER = "0" * 64


def blob(data: bytes) -> Blob:
    return Blob(sha256(data).hexdigest(), data)


def showing(
    turn: int,
    *pictures: bytes,
    session: int | None = 1,
    owner: Owner = ANNA,
    key: IdempotencyKey | None = None,
) -> TurnOpened:
    """A turn that was opened with pictures."""
    urls = (f"data:image/png;base64,{b64encode(picture).decode()}" for picture in pictures)
    said = UserMessage((TextPart("look"), *(ImagePart(url, "low") for url in urls)))
    messages, blobs = detached((said,))
    return replace(opened(turn, session=session, owner=owner, messages=messages, key=key), blobs=blobs)


class BlobStoreContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    async def test_the_bytes_of_a_turn_are_read_by_their_hash_in_the_order_asked_for(
        self, stores: Stores
    ) -> None:
        await stores.turns.open(showing(1, CAT, DOG))
        cat, dog = blob(CAT), blob(DOG)
        assert await stores.blobs.read(ANNA, (dog.sha256, cat.sha256)) == (dog, cat)
        assert await stores.blobs.read(ANNA, (cat.sha256, NEVER, cat.sha256)) == (cat,)
        assert await stores.blobs.read(ANNA, ()) == ()

    async def test_the_message_holds_the_reference_and_not_the_bytes(self, stores: Stores) -> None:
        await stores.turns.open(showing(1, CAT))
        await stores.turns.close(closed(1))
        ref = BlobRef(blob(CAT).sha256, len(CAT), "image/png")
        kept = UserMessage((TextPart("look"), ImagePart("", "low", ref)))
        (turn,) = await stores.history.turns(ANNA, session_id(1), 0, 10)
        assert turn.messages[0] == kept
        assert (await stores.sessions.messages(ANNA, session_id(1), 10))[0].message == kept

    async def test_the_same_bytes_may_come_again_in_a_turn_and_in_others(self, stores: Stores) -> None:
        assert await stores.turns.open(showing(1, CAT, CAT)) == Opened(1)
        assert await stores.turns.open(showing(2, DOG, CAT)) == Opened(2)
        assert await stores.turns.open(showing(3, CAT, session=None)) == Opened(0)
        assert await stores.blobs.read(ANNA, (blob(CAT).sha256,)) == (blob(CAT),)

    async def test_turns_that_bring_the_same_bytes_at_once_are_all_opened(self, stores: Stores) -> None:
        turns = (showing(number, CAT, DOG, session=number) for number in range(1, 9))
        answers = await asyncio.gather(*(stores.turns.open(turn) for turn in turns))
        assert answers == [Opened(1)] * 8
        assert len(await stores.blobs.read(ANNA, (blob(CAT).sha256, blob(DOG).sha256))) == 2

    async def test_anothers_bytes_are_not_there_though_one_has_the_same(self, stores: Stores) -> None:
        await stores.turns.open(showing(1, CAT))
        assert await stores.blobs.read(BERT, (blob(CAT).sha256,)) == ()
        await stores.turns.open(showing(2, CAT, session=2, owner=BERT))
        assert await stores.blobs.read(BERT, (blob(CAT).sha256,)) == (blob(CAT),)

    async def test_what_only_deleted_sessions_have_is_not_there(self, stores: Stores) -> None:
        await stores.turns.open(showing(1, CAT, DOG, session=1))
        await stores.turns.open(showing(2, DOG, session=2))
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        assert await stores.blobs.read(ANNA, (blob(CAT).sha256, blob(DOG).sha256)) == (blob(DOG),)
        await stores.sessions.delete(ANNA, session_id(2), at(2))
        assert await stores.blobs.read(ANNA, (blob(DOG).sha256,)) == ()

    async def test_a_turn_without_a_session_keeps_its_bytes(self, stores: Stores) -> None:
        await stores.turns.open(showing(1, CAT, session=None))
        assert await stores.blobs.read(ANNA, (blob(CAT).sha256,)) == (blob(CAT),)

    async def test_a_turn_that_is_not_opened_leaves_no_bytes(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        with pytest.raises(MissingError):
            await stores.turns.open(showing(2, CAT, session=1, owner=BERT))
        assert await stores.blobs.read(BERT, (blob(CAT).sha256,)) == ()
        key = IdempotencyKey("chat", "k", "d" * 64)
        await stores.turns.open(opened(3, key=key))
        await stores.turns.open(showing(4, CAT, session=None, key=key))
        assert await stores.blobs.read(ANNA, (blob(CAT).sha256,)) == ()

    async def test_bytes_of_any_kind_and_length_come_back(self, stores: Stores) -> None:
        for number, data in enumerate((b"\x00", b"\x00\xff" * 8, bytes(3_000_000)), 1):
            await stores.turns.open(showing(number, data))
            assert await stores.blobs.read(ANNA, (blob(data).sha256,)) == (blob(data),)


class TestInMemoryBlobStore(BlobStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteBlobStore(BlobStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresBlobStore(BlobStoreContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
