"""The language models of OpenAI and of every server with the same chat completions.

The official SDK does transport, addresses and authentication; its models would cost 150 µs of CPU for each delta, so
bytes are decoded here. A call is always streamed: a plain reply is a fold of the stream. The SDK is imported on first
use (0.5 s of CPU), and told neither to retry nor to time out: the caller owns both.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from cozy_adapters.endpoint import JSON, Endpoint, pieces_of
from cozy_adapters.openai.answer import Answer
from cozy_adapters.openai.embeddings import OpenAIEmbedder
from cozy_adapters.openai.failures import refused
from cozy_adapters.openai.speech import OpenAISpeechToText, OpenAITextToSpeech
from cozy_adapters.openai.wire import COMPATIBLE, Dialect, ModelList, encode_request
from cozy_adapters.sse import BodyReader, EventReader
from cozy_adapters.upstream import (
    CONNECT_S,
    accepted,
    body_of,
    broken_off,
    reason_of,
    told,
    transport_errors,
)
from cozy_domain.errors import ProviderError, ProviderMalformedError
from cozy_domain.models.deltas import ModelDelta
from cozy_domain.models.request import Feature, ModelRequest

if TYPE_CHECKING:
    import httpx2

NO_KEY = "none"
"""The SDK insists on a key; servers that need none do not look at it."""
FEATURES = frozenset(Feature) - {Feature.AUDIO_OUTPUT, Feature.WEB_SEARCH}
"""What the wire carries both ways: spoken answers and citations have no delta yet, so asking for them is refused."""


class OpenAILanguageModel:
    """Models behind one base URL (with the version: ``https://api.openai.com/v1``); None is OpenAI's own. ``api_key`` may be
    empty for servers that need none.

    ``features`` hold for all of its models. ``aclose`` ends the connections; until then it can be used at any time.
    """

    def __init__(
        self,
        provider: str,
        api_key: str,
        *,
        base_url: str | None = None,
        dialect: Dialect = COMPATIBLE,
        features: frozenset[Feature] = FEATURES,
    ) -> None:
        self._provider = provider
        self._api_key = api_key
        self._base_url = base_url
        self._dialect = dialect
        self._features = features
        self._endpoint: Endpoint | None = None

    def __repr__(self) -> str:
        return f"OpenAILanguageModel(provider={self._provider!r}, base_url={self._base_url!r})"

    async def aopen(self) -> None:
        """Imports the SDK now instead of during the first request, and in a thread: it takes a second or more."""
        await asyncio.to_thread(import_module, "openai")
        self._opened()

    async def aclose(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.aclose()

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[ModelDelta]]:
        return self._stream(request)

    def features(self, model: str) -> frozenset[Feature]:  # noqa: ARG002  # the port asks by model
        return self._features

    def embedder(self) -> OpenAIEmbedder:
        """The same provider's embeddings, over the same connections."""
        return OpenAIEmbedder(self._provider, self._post, self._dialect)

    def text_to_speech(self, model: str) -> OpenAITextToSpeech:
        """Its voices, likewise."""
        return OpenAITextToSpeech(self._provider, model, self._post)

    def speech_to_text(self, model: str) -> OpenAISpeechToText:
        """Its recogniser, likewise."""
        return OpenAISpeechToText(self._provider, model, self._post)

    async def list_models(self) -> tuple[str, ...]:
        getting = self._opened().get("/models")
        body = await body_of(self._provider, await accepted(self._provider, getting, self._refused))
        try:
            listed = msgspec.json.decode(body, type=ModelList).data or ()
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise ProviderMalformedError(
                f"{self._provider} did not list its models as OpenAI does.", provider=self._provider
            ) from error
        return tuple(dict.fromkeys(model.id for model in listed))

    @asynccontextmanager
    async def _stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[ModelDelta]]:
        response = await self._send("/chat/completions", encode_request(request, self._dialect))
        answer = Answer(self._provider, lambda: f"call_{uuid4().hex}")
        try:
            async with (
                aclosing(pieces_of(response)) as pieces,
                aclosing(told(self._provider, pieces, self._reader(response), answer)) as deltas,
            ):
                yield deltas
        finally:
            await response.aclose()

    @asynccontextmanager
    async def _post(
        self, path: str, body: bytes, content_type: str = JSON
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        response = await self._send(path, body, content_type)
        try:
            async with aclosing(response.aiter_bytes()) as pieces:
                yield pieces
        except transport_errors() as error:
            raise broken_off(self._provider, reason_of(error)) from error
        finally:
            await response.aclose()

    async def _send(self, path: str, body: bytes, content_type: str = JSON) -> "httpx2.Response":
        return await accepted(self._provider, self._opened().post(path, body, content_type), self._refused)

    def _reader(self, response: "httpx2.Response") -> EventReader | BodyReader:
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return BodyReader(self._provider) if is_json else EventReader(self._provider)

    def _refused(self, response: "httpx2.Response") -> ProviderError:
        body = response.content if response.is_stream_consumed else b""
        return refused(self._provider, response.status_code, response.headers, body, self._api_key)

    def _opened(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = self._connected()
        return self._endpoint

    def _connected(self) -> Endpoint:
        import httpx2  # with the SDK, on first use
        import openai

        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        http = openai.DefaultAioHttpClient(timeout=timeout)
        client = openai.AsyncOpenAI(
            api_key=self._api_key or NO_KEY,
            base_url=self._base_url or "https://api.openai.com/v1",
            max_retries=0,
            timeout=timeout,
            http_client=http,
        )
        return Endpoint(client, http)
