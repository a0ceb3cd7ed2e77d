"""Anthropic's language models, and those of every server with the same Messages API.

As with OpenAI's: the official SDK does transport, addresses and authentication, bytes are decoded here, a call is always
streamed, and the caller owns time and retries. The SDK is imported on first use (1.1 s of CPU).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from cozy_adapters.anthropic.answer import Answer
from cozy_adapters.anthropic.failures import refused
from cozy_adapters.anthropic.request import MOST_TOKENS, encode_request
from cozy_adapters.anthropic.wire import Capabilities, ListedModel, ModelList
from cozy_adapters.endpoint import Endpoint
from cozy_adapters.sse import EventReader
from cozy_adapters.upstream import (
    CONNECT_S,
    accepted,
    body_of,
    told,
)
from cozy_domain.errors import ProviderError, ProviderMalformedError, ProviderRefusedError
from cozy_domain.models.deltas import ModelDelta
from cozy_domain.models.request import Feature, ModelRequest

if TYPE_CHECKING:
    import httpx2

URL = "https://api.anthropic.com"
NO_KEY = "none"
"""The SDK insists on a key; servers that need none do not look at it."""
FEATURES = frozenset(
    {
        Feature.TOOLS,
        Feature.PARALLEL_TOOL_CALLS,
        Feature.IMAGES,
        Feature.FILES,
        Feature.JSON_SCHEMA,
        Feature.SAMPLING,
        Feature.STOP,
        Feature.REASONING_EFFORT,
    }
)
"""What the wire carries both ways. ``temperature`` and ``top_p`` are among them although Claude takes them no more: clients
send them out of habit, so they are left out and the log says so, once for each model."""
_log = logging.getLogger(__name__)


class AnthropicLanguageModel:
    """Models behind one base URL (without the version: ``https://api.anthropic.com``); None is Anthropic's own. ``api_key``
    may be empty for servers that need none.

    What `list_models` tells of a model is remembered: its limit and what it cannot do. ``aclose`` ends the connections;
    until then it can be used at any time.
    """

    def __init__(self, provider: str, api_key: str, *, base_url: str | None = None) -> None:
        self._provider = provider
        self._api_key = api_key
        self._base_url = (base_url or URL).rstrip("/").removesuffix("/v1")
        self._listed: dict[str, ListedModel] = {}
        self._warned: set[tuple[str, str]] = set()
        self._endpoint: Endpoint | None = None

    def __repr__(self) -> str:
        return f"AnthropicLanguageModel(provider={self._provider!r}, base_url={self._base_url!r})"

    async def aopen(self) -> None:
        """Imports the SDK now instead of during the first request, and in a thread: it takes a second or more."""
        await asyncio.to_thread(import_module, "anthropic")
        self._opened()

    async def aclose(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.aclose()

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[ModelDelta]]:
        return self._stream(request)

    def features(self, model: str) -> frozenset[Feature]:
        listed = self._listed.get(model)
        return FEATURES - _missing(listed.capabilities) if listed and listed.capabilities else FEATURES

    async def list_models(self) -> tuple[str, ...]:
        getting = self._opened().get("/v1/models?limit=1000")
        body = await body_of(self._provider, await accepted(self._provider, getting, self._refused))
        try:
            listed = msgspec.json.decode(body, type=ModelList).data
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise ProviderMalformedError(
                f"{self._provider} did not list its models as Anthropic does.", provider=self._provider
            ) from error
        self._listed = {model.id: model for model in listed}
        return tuple(self._listed)

    @asynccontextmanager
    async def _stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelDelta]]:
        posting = self._opened().post("/v1/messages", self._encoded(request))
        response = await accepted(self._provider, posting, self._refused)
        answer = Answer(self._provider, lambda: f"toolu_{uuid4().hex}", self._api_key, request.model)
        try:
            async with (
                aclosing(response.aiter_bytes()) as pieces,
                aclosing(told(self._provider, pieces, EventReader(self._provider), answer)) as deltas,
            ):
                yield deltas
        finally:
            await response.aclose()

    def _encoded(self, request: ModelRequest) -> bytes:
        listed = self._listed.get(request.model)
        most = min(MOST_TOKENS, (listed and listed.max_tokens) or MOST_TOKENS)
        try:
            encoded = encode_request(request, most)
        except ProviderRefusedError as error:
            error.provider = self._provider  # what decides is pure, and does not know who asks
            raise
        for parameter in encoded.dropped:
            self._warn(request.model, parameter)
        return encoded.body

    def _warn(self, model: str, parameter: str) -> None:
        if (model, parameter) not in self._warned:
            self._warned.add((model, parameter))
            fields = {"provider": self._provider, "model": model, "parameter": parameter}
            _log.warning("parameter_dropped", extra=fields)

    def _refused(self, response: "httpx2.Response") -> ProviderError:
        body = response.content if response.is_stream_consumed else b""
        return refused(self._provider, response.status_code, response.headers, body, self._api_key)

    def _opened(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = self._connected()
        return self._endpoint

    def _connected(self) -> Endpoint:
        import anthropic
        import httpx2  # with the SDK, on first use

        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        http = anthropic.DefaultAioHttpClient(timeout=timeout)
        client = anthropic.AsyncAnthropic(
            api_key=self._api_key or NO_KEY,
            base_url=self._base_url,
            max_retries=0,
            timeout=timeout,
            http_client=http,
        )
        return Endpoint(client, http)


def _missing(capabilities: Capabilities) -> frozenset[Feature]:
    told = {
        Feature.IMAGES: capabilities.image_input,
        Feature.FILES: capabilities.pdf_input,
        Feature.JSON_SCHEMA: capabilities.structured_outputs,
        Feature.REASONING_EFFORT: capabilities.effort,
    }
    return frozenset(feature for feature, support in told.items() if support and not support.supported)
