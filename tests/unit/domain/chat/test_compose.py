"""A pipeline for an application that embeds the domain."""

import pytest

from cozy_adapters.inmemory.chat import InMemoryChat
from cozy_adapters.inmemory.ids import InMemoryIds
from cozy_adapters.inmemory.language_model import ScriptedLanguageModel, saying
from cozy_adapters.tokens import EstimatedTokenCounter
from cozy_domain.chat.compose import compose
from cozy_domain.chat.parts import ChatLimits
from cozy_domain.errors import ConfigError
from cozy_domain.models.request import ModelRef
from tests.fixtures.chat import AUDIT_KEY, DEFAULT, OWNER, SCRIPTED, SESSION, asking, events_of, text_in
from tests.fixtures.clocks import LoopClock

pytestmark = pytest.mark.virtual_time


def chat() -> InMemoryChat:
    return InMemoryChat(LoopClock(), InMemoryIds(), EstimatedTokenCounter())


async def test_a_composed_pipeline_answers_and_remembers() -> None:
    model = ScriptedLanguageModel([saying("Hi Mei"), saying("Mei")])
    here = chat()
    pipeline = await compose(
        here.ports,
        personas=[DEFAULT],
        providers={"scripted": model},
        models=(SCRIPTED,),
        audit_key=AUDIT_KEY,
        limits=ChatLimits(answer_characters=3),
    )
    async with pipeline.running():
        assert text_in(await events_of(pipeline, asking("I am Mei"))) == "Hi Mei"
        assert text_in(await events_of(pipeline, asking("Who am I?", model="scripted"))) == "Mei"
    assert "I am Mei" in repr(model.requests[1].messages)
    assert [tool.name for tool in model.requests[0].tools] == ["calculator", "clock"]
    assert len(await here.sessions.messages(OWNER, SESSION, 10)) == 4
    assert len(await here.jobs.list()) == 1


@pytest.mark.parametrize(
    ("models", "wrong"), [((), "no model"), ((ModelRef("scripted", "default"),), "more than one")]
)
async def test_what_could_never_answer_is_refused_at_once(models: tuple[ModelRef, ...], wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await compose(
            chat().ports,
            personas=[DEFAULT],
            providers={"scripted": ScriptedLanguageModel()},
            models=models,
            audit_key=AUDIT_KEY,
        )
    assert wrong in str(refused.value)
