import msgspec
import pytest

from cozy_domain.persona.schema import MAX_UNKNOWN
from tests.unit.domain.persona.written import document, extension, found, only, problems


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [
        ({"x_game": {"hp": [1, {"b": None}]}}, "x_game", {"hp": [1, {"b": None}]}),
        ({"rollout": {"percent": 5}}, "rollout", {"percent": 5}),
        ({"prompt": {"zodiac": "cat"}}, "prompt.zodiac", "cat"),
        ({"memory": {"read": {"budget": 9}}}, "memory.read.budget", 9),
        ({"prompt": {"variables": {"v": {"unit": "kg"}}}}, "prompt.variables.v.unit", "kg"),
        ({"prompt": {"examples": [{"user": "a", "assistant": "b", "id": 7}]}}, "prompt.examples[0].id", 7),
        ({"extensions": {"kept": 1.5}}, "kept", 1.5),
    ],
)
def test_an_unknown_key_is_kept_under_its_path(content: dict[str, object], key: str, value: object) -> None:
    persona = only(document(**content))  # type: ignore[arg-type]
    assert list(persona.extensions) == [key]
    assert extension(persona, key) == value


def test_an_unknown_key_of_the_parent_reference_is_kept() -> None:
    persona = only(document("parent"), document("child", extends={"id": "parent", "why": "kin"}))
    assert extension(persona, "extends.why") == "kin"


def test_a_childs_unknown_key_replaces_the_parents_whichever_way_it_is_written() -> None:
    parent = document("parent", extensions={"prompt.zodiac": "cat"})
    persona = only(parent, document("child", extends="parent", prompt={"zodiac": "dog"}))
    assert extension(persona, "prompt.zodiac") == "dog"


def test_an_unknown_key_in_a_list_item_goes_with_the_item() -> None:
    examples = [{"user": "a", "assistant": "b", "x": 1}, {"user": "c", "assistant": "d", "x": 2}]
    edit = {"remove": [examples[0]], "append": [{"user": "e", "assistant": "f", "x": 3}]}
    persona = only(
        document("parent", prompt={"examples": examples}),
        document("child", extends="parent", prompt={"examples": edit}),
    )
    kept = {key: msgspec.json.decode(value) for key, value in persona.extensions.items()}
    assert kept == {"prompt.examples[0].x": 2, "prompt.examples[1].x": 3}


def test_an_unknown_key_that_is_given_twice_is_an_error() -> None:
    assert problems(document(extensions={"prompt.zodiac": 1}, prompt={"zodiac": 2})) == [
        "extensions.prompt.zodiac: is given twice [persona_extensions]"
    ]


def test_unknown_keys_beside_extensions_that_are_no_mapping_leave_that_error() -> None:
    assert problems(document(extensions=1, zodiac=2)) == [
        "extensions: 1 is not a mapping [persona_extensions]"
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"model": {"temprature": 1}}, "model.temprature: {} did you mean temperature?"),
        ({"model": {"maxOutput": 1}}, "model.maxOutput: {} did you mean max_output?"),
        ({"personalize": False}, "personalize: {} did you mean personalise?"),
        ({"extend": "bob"}, "extend: {} did you mean extends?"),
        ({"personalisation": 1}, "personalisation: {} did you mean personalise?"),
        ({"temperature": 1}, "temperature: {} did you mean model.temperature?"),
        ({"top-p": 1}, "top-p: {} did you mean model.top_p?"),
        ({"voice": {"sytem": ""}}, "voice.sytem: {} did you mean prompt.system?"),
        ({"prompt": {"examples": [{"user": "", "assistent": "", "assistant": ""}]}},
         "prompt.examples[0].assistent: {} did you mean assistant?"),
    ],
)  # fmt: skip
def test_a_key_that_looks_like_a_slip_is_kept_with_a_warning(content: dict[str, object], told: str) -> None:
    written = document(**content)  # type: ignore[arg-type]
    (warning,) = found(written)
    expected = told.format("is not known, kept as an extension [persona_unknown_key] ")
    assert (warning.severity, str(warning)) == ("warning", f"anna.yaml:1:1  {expected}")
    assert only(written).extensions


@pytest.mark.parametrize("key", ["x_game", "enabled", "kg"])
def test_a_key_like_none_or_like_many_is_kept_without_a_word(key: str) -> None:
    assert found(document(**{key: 1})) == ()  # type: ignore[arg-type]


def test_more_unknown_keys_than_anybody_writes_are_one_error() -> None:
    allowed = {f"x_{number}": number for number in range(MAX_UNKNOWN)}
    assert len(only(document("a", "", **allowed)).extensions) == MAX_UNKNOWN
    assert problems(document("a", "", **allowed, prompt={"x_more": 1})) == [
        "257 unknown keys are more than 256 [persona_unknown_keys]"
    ]
