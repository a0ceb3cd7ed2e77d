"""What the offline model understands and answers."""

import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_adapters.offline.language_model import FEATURES, OfflineLanguageModel
from cozy_adapters.offline.questions import (
    asks_nature,
    best_match,
    greets,
    language_of,
    name_in,
    sum_asked,
    time_asked,
)
from cozy_adapters.offline.reading import read, sentences
from cozy_adapters.offline.reply import reply
from cozy_adapters.offline.words import CHINESE, ENGLISH
from cozy_domain.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cozy_domain.models.deltas import ChoiceFinished, ModelDelta, TextDelta, ToolCallDelta, UsageReported
from cozy_domain.models.request import Feature, ModelRequest, Sampling, ToolChoice, ToolDefinition

TOOLS = (ToolDefinition("calculator"), ToolDefinition("clock"))
PERSONA = SystemMessage("You are Mo.\n\nGreeting: Ahoy, I am Mo. 你好，我是小莫。\n\nBe brief.")
CONTEXT = UserMessage(
    "<context>\nReference data.\nnow: Sunday 2026-11-22 16:11 Europe/Paris\n"
    '<item source="memory" origin="m1" at="2026-03-01">The user keeps two cats, Tom &amp; Jerry.</item>\n'
    '<item source="profile" origin="name">name: Ada</item>\n</context>'
)


def asking(*texts: str, tools: tuple[ToolDefinition, ...] = (), **changes: object) -> ModelRequest:
    """A conversation in which each text but the last was answered."""
    messages: list[Message] = [PERSONA]
    for text in texts[:-1]:
        messages += [UserMessage(text), AssistantMessage("Well.")]
    messages += [CONTEXT, UserMessage(texts[-1]), SystemMessage("Stay Mo.")]
    request = ModelRequest(model="offline", messages=tuple(messages), tools=tools)
    return msgspec.structs.replace(request, **changes)


def later(text: str) -> str:
    """The answer in a conversation that has begun."""
    return reply(asking("Hello", text)).text


def after(request: ModelRequest, *results: str) -> ModelRequest:
    """The request of the next round: the calls, and what the tools said."""
    calls = reply(request).calls
    answers = [ToolMessage(call.id, result) for call, result in zip(calls, results, strict=True)]
    messages = (*request.messages[:-1], AssistantMessage(None, calls), *answers, request.messages[-1])
    return msgspec.structs.replace(request, messages=messages)


def test_the_first_answer_greets_as_the_persona_does_and_says_that_it_is_no_ai() -> None:
    text = reply(asking("Hello!")).text
    assert text == f"Ahoy, I am Mo. 你好，我是小莫。\n\n{ENGLISH.notice}"
    assert "no AI" in text


def test_a_chinese_first_message_is_answered_in_chinese() -> None:
    text = reply(asking("你好！")).text
    assert text.endswith(CHINESE.notice)
    assert "不是人工智能" in text


def test_without_a_greeting_it_has_its_own() -> None:
    request = ModelRequest(model="offline", messages=(UserMessage("Hi"),))
    assert reply(request).text.startswith("Hello!\n\n(Offline: this is no AI")


def test_the_first_answer_also_answers() -> None:
    assert reply(asking("What is my name?")).text.endswith("Your name is Ada.")


def test_later_answers_do_not_repeat_the_notice() -> None:
    assert ENGLISH.notice not in later("What is my name?")


@pytest.mark.parametrize(
    "question",
    ["Are you an AI?", "Who are you?", "Am I talking to a human?", "are you real?", "Are you ChatGPT"],
)
def test_whoever_asks_is_told_that_it_is_no_ai(question: str) -> None:
    assert later(question) == ENGLISH.honest


@pytest.mark.parametrize(
    "question", ["你是AI吗？", "你是谁？", "你是真人吗", "你是不是机器人？", "你是 AI 吗"]
)
def test_whoever_asks_in_chinese_is_told_in_chinese(question: str) -> None:
    assert later(question) == CHINESE.honest


