"""A name asked for → the model that embeds (pure).

One model, and never another in its place: vectors of two models cannot be compared, so a fallback would spoil an index in
silence.
"""

from collections.abc import Collection, Iterator

import msgspec

from cozy_domain.errors import MissingError
from cozy_domain.models.request import ModelRef
from cozy_domain.nearest import nearest
from cozy_domain.routing.choice import parse_ref

LEXICAL = ModelRef("offline", "lexical")
"""Answers where nobody configured another."""


class EmbeddingRoutes(msgspec.Struct, frozen=True):
    """The ``default`` model, and others by the name under which a request finds them."""

    default: ModelRef = LEXICAL
    aliases: tuple[tuple[str, ModelRef], ...] = ()


def embedding_routes(default: str | None, aliases: Collection[tuple[str, str]]) -> EmbeddingRoutes:
    """From the settings, which `lost` has checked."""
    parsed = ((alias, parse_ref(name)) for alias, name in aliases)
    return EmbeddingRoutes(
        (parse_ref(default) if default else None) or LEXICAL,
        tuple((alias, ref) for alias, ref in parsed if ref),
    )


def lost(
    default: str | None,
    aliases: Collection[tuple[str, str]],
    providers: Collection[str],
    taken: Collection[str],
) -> Iterator[str]:
    """What is wrong with the settings, each as a sentence. ``providers`` are those that embed; ``taken`` are the names of
    personas, aliases and models that answer."""
    named = ((f"models.embeddings.{alias}", name) for alias, name in aliases)
    for place, name in (*((("models.embedding", default),) if default else ()), *named):
        ref = parse_ref(name)
        if ref is None:
            yield f"{place} is '{name}', not written provider/id"
        elif ref.provider not in providers:
            yield f"{place}: '{ref.provider}' is no provider of embeddings; there are: {', '.join(sorted(providers))}"
    yield from (
        f"'{alias}' is the name of a persona, alias or model, so it cannot be one in models.embeddings"
        for alias, _ in aliases
        if alias in taken
    )


def names(routes: EmbeddingRoutes) -> tuple[str, ...]:
    """Everything that a request may write in ``model``, bare ids left out."""
    return tuple(dict.fromkeys((*(alias for alias, _ in routes.aliases), *map(str, _models(routes)))))


def embedder_named(name: str, routes: EmbeddingRoutes) -> ModelRef | None:
    """The alias's model, else the one of that name, with its provider or as a bare id that only one provider has."""
    for alias, ref in routes.aliases:
        if alias == name:
            return ref
    models = _models(routes)
    exact = [ref for ref in models if str(ref) == name]
    bare = [ref for ref in models if ref.id == name]
    return exact[0] if exact else bare[0] if len(bare) == 1 else None


def choose_embedder(name: str, routes: EmbeddingRoutes) -> ModelRef:
    """
    Raises:
        MissingError: ``model_not_found``.
    """
    if found := embedder_named(name, routes):
        return found
    known = names(routes)
    close = nearest(name, known)
    raise MissingError(
        f"The embedding model '{name}' does not exist.",
        code="model_not_found",
        param="model",
        hint=f"Did you mean '{close}'?"
        if close
        else f"There are: {', '.join(known)}. Whoever runs the server adds names in `models.embeddings`.",
    )


def _models(routes: EmbeddingRoutes) -> tuple[ModelRef, ...]:
    return tuple(dict.fromkeys((routes.default, *(ref for _, ref in routes.aliases))))
