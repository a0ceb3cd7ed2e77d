"""Which model answers when nobody configured one (pure; settled question 9).

No model id is written down here: ids come and go with their providers. What the operator names wins; else a provider that
was found offers exactly one model, or one of the preferred ones; else the offline model answers, and the reason says why.
"""

from collections.abc import Iterator

import msgspec

from cozy_domain.errors import ConfigError
from cozy_domain.models.request import ModelRef
from cozy_domain.nearest import nearest
from cozy_domain.routing.choice import parse_ref

OFFLINE = ModelRef("offline", "offline")


class Listing(msgspec.Struct, frozen=True):
    """A provider that was looked for. ``found`` says by what (``OPENAI_API_KEY``, ``Ollama on 127.0.0.1:11434``);
    ``problem`` why it cannot be used, else None."""

    provider: str
    found: str
    models: tuple[str, ...] = ()
    problem: str | None = None


class Default(msgspec.Struct, frozen=True):
    """``reason`` is a sentence for the one who started the server."""

    model: ModelRef
    reason: str


def named_default(
    wanted: str, providers: tuple[str, ...], origin: str, personas: tuple[str, ...] = ()
) -> Default:
    """The model that the setting ``models.default`` names: ``provider/id``, or ``offline``. ``origin`` tells people where
    that is written (``cozy.yaml:12``, ``environment COZY_MODEL``); one of ``personas`` is taken for no slip.

    Raises:
        ConfigError: it has another form, its provider is not one of ``providers``, or it is another model of `OFFLINE`'s.
    """
    ref = OFFLINE if wanted == OFFLINE.provider else parse_ref(wanted)
    if ref is None:
        raise ConfigError(
            f"{origin}: models.default is '{wanted}', not written provider/id",
            hint=_how_to_name(wanted, providers, personas),
        )
    if ref.provider == OFFLINE.provider and ref != OFFLINE and OFFLINE.provider not in providers:
        raise ConfigError(
            f"{origin}: models.default is '{wanted}', but the offline provider has one model, {OFFLINE}",
            hint=f"Write {OFFLINE.provider}.",
        )
    if ref != OFFLINE and ref.provider not in providers:
        known = ", ".join((*providers, OFFLINE.provider))
        raise ConfigError(
            f"{origin}: models.default is '{wanted}', but there is no provider '{ref.provider}'; there are: {known}",
            hint="Set the provider's key, or configure it under models.providers.",
        )
    return Default(ref, f"{origin} names it")


def without_provider(place: str, ref: ModelRef, providers: tuple[str, ...]) -> str | None:
    """What is wrong with ``ref``, which stands at ``place`` in the settings: its provider is none of ``providers``. None:
    nothing."""
    if ref.provider in providers:
        return None
    close = nearest(ref.provider, providers)
    meant = f"; did you mean {ModelRef(close, ref.id)}?" if close else ""
    return f"{place}: '{ref}', but there is no provider '{ref.provider}'; there are: {', '.join(providers)}{meant}"


def choose_default(listings: tuple[Listing, ...], preferred: tuple[str, ...]) -> Default:
    """The first of ``listings`` that settles it; ``preferred`` are ids, or ``provider/id``, best first."""
    for listing in listings:
        if chosen := _settled(listing, preferred):
            return chosen
    reasons = "; ".join(_unsettled(listings)) or "no key is set and no Ollama runs on this machine"
    return Default(OFFLINE, f"no model was found: {reasons}")


def _how_to_name(wanted: str, providers: tuple[str, ...], personas: tuple[str, ...]) -> str:
    if wanted in personas:
        return (
            f"'{wanted}' is a persona: requests name it in `model`, and this setting names the model that plays it. "
            "Leave it out to have one looked for."
        )
    if providers:
        return f"Write for example {providers[0]}/<id>."
    return (
        "Set OPENAI_API_KEY or OPENAI_BASE_URL and write openai/<id>, or ANTHROPIC_API_KEY and anthropic/<id>, "
        f"or write {OFFLINE.provider}."
    )


def _settled(listing: Listing, preferred: tuple[str, ...]) -> Default | None:
    if listing.problem:
        return None
    if len(listing.models) == 1:
        return Default(
            ModelRef(listing.provider, listing.models[0]), f"{listing.found} offers this model and no other"
        )
    for name in preferred:
        for model in listing.models:
            if name in (model, f"{listing.provider}/{model}"):
                return Default(
                    ModelRef(listing.provider, model),
                    f"{listing.found} offers it, and models.preferred names it",
                )
    return None


def _unsettled(listings: tuple[Listing, ...]) -> Iterator[str]:
    for listing in listings:
        if listing.problem:
            yield f"{listing.found}: {listing.problem}"
        elif listing.models:
            yield (
                f"{listing.found} offers {len(listing.models)} models, choose one with "
                f"COZY_MODEL={listing.provider}/<id>"
            )
        else:
            yield f"{listing.found} offers no model"