@pytest.mark.parametrize("text", ["Are you hungry?", "你是我的朋友", "AI is a field"])
def test_other_questions_are_not_about_its_nature(text: str) -> None:
    assert not asks_nature(text)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("What is 6*7?", "6*7"),
        ("what's 12.5 plus 3 times 4", "12.5 + 3 * 4"),
        ("Calculate (1 + 2) * 3, please.", "(1 + 2) * 3"),
        ("how much is 1,234 divided by 2?", "1234 / 2"),
        ("2^10=", "2**10"),
        ("6 × 7 等于多少？", "6 * 7"),  # as people write it
        ("帮我算一下 486减90", "486-90"),
        ("3加4乘以5是多少", "3+4*5"),
        ("1+1", "1+1"),
        ("What is -3 - -4?", "-3 - -4"),
        ("how much is (5 + 3?", "5 + 3"),
    ],
)
def test_a_sum_is_found(text: str, expression: str) -> None:
    assert sum_asked(text) == expression


@pytest.mark.parametrize(
    "text",
    [
        "What is 7?",
        "Is it 2026-11-22?",
        "Are you open 24/7?",
        "I paid 3-4 times",
        "What is 1/2/2026?",
        "",
        "多少",
    ],
)
def test_where_no_sum_is_asked_for_none_is_found(text: str) -> None:
    assert sum_asked(text) is None


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("What time is it?", ""),
        ("what's the date today", ""),
        ("What time is it in New York?", "America/New_York"),
        ("What time is it in Tokyo", "Asia/Tokyo"),
        ("what day is it", ""),
        ("现在几点了？", ""),
        ("今天星期几", ""),
        ("伦敦现在几点？", "Europe/London"),
        ("Tell me a story", None),
        ("I had a good time", None),
    ],
)
def test_the_time_is_asked_for(text: str, zone: str | None) -> None:
    assert time_asked(text) == zone


def test_a_sum_is_given_to_the_calculator_and_its_result_told() -> None:
    request = asking("Hello", "What is 6*7?", tools=TOOLS)
    (call,) = reply(request).calls
    assert (call.name, json.loads(call.arguments)) == ("calculator", {"expression": "6*7"})
    assert reply(after(request, "42")) == reply(after(request, "42"))
    assert reply(after(request, "42")).text == "6*7 = 42"


def test_the_time_is_read_from_the_clock_and_told() -> None:
    request = asking("你好", "东京现在几点？", tools=TOOLS)
    (call,) = reply(request).calls
    assert (call.name, json.loads(call.arguments)) == ("clock", {"timezone": "Asia/Tokyo"})
    assert (
        reply(after(request, "Monday, 2026-11-23 00:11:34")).text == "时钟显示：Monday, 2026-11-23 00:11:34。"
    )


def test_both_tools_are_called_at_once() -> None:
    request = asking("What time is it, and what is 6*7?", tools=TOOLS)
    assert [call.name for call in reply(request).calls] == ["calculator", "clock"]
    text = reply(after(request, "42", "noon")).text
    assert text.endswith("6*7 = 42\nBy the clock it is noon.")
    assert text.startswith("Ahoy")


def test_or_one_after_the_other_if_that_is_wished() -> None:
    request = asking("What time is it, and what is 6*7?", tools=TOOLS, parallel_tool_calls=False)
    assert [call.name for call in reply(request).calls] == ["calculator"]
    second = after(request, "42")
    assert [call.name for call in reply(second).calls] == ["clock"]


def test_tools_that_were_not_offered_are_not_called() -> None:
    assert later("What is 6*7?") == ENGLISH.no_calculator
    assert later("6乘以7等于几？") == CHINESE.no_calculator
    assert not reply(asking("What is 6*7?", tools=TOOLS, tool_choice=ToolChoice("none"))).calls
    assert not reply(asking("What is 6*7?", tools=TOOLS, tool_choice=ToolChoice("auto", ("clock",)))).calls


def test_without_a_clock_the_context_tells_the_time_here_and_nowhere_else() -> None:
    assert later("What time is it?") == "By the clock it is Sunday 2026-11-22 16:11 Europe/Paris."
    assert later("What time is it in Tokyo?") == ENGLISH.no_clock


