"""What the offline model understands and answers."""

import json
import re
import time
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozy_adapters.offline.dates import in_chinese
from cozy_adapters.offline.language_model import FEATURES, OfflineLanguageModel
from cozy_adapters.offline.names import name_in, said_to_be
from cozy_adapters.offline.questions import (
    asks_nature,
    best_match,
    greets,
    language_of,
    sum_asked,
    time_asked,
)
from cozy_adapters.offline.reading import read, sentences
from cozy_adapters.offline.reply import reply
from cozy_adapters.offline.words import CHINESE, ENGLISH, Words
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
from cozy_domain.tools.builtin import tell_time
from cozy_domain.tools.tool import ToolTime

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
    assert text == f"Ahoy, I am Mo.\n\n{ENGLISH.notice}"
    assert "no AI" in text


def test_a_chinese_first_message_is_answered_in_chinese() -> None:
    text = reply(asking("你好！")).text
    assert text == f"你好，我是小莫。\n\n{CHINESE.notice}"
    assert "不是人工智能" in text


def test_a_persona_that_does_not_greet_in_the_users_language_leaves_it_to_the_stand_in() -> None:
    messages = (SystemMessage("You are Mo.\n\nGreeting: Ahoy, I am Mo."), UserMessage("你好！"))
    text = reply(ModelRequest(model="offline", messages=messages)).text
    assert text == f"你好！\n\n{CHINESE.notice}"


def test_without_a_greeting_it_has_its_own() -> None:
    request = ModelRequest(model="offline", messages=(UserMessage("Hi"),))
    assert reply(request).text.startswith("Hello!\n\n(Offline: this is no AI")


def test_the_first_answer_answers_first_and_then_says_what_it_is() -> None:
    assert reply(asking("What is my name?")).text == f"Your name is Ada.\n\n{ENGLISH.notice}"


def test_later_answers_do_not_repeat_the_notice() -> None:
    assert ENGLISH.notice not in later("What is my name?")


@pytest.mark.parametrize(
    "question",
    ["Are you an AI?", "Am I talking to a human?", "are you real?", "Are you ChatGPT"],
)
def test_whoever_asks_is_told_that_it_is_no_ai(question: str) -> None:
    assert later(question) == ENGLISH.honest


@pytest.mark.parametrize("question", ["你是AI吗？", "你是真人吗", "你是不是机器人？", "你是 AI 吗"])
def test_whoever_asks_in_chinese_is_told_in_chinese(question: str) -> None:
    assert later(question) == CHINESE.honest


@pytest.mark.parametrize(
    "question", ["Who are you?", "what are you", "Hello! Who are you?", "What's your name?"]
)
def test_whoever_asks_who_it_is_meets_the_persona_and_hears_what_answers_for_it(question: str) -> None:
    expected = f"Ahoy, I am Mo.\n\n{ENGLISH.stand_in}"
    assert reply(asking(question)).text == later(question) == expected


@pytest.mark.parametrize("question", ["你是谁？", "你好！你是什么", "你叫什么名字？"])
def test_and_so_in_chinese(question: str) -> None:
    assert later(question) == f"你好，我是小莫。\n\n{CHINESE.stand_in}"


@pytest.mark.parametrize(
    ("system", "question", "answer"),
    [
        (
            "You are Anna, who tends a garden.",
            "Who are you?",
            f"Hello!\n\nI am Anna.\n\n{ENGLISH.stand_in}",
        ),
        (
            "Rules.\n\n你是小满，二十七岁。\n\nGreeting: 来啦？",
            "你是谁？",
            f"来啦？\n\n我是小满。\n\n{CHINESE.stand_in}",
        ),
        ("You are a helpful assistant.", "Who are you?", f"Hello!\n\n{ENGLISH.stand_in}"),
        ("你是一个助手。", "你是谁？", f"你好！\n\n{CHINESE.stand_in}"),
    ],
)
def test_a_greeting_without_the_persona_s_name_is_followed_by_it(
    system: str, question: str, answer: str
) -> None:
    first = (SystemMessage(system), UserMessage(question))
    second = (SystemMessage(system), UserMessage("6*7"), AssistantMessage("42"), UserMessage(question))
    assert reply(ModelRequest(model="offline", messages=first)).text == answer
    assert reply(ModelRequest(model="offline", messages=second)).text == answer


@pytest.mark.parametrize("words", [ENGLISH, CHINESE])
def test_every_notice_names_what_tells_why_no_real_model_answers(words: Words) -> None:
    for text in (words.notice, words.honest, words.stand_in):
        assert "`cozy dev`" in text
        assert "OPENAI_API_KEY" not in text
        assert not text.startswith(("No.", "不是"))


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
    told = reply(after(request, "Monday, 2026-11-23 00:11:34, Asia/Tokyo (UTC+09:00)")).text
    assert told == "时钟显示：2026年11月23日，星期一，00:11:34，东京时间（UTC+09:00）。"
    english = asking("Hello", "What time is it in Tokyo?", tools=TOOLS)
    assert reply(after(english, "Monday, 2026-11-23")).text == "By the clock it is Monday, 2026-11-23."


@pytest.mark.parametrize(
    ("told", "chinese"),
    [
        ("Sunday, 2026-11-22 16:40:09, UTC (UTC+00:00)", "2026年11月22日，星期日，16:40:09，UTC"),
        ("Sunday, 2026-11-22 16:40:09, UTC", "2026年11月22日，星期日，16:40:09，UTC"),
        ("Thursday, 2026-01-01 00:00:00, UTC+05:30", "2026年1月1日，星期四，00:00:00，UTC+05:30"),
        (
            "Friday, 2026-03-06 09:05:00, Africa/Lagos (UTC+01:00)",
            "2026年3月6日，星期五，09:05:00，Africa/Lagos（UTC+01:00）",
        ),
        ("Sunday 2026-11-22 16:11 Asia/Shanghai", "2026年11月22日，星期日，16:11，北京时间"),
        ("noon", "noon"),
    ],
)
def test_what_the_clock_says_is_put_into_chinese(told: str, chinese: str) -> None:
    assert in_chinese(told) == chinese


