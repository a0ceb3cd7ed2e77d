"""The estimate of tokens."""

import time
from itertools import cycle, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_adapters import tokens
from cozy_adapters.tokens import IMAGE_TOKENS, LOW_DETAIL_TOKENS, MESSAGE_TOKENS, EstimatedTokenCounter
from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    RefusalPart,
    SystemMessage,
    TextPart,
    Thinking,
    ToolCall,
    ToolMessage,
    UserMessage,
)

COUNTER = EstimatedTokenCounter()

PROSE = (
    "When the storm had passed, the fishermen went back to the harbour to see what was left of their boats. Nobody "
    "spoke much. An old woman brought tea, and the children, who had been told to stay at home, watched from behind "
    "the wall. It would take months to repair what one night had broken, but the sea was calm again, and so they began."
)
CHAT = (
    "hey! how are you doing today? I was wondering if you could help me plan a trip to Lisbon next month :) we're 4 "
    "people, two kids (6 & 9), and we don't want to spend more than $2,500. thx!!"
)
CODE = '''\
async def gather(self, want: Wanted) -> Gathered:
    """Everything that answered in time, whichever came first."""
    asked = engines(want.persona, want.personalise, want.text)
    async with asyncio.TaskGroup() as group:
        past = group.create_task(self._past(want))
        asking = [group.create_task(self._ask(engine, want)) for engine in asked]
    return Gathered(history=past.result(), asked=tuple(asked), count=len(asking) + 1)
'''
JSON = (
    '{"id": 17, "name": "user_17", "email": "u17@example.org", "tags": ["a", "b"], "score": 2.4285714285714284, '
    '"active": false, "address": {"city": "Lisbon", "zip": "1100-148", "country": "PT"}, "logins": [1732280400, '
    "1732284000, 1732287600]}"
)
CHINESE = (
    "你好！我想下个月带家人去杭州玩三天，预算大概五千块。你能帮我安排一下行程吗？"
    "孩子今年六岁，喜欢动物，不太能走路。另外我对海鲜过敏，谢谢。"
)
GERMAN = (
    "Als der Sturm vorüber war, gingen die Fischer zum Hafen zurück, um nachzusehen, was von ihren Booten übrig "
    "geblieben war. Niemand sprach viel. Eine alte Frau brachte Tee."
)
RUSSIAN = (
    "Когда буря прошла, рыбаки вернулись в гавань, чтобы посмотреть, что осталось от их лодок. "
    "Никто много не говорил. Старая женщина принесла чай."
)


@pytest.mark.parametrize(
    ("text", "truth"),
    [(PROSE, 75), (CHAT, 53), (CODE, 106), (JSON, 97), (CHINESE, 53), (GERMAN, 39), (RUSSIAN, 40)],
    ids=["prose", "chat", "code", "json", "chinese", "german", "russian"],
)
def test_the_estimate_lies_between_the_truth_and_a_third_more(text: str, truth: int) -> None:
    """The truth is what tiktoken's o200k_base counts."""
    assert truth <= COUNTER.count(text) <= truth * 1.3


def test_a_text_that_was_counted_before_counts_the_same() -> None:
    counter = EstimatedTokenCounter()
    assert [counter.count(it) for it in (PROSE, CODE, PROSE)] == [
        COUNTER.count(PROSE),
        COUNTER.count(CODE),
        COUNTER.count(PROSE),
    ]


def test_it_remembers_no_more_than_a_bounded_number_of_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_KNOWN", 3)
    counter = EstimatedTokenCounter()
    for number in range(10):
        counter.count(f"{PROSE} {number}")
        assert len(counter._known) <= 3


def test_no_text_is_no_token() -> None:
    assert COUNTER.count("") == 0


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_any_visible_text_is_at_least_one_token_and_at_most_three_a_character(text: str) -> None:
    if any(letter.isalnum() for letter in text):
        assert COUNTER.count(text) >= 1
    assert COUNTER.count(text) <= 3 * len(text)


# Longer texts than are read to their end

EVEN = {"prose": PROSE, "chat": CHAT, "code": CODE, "json": JSON, "chinese": CHINESE, "russian": RUSSIAN}


def full(text: str) -> int:
    """The estimate of every character: of pieces, each of which is counted whole."""
    size = tokens.WHOLE
    return sum(COUNTER.count(text[at : at + size]) for at in range(0, len(text), size))


def cpu_s(text: str) -> float:
    def once() -> float:
        began = time.process_time()
        EstimatedTokenCounter().count(text)
        return time.process_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize("kind", EVEN)
