"""A call and a chat are one conversation in the real store."""

from pathlib import Path

from msgspec.structs import replace

from cozy_adapters.inmemory.language_model import calling, saying
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_domain.audio import SPEAKING_RATE
from cozy_domain.chat.parts import ChatParts
from cozy_domain.messages import AssistantMessage, SystemMessage, UserMessage, text_of
from cozy_domain.persona.persona import Prompt, ToolPermissions, Voice
from cozy_domain.voice.policy import DEFAULT as PROFILE
from cozy_domain.voice.public import HistoryTruncated, OutputStarted, ResponseDone
from tests.fixtures.chat import DEFAULT, OWNER, SESSION, ChatUnderTest, asking, events_of, saying_all, text_in
from tests.fixtures.driven_calls import LOOKUP, VoiceUnderTest, begun, slow_tools
from tests.fixtures.stores import Stores, sql_stores

PROMPT = replace(PROFILE, interruption=replace(PROFILE.interruption, call_guard_ns=0))
"""Who speaks first in a call may be interrupted at once."""
LONG = "One two three four five six seven eight nine ten. Eleven twelve thirteen fourteen. Fifteen sixteen."


class StoredChat(ChatUnderTest):
    """On a real store."""

    def on(self, stores: Stores) -> "StoredChat":
        self.stores = stores
        self.history = stores.history  # type: ignore[assignment]
        return self

    def parts(self) -> ChatParts:
        return replace(
            super().parts(), turns=self.stores.turns, blobs=self.stores.blobs, audit=self.stores.audit
        )


async def test_what_is_typed_before_and_after_a_call_knows_what_was_said_in_it(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "cozy.db")
    await database.aopen()
    stores = sql_stores(database)
    chat = StoredChat().on(stores)
    voice = VoiceUnderTest(chat=chat, heard=["Count, please.", "Enough."], profile=PROMPT)
    scripts = (saying("Hello."), saying(LONG), saying("Well."), saying("You counted."))
    async with voice.running(*scripts) as calls:
        pipeline = calls._parts.pipeline
        assert text_in(await events_of(pipeline, asking("Hi, I am Mei."))) == "Hello."
        call = await begun(calls)
        await call.quiet(0.3)
        await call.say(0.6)
        await call.until(OutputStarted)
        await call.quiet(1.0)
        await call.say(0.6)
        await call.until(ResponseDone, 2)
        await call.hang_up()
        await events_of(pipeline, asking("What did I ask you to do?"))
        stored = [it.message for it in await stores.sessions.messages(OWNER, SESSION, 100)]
    await database.aclose()
    said = [text_of(it.content) for it in stored if isinstance(it, UserMessage | AssistantMessage)]
    heard = said[3]
    assert LONG.startswith(heard)
    assert 0 < len(heard) < len(LONG)
    assert said == [
        "Hi, I am Mei.",
        "Hello.",
        "Count, please.",
        heard,
        "Enough.",
        "Well.",
        "What did I ask you to do?",
        "You counted.",
    ]
    prompt = [text_of(it.content) for it in chat.model.requests[-1].messages]
    assert heard in prompt
    assert not any("Sixteen" in it or "Fifteen" in it for it in prompt)


async def test_what_is_stored_of_a_call_is_what_was_heard_in_it(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "cozy.db")
    await database.aopen()
    stores = sql_stores(database)
    persona = replace(
        DEFAULT,
        prompt=Prompt(openings=("Hello.",)),
        tools=ToolPermissions(allow=("lookup",)),
        voice=Voice(realtime={"goodbye": "So long."}),
    )
    chat = StoredChat(personas=(persona,), toolbox=slow_tools(0.3)).on(stores)
    voice = VoiceUnderTest(chat=chat, heard=["Look it up.", "Count, please.", "Bye."], profile=PROMPT)
    async with voice.running(calling(LOOKUP), saying("It is 42."), saying(LONG)) as calls:
        call = await begun(calls)
        await call.until(ResponseDone)
        await call.say(0.6)
        told = await call.until(ResponseDone, 2)
        call.call.truncate(told.response_id, SPEAKING_RATE // 5)
        await call.say(0.6)
        await call.until(OutputStarted, 3)
        call.call.drain(60.0)
        await call.quiet(1.0)
        await call.say(0.6)
        assert await call.call.ended() == "drained"
        stored = [it.message for it in await stores.sessions.messages(OWNER, SESSION, 100)]
    await database.aclose()
    (truncated,) = call.told(HistoryTruncated)
    heard = [truncated.text if it is told else it.text for it in call.told(ResponseDone)]
    assert heard == ["Hello.", "It", heard[2], "So long."]
    assert LONG.startswith(heard[2])
    assert 0 < len(heard[2]) < len(LONG)
    assert [(type(it).__name__, text_of(it.content)) for it in stored] == [
        ("AssistantMessage", "Hello."),
        ("UserMessage", "Look it up."),
        ("AssistantMessage", ""),
        ("ToolMessage", "It is 42."),
        ("AssistantMessage", "It"),
        ("UserMessage", "Count, please."),
        ("AssistantMessage", heard[2]),
        ("UserMessage", "Bye."),
        ("AssistantMessage", "So long."),
    ]


async def test_an_answer_that_nobody_asked_for_is_stored_too(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "cozy.db")
    await database.aopen()
    stores = sql_stores(database)
    chat = StoredChat().on(stores)
    async with chat.running(saying("Hello."), saying("By the way.")) as pipeline:
        await events_of(pipeline, asking("hi"))
        await events_of(pipeline, saying_all(SystemMessage("Tell them."), unasked=True))
        stored = [it.message for it in await stores.sessions.messages(OWNER, SESSION, 100)]
    await database.aclose()
    assert stored == [UserMessage("hi"), AssistantMessage("Hello."), AssistantMessage("By the way.")]
