"""What every TurnHistory promises."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cozy_domain.errors import MissingError
from cozy_domain.messages import AssistantMessage, ToolCall, ToolMessage, UserMessage
from cozy_domain.sessions.session import PastTurn
from cozy_domain.sessions.turn import TurnState
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import ANNA, BERT, HELLO, REPLY, at, closed, opened, session_id, turn_id

ASK = AssistantMessage(tool_calls=(ToolCall("c1", "map", "{}"), ToolCall("c2", "clock", "{}")))
RESULT = ToolMessage("c2", "12:00")


class TurnHistoryContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    async def test_a_session_that_does_not_exist_is_none(self, stores: Stores) -> None:
        assert await stores.history.session(ANNA, session_id(1)) is None

    async def test_another_owners_session_is_missing(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        with pytest.raises(MissingError):
            await stores.history.session(BERT, session_id(1))

    async def test_a_deleted_session_is_missing_and_its_turns_are_gone(self, stores: Stores) -> None:
        await _finished(stores, 1)
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        with pytest.raises(MissingError):
            await stores.history.session(ANNA, session_id(1))
        assert await stores.history.turns(ANNA, session_id(1), 0, 9) == ()

    @pytest.mark.parametrize("state", ["completed", "waiting", "interrupted"])
    async def test_an_ended_turn_is_in_the_history(self, stores: Stores, state: TurnState) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1, state=state))
        past = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past == (PastTurn(turn_id(1), 1, state, (HELLO, REPLY)),)

    async def test_a_running_and_a_failed_turn_are_not_in_the_history(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=1))
        await stores.turns.close(closed(2, state="failed"))
        assert await stores.history.turns(ANNA, session_id(1), 0, 9) == ()

    async def test_turns_come_in_their_order_whatever_order_they_ended_in(self, stores: Stores) -> None:
        for turn in (3, 1, 2):
            await stores.turns.open(opened(turn, session=1))
        for turn in (2, 3, 1):
            await stores.turns.close(closed(turn))
        past = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert [(turn.turn, turn.seq) for turn in past] == [(turn_id(3), 1), (turn_id(1), 2), (turn_id(2), 3)]

    async def test_since_is_included_and_before_is_not(self, stores: Stores) -> None:
        await _finished(stores, *range(1, 6))
        past = await stores.history.turns(ANNA, session_id(1), 2, 4)
        assert [turn.seq for turn in past] == [2, 3]

    async def test_before_may_lie_beyond_every_turn_there_can_be(self, stores: Stores) -> None:
        await _finished(stores, 1)
        assert len(await stores.history.turns(ANNA, session_id(1), 0, 2**31)) == 1
        assert await stores.history.turns(ANNA, session_id(1), 2**40, 2**41) == ()

    async def test_another_owner_sees_no_turns(self, stores: Stores) -> None:
        await _finished(stores, 1)
        assert await stores.history.turns(BERT, session_id(1), 0, 9) == ()

    async def test_turns_of_other_sessions_stay_out(self, stores: Stores) -> None:
        await _finished(stores, 1)
        await stores.turns.open(opened(2, session=2))
        await stores.turns.close(closed(2))
        assert [turn.turn for turn in await stores.history.turns(ANNA, session_id(2), 0, 9)] == [turn_id(2)]

    async def test_of_a_very_long_session_the_newest_thousand_turns_are_read(self, stores: Stores) -> None:
        await _finished(stores, *range(1, 1003))
        past = await stores.history.turns(ANNA, session_id(1), 0, 2000)
        assert [turn.seq for turn in past] == list(range(3, 1003))

    async def test_a_turn_without_any_message_is_still_a_turn(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, messages=()))
        await stores.turns.close(closed(1, messages=()))
        assert await stores.history.turns(ANNA, session_id(1), 0, 9) == (
            PastTurn(turn_id(1), 1, "completed", ()),
        )

    # Waiting rounds

    @pytest.mark.parametrize("session", [None, 1])
    async def test_the_round_that_waits_is_found_by_its_calls_in_any_order(
        self, stores: Stores, session: int | None
    ) -> None:
        await _waiting(stores, 1, ("c1", "c3"), session=session)
        for calls in (("c1", "c3"), ("c3", "c1")):
            found = await stores.history.waiting_round(ANNA, calls, at(0))
            assert found is not None
            assert (found.turn, found.messages) == (turn_id(1), (ASK, RESULT))

    @pytest.mark.parametrize("calls", [(), ("c1",), ("c1", "c2", "c3"), ("c2",)])
    async def test_other_calls_find_nothing(self, stores: Stores, calls: tuple[str, ...]) -> None:
        await _waiting(stores, 1, ("c1", "c3"))
        assert await stores.history.waiting_round(ANNA, calls, at(0)) is None

    async def test_only_the_last_round_of_the_turn_is_given(self, stores: Stores) -> None:
        first = AssistantMessage(tool_calls=(ToolCall("c0", "clock", "{}"),))
        said = (first, ToolMessage("c0", "11:59"), ASK, RESULT)
        await stores.turns.open(opened(1))
        await stores.turns.close(closed(1, state="waiting", messages=said, waiting_for=("c1",)))
        found = await stores.history.waiting_round(ANNA, ("c1",), at(0))
        assert found is not None
        assert found.messages == (ASK, RESULT)

    async def test_a_round_of_another_owner_or_of_a_deleted_session_is_not_found(
        self, stores: Stores
    ) -> None:
        await _waiting(stores, 1, ("c1",), session=1)
        assert await stores.history.waiting_round(BERT, ("c1",), at(0)) is None
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        assert await stores.history.waiting_round(ANNA, ("c1",), at(0)) is None

    async def test_a_round_that_was_closed_too_long_ago_is_not_found(self, stores: Stores) -> None:
        await _waiting(stores, 1, ("c1",), when=5)
        assert await stores.history.waiting_round(ANNA, ("c1",), at(5)) is not None
        assert await stores.history.waiting_round(ANNA, ("c1",), at(6)) is None

    async def test_of_two_rounds_with_the_same_call_ids_the_newest_is_meant(self, stores: Stores) -> None:
        await _waiting(stores, 2, ("c1",), when=1)
        await _waiting(stores, 1, ("c1",), when=2)
        found = await stores.history.waiting_round(ANNA, ("c1",), at(0))
        assert found is not None
        assert found.turn == turn_id(1)

    async def test_a_turn_that_does_not_wait_is_not_found_by_its_calls(self, stores: Stores) -> None:
        await stores.turns.open(opened(1))
        await stores.turns.close(closed(1, messages=(ASK,), waiting_for=("c1",)))
        assert await stores.history.waiting_round(ANNA, ("c1",), at(0)) is None


async def _finished(stores: Stores, *turns: int) -> None:
    for turn in turns:
        await stores.turns.open(opened(turn, session=1, messages=(UserMessage(f"say {turn}"),)))
        await stores.turns.close(closed(turn))


async def _waiting(
    stores: Stores, turn: int, calls: tuple[str, ...], *, session: int | None = None, when: float = 0
) -> None:
    await stores.turns.open(opened(turn, session=session))
    end = closed(turn, state="waiting", messages=(ASK, RESULT), waiting_for=calls, when=at(when))
    await stores.turns.close(end)


class TestInMemoryTurnHistory(TurnHistoryContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteTurnHistory(TurnHistoryContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresTurnHistory(TurnHistoryContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
