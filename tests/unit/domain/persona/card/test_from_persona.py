from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cozy_domain.ids import PersonaId
from cozy_domain.persona.card.card import read_card
from cozy_domain.persona.card.fields import fields_of
from cozy_domain.persona.card.from_persona import (
    BACKFILL,
    Exported,
    Spec,
    as_backfill,
    from_persona,
    with_data,
)
from cozy_domain.persona.card.to_persona import KEPT, to_persona
from cozy_domain.persona.persona import (
    Example,
    KnowledgePolicy,
    Lore,
    LoreEntry,
    MemoryPolicy,
    ModelPreferences,
    Persona,
    Prompt,
    Provenance,
    ToolPermissions,
    Variable,
)
from cozy_domain.persona.resolve import as_written, canonical, resolve, restore
from tests.fixtures import cards

NOW = 1_800_000_000


def persona_of(card: Any) -> Persona:
    json = cards.json(card)
    return to_persona(read_card(json), PersonaId("mira"), json).persona


def exported(persona: Persona, spec: Spec = "v3") -> Exported:
    return from_persona(persona, spec, NOW)


def card_of(persona: Persona, spec: Spec = "v3") -> Any:
    return msgspec.json.decode(exported(persona, spec).json)


def changed(persona: Persona, **prompt: Any) -> dict[str, Any]:
    """What of the card's data changes when the prompt does."""
    before = card_of(persona)["data"]
    after = card_of(replace(persona, prompt=replace(persona.prompt, **prompt)))["data"]
    assert after.pop("modification_date", NOW) == NOW
    assert before.keys() <= after.keys()
    return {key: value for key, value in after.items() if before.get(key) != value}


