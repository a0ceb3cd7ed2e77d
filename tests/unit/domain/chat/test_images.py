"""Images and recordings of earlier turns: they come again where the model can take them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from cozy_adapters.inmemory.blobs import InMemoryBlobStore
from cozy_adapters.inmemory.language_model import ScriptedLanguageModel, saying
from cozy_domain.chat.generate import Generation
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.errors import InputError, ProviderUnavailableError, StorageUnavailableError
from cozy_domain.ids import Owner
from cozy_domain.messages import AudioPart, ImagePart, Message, TextPart, UserMessage
from cozy_domain.models.request import Feature, ModelRef, ModelRequest
from cozy_domain.routing.choice import Route, RouteTable, Snapshot
from cozy_domain.sessions.blobs import MOST_BYTES, Blob
from tests.fixtures.chat import SCRIPTED, ChatUnderTest, asking, events_of, saying_all
from tests.fixtures.media import base64, data_url, png, wav

PICTURE = ImagePart(data_url(png()), "low")
LOOK = UserMessage((TextPart("What is this?"), PICTURE))
BLIND = ModelRef("blind", "blind")


@dataclass
class Watched:
    """A blob store that tells what it was asked for."""

    store: InMemoryBlobStore
    asked: list[tuple[str, ...]] = field(default_factory=list)
    away: bool = False

    async def read(self, owner: Owner, digests: tuple[str, ...]) -> tuple[Blob, ...]:
        self.asked.append(digests)
        if self.away:
            raise StorageUnavailableError("away")
        return await self.store.read(owner, digests)


class Chat(ChatUnderTest):
    """With a second model, ``blind``, that takes only text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.blind = ScriptedLanguageModel(provider="blind", features=frozenset({Feature.SAMPLING}))
        self.blobs = Watched(InMemoryBlobStore(self.conversations))
        table = self.snapshot.routes
        routes = (Route("fallen", (SCRIPTED, BLIND)), Route("blind", (BLIND,)))
        self.snapshot = Snapshot(self.snapshot.catalog, RouteTable(table.default, routes))

    def parts(self) -> ChatParts:
        generation = Generation({"scripted": self.model, "blind": self.blind}, self.clock)
        return replace(super().parts(), generation=generation, blobs=self.blobs)

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[ChatPipeline]:
        """After a first turn with a picture in it."""
        async with self.running(saying("A", " dot."), saying("Red", ".")) as pipeline:
            await events_of(pipeline, saying_all(LOOK))
            yield pipeline


@pytest.fixture
def chat() -> Chat:
    return Chat()


def earlier(request: ModelRequest) -> Message:
    """What the first turn's message became."""
    return next(
        message
        for message in request.messages
        if isinstance(message.content, tuple) and message.content[0] == TextPart("What is this?")
    )


async def test_the_model_is_shown_the_image_of_an_earlier_turn_again(chat: Chat) -> None:
    async with chat.shown() as pipeline:
        await events_of(pipeline, asking("Which colour?"))
    first, second = chat.model.requests
    assert earlier(first) == earlier(second) == LOOK
    assert len(chat.blobs.asked) == 1


async def test_messages_of_text_alone_never_ask_the_blob_store(chat: Chat) -> None:
    async with chat.running(saying("Hi"), saying("Hi")) as pipeline:
        await events_of(pipeline, asking("Hello"))
        await events_of(pipeline, asking("Again"))
    assert chat.blobs.asked == []


async def test_the_stored_message_has_a_reference_in_its_place(chat: Chat) -> None:
    async with chat.shown():
        message = (await chat.stored())[0].message
    assert isinstance(message.content, tuple)
    part = message.content[1]
    assert isinstance(part, ImagePart)
    assert (part.url, part.detail) == ("", "low")
    assert part.blob is not None
    assert part.blob.size == len(png())


async def test_a_model_that_sees_nothing_reads_a_note_and_no_bytes_are_fetched(chat: Chat) -> None:
    chat.blind.add(saying("I", " cannot see."))
    async with chat.shown() as pipeline:
        await events_of(pipeline, asking("Which colour?", model="blind"))
    content = earlier(chat.blind.requests[0]).content
    assert isinstance(content, tuple)
    assert all(isinstance(part, TextPart) for part in content)
    assert chat.blobs.asked == []


async def test_a_model_that_is_fallen_back_to_gets_what_it_can_take(chat: Chat) -> None:
    down = ProviderUnavailableError("down", provider="scripted")
    chat.blind.add(saying("I", " cannot see."))
    async with chat.running(saying("A", " dot.")) as pipeline:
        await events_of(pipeline, saying_all(LOOK))
        chat.model.add((down,), (down,))
        await events_of(pipeline, asking("Which colour?", model="fallen"))
    assert earlier(chat.model.requests[-1]) == LOOK
    content = earlier(chat.blind.requests[0]).content
    assert isinstance(content, tuple)
    assert isinstance(content[1], TextPart)


async def test_an_image_of_the_request_itself_is_refused_by_name(chat: Chat) -> None:
    async with chat.running() as pipeline:
        with pytest.raises(InputError) as caught:
            await events_of(pipeline, saying_all(LOOK, model="blind"))
    assert caught.value.param == "messages[0].content[1]"


async def test_when_the_bytes_cannot_be_read_no_model_is_asked(chat: Chat) -> None:
    async with chat.shown() as pipeline:
        chat.blobs.away = True
        with pytest.raises(StorageUnavailableError):
            await events_of(pipeline, asking("Which colour?"))
    assert len(chat.model.requests) == 1


async def test_more_bytes_than_a_request_may_hold_leave_the_oldest_out(chat: Chat) -> None:
    half = MOST_BYTES // 2 + 1
    large = [png() + bytes(half - len(png())) + bytes([number]) for number in range(2)]
    turns = [UserMessage((TextPart("What is this?"), ImagePart(data_url(data), "low"))) for data in large]
    async with chat.running(saying("One"), saying("Two"), saying("Three")) as pipeline:
        for turn in turns:
            await events_of(pipeline, saying_all(turn))
        await events_of(pipeline, asking("And now?"))
    last = [it for it in chat.model.requests[-1].messages if isinstance(it.content, tuple)]
    assert isinstance(last[0].content, tuple)
    assert isinstance(last[0].content[1], TextPart)
    assert last[1] == turns[1]


async def test_recordings_come_again_too(chat: Chat) -> None:
    said = UserMessage((TextPart("What is this?"), AudioPart(base64(wav()), "wav")))
    async with chat.running(saying("Silence"), saying("Yes")) as pipeline:
        await events_of(pipeline, saying_all(said))
        await events_of(pipeline, asking("Sure?"))
    assert earlier(chat.model.requests[1]) == said


async def test_a_stateless_call_keeps_its_image_and_is_not_shown_others(chat: Chat) -> None:
    async with chat.running(saying("A dot"), saying("Nothing")) as pipeline:
        await events_of(pipeline, saying_all(LOOK, session=None))
        await events_of(pipeline, asking("Which colour?", session=None))
    assert len(chat.conversations.blobs) == 1
    assert chat.blobs.asked == []
