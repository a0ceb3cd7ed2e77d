"""Turns on a running server, over the same HTTP that any client of it speaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

import httpx
import msgspec
from msgspec import Meta

from cozy_domain.errors import (
    AccessError,
    ConfigError,
    CozyError,
    InputError,
    LimitError,
    MissingError,
    ProviderError,
    ProviderUnavailableError,
    RemoteProtocolError,
)
from cozy_domain.routing.choice import DEFAULT_PERSONA
from cozy_server.cli.chat.said import (
    Asked,
    Began,
    Ended,
    HistoryLine,
    Partner,
    Refused,
    Said,
    SessionLine,
    Skipped,
    Talk,
    ToolUsed,
    Turn,
    Words,
)

CONNECT_S = 5.0
SILENCE_S = 60.0
"""A server of ours breaks its silence every 15 s."""
_LAST_PORT = 65_535
_LAST_SECOND = 253_402_300_799
"""Of the year 9999: a time after it has no date."""
_DATA = "data: "
_DONE = "[DONE]"
OURS = "cozyengine"
"""Who owns personas and aliases in the list of models; a persona also has a time of creation."""


class _CozyIn(msgspec.Struct, frozen=True):
    session_id: str | None = None
    turn_id: str | None = None
    model: str | None = None
    degraded: tuple[Skipped, ...] = ()
    timings: dict[str, float | None] = {}
    tools: tuple["_ToolIn", ...] = ()


class _ToolIn(msgspec.Struct, frozen=True):
    name: str
    arguments: str = ""
    outcome: str | None = None
    duration_ms: int | None = None


class _DeltaIn(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None


class _ChoiceIn(msgspec.Struct, frozen=True):
    delta: _DeltaIn = _DeltaIn()
    finish_reason: str | None = None


class _ErrorIn(msgspec.Struct, frozen=True):
    message: str = "the server failed"
    code: str | None = None
    hint: str | None = None


class _ChunkIn(msgspec.Struct, frozen=True):
    choices: tuple[_ChoiceIn, ...] = ()
    cozy: _CozyIn | None = None
    error: _ErrorIn | None = None


class _ModelIn(msgspec.Struct, frozen=True):
    id: str
    owned_by: str
    created: int = 0


class _ModelsIn(msgspec.Struct, frozen=True):
    data: tuple[_ModelIn, ...]


class _SessionIn(msgspec.Struct, frozen=True):
    id: UUID
    personality_id: str
    message_count: int
    last_turn_at: Annotated[int, Meta(ge=0, le=_LAST_SECOND)]
    title: str | None = None


class _SessionsIn(msgspec.Struct, frozen=True):
    data: tuple[_SessionIn, ...]


class _PartIn(msgspec.Struct, frozen=True):
    text: str | None = None
    refusal: str | None = None


class _FunctionIn(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class _CallIn(msgspec.Struct, frozen=True):
    function: _FunctionIn


class _MessageIn(msgspec.Struct, frozen=True):
    role: str
    turn_state: str
    content: str | tuple[_PartIn, ...] | None = None
    tool_calls: tuple[_CallIn, ...] = ()


class _MessagesIn(msgspec.Struct, frozen=True):
    data: tuple[_MessageIn, ...]


_CHUNK = msgspec.json.Decoder(_ChunkIn)
_MODELS = msgspec.json.Decoder(_ModelsIn)
_SESSION = msgspec.json.Decoder(_SessionIn)
_SESSIONS = msgspec.json.Decoder(_SessionsIn)
_MESSAGES = msgspec.json.Decoder(_MessagesIn)
_In = TypeVar("_In")


@asynccontextmanager
async def remote_talk(url: str, key: str | None, partner: Partner) -> AsyncIterator[Talk]:
    """``url`` with or without ``/v1``.

    Raises:
        ConfigError: it is no address.
    """
    place = url.rstrip("/").removesuffix("/v1")
    if not place.startswith(("http://", "https://")):
        raise ConfigError(f"'{url}' is not an address", hint="Write it like http://127.0.0.1:8000.")
    headers = {"accept-language": partner.language, **({"authorization": f"Bearer {key}"} if key else {})}
    timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
    try:
        client = httpx.AsyncClient(base_url=place, headers=headers, timeout=timeout)
    except (httpx.InvalidURL, UnicodeEncodeError):
        raise ConfigError("the address or the key has signs that HTTP does not know") from None
    async with client:
        if (client.base_url.port or 0) > _LAST_PORT:
            raise ConfigError(f"'{url}' names a port that there is not: {_LAST_PORT} is the last")
        yield RemoteTalk(client, place, partner)


class RemoteTalk:
    """As `Talk`."""

    def __init__(self, client: httpx.AsyncClient, place: str, partner: Partner) -> None:
        self._client = client
        self._place = place
        self._user = {"user_id": partner.user} if partner.user else {}

    def turn(self, asked: Asked) -> AbstractAsyncContextManager[Turn]:
        return self._turn(asked)

    async def names(self) -> tuple[tuple[str, ...], str]:
        found = await self._get("/v1/models", {}, _MODELS)
        personas = tuple(it.id for it in found.data if it.owned_by == OURS and it.created)
        return personas, self._place

    async def sessions(self, limit: int) -> tuple[SessionLine, ...]:
        found = await self._get("/v1/cozy/sessions", {"limit": str(limit), **self._user}, _SESSIONS)
        return tuple(map(_session_line, found.data))

    async def session(self, session: UUID) -> SessionLine | None:
        try:
            return _session_line(await self._get(f"/v1/cozy/sessions/{session}", self._user, _SESSION))
        except MissingError:
            return None

    async def history(self, session: UUID) -> tuple[HistoryLine, ...]:
        query = {"limit": "1000", **self._user}
        try:
            found = await self._get(f"/v1/cozy/sessions/{session}/messages", query, _MESSAGES)
        except MissingError:
            return ()
        return tuple(line for message in found.data for line in _history_lines(message))

    @asynccontextmanager
    async def _turn(self, asked: Asked) -> AsyncIterator[Turn]:
        turn = _RemoteTurn()
        turn.reading = asyncio.create_task(self._hear(asked, turn))
        turn.reading.add_done_callback(turn.hear_out)
        try:
            yield turn
        finally:
            turn.leave()
            await asyncio.wait((turn.reading,))

    async def _hear(self, asked: Asked, turn: "_RemoteTurn") -> None:
        """Hands what the server says to ``turn``, which hears of the error of this task by itself."""
        try:
            async with self._client.stream(
                "POST", "/v1/chat/completions", json=self._body(asked)
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise _refusal(response.status_code, await response.aread())
                async for said in _read(response):
                    turn.hear(said)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except UnicodeEncodeError:
            raise InputError("the message is not text that can be sent") from None

    def _body(self, asked: Asked) -> dict[str, object]:
        cozy = {"session_id": str(asked.session), **self._user}
        if asked.persona:
            cozy["personality_id"] = asked.persona
        return {
            "model": asked.model or asked.persona or DEFAULT_PERSONA,
            "messages": [{"role": "user", "content": asked.text}],
            "stream": True,
            "cozy": cozy,
        }

    async def _get(self, path: str, query: dict[str, str], shape: msgspec.json.Decoder[_In]) -> _In:
        try:
            response = await self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if response.status_code != httpx.codes.OK:
            raise _refusal(response.status_code, response.content)
        try:
            return shape.decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise _no_server_of_ours(self._place) from None

    def _unreachable(self, error: httpx.HTTPError) -> CozyError:
        return ProviderUnavailableError(
            f"{self._place} cannot be reached ({type(error).__name__})",
            provider=self._place,
            code="server_unreachable",
            hint="Is the server running? `cozy dev` prints where it listens.",
        )


class _RemoteTurn:
    """As `Turn`. A task reads what the server sends, so that stopping needs not wait for the next piece."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Said | BaseException] = asyncio.Queue()
        self._over = False
        self._left = False
        self.reading: asyncio.Task[None] | None = None

    def __aiter__(self) -> "_RemoteTurn":
        return self

    async def __anext__(self) -> Said:
        if self._over:
            raise StopAsyncIteration
        said = await self._queue.get()
        self._over = isinstance(said, Ended | BaseException)
        if isinstance(said, BaseException):
            raise said
        return said

    def stop(self) -> None:
        """Closing the connection is how a server is told: it keeps what was said so far as interrupted."""
        if self.leave():
            self._queue.put_nowait(Ended("interrupted"))

    def leave(self) -> bool:
        """Whether there was something to leave. Only once: a second cancellation would hit the closing of the connection,
        and the server would not notice that nobody listens."""
        if self._left or self.reading is None:
            return False
        self._left = True
        return self.reading.cancel()

    def hear(self, said: Said) -> None:
        self._queue.put_nowait(said)

    def hear_out(self, reading: asyncio.Task[None]) -> None:
        """Whatever ended the task ends the turn: nobody may wait for words that will not come."""
        if not reading.cancelled() and (error := reading.exception()):
            self._queue.put_nowait(error)