@given(
    moment=st.datetimes(),
    place=st.sampled_from(["UTC", "Europe/Paris", "America/Argentina/Ushuaia", "+05:30"]),
)
@settings(max_examples=50)
def test_no_english_weekday_of_the_real_clock_is_left(moment: datetime, place: str) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    now = ToolTime(unix_us=int(whole.timestamp()) * 1_000_000 % 4_000_000_000_000_000, timezone="UTC")
    shown = in_chinese(tell_time(now, place))
    assert re.fullmatch(r"\d{4}年\d+月\d+日，星期[一二三四五六日]，\d\d:\d\d:\d\d，\S+", shown)


def test_both_tools_are_called_at_once() -> None:
    request = asking("What time is it, and what is 6*7?", tools=TOOLS)
    assert [call.name for call in reply(request).calls] == ["calculator", "clock"]
    text = reply(after(request, "42", "noon")).text
    assert text == f"6*7 = 42\nBy the clock it is noon.\n\n{ENGLISH.notice}"


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
    assert later("现在几点？") == "时钟显示：2026年11月22日，星期日，16:11，巴黎时间。"
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


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Hi, I am Robin.", "Robin"),
        ("I'm Mei Lin and I live in Oslo.", "Mei Lin"),
        ("hi, im robin", "robin"),
        ("Hello there, this is Émile!", "Émile"),
        ("This is Robin speaking.", "Robin"),
        ("I am Robin, who are you?", "Robin"),
        ("你好，我是罗宾。", "罗宾"),
        ("我是 Robin", "Robin"),
    ],
)
def test_an_introduction_is_said_back_as_what_was_said(told: str, name: str) -> None:
    assert reply(asking(told, "What is my name?")).text == f"You told me that you are {name}."
    assert reply(asking(told, "我叫什么名字？")).text == f"你告诉过我，你是{name}。"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Please call me robin.", "robin"),
        ("everyone calls me Rob", "Rob"),
        ("My full name is Robin Hood, what can you do?", "Robin Hood"),
        ("You can call me Rob if you like.", "Rob"),
        ("请叫我小罗吧。", "小罗"),
        ("我叫小美今年三十。", "小美"),
        ("你好，我叫Robin。", "Robin"),
        ("name: Ada", "Ada"),
        ("The user's name is Ada.", "Ada"),
    ],
)
def test_a_name_that_is_told_is_known(told: str, name: str) -> None:
    assert name_in((told,)) == name


@pytest.mark.parametrize(
    "told",
    [
        "I am tired.",
        "I'm so tired",
        "I am not Robin",
        "I am in Berlin.",
        "I am a nurse.",
        "I am Dr. Smith.",
        "I'm German.",
        "I am looking for a job",
        "This is great!",
        "This is Berlin.",
        "Call me later.",
        "call me when you can",
        "My name is not important.",
        "My dog's name is Rex.",
        "Am I Robin?",
        "我是学生。",
        "我是中国人",
        "我是来喝茶的",
        "我叫了外卖。",
        "妈妈叫我吃饭。",
    ],
)
def test_what_is_no_name_is_taken_for_none(told: str) -> None:
    assert name_in(sentences(told)) is None
    assert said_to_be(sentences(told)) is None


def test_a_name_goes_before_an_introduction_and_that_before_the_context() -> None:
    texts = ("My name is Mei.", "I am Robin.", "What is my name?")
    assert reply(asking(*texts)).text == "Your name is Mei."
    assert reply(asking(*texts[1:])).text == "You told me that you are Robin."


def alone(*texts: str) -> str:
    """The answer where no context remembers anything."""
    messages = [it for text in texts for it in (UserMessage(text), AssistantMessage("Well."))][:-1]
    return reply(ModelRequest(model="offline", messages=tuple(messages))).text


def test_a_name_that_is_not_recognised_is_looked_for_in_what_was_said() -> None:
    assert alone("My nickname was always Bo.", "What is my name?").startswith("You told me: “My nickname")
    assert alone("This is Robin.", "What is my name?") == "You told me: “This is Robin.”"
    assert alone("I am tired.", "What is my name?") == ENGLISH.no_name
    assert alone("我累了。", "我叫什么？") == CHINESE.no_name


def test_a_question_about_oneself_is_searched_for_more_loosely() -> None:
    told = "My sister Ida plays chess."
    asked = "What instrument and which board game does my tall younger sister like?"
    assert alone(told, asked) == f"You told me: “{told}”"
    assert alone(told, asked.replace("my ", "a ")) == ENGLISH.lost
    assert alone(told, "What is my shoe size?") == ENGLISH.not_told
    assert alone("你好", "我的鞋码是多少？") == CHINESE.not_told


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
    assert reply(nobody).text == ENGLISH.no_name
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
    assert later("Good morning!") == "Ahoy, I am Mo."


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
        "I am " * 50_000,
        "My name is A" + " A" * 50_000,
        "hi, " * 50_000,
        "叫我" * 50_000,
        "(" * 100_000,
    ],
)
def test_hostile_lengths_do_not_hold_up_the_loop(text: str) -> None:
    before = time.perf_counter()
    reply(asking(text, "What is my name?", tools=TOOLS))
    reply(asking(text, tools=TOOLS))
    assert time.perf_counter() - before < 2  # milliseconds; quadratic ones take minutes
