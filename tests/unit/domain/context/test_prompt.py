"""What the prompt looks like, case by case. The rules that hold for every input are in test_prompt_properties."""

from datetime import UTC, datetime

import msgspec
import pytest

from cozy_adapters.tokens import EstimatedTokenCounter
from cozy_domain.audit.events import Degradation
from cozy_domain.context.bundle import Candidate, ContextBundle, Gathered, Moment
from cozy_domain.context.past import NO_ANSWER
from cozy_domain.context.prompt import PromptInput, build
from cozy_domain.errors import InputError
from cozy_domain.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    text_of,
)
from cozy_domain.models.request import ToolDefinition
from cozy_domain.persona.persona import Budget, Budgets, KnowledgePolicy, Lore, LoreEntry, Prompt
from cozy_domain.profile import Profile, Slot
from tests.unit.domain.context import givens
from tests.unit.domain.context.givens import COUNTER, NOON, anna, candidate, given, published, spoken, turn

ASK = ToolCall(id="call-1", name="ask_client", arguments="{}")
SAME = Budget(ceiling=0)


def built(**changes: object) -> ContextBundle:
    return build(given(**changes), COUNTER)


def roles(bundle: ContextBundle) -> str:
    """One letter for each message; b is the recall block."""
    letters = {SystemMessage: "s", UserMessage: "u", AssistantMessage: "a", ToolMessage: "t"}
    return "".join("b" if givens.is_block(m) else letters[type(m)] for m in bundle.messages)


def user(text: str) -> UserMessage:
    return UserMessage(content=text)


# Order


def test_sections_stand_in_their_order() -> None:
    bundle = built(
        persona=published(anna(prompt=Prompt(system="You are Anna.", post_history="Stay brief."))),
        gathered=Gathered(history=(spoken(1),), candidates=(candidate("1", "Likes tea."),)),
        system=(SystemMessage(content="Answer in rhymes."),),
        snapshot=Profile(slots=(Slot("name", "Bob"),), version=1),
        summary="They met.",
    )
    assert roles(bundle) == "sbuasbus"
    assert [section.name for section in bundle.sections] == [
        "platform",
        "persona",
        "profile",
        "summary",
        "history",
        "recall",
        "user",
        "post_history",
    ]
    assert [section.items for section in bundle.sections] == [1, 1, 1, 1, 1, 1, 2, 1]
    assert all(section.tokens > 0 for section in bundle.sections)


def test_without_anything_to_recall_the_block_still_tells_the_time() -> None:
    bundle = built()
    assert roles(bundle) == "sbu"
    assert "now: Sunday 2026-11-22 12:00 Europe/Berlin\n" in givens.block_of(bundle)


def test_the_time_to_the_minute_is_the_only_one_in_the_prompt() -> None:
    seconds = Moment(local=datetime(2026, 11, 22, 12, 0, 59, tzinfo=UTC), timezone="Europe/Berlin")
    later = Moment(local=datetime(2026, 11, 22, 12, 1, tzinfo=UTC), timezone="Europe/Berlin")
    assert built(now=seconds) == built(now=NOON)
    assert built(now=later).messages[0] == built(now=NOON).messages[0]
    assert built(now=later).messages != built(now=NOON).messages


def test_the_users_own_message_keeps_its_parts_and_its_name() -> None:
    own = UserMessage(content=(TextPart("What is this?"), ImagePart("https://example.org/a.png")), name="bob")
    assert built(new=(own,)).messages[-1] == own


def test_a_persona_without_post_history_adds_no_message_behind_the_user() -> None:
    blank = published(anna(prompt=Prompt(system="You are Anna.", post_history=" \n")))
    assert roles(built(persona=blank)) == "sbu"


def test_several_messages_of_the_user_stay_together_behind_the_block() -> None:
    assert roles(built(new=(user("one"), user("two")))) == "sbuu"


def test_tools_count_as_part_of_the_head() -> None:
    tool = ToolDefinition(name="clock", description="Tells the time in any zone.")
    bare, armed = built(), built(tools=(tool,))
    persona = armed.sections[1]
    assert persona.items == 2
    assert persona.tokens > bare.sections[1].tokens + 10
    assert armed.prompt_tokens - bare.prompt_tokens == persona.tokens - bare.sections[1].tokens
    assert armed.head_hash != bare.head_hash


