"""GET /v1/models: everything that a request may write in ``model``.

Personas come first, then aliases, then the provider models that may be named. ``created`` is when a persona's revision went
live; of the others no time is known, so it is 0.
"""

from collections.abc import Iterator
from difflib import get_close_matches

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, SkipValidation

from cozy_domain.access.caller import Caller
from cozy_domain.errors import MissingError
from cozy_domain.routing.choice import Snapshot, models_named, names
from cozy_server.openai.wire.reply import ModelList, ModelOut

OWNER = "cozyengine"
_LONGEST_COMPARED = 128


def listed(snapshot: Snapshot) -> Iterator[ModelOut]:
    """Each name once, in the order in which a request's ``model`` is looked up."""
    for published in snapshot.catalog:
        yield ModelOut(published.persona.id, published.published_at_us // 1_000_000, OWNER)
    yield from (ModelOut(route.alias, 0, OWNER) for route in snapshot.routes.routes)
    yield from (ModelOut(str(ref), 0, ref.provider) for ref in snapshot.routes.allowed)


def named(name: str, snapshot: Snapshot) -> ModelOut | None:
    """What a request that writes ``name`` in ``model`` gets, bare model ids included; None when it would be refused."""
    known = {listing.id: listing for listing in listed(snapshot)}
    if name in known:
        return known[name]
    models = models_named(name, snapshot.routes)
    return ModelOut(name, 0, models[0].provider) if models else None


@get("/v1/models", sync_to_thread=False, tags=["OpenAI"])
def list_models(
    snapshot: NamedDependency[SkipValidation[Snapshot]],
    caller: NamedDependency[SkipValidation[Caller]],  # noqa: ARG001 - asked for, so that the route needs a credential
) -> ModelList:
    """Lists personas, aliases and models."""
    return ModelList(tuple(listed(snapshot)))


@get("/v1/models/{model:path}", sync_to_thread=False, tags=["OpenAI"])
def retrieve_model(
    model: FromPath[str],
    snapshot: NamedDependency[SkipValidation[Snapshot]],
    caller: NamedDependency[SkipValidation[Caller]],  # noqa: ARG001 - asked for, so that the route needs a credential
) -> ModelOut:
    """One persona, alias or model; its name may hold slashes."""
    name = model.removeprefix("/")
    if found := named(name, snapshot):
        return found
    close = get_close_matches(name[:_LONGEST_COMPARED], names(snapshot), n=1)
    raise MissingError(
        "The model does not exist.",
        code="model_not_found",
        param="model",
        hint=f"Did you mean '{close[0]}'?" if close else None,
    )


routes: list[HTTPRouteHandler] = [list_models, retrieve_model]
