"""One connection to a server, on the official client.

It is entered and left by one task, because the client's contexts hold cancel scopes. Calls come from any task. The client
would check results against schemas that the server made, patterns included, which can take for ever; so calls are sent
as requests, whose results are not checked.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio
import httpx2
import mcp_types as types
import msgspec
from mcp import Client, MCPError
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from cozy_adapters.mcp.child import child
from cozy_adapters.mcp.configured import Configured
from cozy_adapters.mcp.endpoint import endpoint
from cozy_adapters.mcp.listing import Listed
from cozy_adapters.mcp.result import text_of
from cozy_adapters.mcp.watch import Watch
from cozy_domain.errors import ToolError

MAX_PAGES = 20
MAX_LISTED = 2_000
"""Tools after which no further page is read; one that is wanted by name may stand behind many others."""
LISTEN_AGAIN_S = 5.0
_SHOWN = 500
_log = logging.getLogger("cozy.mcp")

Inbound = SessionMessage | Exception
Streams = tuple[ReadStream[Inbound], WriteStream[SessionMessage]]


class Session:
    def __init__(self, client: Client, watch: Watch) -> None:
        self._client = client
        self._watch = watch

    async def tools(self) -> tuple[tuple[Listed, ...], bool]:
        """The server's tools, and whether these are all; not many more than may be offered are read.

        Raises:
            MCPError, ValidationError: it refuses, or answers in another language.
        """
        found: list[Listed] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            page = await self._client.session.list_tools(params=params)
            found += map(_listed, page.tools)
            cursor = page.next_cursor
            if cursor is None:
                return tuple(found), True
            if len(found) > MAX_LISTED:
                break
        return tuple(found), False

    async def call(self, name: str, arguments: msgspec.Raw) -> str:
        """What the tool says. When the caller is cancelled, the client tells the server.

        Raises:
            ToolError: it failed, in words for the model.
        """
        params = types.CallToolRequestParams(name=name, arguments=msgspec.json.decode(arguments))
        try:
            request = types.CallToolRequest(params=params)
            result = await self._client.session.send_request(request, types.CallToolResult)
        except MCPError as error:
            # The connection may be gone, or the tool; listing again finds out.
            self._watch.outdate()
            raise ToolError(self._told(error)) from None
        except (
            ValidationError,
            RuntimeError,
            ValueError,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
        ):
            self._watch.outdate()
            raise ToolError("the tool's server gave no answer that can be read") from None
        if result.is_error:
            raise ToolError(text_of(result))
        return text_of(result)

    def _told(self, error: MCPError) -> str:
        if error.error.code == types.CONNECTION_CLOSED:
            return "the tool's server ended the connection before it answered"
        return f"the tool's server refused: {self._watch.masked(error.error.message[:_SHOWN])}"


@asynccontextmanager
async def connected(server: Configured, watch: Watch) -> AsyncIterator[Session]:
    """A connection that is ready for calls.

    Raises:
        Exception: whatever the transport or the server came to; ``cause_of`` has words for it.
    """

    async def heard(message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            watch.outdate()

    ours = types.Implementation(name="CozyEngine", version=version("cozy-engine"))
    transport = _Counted(_transport(server, watch), watch)
    async with (
        Client(transport, message_handler=heard, client_info=ours, cache=None) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_listen, client, watch)
        yield Session(client, watch)
        tasks.cancel_scope.cancel()


def cause_of(error: BaseException, server: Configured, watch: Watch) -> str:
    """Why a connection failed, in words for people: never a header, a path of a URL or a secret."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if watch.lost:
        return watch.lost
    match error:
        case TimeoutError():
            return "it did not answer in time"
        case httpx2.TransportError():
            return f"{server.address} cannot be reached ({type(error).__name__})"
        case MCPError() if watch.status:
            return f"it answers with HTTP {watch.status}"
        case MCPError():
            return f"it refuses: {watch.masked(error.error.message[:_SHOWN])}"
        case OSError() if server.command:
            return f"{server.address} cannot be started: {error.strerror or type(error).__name__}"
        case ValidationError():
            return "what it answers is not MCP"
        case _:
            return f"it failed ({type(error).__name__})"


def _transport(server: Configured, watch: Watch) -> AbstractAsyncContextManager[Streams]:
    if server.command:
        return child(server.command, server.environment, server.folder, watch)
    return endpoint(server.url, server.headers, watch)


def _listed(tool: types.Tool) -> Listed:
    hints = tool.annotations or types.ToolAnnotations()
    return Listed(
        name=tool.name,
        description=tool.description or tool.title or "",
        parameters=msgspec.Raw(msgspec.json.encode(tool.input_schema)),
        read_only=hints.read_only_hint,
        destructive=hints.destructive_hint,
    )


async def _listen(client: Client, watch: Watch) -> None:
    """Servers since 2026-07-28 tell of changes only who asks for it; older ones tell without being asked."""
    while True:
        try:
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    watch.outdate()
        except SubscriptionLost:
            watch.outdate()
        except (ListenNotSupportedError, MCPError, TimeoutError):
            return  # the list is read again from time to time
        await anyio.sleep(LISTEN_AGAIN_S)


class _Counted:
    """A transport whose inbound messages are counted."""

    def __init__(self, transport: AbstractAsyncContextManager[Streams], watch: Watch) -> None:
        self._transport = transport
        self._watch = watch

    async def __aenter__(self) -> Streams:
        reading, writing = await self._transport.__aenter__()
        return _CountedStream(reading, self._watch), writing

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._transport.__aexit__(*error)


class _CountedStream:
    def __init__(self, stream: ReadStream[Inbound], watch: Watch) -> None:
        self._stream = stream
        self._watch = watch

    async def receive(self) -> Inbound:
        item = await self._stream.receive()
        self._watch.count()
        return item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "_CountedStream":
        return self

    async def __anext__(self) -> Inbound:
        item = await self._stream.__anext__()
        self._watch.count()
        return item

    async def __aenter__(self) -> "_CountedStream":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._stream.__aexit__(*error)