async def _read(response: httpx.Response) -> AsyncIterator[Said]:
    """
    Raises:
        CozyError: the stream says that the turn failed, or ends without ``[DONE]``.
    """
    ended: Ended | None = None
    done = False
    async for line in response.aiter_lines():
        if not line.startswith(_DATA):
            continue
        if line == _DATA + _DONE:
            done = True
            continue
        chunk = _decoded(line.removeprefix(_DATA))
        if chunk.error is not None:
            raise _told(chunk.error, httpx.codes.INTERNAL_SERVER_ERROR)
        for said in _of_chunk(chunk):
            yield said
        ended = _end_of(chunk) or ended
    if ended is None or not done:
        raise RemoteProtocolError(
            "the answer ended before the turn did",
            hint="The server may have stopped; what was said so far is kept there.",
        )
    yield ended


def _decoded(line: str) -> _ChunkIn:
    try:
        return _CHUNK.decode(line)
    except msgspec.MsgspecError:
        raise RemoteProtocolError("the server sent a chunk that is none of ours") from None


def _of_chunk(chunk: _ChunkIn) -> Iterator[Said]:
    if chunk.cozy and chunk.cozy.turn_id:
        yield Began(chunk.cozy.session_id or "", chunk.cozy.turn_id)
    for choice in chunk.choices:
        if choice.delta.content:
            yield Words(choice.delta.content)
        if choice.delta.refusal:
            yield Refused(choice.delta.refusal)
    for tool in chunk.cozy.tools if chunk.cozy else ():
        yield ToolUsed(tool.name, tool.arguments, tool.outcome, tool.duration_ms)