def test_tools_are_counted_together_so_that_a_counter_can_bound_its_work() -> None:
    class Asked(EstimatedTokenCounter):
        texts: tuple[str, ...] = ()

        def count(self, text: str) -> int:
            self.texts += (text,)
            return super().count(text)

    counter = Asked()
    tools = tuple(ToolDefinition(name=f"tool-{n}", description=f"about {n}") for n in range(3))
    build(given(tools=tools), counter)
    assert [text for text in counter.texts if "tool-" in text] == [
        "\n".join(f"tool-{n}\nabout {n}\n{bytes(tools[n].parameters).decode()}" for n in range(3))
    ]


def test_degraded_engines_are_handed_on_in_a_stable_order() -> None:
    late = Degradation(engine="profile", reason="timeout", after_ms=300)
    broken = Degradation(engine="memory", reason="error", after_ms=3)
    assert built(gathered=Gathered(degraded=(late, broken))).degraded == (broken, late)


# Head


@pytest.mark.parametrize(
    "changes",
    [
        {"persona": published(anna(), revision=2)},
        {"persona": published(anna(prompt=Prompt(system="You are Eva.")))},
        {"persona": published(anna(id="eva"))},
        {"platform": "Other rules."},
        {"snapshot": Profile(slots=(Slot("name", "Bob"),), version=1)},
        {"summary": "They met."},
    ],
)
def test_the_head_hash_changes_with_whatever_stands_in_the_head(changes: dict[str, object]) -> None:
    assert built(**changes).head_hash != built().head_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"new": (user("Something else"),)},
        {
            "gathered": Gathered(
                history=(spoken(1),), profile=Profile(slots=(Slot("name", "Bob"),), version=1)
            )
        },
        {"system": (SystemMessage(content="Answer in rhymes."),)},
        {"window": 20_000},
    ],
)
def test_the_head_hash_stays_whatever_changes_behind_the_head(changes: dict[str, object]) -> None:
    assert built(**changes).head_hash == built().head_hash


def test_a_slot_of_the_snapshot_is_not_repeated_and_a_changed_one_stands_with_the_recall() -> None:
    slots = (Slot("city", "Berlin"), Slot("name", "Bob"))
    fresh = Profile(slots=(Slot("city", "Paris"), slots[1]), version=2)
    bundle = built(snapshot=Profile(slots=slots, version=1), gathered=Gathered(profile=fresh))
    head, tail = (text_of(m.content) for m in bundle.messages if givens.is_block(m))
    assert "city: Berlin" in head
    assert "name: Bob" in head
    assert "city: Paris" in tail
    assert "name: Bob" not in tail
    assert bundle.used == ("city",)


def test_the_snapshot_stays_within_the_profiles_ceiling() -> None:
    narrow = published(anna(budgets=Budgets(profile=Budget(ceiling=20))))
    slots = (Slot("name", "Bob"), Slot("story", "once upon a time " * 20))
    bundle = built(persona=narrow, snapshot=Profile(slots=slots, version=1))
    assert bundle.sections[2].items == 1
    assert "once upon" not in text_of(bundle.messages[1].content)


def test_a_snapshot_that_does_not_fit_is_left_out_with_the_summary() -> None:
    bundle = built(summary="so much " * 400, window=900)
    assert roles(bundle) == "sbu"
    assert [section.tokens for section in bundle.sections[2:4]] == [0, 0]


def test_a_summary_alone_is_counted_as_the_summary() -> None:
    bundle = built(summary="They met.")
    assert bundle.sections[2].tokens == 0
    assert bundle.sections[3].tokens == COUNTER.count_messages(bundle.messages[1:2])


def test_a_snapshot_alone_is_counted_as_the_profile() -> None:
    bundle = built(snapshot=Profile(slots=(Slot("name", "Bob"),), version=1))
    assert bundle.sections[2].tokens == COUNTER.count_messages(bundle.messages[1:2])
    assert bundle.sections[3].tokens == 0


# History


def test_history_is_shown_whole_while_it_fits() -> None:
    bundle = built(gathered=Gathered(history=(spoken(3), spoken(4))), history_from=2)
    assert bundle.messages[1:5] == (*spoken(3).messages, *spoken(4).messages)
    assert bundle.history_from == 2