@pytest.mark.parametrize("characters", [tokens.WHOLE + 1, 100_000, 333_333, 1_000_000])
def test_a_long_even_text_counts_what_all_of_it_would_or_a_little_more(kind: str, characters: int) -> None:
    text = (f"{EVEN[kind]}\n" * (characters // len(EVEN[kind]) + 1))[:characters]
    assert full(text) * 0.99 <= COUNTER.count(text) <= full(text) * 1.06


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from(sorted(EVEN)), min_size=1, max_size=12),
    st.integers(tokens.WHOLE + 1, 4 * tokens.WHOLE),
)
def test_a_long_mixed_text_is_never_far_below_what_all_of_it_would_count(
    kinds: list[str], characters: int
) -> None:
    lines = islice(cycle(EVEN[kind] for kind in kinds), characters // 60)
    text = "\n".join(lines)[:characters]
    assert full(text) * 0.97 <= COUNTER.count(text) <= full(text) * 1.4


@settings(deadline=None, max_examples=25)
@given(st.text(alphabet="aBcD1 \t.,<>_é茶🙂Привет\n", min_size=1, max_size=200))
def test_a_text_that_repeats_itself_hides_nothing_between_the_slices(unit: str) -> None:
    text = unit * (2 * tokens.WHOLE // len(unit) + 1)
    assert COUNTER.count(text) >= full(text) * 0.95


def test_no_length_costs_more_than_what_is_just_read_whole() -> None:
    most = cpu_s("1.,;茶" * (tokens.WHOLE // 5))
    assert cpu_s("1.,;茶" * 1_000_000) < 3 * most + 0.005


def test_many_messages_are_no_way_around_it() -> None:
    texts = [f"{number} {PROSE * 20}" for number in range(200)]
    began = time.process_time()
    counted = EstimatedTokenCounter().count_messages([UserMessage(content=text) for text in texts])
    once = time.process_time() - began
    assert once < 3 * cpu_s(PROSE * (tokens.WHOLE // len(PROSE))) + 0.005
    truth = sum(COUNTER.count(text) + MESSAGE_TOKENS for text in texts)
    assert truth * 0.99 <= counted <= truth * 1.06


def test_nothing_jumps_where_a_text_gets_too_long_to_be_read_whole() -> None:
    text = (PROSE + CODE + CHINESE) * 200
    whole, longer = COUNTER.count(text[: tokens.WHOLE]), COUNTER.count(text[: tokens.WHOLE + 1])
    assert whole <= longer <= whole * 1.2


def test_of_a_document_with_one_dense_page_not_all_pages_count_as_dense() -> None:
    text = PROSE * 600 + "1.,;" * 600 + PROSE * 100
    assert full(text) * 0.97 <= COUNTER.count(text) <= full(text) * 1.2


@given(st.lists(st.integers(0, 3_000), min_size=60, max_size=90))
@settings(deadline=None, max_examples=30)
def test_texts_of_all_lengths_are_counted_together_as_one_by_one(lengths: list[int]) -> None:
    texts = [(PROSE * 11)[:length] for length in lengths]
    counted = COUNTER.count_messages([UserMessage(content=text) for text in texts])
    truth = sum(COUNTER.count(text) + MESSAGE_TOKENS for text in texts)
    assert truth * 0.98 <= counted <= truth * 1.1


LINES = st.text(alphabet="aBcD1 \t.,<>_é茶🙂Привет\n", max_size=30)


@settings(deadline=None)
@given(LINES, LINES)
def test_texts_put_together_at_a_line_end_never_count_more_than_each_alone(one: str, other: str) -> None:
    one, other = f"{one}\n", f"<{other}"
    assert COUNTER.count(one + other) <= COUNTER.count(one) + COUNTER.count(other)


messages = st.lists(st.builds(UserMessage, content=st.text(max_size=20)), max_size=5)


@given(messages, messages)
def test_messages_are_counted_one_by_one(one: list[Message], other: list[Message]) -> None:
    assert COUNTER.count_messages(one + other) == COUNTER.count_messages(one) + COUNTER.count_messages(other)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (SystemMessage(content=""), 0),
        (UserMessage(content="tea"), 1),
        (UserMessage(content=(TextPart("tea"), TextPart("tea"))), 2),
        (UserMessage(content=(ImagePart("https://example.org/a.png"),)), IMAGE_TOKENS),
        (UserMessage(content=(ImagePart("https://example.org/a.png", detail="low"),)), LOW_DETAIL_TOKENS),
        (UserMessage(content=(AudioPart(data="A" * 64_000, format="wav"),)), 31),
        (UserMessage(content=(AudioPart(data="A" * 64_000, format="mp3"),)), 121),
        (UserMessage(content=(FilePart(data="A" * 4_000),)), 101),
        (UserMessage(content=(FilePart(file_id="file-1"),)), 5_000),
        (AssistantMessage(content=None), 0),
        (AssistantMessage(content=(RefusalPart("no"),)), 1),
        (AssistantMessage(content=None, refusal="no"), 1),
        (AssistantMessage(tool_calls=(ToolCall(id="1", name="clock", arguments='{"a":1}'),)), 15),
        (AssistantMessage(content=None, thinking=Thinking("m", "[]", 70)), 70),
        (ToolMessage(tool_call_id="1", content="noon"), 1),
    ],
)
def test_a_message_counts_its_frame_and_all_of_its_parts(message: Message, expected: int) -> None:
    assert COUNTER.count_messages((message,)) == MESSAGE_TOKENS + expected


def test_a_named_speaker_costs_the_name() -> None:
    assert COUNTER.count_messages((UserMessage(content="", name="bob"),)) == MESSAGE_TOKENS + 2
