"""Which sources a turn needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.context.intent import QUERY_CHARACTERS, engines, query_of, triggered
from cozy_domain.messages import AssistantMessage, Message, SystemMessage, TextPart, ToolMessage, UserMessage
from cozy_domain.persona.persona import (
    Budget,
    Budgets,
    KnowledgePolicy,
    Lore,
    LoreEntry,
    MemoryPolicy,
    MemoryRead,
)
from tests.unit.domain.context.givens import anna

SHELF = KnowledgePolicy(collections=("handbook",))
READER = anna(knowledge=SHELF)
NOTHING = Budget(ceiling=0)


def lore(*entries: LoreEntry, depth: int = 4, recursion: int = 0) -> Lore:
    return Lore(entries=entries, scan_depth=depth, recursion=recursion)


def ids(found: tuple[LoreEntry, ...]) -> str:
    return "".join(entry.id for entry in found)


def user(text: str) -> Message:
    return UserMessage(content=text)


def test_all_three_are_asked_for_a_question() -> None:
    assert engines(READER, True, "Where is it?") == ("memory", "knowledge", "profile")


def test_nothing_is_asked_without_personalisation() -> None:
    assert engines(READER, False, "Where is it?") == ()


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_is_asked_for_an_empty_text(text: str) -> None:
    assert engines(READER, True, text) == ()


def test_a_persona_that_does_not_read_its_memory_does_not_ask_it() -> None:
    silent = anna(memory=MemoryPolicy(read=MemoryRead(enabled=False)))
    assert engines(silent, True, "Where is it?") == ("profile",)


@pytest.mark.parametrize(
    ("budgets", "asked"),
    [
        (Budgets(memory=NOTHING), ("knowledge", "profile")),
        (Budgets(knowledge=NOTHING), ("memory", "profile")),
        (Budgets(profile=NOTHING), ("memory", "knowledge")),
    ],
)
def test_what_could_not_be_shown_is_not_asked_for(budgets: Budgets, asked: tuple[str, ...]) -> None:
    assert engines(anna(knowledge=SHELF, budgets=budgets), True, "Where is it?") == asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("thanks, bye", False),
        ("bye?", True),
        ("再见？", True),
        ("tell me about holidays", True),
        ("go go go go", False),
        ("请告诉我假期", True),
    ],
)
def test_knowledge_is_asked_by_itself_for_questions_and_longer_texts(text: str, asked: bool) -> None:
    assert ("knowledge" in engines(READER, True, text)) is asked


def test_of_a_long_text_only_the_words_that_would_be_asked_for_count() -> None:
    bye = " " * QUERY_CHARACTERS + "thanks, bye"
    assert "knowledge" not in engines(READER, True, f"tell me how elephants sleep {bye}")
    assert "knowledge" in engines(READER, True, f"{bye} tell me how elephants sleep")


def test_knowledge_that_is_always_asked_is_asked_for_a_greeting_too() -> None:
    always = anna(knowledge=KnowledgePolicy(collections=("handbook",), mode="always"))
    assert "knowledge" in engines(always, True, "hi")


def test_knowledge_that_is_off_is_never_asked() -> None:
    off = anna(knowledge=KnowledgePolicy(collections=("handbook",), mode="off"))
    assert "knowledge" not in engines(off, True, "Where is the handbook?")


def test_knowledge_without_collections_is_never_asked() -> None:
    empty = anna(knowledge=KnowledgePolicy(mode="always"))
    assert "knowledge" not in engines(empty, True, "Where is the handbook?")


def test_of_a_long_text_the_end_is_asked_for() -> None:
    assert query_of("a" * QUERY_CHARACTERS + "end?") == "a" * (QUERY_CHARACTERS - 4) + "end?"


def test_a_key_is_found_whatever_its_case_and_inside_words() -> None:
    book = lore(LoreEntry(id="d", text="Dragons sleep.", keys=("unicorn", " DRAGON ")))
    assert ids(triggered(book, [user("Do dragons exist?")])) == "d"


def test_a_constant_entry_needs_no_key() -> None:
    assert ids(triggered(lore(LoreEntry(id="c", text="It rains.", constant=True)), [])) == "c"


def test_a_disabled_entry_never_shows() -> None:
    off = LoreEntry(id="o", text="Off.", keys=("rain",), constant=True, enabled=False)
    assert triggered(lore(off), [user("rain")]) == ()


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_never_matches(key: str) -> None:
    assert triggered(lore(LoreEntry(id="e", text="E.", keys=(key,))), [user("anything")]) == ()


def test_a_key_is_no_regular_expression() -> None:
    book = lore(LoreEntry(id="r", text="R.", keys=("d.*n",)))
    assert triggered(book, [user("dragon")]) == ()
    assert ids(triggered(book, [user("what is d.*n")])) == "r"


def test_only_the_last_messages_are_searched() -> None:
    book = lore(LoreEntry(id="d", text="D.", keys=("dragon",)), depth=2)
    assert triggered(book, [user("dragon"), user("a"), user("b")]) == ()
    assert ids(triggered(book, [user("dragon"), user("b")])) == "d"


def test_instructions_and_tool_results_trigger_nothing_and_do_not_count() -> None:
    book = lore(LoreEntry(id="d", text="D.", keys=("dragon",)), depth=1)
    silent: list[Message] = [SystemMessage(content="dragon"), ToolMessage(tool_call_id="1", content="dragon")]
    assert triggered(book, [user("hello"), *silent]) == ()
    assert ids(triggered(book, [user("dragon"), *silent])) == "d"


def test_the_character_triggers_its_own_lore_and_parts_are_read() -> None:
    book = lore(LoreEntry(id="d", text="D.", keys=("dragon",)))
    assert ids(triggered(book, [AssistantMessage(content=(TextPart("A dragon!"),))])) == "d"


def test_added_lore_triggers_more_only_as_deep_as_the_author_says() -> None:
    chain = [
        LoreEntry(id="3", text="end", keys=("cave",)),
        LoreEntry(id="2", text="lives in a cave", keys=("gold",)),
        LoreEntry(id="1", text="guards gold", keys=("dragon",)),
    ]
    assert ids(triggered(lore(*chain), [user("dragon")])) == "1"
    assert ids(triggered(lore(*chain, recursion=1), [user("dragon")])) == "21"
    assert ids(triggered(lore(*chain, recursion=2), [user("dragon")])) == "321"


def test_an_entry_shows_once_however_often_it_matches() -> None:
    echo = LoreEntry(id="e", text="echo", keys=("echo", "cho"))
    assert ids(triggered(lore(echo, recursion=3), [user("echo"), user("echo")])) == "e"


@given(st.lists(st.text(max_size=20), max_size=5))
def test_whatever_is_said_entries_come_in_the_authors_order(said: list[str]) -> None:
    book = lore(*(LoreEntry(id=it, text=it, keys=(it,)) for it in "abc"), depth=5)
    assert ids(triggered(book, [user(text) for text in said])) == "".join(
        it for it in "abc" if it in "\n".join(said).casefold()
    )