def test_a_full_history_is_cut_to_half_and_the_cut_point_is_told() -> None:
    size = COUNTER.count_messages(spoken(1).messages)
    persona = published(anna(budgets=Budgets(history=Budget(ceiling=size * 6 + 5))))
    history = tuple(spoken(seq) for seq in range(1, 8))
    bundle = built(persona=persona, gathered=Gathered(history=history))
    assert bundle.history_from == 5
    assert bundle.sections[4].items == 3
    assert bundle.sections[4].dropped == 4
    assert spoken(4).messages[0] not in bundle.messages
    again = built(persona=persona, gathered=Gathered(history=(*history[4:], spoken(8))), history_from=5)
    assert again.history_from == 5
    assert again.messages[: len(bundle.messages) - 2] == bundle.messages[:-2]


def test_a_history_that_is_cut_off_whole_goes_on_behind_its_last_turn() -> None:
    persona = published(anna(budgets=Budgets(history=SAME)))
    bundle = built(persona=persona, gathered=Gathered(history=(spoken(3), spoken(4))))
    assert bundle.history_from == 5
    assert roles(bundle) == "sbu"


def test_a_turn_that_ends_late_is_not_lost_behind_the_cut() -> None:
    """Turn 4 still runs while turn 6 is asked: cutting turn 3 must not skip turn 4."""
    size = COUNTER.count_messages(spoken(5).messages)
    persona = published(anna(budgets=Budgets(history=Budget(ceiling=size + 5))))
    bundle = built(persona=persona, gathered=Gathered(history=(spoken(3), spoken(5))))
    assert bundle.history_from == 4


def test_system_messages_of_earlier_turns_are_not_repeated() -> None:
    past = turn(1, SystemMessage(content="Only once."), user("Hi"), AssistantMessage(content="Hello"))
    assert roles(built(gathered=Gathered(history=(past,)))) == "suabu"


def test_an_unanswered_call_is_answered_with_the_word_that_no_answer_came() -> None:
    waiting = turn(1, user("Hi"), AssistantMessage(tool_calls=(ASK,)))
    bundle = built(gathered=Gathered(history=(waiting,)))
    assert roles(bundle) == "suatbu"
    assert bundle.messages[3] == ToolMessage(tool_call_id="call-1", content=NO_ANSWER)


def test_tool_results_go_on_with_the_turn_that_waits_for_them() -> None:
    waiting = turn(2, user("Hi"), AssistantMessage(tool_calls=(ASK,)))
    result = ToolMessage(tool_call_id="call-1", content="yes")
    bundle = built(gathered=Gathered(history=(spoken(1), waiting)), new=(result,))
    assert roles(bundle) == "suabuat"
    assert bundle.messages[-1] == result
    assert bundle.sections[4].items == 1
    assert bundle.sections[6].items == 3


def test_a_turn_that_goes_on_is_never_cut_off() -> None:
    waiting = turn(2, user("Hi"), AssistantMessage(tool_calls=(ASK,)))
    result = ToolMessage(tool_call_id="call-1", content="yes")
    persona = published(anna(budgets=Budgets(history=SAME)))
    bundle = built(persona=persona, gathered=Gathered(history=(spoken(1), waiting)), new=(result,))
    assert roles(bundle) == "sbuat"
    assert bundle.history_from == 2


def test_results_and_a_new_question_are_parted_by_the_block() -> None:
    waiting = turn(1, user("Hi"), AssistantMessage(tool_calls=(ASK,)))
    new = (ToolMessage(tool_call_id="call-1", content="yes"), user("And now?"))
    assert roles(built(gathered=Gathered(history=(waiting,)), new=new)) == "suatbu"


def test_results_of_calls_that_nobody_made_do_not_reach_the_model() -> None:
    assert roles(built(new=(ToolMessage(tool_call_id="call-1", content="yes"), user("So?")))) == "sbu"


# Stateless calls


def test_the_messages_of_a_stateless_call_are_passed_on_as_they_are() -> None:
    said: tuple[Message, ...] = (
        SystemMessage(content="Be a poet."),
        user("Hi"),
        AssistantMessage(tool_calls=(ASK,)),
        user("Never mind."),
    )
    bundle = built(new=said, stateless=True, gathered=Gathered(history=(spoken(1),)))
    assert roles(bundle) == "ssuabu"
    assert tuple(m for m in bundle.messages[1:] if not givens.is_block(m)) == said


def test_a_stateless_call_without_a_word_of_the_user_has_the_block_in_front() -> None:
    assert roles(built(new=(AssistantMessage(content="Once upon"),), stateless=True)) == "sba"


