"""What is stored with a turn's end."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.ids import InMemoryIds
from cozy_domain.audit.chain import is_genuine
from cozy_domain.audit.events import Degradation, EngineDegraded, ToolCalled, TurnAudited
from cozy_domain.chat.close import LEARN, TurnFacts, audit_records, closing, learning_demands
from cozy_domain.ids import OwnerId
from cozy_domain.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from cozy_domain.persona.persona import MemoryPolicy, MemoryWrite
from cozy_domain.sessions.turn import TurnOutcome, TurnState
from cozy_domain.tools.tool import Effect, ToolResult
from tests.fixtures.chat import AUDIT_KEY, DEFAULT, OWNER, SESSION, asking, published
from tests.fixtures.turns import T0, turn_id

SECRET = "my secret"
CALL = ToolCall("call_1", "note", f'{{"text":"{SECRET}"}}')
OUTCOME = TurnOutcome(
    finish=("stop",),
    answers=(AssistantMessage("four"), AssistantMessage(None)),
    usage=Usage(10, 5, known=True),
    model="scripted/scripted",
    degraded=(Degradation("memory", "timeout", 400),),
)
FACTS = TurnFacts(
    turn=turn_id(1),
    request=asking(SECRET),
    speaker=published(DEFAULT, 3),
    personalised=True,
    opening=(UserMessage(SECRET),),
    state="completed",
    messages=(AssistantMessage("four"),),
    outcome=OUTCOME,
    results=(ToolResult(CALL, "kept", "ok", Effect.WRITE, 7),),
    engines=("memory", "profile"),
    history_from=4,
)
STATELESS = replace(FACTS, request=asking(SECRET, session=None))


def audited(facts: TurnFacts) -> TurnAudited:
    event = audit_records(facts, key=AUDIT_KEY, ids=InMemoryIds(), now=T0)[-1].event
    assert isinstance(event, TurnAudited)
    return event


def writing(**policy: object) -> TurnFacts:
    write = replace(MemoryWrite(), **policy)
    return replace(FACTS, speaker=published(replace(DEFAULT, memory=MemoryPolicy(write=write))))


def test_the_end_holds_all_that_happened() -> None:
    end = closing(replace(FACTS, waiting_for=("call_2",)), key=AUDIT_KEY, ids=InMemoryIds(), now=T0)
    assert (end.turn, end.owner, end.state, end.at) == (turn_id(1), OWNER, "completed", T0)
    assert (end.messages, end.outcome) == (FACTS.messages, OUTCOME)
    assert (end.waiting_for, end.history_from, end.title) == (("call_2",), 4, SECRET)
    assert len(end.audit) == 3
    assert len(end.jobs) == 1


def test_a_stateless_turn_has_no_title() -> None:
    assert closing(STATELESS, key=AUDIT_KEY, ids=InMemoryIds(), now=T0).title is None


@pytest.mark.parametrize(
    ("opening", "title"),
    [
        ((ToolMessage("a", "x"),), None),
        ((UserMessage((ImagePart("https://example.org/a.png"),)),), None),
        ((ToolMessage("a", "x"), UserMessage("hi"), UserMessage("you")), "hi"),
    ],
)
def test_the_title_is_what_the_user_said_first(opening: tuple[Message, ...], title: str | None) -> None:
    end = closing(replace(FACTS, opening=opening), key=AUDIT_KEY, ids=InMemoryIds(), now=T0)
    assert end.title == title


def test_engines_tools_and_the_turn_are_audited_each_in_a_genuine_record() -> None:
    records = audit_records(FACTS, key=AUDIT_KEY, ids=InMemoryIds(), now=T0)
    assert [type(record.event) for record in records] == [EngineDegraded, ToolCalled, TurnAudited]
    assert [record.level for record in records] == ["warning", "info", "info"]
    assert all(is_genuine(AUDIT_KEY, record) for record in records)
    assert len({record.id for record in records}) == 3
    for record in records:
        assert (record.account, record.owner, record.session) == ("acme", OWNER.id, SESSION)
        assert (record.turn, record.request, record.at) == (turn_id(1), "req_1", T0)


def test_no_record_holds_what_was_said_or_handed_to_a_tool() -> None:
    records = audit_records(FACTS, key=AUDIT_KEY, ids=InMemoryIds(), now=T0)
    assert SECRET not in repr(records)
    assert "four" not in repr(records)


def test_the_turns_record_has_its_sizes_and_who_spoke() -> None:
    assert audited(FACTS) == TurnAudited(
        state="completed",
        persona=DEFAULT.id,
        revision=3,
        model="scripted/scripted",
        engines=("memory", "profile"),
        prompt_tokens=10,
        completion_tokens=5,
        said_characters=4,
        finish_reason="stop",
    )


def test_a_failed_turn_is_an_error_with_its_code() -> None:
    outcome = TurnOutcome(answers=(UserMessage("not said"),), error="provider_timeout")
    facts = replace(FACTS, state="failed", outcome=outcome, results=())
    (record,) = audit_records(facts, key=AUDIT_KEY, ids=InMemoryIds(), now=T0)
    assert record.level == "error"
    event = audited(facts)
    assert (event.error, event.finish_reason, event.said_characters) == ("provider_timeout", None, 0)


@pytest.mark.parametrize(("debounce_s", "max_s"), [(0, 900), (60, 900), (900, 900), (3_600, 3_600)])
def test_what_was_said_is_learned_after_a_pause_but_not_put_off_for_ever(debounce_s: int, max_s: int) -> None:
    (job,) = learning_demands(writing(debounce_s=debounce_s), T0)
    assert (job.kind, job.key) == (LEARN, f"session/{SESSION}")
    assert job.run_after == T0 + timedelta(seconds=debounce_s)
    assert job.max_at == T0 + timedelta(seconds=max_s)


def test_stateless_turns_are_learned_from_by_owner() -> None:
    (job,) = learning_demands(STATELESS, T0)
    owner: OwnerId = OWNER.id
    assert job.key == f"owner/{owner}"


@pytest.mark.parametrize("state", ["completed", "waiting", "interrupted"])
def test_every_turn_that_said_something_is_learned_from(state: TurnState) -> None:
    assert learning_demands(replace(FACTS, state=state), T0)


@pytest.mark.parametrize(
    "facts", [replace(FACTS, state="failed"), replace(FACTS, personalised=False), writing(enabled=False)]
)
def test_a_failed_turn_or_one_that_may_not_be_remembered_is_not_learned_from(facts: TurnFacts) -> None:
    assert learning_demands(facts, T0) == ()
