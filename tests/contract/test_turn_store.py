"""What every TurnStore promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from cozy_domain.audit.events import AuditRecord, Degradation, OperatorActed
from cozy_domain.errors import InputError, MissingError, StorageConflictError
from cozy_domain.ids import PersonaId
from cozy_domain.messages import AssistantMessage, ToolCall, ToolMessage, Usage, UserMessage
from cozy_domain.sessions.turn import (
    AlreadyFinished,
    AlreadyRunning,
    IdempotencyKey,
    Opened,
    ReapedTurn,
    Timings,
    TurnOutcome,
    TurnState,
)
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import (
    ANNA,
    BERT,
    HELLO,
    REPLY,
    amended,
    at,
    closed,
    demand,
    number,
    opened,
    record,
    session_id,
    turn_id,
)

KEY = IdempotencyKey("chat", "k-1", "d" * 64)
OTHER_BODY = IdempotencyKey("chat", "k-1", "e" * 64)


class TurnStoreContract(ABC):
    @pytest.fixture
    @abstractmethod
    def stores(self) -> object: ...

    # Opening

    async def test_turns_of_a_session_are_counted_from_1(self, stores: Stores) -> None:
        assert await stores.turns.open(opened(1, session=1)) == Opened(1)
        assert await stores.turns.open(opened(2, session=1)) == Opened(2)
        assert await stores.turns.open(opened(3, session=2)) == Opened(1)

    async def test_a_turn_without_a_session_has_no_place_and_makes_no_session(self, stores: Stores) -> None:
        assert await stores.turns.open(opened(1)) == Opened(0)
        assert await stores.turns.open(opened(2)) == Opened(0)
        assert await stores.sessions.list(ANNA, 10) == ()

    async def test_turns_opened_at_once_get_different_places(self, stores: Stores) -> None:
        answers = await asyncio.gather(*(stores.turns.open(opened(n, session=1)) for n in range(1, 21)))
        assert sorted(answer.seq for answer in answers if isinstance(answer, Opened)) == list(range(1, 21))

    async def test_the_first_turn_creates_its_session(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, when=at(1), revision=3))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert (session.owner, session.pin.persona, session.pin.revision) == (ANNA.id, "anna", 3)
        assert (session.created_at, session.last_turn_at) == (at(1), at(1))
        assert (session.title, session.message_count, session.history_from) == (None, 1, 0)

    async def test_a_later_turn_moves_the_sessions_pin_time_and_count(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        two = (UserMessage("and"), UserMessage("more"))
        await stores.turns.open(opened(2, session=1, when=at(5), persona="carl", revision=2, messages=two))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert (session.pin.persona, session.pin.revision) == ("carl", 2)
        assert (session.created_at, session.last_turn_at, session.message_count) == (at(0), at(5), 3)

    async def test_another_owners_session_is_missing_and_stays_as_it_was(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        with pytest.raises(MissingError):
            await stores.turns.open(opened(2, session=1, owner=BERT))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 1

    async def test_a_deleted_session_is_missing(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        with pytest.raises(MissingError):
            await stores.turns.open(opened(2, session=1))

    async def test_the_same_turn_twice_is_a_conflict_and_changes_nothing(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        with pytest.raises(StorageConflictError):
            await stores.turns.open(opened(1, session=1, when=at(9)))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert (session.message_count, session.last_turn_at) == (1, at(0))
        assert await stores.turns.open(opened(2, session=1)) == Opened(2)

    # Idempotency

    async def test_a_key_whose_turn_runs_says_so_and_stores_nothing(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, key=KEY))
        assert await stores.turns.open(opened(2, session=1, key=KEY)) == AlreadyRunning(turn_id(1))
        assert len(await stores.sessions.messages(ANNA, session_id(1), 10)) == 1
        assert await stores.turns.open(opened(3, session=1)) == Opened(2)

    @pytest.mark.parametrize("state", ["completed", "waiting"])
    async def test_a_key_whose_turn_has_ended_gives_its_record(
        self, stores: Stores, state: TurnState
    ) -> None:
        outcome = TurnOutcome(
            finish=("stop", "length"),
            answers=(REPLY, AssistantMessage(tool_calls=(ToolCall("c1", "f", "{"),))),
            usage=Usage(prompt_tokens=3, completion_tokens=4, known=True),
            model="openai/gpt",
            degraded=(Degradation("memory", "timeout", 400),),
            timings=Timings(1.5, 2.5, 9.25),
        )
        await stores.turns.open(opened(1, session=1, key=KEY, when=at(1)))
        await stores.turns.close(closed(1, state=state, outcome=outcome, when=at(2)))
        answer = await stores.turns.open(opened(2, session=1, key=KEY, when=at(3)))
        assert isinstance(answer, AlreadyFinished)
        assert (answer.record.turn, answer.record.session) == (turn_id(1), session_id(1))
        assert (answer.record.persona, answer.record.revision) == ("anna", 1)
        assert (answer.record.state, answer.record.at) == (state, at(1))
        assert answer.record.outcome == outcome

    @pytest.mark.parametrize("state", ["interrupted", "failed"])
    async def test_a_turn_that_came_to_nothing_frees_its_key(self, stores: Stores, state: TurnState) -> None:
        await stores.turns.open(opened(1, key=KEY))
        await stores.turns.close(closed(1, state=state))
        assert await stores.turns.open(opened(2, key=OTHER_BODY)) == Opened(0)
        assert await stores.turns.open(opened(3, key=OTHER_BODY)) == AlreadyRunning(turn_id(2))

    async def test_a_reaped_turn_frees_its_key(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, key=KEY))
        await stores.turns.reap(at(60))
        assert await stores.turns.open(opened(2, key=KEY, when=at(61))) == Opened(0)

    @pytest.mark.parametrize("ended", [False, True])
    async def test_a_key_with_another_body_is_refused_by_name(self, stores: Stores, ended: bool) -> None:
        await stores.turns.open(opened(1, key=KEY))
        if ended:
            await stores.turns.close(closed(1))
        with pytest.raises(InputError) as refused:
            await stores.turns.open(opened(2, key=OTHER_BODY))
        assert refused.value.code == "idempotency_key_reused"

    async def test_a_key_is_kept_for_24_hours(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, key=KEY))
        await stores.turns.close(closed(1))
        day = timedelta(hours=24)
        almost = await stores.turns.open(opened(2, key=KEY, when=at(0) + day - timedelta(microseconds=1)))
        assert isinstance(almost, AlreadyFinished)
        assert await stores.turns.open(opened(3, key=OTHER_BODY, when=at(0) + day)) == Opened(0)

    async def test_a_key_belongs_to_one_owner_and_one_route(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, key=KEY))
        assert await stores.turns.open(opened(2, key=KEY, owner=BERT)) == Opened(0)
        elsewhere = IdempotencyKey("speech", KEY.key, KEY.digest)
        assert await stores.turns.open(opened(3, key=elsewhere)) == Opened(0)

    async def test_twenty_calls_at_once_with_one_key_make_one_turn(self, stores: Stores) -> None:
        calls = (stores.turns.open(opened(n, session=1, key=KEY)) for n in range(1, 21))
        answers = await asyncio.gather(*calls)
        assert sum(isinstance(answer, Opened) for answer in answers) == 1
        assert sum(isinstance(answer, AlreadyRunning) for answer in answers) == 19

    # Checkpoints and reaping

    async def test_a_turn_whose_lease_ran_out_is_interrupted_with_its_checkpoint(
        self, stores: Stores
    ) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.checkpoint(((turn_id(1), "good mor"),), at(20))
        assert await stores.turns.reap(at(19)) == ()
        assert await stores.turns.reap(at(20)) == (
            ReapedTurn(turn_id(1), ANNA.id, "acme", session_id(1), PersonaId("anna"), 1, len("good mor")),
        )
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.state == "interrupted"
        assert past.messages[1:] == (AssistantMessage("good mor"),)
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 2

    async def test_a_turn_that_said_nothing_is_reaped_without_a_message(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        (reaped,) = await stores.turns.reap(at(60))
        assert reaped.said_characters == 0
        assert len(await stores.sessions.messages(ANNA, session_id(1), 10)) == 1

    async def test_a_reaped_turn_is_reported_once(self, stores: Stores) -> None:
        for n in range(1, 6):
            await stores.turns.open(opened(n))
        reports = await asyncio.gather(*(stores.turns.reap(at(60)) for _ in range(4)))
        assert sorted(turn.turn for report in reports for turn in report) == [turn_id(n) for n in range(1, 6)]

    async def test_what_is_recorded_of_a_reaped_turn_is_written_with_its_end(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))

        def recorded(turn: ReapedTurn) -> AuditRecord:
            return AuditRecord(id=number(77), at=at(60), event=OperatorActed("reap", str(turn.turn)))

        await stores.turns.reap(at(60), recorded)
        records, _ = await stores.audit.read()
        assert [record.event for record in records] == [OperatorActed("reap", str(turn_id(1)))]

    async def test_a_checkpoint_leaves_ended_and_unknown_turns_alone(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1))
        await stores.turns.open(opened(2, session=1))
        texts = ((turn_id(1), "no"), (turn_id(99), "nobody"), (turn_id(2), "yes"))
        await stores.turns.checkpoint(texts, at(100))
        assert await stores.turns.reap(at(99)) == ()
        (reaped,) = await stores.turns.reap(at(100))
        assert reaped.turn == turn_id(2)
        past = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert [turn.messages[-1] for turn in past] == [REPLY, AssistantMessage("yes")]

    async def test_a_checkpoint_of_no_turns_does_nothing(self, stores: Stores) -> None:
        await stores.turns.checkpoint((), at(1))
        assert await stores.turns.reap(at(60)) == ()

    # Closing

    async def test_a_closed_turn_keeps_all_that_was_said_in_order(self, stores: Stores) -> None:
        calls = AssistantMessage(None, tool_calls=(ToolCall("c1", "clock", '{"zone":"UTC"}'),))
        said = (calls, ToolMessage("c1", "12:00"), REPLY)
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1, messages=said, when=at(3), title="Time", history_from=1))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.state == "completed"
        assert past.messages[1:] == said
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert (session.title, session.history_from) == ("Time", 1)
        assert (session.last_turn_at, session.message_count) == (at(3), 4)

    async def test_a_session_keeps_its_title_and_its_cut_unless_told(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1, title="First", history_from=1))
        await stores.turns.open(opened(2, session=1))
        await stores.turns.close(closed(2, title="Second"))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert (session.title, session.history_from) == ("First", 1)

    async def test_a_late_close_of_an_older_turn_does_not_turn_back_the_sessions_time(
        self, stores: Stores
    ) -> None:
        await stores.turns.open(opened(1, session=1, when=at(0)))
        await stores.turns.open(opened(2, session=1, when=at(9)))
        await stores.turns.close(closed(1, when=at(5)))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.last_turn_at == at(9)

    async def test_closing_twice_changes_nothing_the_second_time(self, stores: Stores) -> None:
        first = closed(1, audit=(record(1),), jobs=(demand(),))
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(first)
        await stores.turns.close(first)
        again = closed(1, state="failed", messages=(), audit=(record(2),), jobs=(demand("t"),), title="No")
        await stores.turns.close(again)
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert (past.state, past.messages[1:]) == ("completed", (REPLY,))
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert (session.message_count, session.title) == (2, None)
        assert [kept.id for kept in (await stores.audit.read())[0]] == [record(1).id]
        assert len(await stores.jobs.list()) == 1

    async def test_a_close_wins_over_the_reaper(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.checkpoint(((turn_id(1), "good mor"),), at(20))
        await stores.turns.reap(at(30))
        more = (REPLY, UserMessage("one more"))
        await stores.turns.close(closed(1, messages=more, audit=(record(1),), jobs=(demand(),)))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert (past.state, past.messages[1:]) == ("completed", more)
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 3
        assert len(await stores.jobs.list()) == 1
        await stores.turns.close(closed(1, state="failed"))
        assert (await stores.history.turns(ANNA, session_id(1), 0, 9))[0].state == "completed"

    async def test_a_failed_close_removes_what_the_reaper_kept(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.checkpoint(((turn_id(1), "good mor"),), at(20))
        await stores.turns.reap(at(30))
        await stores.turns.close(closed(1, state="failed", messages=()))
        assert len(await stores.sessions.messages(ANNA, session_id(1), 10)) == 1
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 1

    async def test_a_closed_turn_is_not_reaped(self, stores: Stores) -> None:
        await stores.turns.open(opened(1))
        await stores.turns.close(closed(1))
        assert await stores.turns.reap(at(60)) == ()

    async def test_an_unknown_or_another_owners_turn_cannot_be_closed(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        with pytest.raises(MissingError):
            await stores.turns.close(closed(1, owner=BERT, audit=(record(1),)))
        with pytest.raises(MissingError):
            await stores.turns.close(closed(2))
        assert (await stores.audit.read())[0] == ()
        assert await stores.history.turns(ANNA, session_id(1), 0, 9) == ()

    async def test_a_turn_is_closed_although_its_session_was_deleted(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.sessions.delete(ANNA, session_id(1), at(1))
        await stores.turns.close(closed(1, audit=(record(1),)))
        assert len((await stores.audit.read())[0]) == 1

    async def test_a_cancelled_open_is_whole_or_undone_and_the_store_stays_usable(
        self, stores: Stores
    ) -> None:
        task = asyncio.ensure_future(stores.turns.open(opened(1, session=1)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        answer = await stores.turns.open(opened(2, session=1))
        assert isinstance(answer, Opened)
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == answer.seq
        assert len(await stores.sessions.messages(ANNA, session_id(1), 10)) == answer.seq

    async def test_what_is_in_a_message_comes_back_as_it_was(self, stores: Stores) -> None:
        said = UserMessage(
            "O'Brien; DROP TABLE turns; -- 100% \u4f60\u597d \U0001f600 \\ \" \n\t %s :x ?", name="a"
        )
        await stores.turns.open(opened(1, session=1, messages=(said,)))
        (stored,) = await stores.sessions.messages(ANNA, session_id(1), 10)
        assert stored.message == said

    async def test_half_a_character_is_replaced_wherever_it_stands(self, stores: Stores) -> None:
        call = ToolCall("c\ud83d", "f", '{"a":"\ud83d"}')
        said = (
            AssistantMessage(None, (call,)),
            ToolMessage("c\ud83d", "\ude00"),
            AssistantMessage("a\ud83d"),
        )
        outcome = TurnOutcome(finish=("stop",), answers=said[-1:], service_tier="\ud83d", error="\ud83d")
        await stores.turns.open(opened(1, session=1, key=KEY, messages=(UserMessage("\ud83d?", "\ude00"),)))
        await stores.turns.close(closed(1, messages=said, outcome=outcome, title="\ud83d\ude00 \ude00"))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.messages == (
            UserMessage("\ufffd?", "\ufffd"),
            AssistantMessage(None, (ToolCall("c\ufffd", "f", '{"a":"\ufffd"}'),)),
            ToolMessage("c\ufffd", "\ufffd"),
            AssistantMessage("a\ufffd"),
        )
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.title == "\U0001f600 \ufffd"
        again = await stores.turns.open(opened(2, session=1, key=KEY))
        assert isinstance(again, AlreadyFinished)
        kept = again.record.outcome
        assert (kept.answers, kept.service_tier, kept.error) == (past.messages[-1:], "\ufffd", "\ufffd")

    async def test_a_round_waits_for_calls_whose_ids_held_half_a_character(self, stores: Stores) -> None:
        call = ToolCall("c\ud83d", "f", "{}")
        await stores.turns.open(opened(1))
        messages = (AssistantMessage(None, (call,)),)
        await stores.turns.close(closed(1, state="waiting", messages=messages, waiting_for=("c\ud83d",)))
        waiting = await stores.history.waiting_round(ANNA, ("c\ufffd",), at(0))
        assert waiting is not None
        assert waiting.turn == turn_id(1)

    async def test_half_a_character_in_one_checkpoint_does_not_lose_the_others(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.open(opened(2, session=1))
        await stores.turns.checkpoint(((turn_id(1), "a\ud83d"), (turn_id(2), "b")), at(20))
        await stores.turns.reap(at(20))
        past = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert [turn.messages[-1] for turn in past] == [AssistantMessage("a\ufffd"), AssistantMessage("b")]

    # Less was heard than was thought

    async def test_of_an_answer_that_was_cut_short_later_only_what_was_heard_remains(
        self, stores: Stores
    ) -> None:
        call = ToolCall("c", "f", "{}")
        asked = (AssistantMessage(None, (call,)), ToolMessage("c", "42"))
        outcome = TurnOutcome(finish=("stop",), answers=(REPLY,))
        await stores.turns.open(opened(1, session=1, key=KEY))
        await stores.turns.close(closed(1, messages=(*asked, REPLY), outcome=outcome))
        await stores.turns.amend(amended(1, "good"))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.messages == (HELLO, *asked, AssistantMessage("good"))
        assert past.state == "interrupted"
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 4
        again = await stores.turns.open(opened(2, session=1, key=KEY))
        assert again == Opened(2), "an interrupted turn has freed its key"

    async def test_an_answer_of_which_nothing_was_heard_is_gone(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1))
        await stores.turns.amend(amended(1, ""))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert (past.messages, past.state) == ((HELLO,), "interrupted")
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 1

    @pytest.mark.parametrize("heard", ["good morning", "good evening", "good morning, Anna"])
    async def test_what_is_not_the_beginning_of_the_answer_changes_nothing(
        self, stores: Stores, heard: str
    ) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1))
        await stores.turns.amend(amended(1, heard))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert (past.messages, past.state) == ((HELLO, REPLY), "completed")

    async def test_a_turn_that_runs_is_not_cut_short_by_others(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.amend(amended(1, ""))
        await stores.turns.close(closed(1))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert (past.messages, past.state) == ((HELLO, REPLY), "completed")

    async def test_a_turn_that_waits_for_results_still_waits_with_fewer_words(self, stores: Stores) -> None:
        asking = AssistantMessage("Let me see.", (ToolCall("c", "f", "{}"),))
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1, state="waiting", messages=(asking,), waiting_for=("c",)))
        await stores.turns.amend(amended(1, ""))
        waiting = await stores.history.waiting_round(ANNA, ("c",), at(0))
        assert waiting is not None
        assert waiting.messages == (AssistantMessage(None, asking.tool_calls),)

    async def test_what_the_user_really_said_takes_the_place_of_what_was_understood(
        self, stores: Stores
    ) -> None:
        before = (ToolMessage("c", "42"), UserMessage("tell me", "mei"))
        await stores.turns.open(opened(1, session=1, messages=before))
        await stores.turns.close(closed(1))
        for said in ("tell me more", "tell me more"):
            await stores.turns.amend(amended(1, said=said, audit=(record(7),)))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.messages == (before[0], UserMessage("tell me more", "mei"), REPLY)
        assert past.state == "completed"
        session = await stores.history.session(ANNA, session_id(1))
        assert session is not None
        assert session.message_count == 3
        assert len((await stores.audit.read())[0]) == 1

    async def test_where_the_user_said_nothing_there_is_nothing_to_correct(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1, messages=()))
        await stores.turns.close(closed(1))
        await stores.turns.amend(amended(1, said="more"))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.messages == (REPLY,)

    async def test_nobody_cuts_short_another_owners_turn(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1))
        for unknown in (amended(1, "", owner=BERT), amended(9, "")):
            with pytest.raises(MissingError):
                await stores.turns.amend(unknown)
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.messages == (HELLO, REPLY)

    async def test_that_an_answer_was_cut_short_is_audited(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1))
        await stores.turns.amend(amended(1, "good", audit=(record(7),)))
        assert [kept.id for kept in (await stores.audit.read())[0]] == [record(7).id]

    async def test_cutting_short_twice_leaves_what_was_heard_least(self, stores: Stores) -> None:
        await stores.turns.open(opened(1, session=1))
        await stores.turns.close(closed(1))
        for heard in ("good", "good mor", "g"):
            await stores.turns.amend(amended(1, heard))
        (past,) = await stores.history.turns(ANNA, session_id(1), 0, 9)
        assert past.messages == (HELLO, AssistantMessage("g"))


class TestInMemoryTurnStore(TurnStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        return in_memory_stores()


class TestSqliteTurnStore(TurnStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        async with sqlite_stores(tmp_path) as stores:
            yield stores


class TestPostgresTurnStore(TurnStoreContract):
    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        async with postgres_stores() as stores:
            yield stores
