"""What to do when a model did not answer (pure).

Asked only while nothing has reached the user: after the first delta there is no second try. There is one retry in the
whole chain, and nobody else retries (SDKs are told not to), so a turn costs a provider at most one try too many.
Falling back to another model is no retry: each model of the chain gets its turn.
"""

import msgspec

from cozy_domain.errors import (
    ProviderError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)

LONGEST_WAIT_S = 20.0
"""A provider that wants more is taken at its word towards the caller (reliability P1)."""
RATE_WAIT_S = 1.0
"""For a 429 that names no time."""
RECONNECT_WAIT_S = 0.25
"""A reset of a connection kept alive is gone with the next one; P2 leaves 5 s for the whole error."""


class RetrySame(msgspec.Struct, frozen=True):
    """Ask the same model again after so many seconds."""

    after_s: float


class NextModel(msgspec.Struct, frozen=True):
    """Go on with the next of the chain."""


class GiveUp(msgspec.Struct, frozen=True):
    """Tell the caller this very error: its kind, and its ``retry_after_s``, are true for them too."""


def decide(error: ProviderError, *, retried: bool, others_left: bool) -> RetrySame | NextModel | GiveUp:
    """``retried``: the chain's one retry is spent; ``others_left``: the chain has a model that was not asked yet.

    A refused request is refused by all; a refused credential or model, only here. An unreachable model is tried once
    more, an overloaded one only when no other is left. A silent one is not: the user has waited long enough, and
    the provider may charge for both.
    """
    if isinstance(error, ProviderRefusedError) and error.about == "request":
        return GiveUp()
    wait_s = _wait_s(error, others_left=others_left)
    if not retried and wait_s is not None and wait_s <= LONGEST_WAIT_S:
        return RetrySame(wait_s)
    return NextModel() if others_left else GiveUp()


def _wait_s(error: ProviderError, *, others_left: bool) -> float | None:
    """How long to wait before the same model; None when it is not to be asked again."""
    if error.billed:
        return None
    match error:
        case ProviderOverloadedError():
            return None if others_left else _wish(error, RATE_WAIT_S)
        case ProviderUnavailableError():
            return None if others_left and error.retry_after_s else _wish(error, RECONNECT_WAIT_S)
        case _:
            return None


def _wish(error: ProviderError, otherwise_s: float) -> float:
    return otherwise_s if error.retry_after_s is None else error.retry_after_s
