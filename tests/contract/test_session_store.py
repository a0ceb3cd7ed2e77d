"""What every SessionStore promises."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_domain.errors import MissingError
from cozy_domain.ids import Owner, SessionId
from cozy_domain.messages import UserMessage
from cozy_domain.sessions.session import message_id
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import ANNA, BERT, HELLO, REPLY, at, closed, opened, session_id, turn_id


class SessionStoreContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    # Listing

    async def test_the_session_with_the_newest_turn_comes_first(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, when=at(1)))
        await stores.turns.open(opened(2, session=2, when=at(2)))
        assert await _listed(stores) == [session_id(2), session_id(1)]
        await stores.turns.open(opened(3, session=1, when=at(3)))
        assert await _listed(stores) == [session_id(1), session_id(2)]

    async def test_pages_show_every_session_once_also_with_equal_times(self, stores: Stores) -> None:
        for number in range(1, 8):
            await stores.turns.open(opened(number, session=number, when=at(number // 3)))
        seen: list[SessionId] = []
        after = None
        while page := await stores.sessions.list(ANNA, 2, after):
            assert len(page) <= 2
            seen += [session.id for session in page]
            after = page[-1].id
        assert seen == [session_id(number) for number in (7, 6, 5, 4, 3, 2, 1)]

    async def test_an_owner_sees_only_their_own_sessions(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=2, owner=BERT))
        assert await _listed(stores, ANNA) == [session_id(1)]
        assert await _listed(stores, BERT) == [session_id(2)]

    async def test_continuing_behind_another_owners_session_is_missing(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=2, owner=BERT))
        for after in (session_id(2), session_id(9)):
            with pytest.raises(MissingError):
                await stores.sessions.list(ANNA, 10, after)

    # Messages

    async def test_messages_come_in_order_with_their_places(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, when=at(1)))
        await stores.turns.close(closed(1, when=at(2)))
        await stores.turns.open(opened(2, session=1, when=at(3)))
        stored = await stores.sessions.messages(ANNA, session_id(1), 10)
        assert [(one.turn, one.seq, one.position, one.state, one.at, one.message) for one in stored] == [
            (turn_id(1), 1, 0, "completed", at(1), HELLO),
            (turn_id(1), 1, 1, "completed", at(2), REPLY),
            (turn_id(2), 2, 0, "started", at(3), HELLO),
        ]

    async def test_a_message_keeps_its_id(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        (before,) = await stores.sessions.messages(ANNA, session_id(1), 10)
        await stores.turns.close(closed(1))
        after = await stores.sessions.messages(ANNA, session_id(1), 10)
        assert after[0].id == before.id == message_id(turn_id(1), 0)
        assert len({one.id for one in after}) == 2

    async def test_pages_of_messages_fit_together(self, stores: Stores) -> None:
        for turn in (1, 2, 3):
            await stores.turns.open(
                opened(turn, session=1, messages=(UserMessage(f"{turn}a"), UserMessage(f"{turn}b")))
            )
            await stores.turns.close(closed(turn))
        whole = await stores.sessions.messages(ANNA, session_id(1), 100)
        assert len(whole) == 9
        for size in (1, 2, 4):
            pages: list[object] = []
            after = None
            while page := await stores.sessions.messages(ANNA, session_id(1), size, after):
                assert len(page) <= size
                pages += page
                after = (page[-1].seq, page[-1].position)
            assert pages == list(whole)
        assert await stores.sessions.messages(ANNA, session_id(1), 9, (2**40, 2**40)) == ()

    async def test_messages_of_another_owners_unknown_or_deleted_session_are_missing(
        self, stores: Stores
    ) -> None:
        await stores.turns.open(opened(1, session=1))
        for owner, session in ((BERT, 1), (ANNA, 9)):
            with pytest.raises(MissingError):
                await stores.sessions.messages(owner, session_id(session), 10)
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        with pytest.raises(MissingError):
            await stores.sessions.messages(ANNA, session_id(1), 10)

    # Renaming and deleting

    async def test_a_renamed_session_keeps_everything_else(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, when=at(1)))
        (before,) = await stores.sessions.list(ANNA, 10)
        renamed = await stores.sessions.rename(ANNA, session_id(1), "Caf\u00e9")
        assert renamed.title == "Caf\u00e9"
        assert await stores.sessions.list(ANNA, 10) == (renamed,)
        assert (renamed.last_turn_at, renamed.message_count) == (before.last_turn_at, before.message_count)

    async def test_a_name_that_was_given_is_not_replaced_by_a_turns_title(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.sessions.rename(ANNA, session_id(1), "Mine")
        await stores.turns.close(closed(1, title="Theirs"))
        (session,) = await stores.sessions.list(ANNA, 10)
        assert session.title == "Mine"

    async def test_a_deleted_session_is_listed_no_more(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=2))
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        assert await _listed(stores) == [session_id(2)]
        with pytest.raises(MissingError):
            await stores.sessions.list(ANNA, 10, session_id(1))

    async def test_what_is_not_there_can_be_neither_renamed_nor_deleted(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=2))
        await stores.sessions.delete(ANNA, session_id(2), at(1))
        for owner, session in ((BERT, 1), (ANNA, 2), (ANNA, 9)):
            with pytest.raises(MissingError):
                await stores.sessions.rename(owner, session_id(session), "x")
            with pytest.raises(MissingError):
                await stores.sessions.delete(owner, session_id(session), at(1))
        (session_1,) = await stores.sessions.list(ANNA, 10)
        assert (session_1.id, session_1.title) == (session_id(1), None)


async def _listed(stores: Stores, owner: Owner = ANNA) -> list[SessionId]:
    return [session.id for session in await stores.sessions.list(owner, 100)]


class TestInMemorySessionStore(SessionStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteSessionStore(SessionStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresSessionStore(SessionStoreContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