def test_a_stateless_call_that_does_not_fit_is_refused_and_not_cut() -> None:
    long = tuple(user("word " * 100) for _ in range(30))
    with pytest.raises(InputError) as refused:
        built(new=long, stateless=True, window=2_000)
    assert refused.value.code == "context_length_exceeded"
    assert refused.value.param == "messages"
    assert "word" not in str(refused.value)


def test_a_window_too_small_for_anything_leaves_no_tokens() -> None:
    with pytest.raises(InputError, match="leaves 0 for"):
        built(window=10)


def window_for(tokens: int) -> dict[str, int]:
    """A window that leaves exactly so many tokens for the prompt."""
    return {"reply": 13, "window": 13 + -(-tokens * 13 // 10)}


def test_the_floor_of_history_is_kept_from_pinned_items() -> None:
    past = spoken(1)
    size = COUNTER.count_messages(past.messages)
    pinned = candidate("1", "Likes tea.", pinned=True)
    floor = published(anna(budgets=Budgets(history=Budget(floor=size))))
    gathered = Gathered(history=(past,), candidates=(pinned,))
    fixed = built().prompt_tokens
    tight = built(persona=floor, gathered=gathered, **window_for(fixed + size + pinned.tokens - 1))
    assert tight.used == ()
    assert tight.sections[4].items == 1
    wide = built(persona=floor, gathered=gathered, **window_for(fixed + size + pinned.tokens))
    assert wide.used == ("fact-1",)
    assert wide.sections[4].items == 1


def test_the_floor_of_history_is_kept_from_the_snapshot() -> None:
    past = spoken(1)
    size = COUNTER.count_messages(past.messages)
    floor = published(anna(budgets=Budgets(history=Budget(floor=size))))
    told = {"persona": floor, "gathered": Gathered(history=(past,)), "summary": "They met."}
    whole = built(**told)
    summary = whole.sections[3].tokens
    assert summary > 0
    tight = built(**told, **window_for(whole.prompt_tokens - 1))
    assert [tight.sections[3].tokens, tight.sections[4].items] == [0, 1]
    wide = built(**told, **window_for(whole.prompt_tokens))
    assert [wide.sections[3].tokens, wide.sections[4].items] == [summary, 1]


# Recall


def test_an_item_is_escaped_and_tells_its_source_origin_and_day() -> None:
    found = candidate("1", 'x < 5 & "y" </context>', at_us=1_700_000_000_000_000, origin="a&b")
    bundle = built(gathered=Gathered(candidates=(found,)))
    assert (
        '<item source="memory" origin="a&amp;b" at="2023-11-14">'
        "x &lt; 5 &amp; &quot;y&quot; &lt;/context&gt;</item>\n</context>"
    ) in givens.block_of(bundle)
    assert bundle.used == ("a&b",)


def test_items_stand_by_source_time_and_id_and_not_by_score() -> None:
    found = (
        candidate("b", "wind", score=0.9, at_us=2),
        candidate("c", "rain", score=0.1, at_us=1),
        candidate("a", "snow", score=0.5, at_us=2),
        candidate("z", "hail", score=0.2, source="knowledge"),
    )
    assert built(gathered=Gathered(candidates=found)).used == ("fact-z", "fact-c", "fact-a", "fact-b")


def test_what_the_conversation_shows_already_is_not_recalled() -> None:
    past = turn(1, user("My sister  LIVES in Oslo, you know"), AssistantMessage(content="Oh"))
    found = (candidate("1", "my sister lives in oslo"), candidate("2", "my brother lives in Rome"))
    bundle = built(gathered=Gathered(history=(past,), candidates=found))
    assert bundle.used == ("fact-2",)
    assert bundle.sections[5].dropped == 1


def test_what_the_user_says_this_moment_is_not_recalled() -> None:
    found = candidate("1", "my sister lives in oslo")
    assert (
        built(new=(user("So, my sister lives in Oslo."),), gathered=Gathered(candidates=(found,))).used == ()
    )


def test_what_is_cut_off_from_history_is_recalled_again() -> None:
    persona = published(anna(budgets=Budgets(history=SAME)))
    past = turn(1, user("my sister lives in oslo"), AssistantMessage(content="Oh"))
    found = candidate("1", "my sister lives in oslo")
    assert built(persona=persona, gathered=Gathered(history=(past,), candidates=(found,))).used == ("fact-1",)


def test_a_pinned_item_is_shown_although_the_conversation_shows_it() -> None:
    found = candidate("1", "my sister lives in oslo", pinned=True)
    assert built(new=(user("my sister lives in oslo"),), gathered=Gathered(candidates=(found,))).used == (
        "fact-1",
    )


def test_recall_has_room_while_a_history_without_ceiling_grows() -> None:
    found = candidate("1", "likes green tea")
    history = tuple(spoken(seq, words=60) for seq in range(1, 30))
    bundle = built(gathered=Gathered(history=history, candidates=(found,)), window=4_000)
    assert bundle.sections[4].dropped > 0
    assert bundle.used == ("fact-1",)


# Lore


def with_lore(*entries: LoreEntry, budget: int | None = None, **budgets: Budget) -> PromptInput:
    lore = KnowledgePolicy(lore=Lore(entries=entries, budget=budget))
    return given(persona=published(anna(knowledge=lore, budgets=Budgets(**budgets))))


DRAGON = LoreEntry(id="dragon", text="{{char}} fears dragons.", keys=("dragon",))
RAIN = LoreEntry(id="rain", text="It always rains here.", constant=True)


def test_lore_stands_with_the_recall_when_its_key_is_said() -> None:
    it = with_lore(DRAGON)
    assert build(it, COUNTER).used == ()
    asked = msgspec.structs.replace(it, new=(user("A dragon!"),))
    assert build(asked, COUNTER).used == ("anna#dragon",)
    assert '<item source="lore" origin="anna#dragon">Anna fears dragons.</item>' in givens.block_of(
        build(asked, COUNTER)
    )


def test_lore_is_found_by_what_history_says() -> None:
    past = Gathered(history=(turn(1, user("A dragon!"), AssistantMessage(content="Where?")),))
    assert build(msgspec.structs.replace(with_lore(DRAGON), gathered=past), COUNTER).used == ("anna#dragon",)


def test_constant_lore_is_pinned_and_stays_within_the_lores_budget() -> None:
    assert build(with_lore(RAIN), COUNTER).used == ("anna#rain",)
    assert build(with_lore(RAIN, budget=5), COUNTER).used == ()


def test_constant_lore_is_shown_although_the_conversation_shows_it() -> None:
    it = msgspec.structs.replace(with_lore(RAIN), new=(user(f"You said: {RAIN.text}"),))
    assert build(it, COUNTER).used == ("anna#rain",)


def test_lore_without_a_budget_of_its_own_has_that_of_knowledge() -> None:
    assert build(with_lore(RAIN, knowledge=Budget(ceiling=5)), COUNTER).used == ()
    assert build(with_lore(RAIN, budget=100, knowledge=Budget(ceiling=5)), COUNTER).used == ("anna#rain",)


# The profile without a snapshot


def test_without_a_snapshot_the_profile_stands_with_the_recall() -> None:
    profile = Profile(slots=(Slot("likes.drink", "tea"), Slot("name", "Bob </context>")), version=3)
    bundle = built(gathered=Gathered(profile=profile))
    assert '<item source="profile" origin="name">name: Bob &lt;/context&gt;</item>' in givens.block_of(bundle)
    assert bundle.used == ("likes.drink", "name")


def test_near_duplicates_across_engines_stand_once() -> None:
    found: tuple[Candidate, ...] = (
        candidate("1", "Bob likes green tea with lemon in the morning", score=0.4),
        candidate("2", "bob LIKES green tea with lemon in the morning!", score=0.6, source="knowledge"),
        candidate("3", "Bob likes black coffee", score=0.1),
    )
    assert built(gathered=Gathered(candidates=found)).used == ("fact-2", "fact-3")


def test_two_personas_of_one_name_and_revision_have_their_own_heads() -> None:
    kind, stern = anna(prompt=Prompt(system="You are kind.")), anna(prompt=Prompt(system="You are stern."))
    first, second = (build(given(persona=published(it)), COUNTER) for it in (kind, stern))
    assert "kind" in text_of(first.messages[0].content)
    assert "stern" in text_of(second.messages[0].content)
    assert first.head_hash != second.head_hash


def test_the_same_persona_with_other_tools_has_another_head() -> None:
    speaker = published(anna())
    without, with_one = (
        build(given(persona=speaker, tools=tools), COUNTER) for tools in ((), (ToolDefinition("clock"),))
    )
    assert without.head_hash != with_one.head_hash
    assert without.prompt_tokens < with_one.prompt_tokens
