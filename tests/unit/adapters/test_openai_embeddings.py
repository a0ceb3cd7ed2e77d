"""OpenAI's embeddings on the wire."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest

from cozy_adapters.openai.embeddings import decode, encode
from cozy_adapters.openai.wire import COMPATIBLE, OPENAI
from cozy_domain.errors import ProviderMalformedError
from cozy_domain.messages import Usage
from cozy_domain.models.embedding import EmbeddingRequest, packed

ONE, TWO = packed([1.0, 0.5]), packed([0.25, -1.0])


def in_base64(vector: bytes) -> str:
    return b64encode(vector).decode()


def sent(*data: dict[str, Any], **more: object) -> bytes:
    return msgspec.json.encode({"object": "list", "data": data, **more})


def test_base64_is_asked_for_and_only_what_was_wished() -> None:
    request = EmbeddingRequest("m", ("a", "b"), end_user="u")
    assert msgspec.json.decode(encode(request, COMPATIBLE)) == {
        "model": "m",
        "input": ["a", "b"],
        "encoding_format": "base64",
    }


def test_openai_itself_gets_the_dimensions_and_the_person_too() -> None:
    body = msgspec.json.decode(encode(EmbeddingRequest("m", ("a",), 3, "u"), OPENAI))
    assert body == {"model": "m", "input": "a", "encoding_format": "base64", "dimensions": 3, "user": "u"}


def test_tokens_go_as_arrays() -> None:
    body = msgspec.json.decode(encode(EmbeddingRequest("m", ((1, 2),)), COMPATIBLE))
    assert body["input"] == [[1, 2]]


def test_base64_and_numbers_are_read_alike() -> None:
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    data = ({"index": 0, "embedding": in_base64(ONE)}, {"index": 1, "embedding": [0.25, -1]})
    found = decode(sent(*data, usage=usage), 2, "p")
    assert found.vectors == (ONE, TWO)
    assert found.usage == Usage(prompt_tokens=7, known=True)


def test_vectors_stand_where_their_index_says() -> None:
    data = ({"index": 1, "embedding": in_base64(TWO)}, {"index": 0, "embedding": in_base64(ONE)})
    assert decode(sent(*data), 2, "p").vectors == (ONE, TWO)


def test_a_server_that_gives_neither_index_nor_usage_is_understood() -> None:
    found = decode(sent({"embedding": in_base64(ONE)}, {"embedding": in_base64(TWO)}), 2, "p")
    assert (found.vectors, found.usage.known) == ((ONE, TWO), False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"data":null}',
        b'{"error":"down"}',
        sent({"embedding": in_base64(ONE)}),
        sent(*[{"embedding": in_base64(ONE)}] * 3),
        sent(*[{"index": 0, "embedding": in_base64(ONE)}] * 2),
        sent({"index": 0, "embedding": in_base64(ONE)}, {"index": 2, "embedding": in_base64(TWO)}),
        sent({"embedding": in_base64(ONE)}, {"embedding": in_base64(TWO[:4])}),
        sent({"embedding": in_base64(ONE)}, {"embedding": ""}),
        sent({"embedding": in_base64(ONE)}, {"embedding": []}),
        sent({"embedding": in_base64(ONE)}, {"embedding": "!!!"}),
        sent({"embedding": in_base64(ONE)}, {"embedding": in_base64(b"12345")}),
        sent({"embedding": in_base64(ONE)}, {"embedding": [1, 1e300]}),
        sent({"embedding": in_base64(ONE)}, {"embedding": ["a", "b"]}),
        sent({"embedding": in_base64(ONE)}, {"embedding": in_base64(packed([float("nan"), 1]))}),
        sent({"embedding": in_base64(ONE)}, {"embedding": in_base64(packed([float("inf"), 1]))}),
    ],
)
def test_what_is_no_answer_to_two_texts_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderMalformedError) as caught:
        decode(body, 2, "p")
    assert caught.value.billed
