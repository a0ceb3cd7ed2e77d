"""A name asked for → who speaks, and which models may answer, in order (pure).

Names are looked up as persona id, then alias, then allowed provider model (settled question 8); `clashes` refuses a
configuration in which that order would matter. A persona brings its own route and fallbacks, an alias its models, and a
provider model stands alone: whoever names it wants no other. What a request asks of a model that cannot do it is refused
by name, never dropped in silence; only a persona's preferences give way.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import msgspec
from msgspec.structs import replace

from cozy_domain.errors import ConfigError, MissingError
from cozy_domain.ids import PersonaId
from cozy_domain.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    left_out,
)
from cozy_domain.models.request import Feature, ModelRef, ModelRequest, Sampling
from cozy_domain.nearest import nearest
from cozy_domain.persona.catalog import Catalog
from cozy_domain.persona.persona import Persona

_MEDIA = frozenset({Feature.IMAGES, Feature.AUDIO_INPUT, Feature.FILES})
DEFAULT_PERSONA = PersonaId("default")
_EXTRAS = {
    "prediction": Feature.PREDICTION,
    "web_search_options": Feature.WEB_SEARCH,
    "service_tier": Feature.SERVICE_TIER,
    "audio": Feature.AUDIO_OUTPUT,
}


class Route(msgspec.Struct, frozen=True):
    """``models`` are tried in this order."""

    alias: str
    models: tuple[ModelRef, ...]


class RouteTable(msgspec.Struct, frozen=True):
    """``default`` answers for personas that name no route; ``allowed`` are the models that a request may name itself, as
    ``provider/id``, or as the bare id where only one provider has it; ``providers`` are all whose models could be among
    them."""

    default: tuple[ModelRef, ...]
    routes: tuple[Route, ...] = ()
    allowed: tuple[ModelRef, ...] = ()
    providers: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """One configuration: all that a turn is decided by comes from the same one, whatever is reloaded meanwhile."""

    catalog: Catalog
    routes: RouteTable


class Pinned(Protocol):
    """Whose session it is: what choosing needs to know of a session's pin."""

    @property
    def persona(self) -> PersonaId: ...


class Choice(msgspec.Struct, frozen=True):
    """``models`` in order of fallback; never empty."""

    persona: PersonaId
    models: tuple[ModelRef, ...]


def choose(model: str, persona: PersonaId | None, session_pin: Pinned | None, snapshot: Snapshot) -> Choice:
    """Who speaks: ``persona``, else the one that ``model`` names, else the session's, else ``default``.

    Raises:
        MissingError: ``model_not_found``, or ``persona_not_found`` also for a session whose persona is gone.
        ConfigError: the persona's route or a fallback names nothing.
    """
    named = PersonaId(model) if model in snapshot.catalog else None
    models = None if named else models_named(model, snapshot.routes)
    if not named and not models:
        raise missing_model(model, snapshot)
    speaker = persona or named or (session_pin.persona if session_pin else DEFAULT_PERSONA)
    if speaker not in snapshot.catalog:
        raise _unknown("persona", speaker, snapshot.catalog.ids(), param="cozy.personality_id")
    return Choice(speaker, models or models_of(snapshot.catalog.get(speaker).persona, snapshot.routes))


def missing_model(name: str, snapshot: Snapshot, others: tuple[str, ...] = ()) -> MissingError:
    """What to say to who asks for a model that requests may not name, or that there is not. ``others`` may be meant too."""
    known = (*names(snapshot), *others)
    return _not_allowed(name, snapshot, known) or _unknown("model", name, known, param="model")


def models_of(persona: Persona, routes: RouteTable) -> tuple[ModelRef, ...]:
    """The persona's route, or the default one, followed by its fallbacks; no model twice.

    Raises:
        ConfigError: one of them names neither an alias nor a ``provider/id``.
    """
    first = (
        routes.default if persona.model.route is None else _preferred(persona, persona.model.route, routes)
    )
    fallbacks = (ref for name in persona.model.fallbacks for ref in _preferred(persona, name, routes))
    return tuple(dict.fromkeys((*first, *fallbacks)))