def test_a_forced_tool_is_called_once() -> None:
    request = asking("Hello", "Sing!", tools=TOOLS, tool_choice=ToolChoice("required", ("clock",)))
    assert [(call.name, call.arguments) for call in reply(request).calls] == [("clock", "{}")]
    assert reply(after(request, "noon")).text == "By the clock it is noon."


def test_the_result_of_a_tool_it_does_not_know_is_told() -> None:
    tools = (ToolDefinition("weather"),)
    request = asking("Hello", "Sing!", tools=tools, tool_choice=ToolChoice("required"))
    assert reply(after(request, "rain")).text == "weather says: rain"


def test_a_call_whose_arguments_are_broken_is_still_told() -> None:
    messages = (
        UserMessage("Hello"),
        AssistantMessage("Hi."),
        UserMessage("Go"),
        AssistantMessage(None, (ToolCall("c", "calculator", "{"),)),
        ToolMessage("c", "4"),
    )
    assert reply(ModelRequest(model="offline", messages=messages)).text == "calculator = 4"


def test_calls_of_different_conversations_have_different_ids() -> None:
    first, second = (reply(asking(text, "6*7", tools=TOOLS)).calls[0].id for text in ("a", "b"))
    assert first != second


@pytest.mark.parametrize(
    ("told", "asked", "answer"),
    [
        ("Hi! My name is Mei Lin, by the way.", "What is my name?", "Your name is Mei Lin."),
        ("我叫小美，今年三十。", "我叫什么名字？", "你叫小美。"),
        ("我叫小美。", "What's my name?", "Your name is 小美."),
        ("Call me Ishmael.", "who am I", "Your name is Ishmael."),
        (
            "My favourite colour is teal. I live in Oslo.",
            "What is my favourite colour?",
            "You told me: “My favourite colour is teal.”",
        ),
        (
            "My favourite colour is teal. I live in Oslo.",
            "Where do I live?",
            "You told me: “I live in Oslo.”",
        ),
        ("我最喜欢的颜色是青色。", "我最喜欢的颜色是什么？", "你告诉过我：“我最喜欢的颜色是青色。”"),
        ("我养了一只叫毛豆的狗。", "你还记得我的狗吗？", "你告诉过我：“我养了一只叫毛豆的狗。”"),
    ],
)
def test_what_was_told_is_found_again(told: str, asked: str, answer: str) -> None:
    assert reply(asking(told, asked)).text == answer


def test_what_was_told_last_counts() -> None:
    assert reply(asking("My name is Mei.", "Call me Lin.", "What is my name?")).text == "Your name is Lin."


def test_what_was_told_goes_before_what_the_context_says() -> None:
    assert reply(asking("My name is Mei.", "What is my name?")).text == "Your name is Mei."
    assert later("What is my name?") == "Your name is Ada."


def test_a_fact_of_the_context_is_found_unescaped() -> None:
    assert later("What cats do I keep?") == "I remember: The user keeps two cats, Tom & Jerry."


def test_what_nobody_told_is_not_made_up() -> None:
    nobody = ModelRequest(
        model="offline",
        messages=(UserMessage("Hi"), AssistantMessage("Hi."), UserMessage("What is my name?")),
    )
    assert reply(nobody).text == ENGLISH.unknown
    assert later("What is the capital of Peru?") == ENGLISH.lost
    assert later("秘鲁的首都是哪里？") == CHINESE.lost


def test_a_question_does_not_answer_a_question() -> None:
    assert best_match("Where do I live?", ("Where do I live?", "do I live here?")) is None
    assert best_match("What is it?", ("What it is, is that.",)) is None
    assert name_in(("is my name Bob?",)) is None


def test_a_statement_is_taken_note_of() -> None:
    assert later("I live in Oslo.") == ENGLISH.noted.format("I live in Oslo.")
    assert later("I live in Oslo. " * 50) == ENGLISH.lost


def test_a_later_hello_is_returned() -> None:
    assert later("Good morning!") == "Ahoy, I am Mo. 你好，我是小莫。"