def holds(whole: Any, part: Any) -> bool:
    """Whether ``whole`` has every value of ``part``; what the specification asks for may be added at the two top levels."""
    return (
        all(
            holds(whole[key], value) if key == "data" else whole[key] == value
            for key, value in part.items()
            if key in whole
        )
        and part.keys() <= whole.keys()
    )


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30) | st.sampled_from(
    [
        "{{user}}: a\n{{char}}: b",
        "<BOT>\r\n\u2028x",
        "{{original}} y",
        " @@activate\nz",
        "no",
        "1e3",
        "- a: b #c",
        "\x85\x1b",
    ]
)
ANYTHING = st.recursive(
    LEAVES | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from([*cards.v3()["data"], "character_book", "zzz"])
BOOKS = st.fixed_dictionaries(
    {
        "entries": st.lists(
            st.fixed_dictionaries({"content": TEXTS, "keys": st.lists(TEXTS, max_size=2), "x": ANYTHING})
            | ANYTHING,
            max_size=3,
        )
    }
)
DATA = st.builds(
    lambda odd, texts, book, name: {**odd, **texts, **book, "name": name},
    st.dictionaries(KNOWN | TEXTS, ANYTHING, max_size=5),
    st.dictionaries(KNOWN, TEXTS, max_size=6),
    st.just({}) | st.builds(lambda book: {"character_book": book}, BOOKS),
    TEXTS.filter(lambda name: any(map(str.isalnum, name))),
)
CARDS = st.builds(
    lambda version, data, root: {
        **root,
        "spec": f"chara_card_v{version}",
        "spec_version": f"{version}.0",
        "data": data,
    },
    st.sampled_from((2, 3)),
    DATA,
    st.dictionaries(
        TEXTS.filter(lambda key: key not in ("spec", "data", "spec_version")), ANYTHING, max_size=3
    ),
)


@settings(max_examples=150, deadline=None)
@given(CARDS)
def test_a_card_comes_back_from_its_persona_with_every_value(card: dict[str, Any]) -> None:
    persona = persona_of(card)
    (stored,) = resolve([as_written(restore(canonical(persona)), "mira.yaml")])
    spec: Spec = "v2" if card["spec"] == "chara_card_v2" else "v3"
    result = exported(stored, spec)
    assert result.changed == ()
    assert holds(msgspec.json.decode(result.json), card)


@settings(max_examples=60, deadline=None)
@given(CARDS, TEXTS.filter(str.strip), st.sampled_from(["system", "style", "post_history"]))
def test_a_changed_text_is_in_the_card_and_what_it_does_not_touch_stays(
    card: dict[str, Any], text: str, field: str
) -> None:
    persona = persona_of(card)
    made = card_of(replace(persona, prompt=replace(persona.prompt, **{field: text})))["data"]
    assert any(text.strip() in str(value) for value in made.values() if isinstance(value, str))
    touched = {
        "description",
        "personality",
        "scenario",
        "system_prompt",
        "mes_example",
        "post_history_instructions",
    }
    for key, value in card["data"].items():
        assert key in touched | {"modification_date"} or made[key] == value


@pytest.mark.parametrize("card", [cards.v1(), cards.v2(), cards.v3()])
@pytest.mark.parametrize("spec", ["v2", "v3"])
def test_a_card_of_each_version_can_be_had_in_each(card: dict[str, Any], spec: Spec) -> None:
    made = card_of(persona_of(card), spec)
    assert (made["spec"], made["spec_version"]) == (f"chara_card_{spec}", f"{spec[1]}.0")
    for key, value in card.get("data", card).items():
        assert made["data"][key] == value
    assert made["data"]["extensions"] == card.get("data", {}).get("extensions", {})
    assert ("group_only_greetings" in made["data"]) is (
        spec == "v3" or "group_only_greetings" in card.get("data", {})
    )
    assert "modification_date" not in made["data"]
    assert persona_of(made).prompt == persona_of(card).prompt


def test_a_newer_minor_version_keeps_its_number_and_another_version_gets_its_own() -> None:
    persona = persona_of({**cards.v3(), "spec_version": "3.1"})
    assert card_of(persona)["spec_version"] == "3.1"
    assert card_of(persona, "v2")["spec_version"] == "2.0"


def test_the_part_of_the_system_text_that_changed_is_found() -> None:
    persona = persona_of(cards.v3())
    old = cards.data()
    system = persona.prompt.system
    assert changed(persona, system=system.replace("a small island", "a large one")) == {
        "description": "{{char}} keeps the lighthouse of a large one."
    }
    assert changed(persona, system=system.replace("dry", "wet")) == {
        "description": f"{old['description']}\n\nPersonality: patient, wet, curious",
        "personality": "",
    }
    assert changed(persona, system="All new.") == {
        "description": "All new.",
        "personality": "",
        "scenario": "",
        "system_prompt": "",
    }


def test_the_words_that_we_put_in_front_are_not_exported() -> None:
    persona = persona_of(cards.v1(personality="", scenario=""))
    assert persona.prompt.system.startswith("You are {{char}}.")
    assert changed(persona, system=f"{persona.prompt.system} Now.") == {
        "description": f"{cards.v1()['description']} Now."
    }


@pytest.mark.parametrize(
    ("prompt", "data"),
    [
        ({"post_history": "New."}, {"post_history_instructions": "New."}),
        ({"openings": ("Hi.",)}, {"first_mes": "Hi.", "alternate_greetings": []}),
        ({"openings": ()}, {"first_mes": "", "alternate_greetings": []}),
        ({"examples": (Example("a", "b"),)}, {"mes_example": "<START>\n{{user}}: a\n{{char}}: b"}),
        ({"style": "Dry."}, {"personality": "patient, dry, curious\n\nDry."}),
        ({"variables": {"char": Variable(default="Mi")}}, {"nickname": "Mi"}),
        ({"variables": {}}, {"nickname": ""}),
        ({"variables": {"char": Variable()}}, {"nickname": ""}),
    ],
)
def test_what_changed_in_the_prompt_changes_its_fields_alone(
    prompt: dict[str, Any], data: dict[str, Any]
) -> None:
    assert changed(persona_of(cards.v3()), **prompt) == data


def test_examples_that_became_the_style_go_back_where_they_came_from() -> None:
    persona = persona_of(cards.v3(mes_example="She hums."))
    assert changed(persona, style="She sings.") == {"mes_example": "She sings."}
    assert changed(persona, style="") == {"mes_example": ""}
    assert changed(persona, style="Dry.", examples=(Example("a", "b"),)) == {
        "mes_example": "<START>\n{{user}}: a\n{{char}}: b",
        "personality": "patient, dry, curious\n\nDry.",
    }


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({"name": "Nora"}, {"name": "Nora"}),
        ({"tags": ("a",)}, {"tags": ["a"]}),
        ({"meta": Provenance(author="me", notes="N")}, {"creator": "me", "creator_notes": "N"}),
        ({"meta": Provenance()}, {"creator": "", "creator_notes": ""}),
        ({"description": "Of her."}, {}),
    ],
)
def test_what_changed_around_the_prompt_changes_its_fields_alone(
    fields: dict[str, Any], data: dict[str, Any]
) -> None:
    persona = persona_of(cards.v3())
    made = card_of(replace(persona, **fields))["data"]
    old = cards.v3()["data"]
    assert {key: made[key] for key in old if made[key] != old[key]} == data
    assert made.get("modification_date") == (NOW if data else None)