def models_named(name: str, routes: RouteTable) -> tuple[ModelRef, ...]:
    """An alias's models, or the one allowed model of that name, with its provider or as a bare id that only one provider
    has; empty when there is none."""
    for route in routes.routes:
        if route.alias == name:
            return route.models
    allowed = dict.fromkeys(routes.allowed)
    exact = tuple(ref for ref in allowed if str(ref) == name)
    bare = tuple(ref for ref in allowed if ref.id == name)
    return exact or (bare if len(bare) == 1 else ())


def names(snapshot: Snapshot) -> tuple[str, ...]:
    """Everything that a request may write in ``model``: persona ids, aliases, models as ``provider/id``."""
    routes = snapshot.routes
    everything = (
        *snapshot.catalog.ids(),
        *(route.alias for route in routes.routes),
        *map(str, routes.allowed),
    )
    return tuple(dict.fromkeys(everything))


def clashes(snapshot: Snapshot) -> tuple[str, ...]:
    """What is wrong with a configuration, each as a sentence: a name with two meanings, a route to nowhere."""
    counts = Counter(_meanings(snapshot))
    twice = [
        f"'{name}' is the name of more than one persona, alias or model: rename all but one"
        for name, times in counts.items()
        if times > 1
    ]
    empty = [
        f"the route '{route.alias}' has no model" for route in snapshot.routes.routes if not route.models
    ]
    nowhere = [reason for item in snapshot.catalog for reason in _lost(item.persona, snapshot.routes)]
    none = [] if snapshot.routes.default else ["the default route has no model"]
    return (*none, *empty, *twice, *nowhere)


def parse_ref(text: str) -> ModelRef | None:
    """``provider/id``; the id may hold further slashes. None when it has not that form."""
    provider, slash, model = text.partition("/")
    return ModelRef(provider, model) if provider and slash and model else None


def missing_features(request: ModelRequest, features: frozenset[Feature]) -> tuple[tuple[str, Feature], ...]:
    """What a model with these ``features`` cannot do of ``request``: the request's field as a JSON path (``n``,
    ``messages[2].content[0]``) and the feature it needs."""
    return tuple((param, feature) for param, feature in _needed(request) if feature not in features)


def fitting(sampling: Sampling, features: frozenset[Feature]) -> Sampling:
    """``sampling`` without the preferences that the model does not know. For what a persona prefers: what the request
    itself asked for was refused before by `missing_features`."""
    fits = sampling
    if Feature.SAMPLING not in features:
        fits = replace(fits, temperature=None, top_p=None)
    if Feature.STOP not in features:
        fits = replace(fits, stop=())
    if Feature.REASONING_EFFORT not in features:
        fits = replace(fits, reasoning_effort=None)
    return fits


def fitting_messages(messages: tuple[Message, ...], features: frozenset[Feature]) -> tuple[Message, ...]:
    """``messages`` with notes in the place of what the model is not able to take. For what was said to another model before:
    what the request itself brought was refused by `missing_features`."""
    if features >= _MEDIA:
        return messages
    return tuple(_fitting(message, features) for message in messages)


def _fitting(message: Message, features: frozenset[Feature]) -> Message:
    if not isinstance(message.content, tuple) or not any(map(_of_part, message.content)):
        return message
    return replace(message, content=tuple(_fitting_part(part, features) for part in message.content))


def _fitting_part(part: Part, features: frozenset[Feature]) -> Part:
    if isinstance(part, TextPart | RefusalPart) or _of_part(part) in features:
        return part
    return left_out(part)


def _preferred(persona: Persona, name: str, routes: RouteTable) -> tuple[ModelRef, ...]:
    """Operators write personas, so a persona's ``provider/id`` needs not be among the allowed ones."""
    if models := models_named(name, routes):
        return models
    if ref := parse_ref(name):
        return (ref,)
    raise ConfigError(
        f"persona '{persona.id}': the model '{name}' is neither an alias nor written provider/id",
        hint=_did_you_mean(name, tuple(route.alias for route in routes.routes)),
    )


def _lost(persona: Persona, routes: RouteTable) -> Iterator[str]:
    try:
        models_of(persona, routes)
    except ConfigError as error:
        yield str(error)


