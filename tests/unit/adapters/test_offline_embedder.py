"""The embedder that compares words."""

import math

import pytest

from cozy_adapters.offline.embedder import DIMENSIONS, LONGEST_INPUT, MOST_DIMENSIONS, OfflineEmbedder
from cozy_domain.errors import ProviderRefusedError
from cozy_domain.models.embedding import EmbeddingInput, EmbeddingRequest, unpacked


async def vectors(*texts: str, dimensions: int | None = None) -> list[tuple[float, ...]]:
    found = await OfflineEmbedder().embed(EmbeddingRequest("lexical", texts, dimensions))
    return [unpacked(vector) for vector in found.vectors]


async def nearness(one: str, other: str) -> float:
    """The cosine of two texts."""
    first, second = await vectors(one, other)
    return sum(a * b for a, b in zip(first, second, strict=True))


async def refusal(
    given: EmbeddingInput, model: str = "lexical", dimensions: int | None = None
) -> ProviderRefusedError:
    with pytest.raises(ProviderRefusedError) as caught:
        await OfflineEmbedder().embed(EmbeddingRequest(model, ("fine", given), dimensions))
    return caught.value


async def test_shared_words_bring_texts_together_whatever_their_form() -> None:
    near = await nearness("The cats are sleeping in the garden", "A cat sleeps in our gardens")
    far = await nearness("The cats are sleeping in the garden", "Quarterly results exceeded forecasts")
    assert near > far + 0.2


async def test_chinese_is_compared_too() -> None:
    near = await nearness("我喜欢在雨天喝咖啡", "雨天喝咖啡很舒服")
    far = await nearness("我喜欢在雨天喝咖啡", "季度财务报告已经发布")
    assert near > far + 0.2


async def test_vectors_have_length_one() -> None:
    for vector in await vectors("one", "one one two", "!?", "😀 and words"):
        assert len(vector) == DIMENSIONS
        assert math.sqrt(sum(number * number for number in vector)) == pytest.approx(1, abs=1e-6)


async def test_words_that_cancel_each_other_out_leave_a_direction() -> None:
    for number in range(40):  # in one dimension, every second pair of words does
        (vector,) = await vectors(f"cat dog{number}", dimensions=1)
        assert vector in ((1.0,), (-1.0,))


async def test_the_vector_is_the_same_in_every_process() -> None:
    (vector,) = await vectors("hello world", dimensions=4)
    assert vector == pytest.approx(GOLDEN, abs=1e-6)


async def test_tokens_are_refused_with_the_way_out() -> None:
    error = await refusal((1, 2, 3))
    assert (error.about, error.code, error.param) == ("request", "unsupported_value", "input[1]")
    assert error.hint is not None
    assert "check_embedding_ctx_length=False" in error.hint


async def test_a_text_that_is_too_long_is_refused_by_place() -> None:
    error = await refusal("a" * (LONGEST_INPUT + 1))
    assert (error.code, error.param) == ("context_length_exceeded", "input[1]")


async def test_too_many_dimensions_are_refused() -> None:
    error = await refusal("a", dimensions=MOST_DIMENSIONS + 1)
    assert (error.code, error.param) == ("invalid_value", "dimensions")


async def test_it_has_one_model() -> None:
    assert (await refusal("a", model="ada")).about == "model"


GOLDEN = (-math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
