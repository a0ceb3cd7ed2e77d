"""Which providers this machine has: keys in the environment, and an Ollama that listens.

Only names and addresses are looked at here; what the providers offer they list themselves, and which of it answers is
decided in ``cozy_domain.routing.default``.
"""

import asyncio
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_adapters.openai.wire import COMPATIBLE, OPENAI, Dialect
from cozy_adapters.upstream import missing

OPENAI_URL = "https://api.openai.com/v1"
OLLAMA_PORT = 11434
"""Ollama's own default (its FAQ, "How do I configure Ollama server?")."""
PROBE_S = 0.3
"""An Ollama on this machine or in this house answers a connect within a few milliseconds."""
_PORTS = {"http": 80, "https": 443}
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where a server listens, not where to reach it


class Discovered(msgspec.Struct, frozen=True):
    """``found`` says by what, in words; with a ``problem`` it cannot be used. ``api_key`` is empty where none is needed."""

    provider: str
    found: str
    base_url: str | None = None
    api_key: str = ""
    problem: str | None = None

    def __repr__(self) -> str:
        return f"Discovered(provider={self.provider!r}, found={self.found!r}, problem={self.problem!r})"

    def language_model(self) -> OpenAILanguageModel:
        return OpenAILanguageModel(
            self.provider, self.api_key, base_url=self.base_url, dialect=dialect_of(self.base_url)
        )


async def discover(environment: Mapping[str, str]) -> tuple[Discovered, ...]:
    """OpenAI, then Ollama.

    A local Ollama that nobody configured and that does not answer is left out; one that ``OLLAMA_HOST`` names is told.
    """
    keyed = tuple(_keyed(environment))
    named = environment.get("OLLAMA_HOST", "").strip()
    try:
        url = ollama_url(named)
    except ValueError:
        return (*keyed, Discovered("ollama", "OLLAMA_HOST", problem=f"'{named}' is no address"))
    address = urlsplit(url).netloc
    if await _listens(urlsplit(url)):
        return (*keyed, Discovered("ollama", f"Ollama on {address}", f"{url}/v1", problem=missing("openai")))
    if not named:
        return keyed
    return (*keyed, Discovered("ollama", "OLLAMA_HOST", f"{url}/v1", problem=f"nothing listens on {address}"))


def dialect_of(base_url: str | None) -> Dialect:
    """OpenAI's own for OpenAI's own address, else what most lookalikes understand."""
    own = base_url is None or urlsplit(base_url).hostname == urlsplit(OPENAI_URL).hostname
    return OPENAI if own else COMPATIBLE


def ollama_url(host: str) -> str:
    """``OLLAMA_HOST`` as an address to call: scheme, port and an address to listen on are filled in as Ollama does.

    Raises:
        ValueError: it is no address.
    """
    split = urlsplit(host if "://" in host else f"//{host}")
    name = _ANY_ADDRESS.get(split.hostname or "", split.hostname or "127.0.0.1")
    name = f"[{name}]" if ":" in name else name
    port = split.port or _PORTS.get(split.scheme, OLLAMA_PORT)
    return f"{split.scheme or 'http'}://{name}:{port}{split.path.rstrip('/')}"


def _keyed(environment: Mapping[str, str]) -> Iterator[Discovered]:
    """A base URL alone is enough: many a local server asks for no key."""
    key = environment.get("OPENAI_API_KEY", "").strip()
    url = environment.get("OPENAI_BASE_URL", "").strip() or None
    if key or url:
        found = "OPENAI_API_KEY" if key else "OPENAI_BASE_URL"
        yield Discovered("openai", found, url, key, problem=missing("openai"))


async def _listens(url: SplitResult) -> bool:
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(url.hostname, url.port)
    except OSError:  # TimeoutError is one of them
        return False
    writer.transport.abort()
    return True