def _end_of(chunk: _ChunkIn) -> Ended | None:
    finish = next((choice.finish_reason for choice in chunk.choices if choice.finish_reason), None)
    if finish is None:
        return None
    cozy = chunk.cozy or _CozyIn()
    return Ended(
        state="waiting" if finish == "tool_calls" else "completed",
        finish=finish,
        model=cozy.model,
        degraded=cozy.degraded,
        first_token_ms=cozy.timings.get("first_token_ms"),
        total_ms=cozy.timings.get("total_ms"),
    )


def _refusal(status: int, body: bytes) -> CozyError:
    try:
        told = msgspec.json.decode(body, type=_ChunkIn).error
    except msgspec.MsgspecError:
        told = None
    return _told(told or _ErrorIn(f"the server answered {status}"), status)


def _told(error: _ErrorIn, status: int) -> CozyError:
    """The server's own words, as an error of ours of the same kind."""
    if status in (401, 403):
        hint = error.hint if status == 403 else f"{error.hint or ''} Give it with --key.".strip()
        return AccessError(error.message, code=error.code or "invalid_api_key", hint=hint)
    if status == 404:
        return MissingError(error.message, code=error.code, hint=error.hint)
    if status == 429:
        return LimitError(error.message, retry_after_s=1.0, code=error.code, hint=error.hint)
    if status == 400:
        return CozyError(error.message, code=error.code or "invalid_value", hint=error.hint)
    return ProviderError(error.message, provider="server", code=error.code, hint=error.hint)


def _no_server_of_ours(place: str) -> CozyError:
    return RemoteProtocolError(f"{place} does not answer like a CozyEngine server")


def _session_line(row: _SessionIn) -> SessionLine:
    last_turn_at = datetime.fromtimestamp(row.last_turn_at, UTC)
    return SessionLine(row.id, row.title, row.personality_id, row.message_count, last_turn_at)


def _history_lines(row: _MessageIn) -> Iterator[HistoryLine]:
    words = row.content if isinstance(row.content, str) else _joined(row.content or ())
    if words and row.role != "tool":
        yield HistoryLine(row.role, words, row.turn_state == "interrupted")
    for call in row.tool_calls:
        yield HistoryLine("tool", f"{call.function.name} {call.function.arguments}")


def _joined(parts: tuple[_PartIn, ...]) -> str:
    return "\n".join(part.text or part.refusal or "" for part in parts)
