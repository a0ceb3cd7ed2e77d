import pytest

from cozy_domain.persona.document import Entry, ListNode, MapNode, Mark, PersonaDocument, ScalarNode
from cozy_domain.persona.resolve import examine
from tests.unit.domain.persona.written import document, only, problems


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"name": ...}, "name: is missing [persona_name]"),
        ({"name": ""}, "name: is empty [persona_name]"),
        ({"name": "n" * 101}, "name: 101 characters are more than 100 [persona_name]"),
        ({"name": 42}, 'name: 42 is not text [persona_name]  did you mean "42"?'),
        ({"name": None}, "name: nothing is not text [persona_name]"),
        ({"name": True}, 'name: true is not text [persona_name]  did you mean "true"?'),
        ({"name": ["Anna"]}, "name: a list is not text [persona_name]"),
        ({"schema": ...}, "schema: is missing [persona_schema]  did you mean `schema: persona/1`?"),
        ({"schema": "persona/2"}, "schema: 'persona/2' is not persona/1 [persona_schema]  did you mean persona/1?"),
        ({"locale": "English"}, "locale: 'English' is not a language tag such as en, zh-CN or mul [persona_locale]"),
        ({"tags": "calm"}, "tags: 'calm' is not a list, or append and remove with a list each [persona_tags]"
                           "  did you mean [calm]?"),
        ({"tags": ["calm", 1]}, 'tags[1]: 1 is not text [persona_tags]  did you mean "1"?'),
        ({"personalise": "on"}, "personalise: 'on' is not true or false [persona_personalise]  did you mean true?"),
        ({"personalise": "maybe"}, "personalise: 'maybe' is not true or false [persona_personalise]"),
        ({"personalise": 1}, "personalise: 1 is not true or false [persona_personalise]"),
        ({"voice": {"speed": 5}}, "voice.speed: 5 is above 4 [persona_voice_speed]  did you mean 4?"),
        ({"voice": {"speed": 0.1}}, "voice.speed: 0.1 is below 0.25 [persona_voice_speed]  did you mean 0.25?"),
        ({"voice": {"speed": "fast"}}, "voice.speed: 'fast' is not a number [persona_voice_speed]"),
        ({"voice": {"speed": True}}, "voice.speed: true is not a number [persona_voice_speed]"),
        ({"voice": "loud"}, "voice: 'loud' is not a mapping of stt, tts, voice, speed, realtime, turn_detection, "
                            "instructions_override [persona_voice]"),
        ({"voice": {"realtime": "fast"}}, "voice.realtime: 'fast' is not a mapping [persona_voice_realtime]"),
        ({"voice": {"realtime": {"eager": [1]}}},
         "voice.realtime.eager: a list is not text, a number or true or false [persona_voice_realtime]"),
        ({"model": {"max_output": 2.6}},
         "model.max_output: 2.6 is not a whole number [persona_model_max_output]  did you mean 3?"),
        ({"model": {"max_output": True}}, "model.max_output: true is not a whole number [persona_model_max_output]"),
        ({"model": {"stop": list("abcde")}}, "model.stop: 5 items are more than 4 [persona_model_stop]"),
        ({"knowledge": {"mode": "allways"}},
         "knowledge.mode: 'allways' is not always, auto or off [persona_knowledge_mode]  did you mean always?"),
        ({"knowledge": {"mode": True}}, "knowledge.mode: true is not always, auto or off [persona_knowledge_mode]"),
        ({"prompt": {"examples": [{"user": "Hi"}]}},
         "prompt.examples[0].assistant: is missing [persona_prompt_examples_assistant]"),
        ({"prompt": {"variables": {"mood": {"max": 0}}}},
         "prompt.variables.mood.max: 0 is below 1 [persona_prompt_variables_max]  did you mean 1?"),
        ({"extensions": [1]}, "extensions: a list is not a mapping [persona_extensions]"),
        ({"description": 9, "name": "Anna"}, 'description: 9 is not text [persona_description]  did you mean "9"?'),
        ({"description": {"de": "x"}}, "description: a mapping is not text [persona_description]"),
        ({"name": "Anna", "locale": "x" * 99}, f"locale: '{'x' * 40}…' is not a language tag such as en, zh-CN or mul"
                                               " [persona_locale]"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_what_is_accepted(content: dict[str, object], told: str) -> None:
    assert problems(document(**content)) == [told]  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["", "Anna", "-anna", "a b", "../anna", "anna\n", "a" * 65])
def test_an_id_has_few_characters(id: str) -> None:
    (error,) = examine([document(id)]).errors
    assert error.code == "persona_id"


@pytest.mark.parametrize("id", ["a", "0", "anna-2_b", "a" * 64])
def test_an_id_of_these_characters_is_taken(id: str) -> None:
    assert only(document(id)).id == id


@pytest.mark.parametrize("locale", ["en", "zh-CN", "mul", "zh-Hant-TW", "ca-valencia", "de-x-a"])
def test_a_language_tag_is_taken(locale: str) -> None:
    assert only(document(locale=locale)).locale == locale


@pytest.mark.parametrize(
    "content", [{"voice": {"speed": 4}}, {"voice": {"speed": 0.25}}, {"model": {"stop": list("abcd")}}]
)
def test_what_is_just_within_the_limits_is_taken(content: dict[str, object]) -> None:
    assert problems(document("anna", "", **content)) == []


def test_everything_that_is_wrong_is_told() -> None:
    told = problems(document(locale=1, voice={"speed": 9, "stt": 1}), document("bob", name=...))
    assert [line.partition(":")[0] for line in told] == ["locale", "voice.speed", "voice.stt", "name"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**64, -(2**63) - 1, "a\0b", "\ud800", {"\udfff": 1}, [["\0"]]]
)
@pytest.mark.parametrize("key", ["game", "name"])
def test_what_no_database_gives_back_is_refused_even_where_it_is_not_known(key: str, value: object) -> None:
    entry = Entry(key, node(value))
    root = document().root.without(key)
    (error, *_) = examine([PersonaDocument("a", MapNode((*root.entries, entry), Mark("a")))]).errors
    assert error.code in {"persona_unstorable", "persona_name"}
    str(error).encode()


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), 1e308, "🙂", None, True])
def test_what_can_be_stored_is_taken(value: object) -> None:
    entry = Entry("game", node(value))
    assert only(PersonaDocument("a", MapNode((*document().root.entries, entry)))).extensions


def node(value: object) -> ScalarNode | ListNode | MapNode:
    """Also of what JSON cannot hold."""
    if isinstance(value, dict):
        return MapNode(tuple(Entry(key, node(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return ListNode(tuple(node(item) for item in value))
    assert value is None or isinstance(value, str | int | float)
    return ScalarNode(value)
