"""The offline model reads the very prompts that the engine builds: neither may change without the other."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from cozy_adapters.offline.reading import read
from cozy_adapters.offline.reply import reply
from cozy_adapters.tokens import EstimatedTokenCounter
from cozy_domain.context.bundle import Candidate, Gathered, Moment
from cozy_domain.context.prompt import PromptInput, build
from cozy_domain.ids import PersonaId, TurnId
from cozy_domain.messages import AssistantMessage, UserMessage
from cozy_domain.models.request import ModelRequest
from cozy_domain.persona.persona import Persona, Prompt, PublishedPersona
from cozy_domain.profile import Profile, Slot
from cozy_domain.sessions.session import PastTurn

MO = Persona(
    id=PersonaId("mo"),
    name="Mo",
    prompt=Prompt(
        system="You are Mo.",
        openings=("Ahoy,\nI am {{char}}.", "Second best."),
        post_history="Stay Mo.",
    ),
)
NOW = Moment(local=datetime(2026, 11, 22, 16, 11, tzinfo=ZoneInfo("Europe/Paris")), timezone="Europe/Paris")
EARLIER = PastTurn(
    turn=TurnId(UUID(int=1)),
    seq=1,
    state="completed",
    messages=(UserMessage("My dog is called Rex & co."), AssistantMessage("Noted.")),
)
CATS = Candidate(source="memory", id="m", text="Keeps cats: Tom & <Jerry>", score=1.0, tokens=20, origin="m")


def prompt(question: str, *history: PastTurn) -> ModelRequest:
    gathered = Gathered(
        history=history,
        profile=Profile((Slot("name", "Ada"),), 1),
        candidates=(CATS,),
        asked=("memory", "profile"),
    )
    given = PromptInput(
        persona=PublishedPersona(MO, 1, "", 0), gathered=gathered, new=(UserMessage(question),), now=NOW
    )
    return ModelRequest(model="offline", messages=build(given, EstimatedTokenCounter()).messages)


def test_everything_in_a_prompt_is_found_in_its_place() -> None:
    seen = read(prompt("Hello!", EARLIER))
    assert seen.question == "Hello!"
    assert seen.told == ("My dog is called Rex & co.",)
    assert sorted(seen.facts) == ["Keeps cats: Tom & <Jerry>", "name: Ada"]
    assert seen.greeting == "Ahoy, I am Mo."
    assert seen.now == "Sunday 2026-11-22 16:11 Europe/Paris"
    assert not seen.first


def test_answers_come_out_of_it() -> None:
    assert reply(prompt("Hello!")).text.startswith("Ahoy, I am Mo.\n\n(Offline: this is no AI")
    assert reply(prompt("What is my name?", EARLIER)).text == "Your name is Ada."
    assert reply(prompt("Which cats do I keep?", EARLIER)).text == "I remember: Keeps cats: Tom & <Jerry>"
    assert (
        reply(prompt("What is my dog called?", EARLIER)).text == "You told me: “My dog is called Rex & co.”"
    )