def test_a_description_is_a_note_when_there_are_no_notes() -> None:
    persona = persona_of(cards.v3(creator_notes=""))
    assert card_of(replace(persona, description="Of her."))["data"]["creator_notes"] == "Of her."


def test_changed_lore_changes_the_book() -> None:
    persona = persona_of(cards.v3())
    lore = persona.knowledge.lore
    fewer = replace(persona, knowledge=KnowledgePolicy(lore=replace(lore, entries=lore.entries[:1])))
    book = card_of(fewer)["data"]["character_book"]
    assert [it["content"] for it in book["entries"]] == ["The sea is always cold."]
    assert book["extensions"] == {"tides": [1, 2.5, None]}


def test_fields_that_older_programs_repeat_beside_the_card_change_too() -> None:
    persona = persona_of({**cards.v3(), "name": "Mira", "fav": True})
    made = card_of(replace(persona, name="Nora"))
    assert (made["name"], made["data"]["name"], made["fav"]) == ("Nora", "Nora", True)


def test_a_persona_that_never_was_a_card_makes_one() -> None:
    persona = Persona(
        id=PersonaId("anna"),
        name="Anna",
        description="Tends a garden.",
        prompt=Prompt(
            system="You are Anna.", style="Short.", openings=("Hello.",), variables={"x": Variable()}
        ),
        model=ModelPreferences(route="fast"),
        tools=ToolPermissions(allow=("clock",)),
        knowledge=KnowledgePolicy(mode="off", lore=Lore((LoreEntry("a", "b", constant=True),))),
        memory=MemoryPolicy(profile_schema=("x",)),
    )
    result = exported(persona)
    made = msgspec.json.decode(result.json)
    assert result.changed == ()
    assert result.left_out == ("model", "tools", "memory", "knowledge", "prompt.variables")
    assert made["spec"] == "chara_card_v3"
    data = made["data"]
    assert (data["name"], data["description"], data["personality"]) == ("Anna", "You are Anna.", "Short.")
    assert (data["first_mes"], data["creator_notes"], data["tags"]) == ("Hello.", "Tends a garden.", [])
    assert data["character_book"]["entries"][0]["content"] == "b"
    assert persona_of(made).name == "Anna"


def test_a_kept_card_that_is_none_any_more_is_told() -> None:
    persona = replace(persona_of(cards.v3()), extensions={KEPT: msgspec.Raw(b'"{}"')})
    assert exported(persona).left_out == (f"extensions.{KEPT}, which is no card any more",)
    assert card_of(persona)["data"]["name"] == "Mira"


def test_a_backfill_says_once_that_it_is_one() -> None:
    made = as_backfill(cards.json(cards.v3()))
    card = msgspec.json.decode(made)
    assert card["spec"] == "chara_card_v2"
    assert card["data"]["creator_notes"] == f"{BACKFILL}\n\n{cards.data()['creator_notes']}"
    assert msgspec.json.decode(as_backfill(made)) == card
    assert (
        msgspec.json.decode(as_backfill(cards.json(cards.v3(creator_notes=""))))["data"]["creator_notes"]
        == BACKFILL
    )


def test_data_can_be_replaced_alone() -> None:
    made = msgspec.json.decode(with_data(cards.json(cards.v3()), {"assets": msgspec.Raw(b"[]")}))
    assert made == {**cards.v3(), "data": {**cards.v3()["data"], "assets": []}}
    assert fields_of(read_card(cards.json(made))).name == "Mira"
