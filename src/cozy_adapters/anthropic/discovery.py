"""Whether this machine has a key of Anthropic's, or the address of a server that speaks as it does."""

from collections.abc import Mapping

import msgspec

from cozy_adapters.anthropic.chat import AnthropicLanguageModel
from cozy_adapters.upstream import missing

PROVIDER = "anthropic"


class Discovered(msgspec.Struct, frozen=True):
    """``found`` says by what; with a ``problem`` it cannot be used. ``api_key`` is empty where none is needed."""

    found: str
    base_url: str | None = None
    api_key: str = ""
    problem: str | None = None

    def __repr__(self) -> str:
        return f"Discovered(found={self.found!r}, problem={self.problem!r})"

    def language_model(self) -> AnthropicLanguageModel:
        return AnthropicLanguageModel(PROVIDER, self.api_key, base_url=self.base_url)


def discover(environment: Mapping[str, str]) -> Discovered | None:
    """A base URL alone is enough: a local server may ask for no key."""
    key = environment.get("ANTHROPIC_API_KEY", "").strip()
    url = environment.get("ANTHROPIC_BASE_URL", "").strip() or None
    if not key and not url:
        return None
    found = "ANTHROPIC_API_KEY" if key else "ANTHROPIC_BASE_URL"
    return Discovered(found, url, key, problem=missing("anthropic"))
