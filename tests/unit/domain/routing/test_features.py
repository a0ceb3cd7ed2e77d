"""What a model cannot do is found by name."""

import msgspec
import pytest

from cozy_domain.messages import (
    AudioPart,
    Content,
    FilePart,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    UserMessage,
)
from cozy_domain.models.request import Feature, ModelRequest, ResponseFormat, Sampling, ToolDefinition
from cozy_domain.routing.choice import fitting, fitting_messages, missing_features

NOTHING: frozenset[Feature] = frozenset()
EVERYTHING = frozenset(Feature)


def asking(content: Content = "hi", **changes: object) -> ModelRequest:
    request = ModelRequest(model="m", messages=(SystemMessage("be kind"), UserMessage(content)))
    return msgspec.structs.replace(request, **changes)


SAMPLED = [
    ("n", Feature.CHOICES, Sampling(choices=2)),
    ("temperature", Feature.SAMPLING, Sampling(temperature=0.0)),
    ("top_p", Feature.SAMPLING, Sampling(top_p=0.0)),
    ("presence_penalty", Feature.PENALTIES, Sampling(presence_penalty=0.0)),
    ("frequency_penalty", Feature.PENALTIES, Sampling(frequency_penalty=0.0)),
    ("stop", Feature.STOP, Sampling(stop=("x",))),
    ("seed", Feature.SEED, Sampling(seed=0)),
    ("logprobs", Feature.LOGPROBS, Sampling(logprobs=True)),
    ("top_logprobs", Feature.LOGPROBS, Sampling(top_logprobs=0)),
    ("logit_bias", Feature.LOGIT_BIAS, Sampling(logit_bias=(("1", 1.0),))),
    ("reasoning_effort", Feature.REASONING_EFFORT, Sampling(reasoning_effort="low")),
    ("verbosity", Feature.VERBOSITY, Sampling(verbosity="low")),
    ("response_format", Feature.JSON_OBJECT, Sampling(response_format=ResponseFormat("json_object"))),
    ("response_format", Feature.JSON_SCHEMA, Sampling(response_format=ResponseFormat("json_schema"))),
    ("prediction", Feature.PREDICTION, Sampling(extra=(("prediction", msgspec.Raw(b"{}")),))),
    ("web_search_options", Feature.WEB_SEARCH, Sampling(extra=(("web_search_options", msgspec.Raw(b"{}")),))),
    ("service_tier", Feature.SERVICE_TIER, Sampling(extra=(("service_tier", msgspec.Raw(b'"flex"')),))),
    ("audio", Feature.AUDIO_OUTPUT, Sampling(extra=(("audio", msgspec.Raw(b"{}")),))),
    ("modalities", Feature.AUDIO_OUTPUT, Sampling(extra=(("modalities", msgspec.Raw(b'["text","audio"]')),))),
]


@pytest.mark.parametrize(("param", "feature", "sampling"), SAMPLED)
def test_a_parameter_that_the_model_lacks_is_named(param: str, feature: Feature, sampling: Sampling) -> None:
    request = asking(sampling=sampling)
    assert missing_features(request, EVERYTHING - {feature}) == ((param, feature),)
    assert missing_features(request, EVERYTHING) == ()


PARTS = [
    (ImagePart("https://example.org/a.png"), Feature.IMAGES),
    (AudioPart("", "wav"), Feature.AUDIO_INPUT),
    (FilePart(file_id="f"), Feature.FILES),
]


@pytest.mark.parametrize(("part", "feature"), PARTS)
def test_a_part_that_the_model_lacks_is_named_by_its_place(
    part: ImagePart | AudioPart | FilePart, feature: Feature
) -> None:
    request = asking((TextPart("look"), part))
    assert missing_features(request, NOTHING) == (("messages[1].content[1]", feature),)
    assert missing_features(request, frozenset({feature})) == ()


def test_tools_and_parallel_calls_are_needed_when_asked_for() -> None:
    request = asking(tools=(ToolDefinition("clock"),), parallel_tool_calls=True)
    assert missing_features(request, NOTHING) == (
        ("tools", Feature.TOOLS),
        ("parallel_tool_calls", Feature.PARALLEL_TOOL_CALLS),
    )


def test_one_call_at_a_time_is_what_every_model_can_do() -> None:
    assert missing_features(asking(parallel_tool_calls=False), NOTHING) == ()


def test_plain_words_need_nothing() -> None:
    words = (TextPart("a"), RefusalPart("b"))
    extra = (("metadata", msgspec.Raw(b"{}")), ("modalities", msgspec.Raw(b'["text"]')))
    sampling = Sampling(max_output=5, extra=extra)
    assert missing_features(asking(words, sampling=sampling), NOTHING) == ()


def test_what_a_persona_prefers_gives_way() -> None:
    wish = Sampling(temperature=0.7, top_p=0.9, stop=("x",), reasoning_effort="low", max_output=9, seed=1)
    assert fitting(wish, NOTHING) == Sampling(max_output=9, seed=1)
    assert fitting(wish, EVERYTHING) == wish


SEEN = UserMessage((TextPart("look"), ImagePart("https://x"), RefusalPart("no"), AudioPart("AAAA", "wav")))
TOLD = (SystemMessage("be kind"), SEEN, UserMessage((TextPart("t"),)), UserMessage((FilePart(file_id="f"),)))


def test_a_model_that_takes_everything_gets_the_messages_as_they_are() -> None:
    assert fitting_messages(TOLD, EVERYTHING) is TOLD


def test_a_model_gets_a_note_for_each_thing_that_it_cannot_take() -> None:
    system, seen, text, file = fitting_messages(TOLD, frozenset({Feature.AUDIO_INPUT}))
    assert (system, text) == (TOLD[0], TOLD[2])
    assert isinstance(seen.content, tuple)
    assert [type(part) for part in seen.content] == [TextPart, TextPart, RefusalPart, AudioPart]
    assert isinstance(file.content, tuple)
    assert isinstance(file.content[0], TextPart)
    notes = {repr(seen.content[1]), repr(file.content[0]), repr(fitting_messages((SEEN,), NOTHING)[0])}
    assert len(notes) == 3
