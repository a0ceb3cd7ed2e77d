"""The SQL stores and the in-memory store answer alike, whatever is asked of them in whatever order."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cozy_domain.errors import CozyError
from cozy_domain.ids import Owner, TurnId
from cozy_domain.jobs import Job
from cozy_domain.messages import AssistantMessage, Message, ToolCall, UserMessage
from cozy_domain.sessions.turn import IdempotencyKey, ReapedTurn, TurnState
from tests.fixtures.stores import Stores, in_memory_stores, postgres_stores, sqlite_stores
from tests.fixtures.turns import ANNA, BERT, at, closed, demand, opened, record, session_id, turn_id

T = TypeVar("T")

turns = st.integers(1, 8)
sessions = st.integers(1, 3)
owners = st.sampled_from([ANNA, ANNA, BERT])
moments = st.integers(0, 40).map(at)
texts = st.sampled_from(["", "hm", "a longer text"])
states: st.SearchStrategy[TurnState] = st.sampled_from(["completed", "waiting", "interrupted", "failed"])
keys = st.builds(IdempotencyKey, st.just("chat"), st.sampled_from("ab"), st.sampled_from("xy"))
calls = st.lists(st.sampled_from(["c1", "c2", "c3"]), unique=True, max_size=3).map(tuple)
asks: st.SearchStrategy[tuple[Message, ...]] = st.lists(texts.map(UserMessage), max_size=2).map(tuple)


class BothStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.one = in_memory_stores()
        self.other: Stores = self.runner.run(self.stack.enter_async_context(self.sql_stores()))

    def sql_stores(self) -> AbstractAsyncContextManager[Stores]:
        return sqlite_stores(Path(self.folder.name))

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def same(self, ask: Callable[[Stores], Awaitable[T]]) -> T | str:
        """What both answer; an error is compared by its class and code."""

        async def answer(stores: Stores) -> T | str:
            try:
                return await ask(stores)
            except CozyError as error:
                return f"{type(error).__name__} {error.code}"

        expected, found = self.runner.run(answer(self.one)), self.runner.run(answer(self.other))
        assert found == expected
        return expected

    @rule(
        turn=turns,
        session=st.none() | sessions,
        owner=owners,
        when=moments,
        messages=asks,
        key=st.none() | keys,
        revision=st.integers(1, 2),
    )
    def open(
        self,
        turn: int,
        session: int | None,
        owner: Owner,
        when: datetime,
        messages: tuple[Message, ...],
        key: IdempotencyKey | None,
        revision: int,
    ) -> None:
        start = opened(
            turn, session=session, owner=owner, when=when, messages=messages, key=key, revision=revision
        )
        self.same(lambda stores: stores.turns.open(start))

    @rule(texts=st.lists(st.tuples(turns.map(turn_id), texts), max_size=3).map(tuple), until=moments)
    def checkpoint(self, texts: tuple[tuple[TurnId, str], ...], until: datetime) -> None:
        self.same(lambda stores: stores.turns.checkpoint(texts, until))

    @rule(
        turn=turns,
        owner=owners,
        state=states,
        when=moments,
        text=texts,
        waiting_for=calls,
        history_from=st.none() | st.integers(0, 5),
        title=st.none() | texts,
        learn=st.booleans(),
    )
    def close(
        self,
        turn: int,
        owner: Owner,
        state: TurnState,
        when: datetime,
        text: str,
        waiting_for: tuple[str, ...],
        history_from: int | None,
        title: str | None,
        learn: bool,
    ) -> None:
        asked = tuple(ToolCall(call, "f", "{}") for call in waiting_for)
        end = closed(
            turn,
            owner=owner,
            state=state,
            when=when,
            messages=(AssistantMessage(text, tool_calls=asked),),
            waiting_for=waiting_for,
            history_from=history_from,
            title=title,
            audit=(record(turn),),
            jobs=(demand(str(turn % 2), after=when, by=at(30)),) if learn else (),
        )
        self.same(lambda stores: stores.turns.close(end))

    @rule(now=moments)
    def reap(self, now: datetime) -> None:
        self.same(lambda stores: sorted_reaped(stores, now))

    @rule(session=sessions, owner=owners, when=moments)
    def delete(self, session: int, owner: Owner, when: datetime) -> None:
        self.same(lambda stores: stores.sessions.delete(owner, session_id(session), when))

    @rule(session=sessions, owner=owners, title=texts)
    def rename(self, session: int, owner: Owner, title: str) -> None:
        self.same(lambda stores: stores.sessions.rename(owner, session_id(session), title))

    @rule(now=moments, fails=st.booleans(), again=st.none() | moments)
    def work(self, now: datetime, fails: bool, again: datetime | None) -> None:
        self.same(lambda stores: work_once(stores, now, fails, again))

    @rule(owner=owners, waiting_for=calls, since=moments)
    def find_waiting(self, owner: Owner, waiting_for: tuple[str, ...], since: datetime) -> None:
        self.same(lambda stores: stores.history.waiting_round(owner, waiting_for, since))

    @rule(owner=owners, session=sessions, since=st.integers(0, 4), before=st.integers(0, 9))
    def read_history(self, owner: Owner, session: int, since: int, before: int) -> None:
        self.same(lambda stores: stores.history.turns(owner, session_id(session), since, before))

    @invariant()
    def all_that_is_stored_is_the_same(self) -> None:
        self.same(everything)


async def everything(stores: Stores) -> list[object]:
    """What every port shows, with errors as their class."""
    shown: list[object] = [await stores.jobs.list(), await stores.audit.read()]
    for owner in (ANNA, BERT):
        shown.append(await stores.sessions.list(owner, 10))
        for home in (session_id(1), session_id(2), session_id(3)):
            for ask in (stores.history.session(owner, home), stores.sessions.messages(owner, home, 99)):
                try:
                    shown.append(await ask)
                except CozyError as error:
                    shown.append(type(error))
    return shown


async def sorted_reaped(stores: Stores, now: datetime) -> list[ReapedTurn]:
    return sorted(await stores.turns.reap(now), key=lambda reaped: reaped.turn)


async def work_once(stores: Stores, now: datetime, fails: bool, again: datetime | None) -> Job | None:
    job = await stores.jobs.lease(now, now, ("learn",))
    if job and fails:
        await stores.jobs.fail(job, "code", again)
    elif job:
        await stores.jobs.finish(job)
    return job


BothStores.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBothStores = BothStores.TestCase


class PostgresToo(BothStores):
    def sql_stores(self) -> AbstractAsyncContextManager[Stores]:
        return postgres_stores()


PostgresToo.TestCase.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestPostgresToo = PostgresToo.TestCase