@pytest.mark.parametrize(
    ("text", "is_greeting"),
    [("Hi Mo!", True), ("嗨～", True), ("你好呀", True), ("Hi, what time is it", False)],
)
def test_a_greeting_is_told_from_more(text: str, is_greeting: bool) -> None:
    assert greets(text) == is_greeting


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (("What does 你好 mean, please?",), "en"),
        (("我叫 Mei",), "zh"),
        (("6*7", "请算一下"), "zh"),
        (("6*7",), "en"),
        ((), "en"),
    ],
)
def test_it_answers_in_the_users_language(texts: tuple[str, ...], language: str) -> None:
    assert language_of(texts) == language


def test_sentences_end_where_they_end() -> None:
    text = "I pay 3.50 at ex.org! Then？我走了。再见\nBye"
    assert sentences(text) == ("I pay 3.50 at ex.org!", "Then？", "我走了。", "再见", "Bye")


def test_a_request_without_a_user_is_answered_too() -> None:
    assert reply(ModelRequest(model="offline", messages=(PERSONA,))).text.startswith("Ahoy")
    assert read(ModelRequest(model="offline", messages=())).question == ""


async def heard(request: ModelRequest) -> list[ModelDelta]:
    async with OfflineLanguageModel().stream(request) as deltas:
        return [delta async for delta in deltas]


def text_of_deltas(deltas: list[ModelDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_words_come_one_by_one_and_make_the_answer() -> None:
    request = asking("我叫小美", "What's my name?")
    deltas = await heard(request)
    assert [d.text for d in deltas if isinstance(d, TextDelta)] == ["Your", " name", " is", " 小", "美", "."]
    assert deltas == await heard(request)


async def test_a_stop_text_ends_it() -> None:
    deltas = await heard(asking("Hello", "What is my name?", sampling=Sampling(stop=("never", " is"))))
    assert text_of_deltas(deltas) == "Your name"
    assert ChoiceFinished("stop") in deltas


@pytest.mark.parametrize(("limit", "text"), [(1, "Your"), (3, "Your name is"), (100, "Your name is Ada.")])
async def test_the_limit_of_tokens_ends_it(limit: int, text: str) -> None:
    deltas = await heard(asking("Hello", "What is my name?", sampling=Sampling(max_output=limit)))
    assert text_of_deltas(deltas) == text
    assert ChoiceFinished("stop" if limit == 100 else "length") in deltas
    report = deltas[-1]
    assert isinstance(report, UsageReported)
    assert report.usage.known
    assert 0 < report.usage.completion_tokens <= limit


async def test_calls_are_streamed_name_first_and_counted() -> None:
    deltas = await heard(asking("6*7", tools=TOOLS))
    first, second, end, report = deltas
    assert isinstance(first, ToolCallDelta)
    assert isinstance(second, ToolCallDelta)
    assert (first.name, second.name, second.arguments) == ("calculator", None, '{"expression":"6*7"}')
    assert end == ChoiceFinished("tool_calls")
    assert isinstance(report, UsageReported)
    assert report.usage.completion_tokens > 0
    assert report.usage.prompt_tokens > 0


def test_it_claims_no_more_than_it_does() -> None:
    assert OfflineLanguageModel().features("offline") == FEATURES
    refused = {Feature.CHOICES, Feature.LOGPROBS, Feature.JSON_OBJECT, Feature.JSON_SCHEMA, Feature.IMAGES}
    assert not refused & FEATURES


@settings(max_examples=100)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_every_conversation_gets_an_answer(texts: list[str]) -> None:
    answer = reply(asking(*texts, tools=TOOLS))
    assert bool(answer.text) != bool(answer.calls)


@pytest.mark.parametrize(
    "text",
    [
        "1" * 200_000,
        "1+" * 100_000,
        "? " * 100_000,
        "呢!" * 100_000,
        "<context><item " * 20_000,
        "(" * 100_000,
    ],
)
def test_hostile_lengths_do_not_hold_up_the_loop(text: str) -> None:
    before = time.perf_counter()
    reply(asking(text, "What is my name?", tools=TOOLS))
    reply(asking(text, tools=TOOLS))
    assert time.perf_counter() - before < 2  # milliseconds; quadratic ones take minutes
