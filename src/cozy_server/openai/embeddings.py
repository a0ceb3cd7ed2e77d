"""POST /v1/embeddings."""

import logging
from base64 import b64encode
from typing import Any

from litestar import MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.embedding import Embedding
from cozy_domain.errors import InputError
from cozy_domain.models.embedding import EmbeddingInput, EmbeddingRequest, Embeddings, unpacked
from cozy_domain.models.request import ModelRef
from cozy_domain.routing.embedding import EmbeddingRoutes, choose_embedder
from cozy_server.auth import FOR_OWNER
from cozy_server.body import JsonBody, read_body
from cozy_server.openai.leaving import unless_left
from cozy_server.openai.line import ClientLeftError
from cozy_server.openai.wire.embeddings import (
    MAX_CHARACTERS,
    MAX_INPUTS,
    MAX_TOKENS,
    MAX_TOKENS_TOGETHER,
    CozyEmbedded,
    EmbeddingIn,
    EmbeddingList,
    EmbeddingOut,
    EmbeddingUsage,
)
from cozy_server.openai.wire.reply import ENCODER
from cozy_server.problems import request_id
from cozy_server.throttle.throttle import count_owner, seat

logger = logging.getLogger(__name__)

PATH = "/v1/embeddings"
CLIENT_CLOSED = 499
"""What servers note down for a client that did not wait; nobody is there to read it."""

_BODY = JsonBody(EmbeddingIn)


@post(
    PATH,
    status_code=200,
    request_max_body_size=None,
    summary="Create embeddings",
    responses={200: ResponseSpec(EmbeddingList, description="The vectors.", generate_examples=False)},
    opt={**FOR_OWNER, "body": EmbeddingIn},
    tags=["OpenAI"],
)
async def create_embeddings(
    request: Request[Any, Any, Any],
    embedding: NamedDependency[SkipValidation[Embedding]],
    embedding_routes: NamedDependency[SkipValidation[EmbeddingRoutes]],
    caller: NamedDependency[SkipValidation[Caller]],
) -> Response[bytes]:
    """Vectors for texts, from the embedding model that ``model`` names."""
    asked = _BODY.decode(await read_body(request))
    owner = caller.owner(asked.user or None)
    await count_owner(request.scope, caller, owner)
    inputs = inputs_of(asked)
    model = choose_embedder(asked.model, embedding_routes)
    wanted = EmbeddingRequest(
        model=model.id,
        inputs=inputs,
        dimensions=asked.dimensions,
        end_user=owner.id.hex,
    )
    try:
        with seat(request.scope):
            found = await unless_left(request.receive, embedding.embed(model.provider, wanted))
    except ClientLeftError:
        logger.info("client_left", extra={"request": request_id(request.scope)})
        return Response(b"", status_code=CLIENT_CLOSED)
    return Response(ENCODER.encode(to_list(found, asked, model)), media_type=MediaType.JSON)


routes: list[HTTPRouteHandler] = [create_embeddings]


def inputs_of(asked: EmbeddingIn) -> tuple[EmbeddingInput, ...]:
    """What to embed, in order.

    Raises:
        InputError: too many, too much, or texts and tokens mixed.
    """
    given = (asked.input,) if isinstance(asked.input, str) else asked.input
    texts = tuple(it for it in given if isinstance(it, str))
    single = tuple(it for it in given if isinstance(it, int))
    arrays = tuple(it for it in given if isinstance(it, tuple))
    if len(given) not in (len(texts), len(single), len(arrays)):
        raise InputError(
            "'input' must hold either strings, or tokens, or arrays of tokens.",
            code="invalid_type",
            param="input",
        )
    inputs: tuple[EmbeddingInput, ...] = (single,) if single else texts or arrays
    _check_size(inputs)
    return inputs


def to_list(found: Embeddings, asked: EmbeddingIn, model: ModelRef) -> EmbeddingList:
    """The answer in the format that was asked for, numbers by default."""
    in_base64 = asked.encoding_format == "base64"
    vectors = (b64encode(it).decode() if in_base64 else unpacked(it) for it in found.vectors)
    tokens = found.usage.prompt_tokens
    return EmbeddingList(
        data=tuple(EmbeddingOut(at, vector) for at, vector in enumerate(vectors)),
        model=asked.model,
        usage=EmbeddingUsage(tokens, tokens),
        cozy=CozyEmbedded(str(model)),
    )


def _check_size(inputs: tuple[EmbeddingInput, ...]) -> None:
    if len(inputs) > MAX_INPUTS:
        raise InputError(
            f"'input' holds more than {MAX_INPUTS} texts.", code="array_above_max_length", param="input"
        )
    counts = [len(it) for it in inputs if not isinstance(it, str)]
    if max(counts, default=0) > MAX_TOKENS or sum(counts) > MAX_TOKENS_TOGETHER:
        raise InputError(
            f"'input' holds more than {MAX_TOKENS} tokens in one text, or {MAX_TOKENS_TOGETHER} together.",
            code="context_length_exceeded",
            param="input",
        )
    if sum(len(it) for it in inputs if isinstance(it, str)) > MAX_CHARACTERS:
        raise InputError(
            f"'input' holds more than {MAX_CHARACTERS} characters.",
            code="context_length_exceeded",
            param="input",
            hint="Send the texts in several requests.",
        )