def _meanings(snapshot: Snapshot) -> Iterator[str]:
    """Each name once for each thing it means; a bare id only where it is unique."""
    yield from snapshot.catalog.ids()
    yield from (route.alias for route in snapshot.routes.routes)
    allowed = dict.fromkeys(snapshot.routes.allowed)
    yield from map(str, allowed)
    ids = Counter(ref.id for ref in allowed)
    yield from (name for name, times in ids.items() if times == 1)


def _not_allowed(name: str, snapshot: Snapshot, known: tuple[str, ...]) -> MissingError | None:
    """Whether the provider has such a model is not known; that nobody may name it is."""
    ref = parse_ref(name)
    if ref is None or ref.provider not in snapshot.routes.providers:
        return None
    return MissingError(
        f"The model '{name}' is not in `models.allowed`, so requests may not name it.",
        code="model_not_found",
        param="model",
        hint=_did_you_mean(name, known) or "Whoever runs the server can add it there.",
    )


def _unknown(kind: str, name: str, known: tuple[str, ...], *, param: str) -> MissingError:
    return MissingError(
        f"The {kind} '{name}' does not exist.",
        code=f"{kind}_not_found",
        param=param,
        hint=_did_you_mean(name, known) or f"There are: {', '.join(known)}.",
    )


def _did_you_mean(name: str, known: tuple[str, ...]) -> str | None:
    ids = {ref.rpartition("/")[2]: ref for ref in reversed(known)}
    close = nearest(name, known) or ids.get(nearest(name, ids) or "")
    return f"Did you mean '{close}'?" if close else None


def _needed(request: ModelRequest) -> Iterator[tuple[str, Feature]]:
    if request.tools:
        yield "tools", Feature.TOOLS
    if request.parallel_tool_calls:
        yield "parallel_tool_calls", Feature.PARALLEL_TOOL_CALLS
    yield from _of_messages(request.messages)
    yield from _of_sampling(request.sampling)
    yield from _of_extras(request.sampling)


def _of_messages(messages: tuple[Message, ...]) -> Iterator[tuple[str, Feature]]:
    for i, message in enumerate(messages):
        parts = message.content if isinstance(message.content, tuple) else ()
        for j, part in enumerate(parts):
            if feature := _of_part(part):
                yield f"messages[{i}].content[{j}]", feature


def _of_part(part: Part) -> Feature | None:
    match part:
        case ImagePart():
            return Feature.IMAGES
        case AudioPart():
            return Feature.AUDIO_INPUT
        case FilePart():
            return Feature.FILES
        case _:
            return None


def _of_sampling(sampling: Sampling) -> Iterator[tuple[str, Feature]]:
    asked = {
        "n": (sampling.choices > 1, Feature.CHOICES),
        "temperature": (sampling.temperature is not None, Feature.SAMPLING),
        "top_p": (sampling.top_p is not None, Feature.SAMPLING),
        "presence_penalty": (sampling.presence_penalty is not None, Feature.PENALTIES),
        "frequency_penalty": (sampling.frequency_penalty is not None, Feature.PENALTIES),
        "stop": (bool(sampling.stop), Feature.STOP),
        "seed": (sampling.seed is not None, Feature.SEED),
        "logprobs": (sampling.logprobs, Feature.LOGPROBS),
        "top_logprobs": (sampling.top_logprobs is not None, Feature.LOGPROBS),
        "logit_bias": (bool(sampling.logit_bias), Feature.LOGIT_BIAS),
        "reasoning_effort": (sampling.reasoning_effort is not None, Feature.REASONING_EFFORT),
        "verbosity": (sampling.verbosity is not None, Feature.VERBOSITY),
    }
    yield from ((param, feature) for param, (wanted, feature) in asked.items() if wanted)
    if sampling.response_format.kind == "json_object":
        yield "response_format", Feature.JSON_OBJECT
    elif sampling.response_format.kind == "json_schema":
        yield "response_format", Feature.JSON_SCHEMA


def _of_extras(sampling: Sampling) -> Iterator[tuple[str, Feature]]:
    for name, value in sampling.extra:
        if name == "modalities" and b'"audio"' in bytes(value):
            yield name, Feature.AUDIO_OUTPUT
        elif feature := _EXTRAS.get(name):
            yield name, feature
