"""GET /v1/models: everything that a request may write in ``model``.

Personas come first, then aliases, then the provider models that may be named, then what embeds. ``created`` is when a
persona's revision went live; of the others no time is known, so it is 0.
"""

from collections.abc import Iterator

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.routing import embedding
from cozy_domain.routing.choice import Snapshot, missing_model, models_named
from cozy_domain.routing.embedding import EmbeddingRoutes, embedder_named
from cozy_server.openai.wire.reply import ModelList, ModelOut

OWNER = "cozyengine"
_LONGEST_COMPARED = 128


def listed(snapshot: Snapshot, embeddings: EmbeddingRoutes) -> Iterator[ModelOut]:
    """Each name once, in the order in which a request's ``model`` is looked up."""
    for published in snapshot.catalog:
        yield ModelOut(published.persona.id, published.published_at_us // 1_000_000, OWNER)
    yield from (ModelOut(route.alias, 0, OWNER) for route in snapshot.routes.routes)
    yield from (ModelOut(str(ref), 0, ref.provider) for ref in snapshot.routes.allowed)
    answering = set(map(str, snapshot.routes.allowed))
    yield from (_embedder(name, embeddings) for name in embedding.names(embeddings) if name not in answering)


def named(name: str, snapshot: Snapshot, embeddings: EmbeddingRoutes) -> ModelOut | None:
    """What a request that writes ``name`` in ``model`` gets, bare model ids included; None when it would be refused."""
    known = {listing.id: listing for listing in listed(snapshot, embeddings)}
    if name in known:
        return known[name]
    models = models_named(name, snapshot.routes)
    if models:
        return ModelOut(name, 0, models[0].provider)
    return _embedder(name, embeddings) if embedder_named(name, embeddings) else None


@get("/v1/models", sync_to_thread=False, tags=["OpenAI"])
def list_models(
    snapshot: NamedDependency[SkipValidation[Snapshot]],
    embedding_routes: NamedDependency[SkipValidation[EmbeddingRoutes]],
    caller: NamedDependency[SkipValidation[Caller]],  # noqa: ARG001 - asked for, so that the route needs a credential
) -> ModelList:
    """Lists personas, aliases and models."""
    return ModelList(tuple(listed(snapshot, embedding_routes)))


@get("/v1/models/{model:path}", sync_to_thread=False, tags=["OpenAI"])
def retrieve_model(
    model: FromPath[str],
    snapshot: NamedDependency[SkipValidation[Snapshot]],
    embedding_routes: NamedDependency[SkipValidation[EmbeddingRoutes]],
    caller: NamedDependency[SkipValidation[Caller]],  # noqa: ARG001 - asked for, so that the route needs a credential
) -> ModelOut:
    """One persona, alias or model; its name may hold slashes.

    Raises:
        MissingError: there is none of that name, or requests may not name it.
    """
    name = model.removeprefix("/")
    if found := named(name, snapshot, embedding_routes):
        return found
    raise missing_model(name[:_LONGEST_COMPARED], snapshot, embedding.names(embedding_routes))


routes: list[HTTPRouteHandler] = [list_models, retrieve_model]


def _embedder(name: str, embeddings: EmbeddingRoutes) -> ModelOut:
    """Owned by whose model it is, aliases by us."""
    aliases = dict(embeddings.aliases)
    ref = embedder_named(name, embeddings)
    return ModelOut(name, 0, OWNER if name in aliases or ref is None else ref.provider)
