"""A provider, asked through its SDK's client with as little work as possible.

Address, authentication, headers and transport are the SDK's own, but put together once: its ``post`` does so anew for each
call, which costs as much CPU as all the rest of sending it (0.7 of 1.3 ms, measured with OpenAI's).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import httpx2

PIECE = 262_144
"""Bytes of a body that are sent at once: aiohttp warns of more than 1 MB, which would hold up everybody else."""


class Sdk(Protocol):
    """What the official clients of OpenAI and Anthropic have in common."""

    @property
    def base_url(self) -> "httpx2.URL":
        """Ends with a slash."""
        ...

    @property
    def default_headers(self) -> Mapping[str, object]: ...

    @property
    def auth_headers(self) -> Mapping[str, str]: ...

    async def close(self) -> None: ...


JSON = "application/json"


class Endpoint:
    """GETs and POSTs to a provider; ``http`` is the client that ``sdk`` uses."""

    def __init__(self, sdk: Sdk, http: "httpx2.AsyncClient") -> None:
        import httpx2  # with the SDK, on first use

        headers = {**http.headers, **sdk.default_headers, **sdk.auth_headers}
        self._sdk = sdk
        self._http = http
        self._urls: dict[str, httpx2.URL] = {}
        # What the SDK leaves out it marks with an object of its own.
        self._headers = httpx2.Headers({name: it for name, it in headers.items() if isinstance(it, str)})
        self._headers["Host"] = sdk.base_url.netloc.decode()
        self._extensions = {"timeout": http.timeout.as_dict()}
        self._request = httpx2.Request
        self._whole = httpx2.ByteStream

    async def aclose(self) -> None:
        """Ends the connections."""
        await self._sdk.close()

    async def get(self, path: str) -> "httpx2.Response":
        """As `post`, without a body."""
        url = self._sdk.base_url.join(path.removeprefix("/"))
        request = self._request("GET", url, headers=self._headers, extensions=self._extensions)
        return await self._http.send(request, stream=True)

    async def post(self, path: str, body: bytes, content_type: str = JSON) -> "httpx2.Response":
        """The response, whatever its status, with its body unread. ``path`` is below the base URL and begins with a slash;
        there are few of them.

        Raises:
            httpx2.HTTPError, aiohttp.ClientError, OSError: there is none.
        """
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self._sdk.base_url.join(path.removeprefix("/"))
        request = self._made(url, body)
        if content_type is not JSON:
            request.headers["content-type"] = content_type
        return await self._http.send(request, stream=True)

    def _made(self, url: "httpx2.URL", body: bytes) -> "httpx2.Request":
        """Always with the body's length, since some servers take no chunks. One with images in it goes piece by piece."""
        length = {"Content-Length": str(len(body))}
        if len(body) > PIECE:
            headers = {**self._headers, **length}
            return self._request(
                "POST", url, headers=headers, content=_pieces(body), extensions=self._extensions
            )
        # Given as a stream, the body lets the request find out nothing about itself: that is most of the work of making it.
        request = self._request(
            "POST", url, headers=self._headers, stream=self._whole(body), extensions=self._extensions
        )
        request.read()
        request.headers.encoding = self._headers.encoding
        request.headers["Content-Length"] = length["Content-Length"]
        return request


def pieces_of(response: "httpx2.Response") -> AsyncGenerator[bytes, None]:
    """The body as it comes. What is not compressed need not pass through what undoes that."""
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    return cast("AsyncGenerator[bytes, None]", aiter(response.stream))  # type: ignore[arg-type]  # asynchronous: so was the call


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
